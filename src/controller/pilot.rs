//! One bot at the controller: where its rollout stands, the evidence about it, and what is usual for it.

mod change;
mod failures;
mod split;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::failures::{Failures, canary_failed};
use super::past::Past;
use super::recent::{Answers, Recent};
use super::time::Now;
use super::trail::Trail;
use super::wish::Waiting;
use crate::config::{Bot, BotName, Config};
use crate::core::evidence::{Evidence, Examination};
use crate::core::ratchet::Facts;
use crate::core::{Breaker, Connections, Guard, Landmarks, Policy, Release, State, Tally, Track, Trip, Weight};
use crate::live::{Durability, Epoch, Examined, Judged, Ledger, News, Reading, Status, Times};
use crate::store::{Entry, Kept, Snapshot, Ticket};
use crate::summary::Summary;

pub(super) use change::Opening;
pub use failures::FailingBucket;
pub(super) use split::{candidate, index, release, roles, rule, split};

/// What is usual is written down this often.
const KEEP_PAST_EVERY: Duration = Duration::from_secs(60);
/// A preflight that failed is made again after this.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// A side of which so many connections broke before a switch says nothing about the one after it.
const BROKEN_BEFORE: f64 = 0.1;

#[derive(Debug)]
pub(super) struct Pilot {
    pub name: BotName,
    /// What is decided and in force. What waits for the disk before it may serve is not in it.
    pub state: State,
    /// The last change that is known to be on the disk.
    pub kept: u64,
    /// A change of this bot waits for the disk, under this number.
    pub keeping: Option<Ticket>,
    /// What was asked meanwhile, in order.
    pub waiting: VecDeque<Waiting>,
    /// The config wants something that a side must first be asked about.
    pub following: Option<Ticket>,
    /// It was asked whether the side before a switch still answers.
    pub asks_former: bool,
    /// What was published last, and in which snapshot.
    pub epoch: Arc<Epoch>,
    pub sequence: u64,
    /// What serves must be published anew.
    pub due: bool,
    /// There is something new to show.
    pub news: bool,
    /// There is something that the last snapshot does not have.
    pub unsaved: bool,
    /// When the status was last made.
    pub shown: Duration,
    /// At which revision a human was last said to be needed, for as long as one is.
    asked_at: Option<u64>,
    /// What serves everywhere: whose ledger is read.
    observed: Arc<Epoch>,
    opening: Option<Opening>,
    evidence: Option<Evidence>,
    judged: Option<Judged>,
    past: Past,
    breaker: Breaker,
    recent: Recent,
    /// How far the ledger has been read.
    reading: Reading,
    step_began: Option<Duration>,
    /// About the rollout under way.
    warning: Option<String>,
    /// What its own clock said at a moment of this process. Its clock stands still while no serin runs.
    began: (Duration, Duration),
    /// What the config's release waits for, and since when.
    config_waits: Option<(String, Duration)>,
    failures: Failures,
    /// When what last happened.
    landmarks: Arc<Landmarks>,
    /// Since when the ledger of what serves counts, in Unix seconds.
    counted_since: f64,
    past_kept: Option<Duration>,
    /// What stable did in the last hour, for what comes after it by a switch.
    hour: Recent,
    /// To be shown.
    pub trail: Trail,
}

impl Pilot {
    /// A bot that stands there, when its clock says `at`.
    pub fn new(config: &Config, bot: &Bot, state: State, at: Duration, now: Now) -> Pilot {
        let status = Status::of(state.clone(), bot.guard.clone());
        let (split, roles) = (split(&state, &config.proxy.salt, bot), roles(&state, bot));
        let epoch = Arc::new(Epoch::new(split, roles, Arc::new(Ledger::new(config.proxy.workers, Past::default().marks())), status));
        let mut pilot = Pilot {
            name: bot.name.clone(),
            state,
            kept: 0,
            keeping: None,
            waiting: VecDeque::new(),
            following: None,
            asks_former: false,
            observed: epoch.clone(),
            epoch,
            sequence: 0,
            due: true,
            news: true,
            unsaved: true,
            shown: Duration::ZERO,
            asked_at: None,
            opening: None,
            evidence: None,
            judged: None,
            past: Past::default(),
            breaker: Breaker::default(),
            recent: Recent::default(),
            reading: Reading::default(),
            step_began: None,
            warning: None,
            began: (at, now.running),
            config_waits: None,
            failures: Failures::default(),
            landmarks: Arc::default(),
            counted_since: now.unix_secs(),
            past_kept: None,
            hour: Recent::hour(),
            trail: Trail::default(),
        };
        pilot.begin_evidence(&bot.guard, now);
        pilot
    }

