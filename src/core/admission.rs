//! How many requests an upstream is given at once while it answers too late.
//!
//! An upstream that gets more than it can answer puts the rest into a queue. Once the queue is longer than what it answers within the
//! deadline, it answers only requests that their platform has given up, and it answers all of them late. A request that is refused
//! at once costs it nothing, and the platform sends it again.
//!
//! Nothing is limited until requests are late, and more are in flight than the upstream has answered within the last deadline. Then
//! the limit is a part of that number (Little's law: requests in flight = rate × time). From there the limit grows as long as answers
//! are early, and is set anew if they are late. A limit ends when nothing was refused for a while. It also ends if it makes the
//! upstream answer less without answering earlier: then the upstream is slow, but not overloaded.

use std::time::Duration;

/// One upstream of a bot, as one worker sees it. Times are ticks of the worker's clock.
#[derive(Debug)]
pub struct Admission {
    deadline: Duration,
    ticks_per_slot: u32,
    slot: u32,
    inflight: u32,
    /// By slot, the requests in flight that were admitted in it. Requests from before these slots are overdue.
    admitted: [u32; RING],
    seen: [Seen; RING],
    limit: Option<Limit>,
    /// No limit is set before this slot.
    spared_until: u32,
    /// For how many slots nothing is limited if the next limit does not help.
    spare: u32,
}

/// A request that was admitted, by its slot. It must be given back to [`Admission::left`].
#[derive(Debug)]
pub struct Admitted(u32);

/// The requests that ended in one slot, and how.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    in_time: u32,
    late: u32,
    /// Of those in time: within `QUICK` of the deadline.
    quick: u32,
    /// Those in time, but after `SLOW` of the deadline.
    slow: u32,
    refused: u32,
}

#[derive(Clone, Copy, Debug)]
struct Limit {
    most: u32,
    set_in: u32,
    refused_in: u32,
    /// The slot in which a request above the limit was last admitted.
    tried_in: u32,
    /// What all workers' requests got in the last deadline before the limit was set to `most`.
    answered: u32,
    /// How often in a row fewer were answered after that.
    falls: u32,
}

/// What a change of the limit means for a human.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Requests above so many in flight are refused from now on.
    Limits {
        most: u32,
    },
    Ends,
    /// The limit did not help: the upstream is slow for another reason than the number of its requests.
    GivesUp,
}

/// The slots in a deadline.
const SLOTS: usize = 8;
/// One deadline, and the current slot.
const RING: usize = SLOTS + 1;
/// So many in flight are always allowed, on each worker. Fewer say nothing about an upstream that handles one request at a time.
const LEAST: u32 = 8;
/// The part of the answers within a deadline that the limit begins with. The rest is for the difference between two requests.
const BEGIN: f64 = 0.5;
/// The part of them up to which it grows. Without this bound it would grow too far before the first late answer shows it.
const GROWS_TO: f64 = 0.65;
/// Parts of the deadline. While most answers come before the first, the limit doubles with each slot; while most come before the
/// second, it grows by a fortieth; else it stays.
const QUICK: f64 = 0.4;
const SLOW: f64 = 0.8;
/// A limit is set if more requests are late than one of so many answers, and set anew if that is so again.
const LATE_ONE_OF: u32 = 10;
/// A limit that has refused nothing for so many slots ends: ten deadlines.
const REST: u32 = 10 * SLOTS as u32;
/// After a limit that did not help nothing is limited for so many slots, which is twenty deadlines, and twice as long each time, up to
/// eight times as long.
const SPARED: u32 = 20 * SLOTS as u32;
const SPARED_MOST: u32 = 8 * SPARED;
/// How long a limit must have been in force before its effect is judged, in slots: by then the requests from before it have left.
const SETTLES: u32 = 2 * SLOTS as u32;
/// If an upstream answers less than this part of what it answered before the limit, it had no queue: each of its answers takes as long
/// as before. That its capacity fell just then is possible too, so a second, lower limit must have the same effect.
const FELL: f64 = 0.6;
const FALLS: u32 = 2;

impl Admission {
    /// `deadline` is the time after which an answer is worth nothing. A tick takes `tick`.
    pub fn new(deadline: Duration, tick: Duration) -> Admission {
        let ticks = deadline.as_nanos() / tick.as_nanos().max(1);
        let ticks_per_slot = u32::try_from(ticks.div_ceil(SLOTS as u128)).unwrap_or(u32::MAX).max(1);
        let (admitted, seen) = ([0; RING], [Seen::default(); RING]);
        Admission { deadline, ticks_per_slot, slot: 0, inflight: 0, admitted, seen, limit: None, spared_until: 0, spare: SPARED }
    }

    /// Admits one more request, or refuses it.
    pub fn admit(&mut self) -> Option<Admitted> {
        let slot = self.slot;
        if let Some(limit) = &mut self.limit
            && self.inflight >= limit.most
        {
            limit.refused_in = slot;
            // While none is answered in time, one in each slot is tried: an upstream that hung may answer again.
            if limit.tried_in == slot || self.seen.iter().any(|seen| seen.in_time > 0) {
                self.seen[at(slot)].refused += 1;
                return None;
            }
            limit.tried_in = slot;
        }
        self.inflight += 1;
        self.admitted[at(slot)] += 1;
        Some(Admitted(slot))
    }

    /// A request is no longer in flight. `took` is the time after which the upstream answered; `None` if it did not.
    pub fn left(&mut self, admitted: Admitted, took: Option<Duration>) {
        self.inflight -= 1;
        if self.slot - admitted.0 < RING as u32 {
            self.admitted[at(admitted.0)] -= 1;
        }
        let Some(took) = took else { return };
        let seen = &mut self.seen[at(self.slot)];
        if took > self.deadline {
            seen.late += 1;
            return;
        }
        seen.in_time += 1;
        if took <= self.deadline.mul_f64(QUICK) {
            seen.quick += 1;
        } else if took > self.deadline.mul_f64(SLOW) {
            seen.slow += 1;
        }
    }

    /// Moves on to the tick `now`. Called before `admit`, and at least once in a deadline. Reviews the limit when a slot has ended; for
    /// that it calls `others`, which returns the sum of the other workers' `answered`.
    pub fn at(&mut self, now: u32, others: impl FnOnce() -> u32) -> Option<Event> {
        let slot = now / self.ticks_per_slot;
        if slot <= self.slot {
            return None;
        }
        let last = self.seen[at(self.slot)];
        for new in self.slot + 1..=slot.min(self.slot + RING as u32) {
            self.admitted[at(new)] = 0;
            self.seen[at(new)] = Seen::default();
        }
        self.slot = slot;
        self.review(last, others)
    }

    /// The answers within the last deadline.
    pub fn answered(&self) -> u32 {
        self.window().answered()
    }

    /// The sum of all slots: the requests that ended within the last deadline.
    fn window(&self) -> Seen {
        self.seen.iter().fold(Seen::default(), Seen::and)
    }

    fn review(&mut self, last: Seen, others: impl FnOnce() -> u32) -> Option<Event> {
        let (slot, window) = (self.slot, self.window());
        let overdue = self.inflight - self.admitted.iter().sum::<u32>();
        let (late, answered) = (window.late + overdue, window.answered());
        let most = LEAST.max(part(answered, BEGIN));
        let Some(limit) = &mut self.limit else {
            // One more would be answered after the deadline, at the present rate.
            let too_many = self.inflight > answered.max(LEAST);
            if !too_many || late <= answered / LATE_ONE_OF || slot < self.spared_until {
                return None;
            }
            self.limit = Some(Limit { most, set_in: slot, refused_in: slot, tried_in: slot, answered: answered + others(), falls: 0 });
            return Some(Event::Limits { most });
        };
        if slot - limit.refused_in > REST {
            (self.limit, self.spare) = (None, SPARED);
            return Some(Event::Ends);
        }
        if slot - limit.set_in >= SETTLES && late > answered / LATE_ONE_OF {
            let all = answered + others();
            // An upstream with a queue answers as much as before. One that answers nothing hangs, which is no reason to send it more.
            let fell = all < part(limit.answered, FELL) || limit.falls > 0 && limit.most == LEAST;
            limit.falls = if fell && window.refused > 0 && answered > 0 { limit.falls + 1 } else { 0 };
            limit.answered = all;
            if limit.falls == FALLS {
                self.limit = None;
                self.spared_until = slot + self.spare;
                self.spare = (self.spare * 2).min(SPARED_MOST);
                return Some(Event::GivesUp);
            }
            (limit.most, limit.set_in) = (limit.most.min(most), slot);
        } else if last.quick > last.answered() / 2 {
            limit.most = limit.most.saturating_mul(2);
        } else if last.in_time > 0 && last.slow + last.late <= last.in_time / 2 {
            let next = limit.most + (limit.most / 40).max(1);
            limit.most = next.min(limit.most.max(part(answered, GROWS_TO)));
        }
        None
    }
}

fn part(of: u32, part: f64) -> u32 {
    (f64::from(of) * part) as u32
}

impl Seen {
    fn answered(self) -> u32 {
        self.in_time + self.late
    }

    fn and(self, other: &Seen) -> Seen {
        Seen {
            in_time: self.in_time + other.in_time,
            late: self.late + other.late,
            quick: self.quick + other.quick,
            slow: self.slow + other.slow,
            refused: self.refused + other.refused,
        }
    }
}