    /// Takes up what was kept beside the state: what is usual, and the evidence, if it is still about what serves.
    pub fn remember(&mut self, bot: &Bot, kept: Kept, changed: bool, now: Now) {
        self.landmarks = Arc::new(kept.landmarks.clone());
        if let Some(past) = kept.past.as_deref().and_then(Past::unpack) {
            self.past = past;
            self.past.begins(self.now(now));
        }
        // A rollout that is paused at 0 % goes on with what it knew.
        if changed || (self.state.weight == Weight::ZERO && self.state.under_way().is_none()) {
            return;
        }
        match kept.evidence.as_deref().map(rmp_serde::from_slice::<Evidence>) {
            Some(Ok(evidence)) => {
                self.step_began = self.state.rollout.as_ref().map(|rollout| rollout.step_began);
                self.evidence = Some(evidence);
            }
            Some(Err(error)) => {
                tracing::warn!(bot = %bot.name, %error, "the evidence of before cannot be read: it begins anew");
                self.begin_evidence(&bot.guard, now);
            }
            // With the past that was just taken up.
            None => self.begin_evidence(&bot.guard, now),
        }
    }

    /// What is known now, to be kept; nothing if it is known to be kept already. What is usual moves slowly. While a rollout is
    /// under way its bake goes on, whatever comes in.
    pub fn snapshot(&mut self, now: Now) -> Option<Snapshot> {
        if !std::mem::take(&mut self.unsaved) && self.state.under_way().is_none() {
            return None;
        }
        let due = self.past_kept.is_none_or(|kept| now.running >= kept + KEEP_PAST_EVERY);
        if due {
            self.past_kept = Some(now.running);
        }
        Some(Snapshot {
            bot: self.name.to_string(),
            state: self.state.clone(),
            at: self.now(now),
            evidence: self.packed_evidence(),
            past: if due { self.past.pack() } else { None },
        })
    }

    /// What is known when the config names the bot no more, for when it does again.
    pub fn leave(self, now: Now) -> Kept {
        Kept {
            at: self.now(now),
            evidence: self.packed_evidence(),
            past: self.past.pack(),
            landmarks: Arc::unwrap_or_clone(self.landmarks),
            state: self.state,
        }
    }

    fn packed_evidence(&self) -> Option<Vec<u8>> {
        self.evidence.as_ref().and_then(|evidence| rmp_serde::to_vec_named(evidence).ok())
    }

    /// Its clock. It stands still while no serin runs: nothing bakes then.
    pub fn now(&self, now: Now) -> Duration {
        let (at, began) = self.began;
        // Whole microseconds, as it is kept: a decision that is made again must come out the same.
        at + Duration::from_micros(now.running.saturating_sub(began).as_micros() as u64)
    }

    /// Reads what came in, and says what is known now; also whether somebody must move for an examination.
    pub fn gather(&mut self, guard: &Guard, now: Now) -> (Facts, bool) {
        let (facts, moved) = self.facts(guard, now);
        self.concentrate(moved);
        (facts, moved)
    }

    fn facts(&mut self, guard: &Guard, now: Now) -> (Facts, bool) {
        let trip = self.read(now);
        let now = self.now(now);
        let mut facts = Facts {
            split_id: self.observed.split_id,
            judgement: None,
            crossed: None,
            trip,
            connections: self.recent.connections(),
            previous_answers: false,
        };
        if self.state.watched_until.is_some() {
            self.watch_switch(guard, &mut facts);
        }
        // A policy that leaves every move to people tosses no coins either.
        let policy = self.state.under_way().map_or(guard.by_hand, |rollout| rollout.plan.policy);
        let Some(evidence) = self.evidence.as_mut().filter(|_| self.opening.is_none()) else { return (facts, false) };
        let released = evidence.examine(guard.examine && policy != Policy::Manual);
        let (judgement, moved) = evidence.judge(now);
        facts.crossed = self.recent.observed().iter().find_map(|[stable, canary]| guard.limits.crossed(canary, stable));
        facts.judgement = Some(judgement);
        self.trail.judge(judgement.wealth.log_e());
        let next = self.state.under_way().and_then(|rollout| rollout.next()).map_or(Weight::FULL, |step| step.weight);
        self.judged = Some(Judged { judgement, verdict: guard.verdict(&judgement, facts.crossed, next) });
        (facts, moved || released)
    }