fn at(slot: u32) -> usize {
    slot as usize % RING
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(3);
    /// The longest that serin waits for an answer.
    const TIMEOUT: Duration = Duration::from_secs(10);
    /// Steps of the simulation, which are the clock's ticks too.
    const STEP: Duration = Duration::from_millis(100);
    const STEPS_PER_SEC: u32 = 10;

    /// How an upstream works.
    #[derive(Clone, Copy)]
    enum Upstream {
        /// Answers so many a second, first come, first served.
        Queue(f64),
        /// Answers each request after this time, however many there are.
        Slow(Duration),
        /// Answers none.
        Hangs,
    }

    struct Play {
        workers: Vec<Admission>,
        now: u32,
        waiting: VecDeque<(u32, usize, Admitted)>,
        asked: usize,
        arrive: f64,
        done: f64,
        events: Vec<Event>,
        told: Told,
    }

    #[derive(Clone, Copy, Debug, Default)]
    struct Told {
        in_time: u32,
        late: u32,
        refused: u32,
        most: usize,
    }

    impl Play {
        fn new(workers: usize) -> Play {
            let workers = (0..workers).map(|_| Admission::new(DEADLINE, STEP)).collect();
            let (waiting, told) = (VecDeque::new(), Told::default());
            Play { workers, now: 0, waiting, asked: 0, arrive: 0.0, done: 0.0, events: Vec::new(), told }
        }

        fn is_limited(&self) -> bool {
            self.workers.iter().any(|worker| worker.limit.is_some())
        }

        /// So many seconds with so many requests a second. Returns what happened in them.
        fn runs(&mut self, secs: u32, per_sec: f64, upstream: Upstream) -> Told {
            self.told = Told::default();
            for _ in 0..secs * STEPS_PER_SEC {
                self.now += 1;
                for one in 0..self.workers.len() {
                    let others =
                        self.workers.iter().enumerate().filter(|(other, _)| *other != one).map(|(_, other)| other.answered()).sum();
                    self.events.extend(self.workers[one].at(self.now, || others));
                }
                self.arrive += per_sec / f64::from(STEPS_PER_SEC);
                while self.arrive >= 1.0 {
                    self.arrive -= 1.0;
                    self.asks();
                }
                self.told.most = self.told.most.max(self.waiting.len());
                self.answers(upstream);
            }
            self.told
        }

        /// The kernel does not give each worker as many connections: the first gets more.
        fn asks(&mut self) {
            self.asked += 1;
            let worker = (self.asked % 5) % self.workers.len();
            match self.workers[worker].admit() {
                Some(admitted) => self.waiting.push_back((self.now, worker, admitted)),
                None => self.told.refused += 1,
            }
        }

        fn answers(&mut self, upstream: Upstream) {
            let first_age = |play: &Play| play.waiting.front().map(|(since, ..)| STEP * (play.now - since));
            match upstream {
                Upstream::Queue(per_sec) => {
                    self.done = (self.done + per_sec / f64::from(STEPS_PER_SEC)).min(per_sec.max(1.0));
                    while self.done >= 1.0 && !self.waiting.is_empty() {
                        self.done -= 1.0;
                        self.one_leaves();
                    }
                }
                Upstream::Slow(time) => {
                    while first_age(self).is_some_and(|age| age >= time) {
                        self.one_leaves();
                    }
                }
                Upstream::Hangs => {
                    while first_age(self).is_some_and(|age| age >= TIMEOUT) {
                        self.one_leaves();
                    }
                }
            }
        }

        fn one_leaves(&mut self) {
            let (since, worker, admitted) = self.waiting.pop_front().unwrap();
            let took = STEP * (self.now - since);
            self.workers[worker].left(admitted, Some(took).filter(|took| *took < TIMEOUT));
            match took > DEADLINE {
                true => self.told.late += 1,
                false => self.told.in_time += 1,
            }
        }
    }

    #[test]
    fn three_times_as_much_as_an_upstream_can_do_leaves_it_four_fifths_of_its_goodput() {
        for (workers, per_sec) in [(1, 10.0), (1, 40.0), (2, 20.0), (2, 1_000.0), (4, 300.0)] {
            let mut play = Play::new(workers);
            play.runs(20, per_sec * 0.8, Upstream::Queue(per_sec));
            assert!(!play.is_limited());
            let told = play.runs(60, per_sec * 3.0, Upstream::Queue(per_sec));
            assert!(f64::from(told.in_time) >= 0.8 * 60.0 * per_sec, "{workers} workers, {per_sec} a second: {told:?}");
            let later = play.runs(60, per_sec * 3.0, Upstream::Queue(per_sec));
            assert!(later.late * 50 <= later.in_time, "{workers} workers, {per_sec} a second: {later:?}");
            play.runs(50, per_sec * 0.8, Upstream::Queue(per_sec));
            assert!(!play.is_limited(), "the limit ends with the overload");
            assert!(!play.events.contains(&Event::GivesUp), "{:?}", play.events);
        }
    }

    #[test]
    fn an_upstream_that_loses_half_of_its_replicas_under_load_answers_in_time_again() {
        let mut play = Play::new(2);
        play.runs(20, 80.0, Upstream::Queue(100.0));
        play.runs(30, 300.0, Upstream::Queue(100.0));
        play.runs(20, 300.0, Upstream::Queue(40.0));
        let told = play.runs(60, 300.0, Upstream::Queue(40.0));
        assert!(told.in_time > 9 * 60 * 40 / 10, "{told:?}");
        assert!(!play.events.contains(&Event::GivesUp), "{:?}", play.events);
    }

    #[test]
    fn nothing_is_limited_while_most_answers_are_in_time() {
        let mut play = Play::new(2);
        for (per_sec, upstream) in [(100.0, Upstream::Queue(110.0)), (500.0, Upstream::Slow(Duration::from_millis(2_800)))] {
            assert_eq!(play.runs(60, per_sec, upstream).refused, 0);
        }
        // A burst after a silence is queued by the upstream, and answered in time.
        play.runs(60, 0.1, Upstream::Queue(500.0));
        assert_eq!(play.runs(1, 1_200.0, Upstream::Queue(500.0)).refused, 0);
        assert_eq!(play.runs(20, 1.0, Upstream::Queue(500.0)).refused, 0);
    }

    /// Python collects garbage, a database has a checkpoint: for two seconds nothing is answered, then everything is.
    #[test]
    fn a_pause_that_is_shorter_than_the_deadline_refuses_nothing() {
        let mut play = Play::new(2);
        play.runs(20, 300.0, Upstream::Queue(1_000.0));
        play.runs(2, 300.0, Upstream::Hangs);
        let told = play.runs(20, 300.0, Upstream::Queue(1_000.0));
        assert_eq!((told.refused, told.late), (0, 0));
    }

    #[test]
    fn an_upstream_that_is_slow_without_a_queue_loses_few_requests_to_the_limit() {
        for workers in [1, 2] {
            let mut play = Play::new(workers);
            play.runs(20, 200.0, Upstream::Slow(Duration::from_millis(50)));
            let told = play.runs(300, 200.0, Upstream::Slow(Duration::from_millis(4_500)));
            assert!(play.events.contains(&Event::GivesUp), "{:?}", play.events);
            assert!(told.refused < 300 * 200 / 5, "{told:?}");
            play.runs(10, 200.0, Upstream::Slow(Duration::from_millis(50)));
            assert_eq!(play.runs(60, 200.0, Upstream::Slow(Duration::from_millis(50))).refused, 0);
        }
    }

    #[test]
    fn an_upstream_that_hangs_gets_few_requests_and_all_again_within_seconds_of_its_return() {
        let mut play = Play::new(2);
        play.runs(20, 1_000.0, Upstream::Queue(3_000.0));
        play.runs(20, 1_000.0, Upstream::Hangs);
        let told = play.runs(40, 1_000.0, Upstream::Hangs);
        assert!(told.most < 100, "{told:?}");
        play.runs(8, 1_000.0, Upstream::Queue(3_000.0));
        let told = play.runs(20, 1_000.0, Upstream::Queue(3_000.0));
        assert_eq!((told.refused, told.late), (0, 0));
    }

    #[test]
    fn a_few_requests_that_are_never_answered_limit_nothing() {
        let mut admission = Admission::new(DEADLINE, STEP);
        let stuck: Vec<_> = (0..LEAST).map(|_| admission.admit().unwrap()).collect();
        for now in 0..600 {
            admission.at(now, || 0);
            let admitted = admission.admit().expect("the others are admitted");
            admission.left(admitted, Some(Duration::from_millis(20)));
        }
        assert_eq!(stuck.len(), LEAST as usize);
        assert!(admission.limit.is_none());
    }

    #[test]
    fn after_a_long_silence_the_counts_are_those_of_the_requests_in_flight() {
        let mut admission = Admission::new(DEADLINE, STEP);
        let first = admission.admit().unwrap();
        admission.at(1_000_000, || 0);
        let second = admission.admit().unwrap();
        admission.left(first, None);
        assert_eq!((admission.inflight, admission.admitted.iter().sum::<u32>()), (1, 1));
        admission.left(second, None);
        assert_eq!((admission.inflight, admission.admitted.iter().sum::<u32>()), (0, 0));
    }
}