    /// Takes in what the ledger has got. Also before another ledger takes its place, or its last second would be lost.
    pub fn read(&mut self, time: Now) -> Option<Trip> {
        let now = self.now(time);
        let epoch = self.observed.clone();
        let news = epoch.ledger.read(&mut self.reading);
        let failed = canary_failed(&news, |bucket| epoch.split.track(bucket));
        let News { seen, examined, connections, rescued, latencies } = news;
        let came = !seen.is_empty() || !examined.is_empty() || connections.iter().any(|of| of.wanted > 0) || rescued != [0; 2];
        self.news |= came;
        self.unsaved |= came;
        self.failures.hear(came, failed);
        let mut tallies = [Tally::default(); 2];
        for one in &seen {
            let label = epoch.split.track(one.bucket);
            let answered_by = if one.set_aside { Track::Stable } else { label };
            tallies[answered_by as usize] += one.tally;
            if label == Track::Stable {
                self.past.history.learn(one.bucket, &one.tally);
            }
        }
        self.past.learn_latencies(&latencies[Track::Stable as usize]);
        self.past.pass(now);
        if self.evidence.is_none() {
            self.past.mark(&epoch.ledger, now);
        }
        let [of_stable, of_canary] = latencies;
        let answers = [Answers { tally: tallies[0], latencies: of_stable }, Answers { tally: tallies[1], latencies: of_canary }];
        self.trail.add(time.wall, &answers, rescued, self.state.weight);
        // While a switch is watched, the hour is that of the side before it.
        if self.state.watched_until.is_none() {
            self.hour.add(now, answers.clone(), connections);
        }
        self.recent.add(now, answers, connections);
        let [stable, canary] = connections;
        if let Some(evidence) = &mut self.evidence {
            evidence.observe(now, seen, examined);
        }
        match self.state.watched_until {
            Some(_) => self.breaker.observe(now, stable, Connections::default()),
            None => self.breaker.observe(now, canary, stable),
        }
    }

    /// After a switch: what is stable now, beside what was in its last hour.
    fn watch_switch(&self, guard: &Guard, facts: &mut Facts) {
        let ([[now, _], _], [[before, _], _]) = (self.recent.observed(), self.hour.observed());
        // After a restart nothing is known of that hour: then a limit says nothing.
        facts.crossed = guard.limits.crossed(&now, &before).filter(|_| before.requests > 0);
        let [_, before] = self.hour.connections();
        facts.trip = facts.trip.filter(|_| before.share() < BROKEN_BEFORE);
    }

    /// Whom to ask whether a switch can be undone, if it looks as if it should.
    pub fn wants_to_know_of_the_former_side(&self, facts: &Facts) -> Option<Release> {
        let troubled = self.state.watched_until.is_some() && (facts.trip.is_some() || facts.crossed.is_some());
        self.state.previous.as_ref().filter(|_| troubled).map(|former| former.release.clone())
    }

    /// The config's release waits, for this; or it does not.
    pub fn config_waits(&mut self, why: Option<String>, now: Now) {
        let before = self.config_waits.as_ref().map(|(why, _)| why);
        self.news |= before != why.as_ref();
        if let Some(why) = why.as_ref().filter(|why| before != Some(*why)) {
            tracing::warn!(bot = %self.name, why, "the config's release waits");
        }
        self.config_waits = why.map(|why| (why, now.running));
    }

    /// What the config's release waits for is looked at now and then.
    pub fn may_try_again(&self, now: Now) -> bool {
        self.config_waits.as_ref().is_none_or(|(_, since)| now.running >= *since + TRY_AGAIN)
    }

    /// Is there evidence of what serves? What was judged last is still shown after its end.
    pub fn judges(&self) -> bool {
        self.evidence.is_some()
    }

    pub fn judged(&self) -> Option<Judged> {
        self.judged
    }

    pub fn examined(&self) -> impl Iterator<Item = &Examination> {
        self.evidence.iter().flat_map(Evidence::examinations)
    }

    /// Buckets that were active lately.
    pub fn active_buckets(&self) -> usize {
        self.past.history.active()
    }

    /// A change of this bot is in force.
    pub fn note(&mut self, entry: &Entry) {
        Arc::make_mut(&mut self.landmarks).note(entry.landmark());
        self.news = true;
    }

    /// Logs once for each revision that a human is needed, and what for.
    pub fn log_whom_it_needs(&mut self, status: &Status) {
        let asks = status.waits_for_human().map(|_| self.state.revision);
        if asks.is_some() && asks != self.asked_at {
            tracing::warn!(bot = %self.name, revision = self.state.revision, summary = Summary::of(status).text(), "a human is needed");
        }
        self.asked_at = asks;
    }

    pub fn status(&self, bot: &Bot, durability: Durability, now: Now) -> Status {
        let at = self.now(now);
        Status {
            state: self.state.clone(),
            guard: bot.guard.clone(),
            judged: self.judged,
            examinations: self.examined().map(Examined::from).collect(),
            concentration: self.failures.concentration,
            warning: self.warning.clone(),
            in_step: self.step_began.map(|began| at.saturating_sub(began)),
            durability,
            frozen: super::frozen(bot, &self.state, now),
            config_waits: self.config_waits.as_ref().map(|(why, _)| why.clone()),
            previous: self.state.previous.as_ref().map(|former| {
                let ago = at.saturating_sub(former.until);
                (ago, ago >= bot.undo_window)
            }),
            landmarks: self.landmarks.clone(),
            counted_since: self.counted_since,
            times: Times { clock: at, unix: now.unix_secs() },
        }
    }
}
