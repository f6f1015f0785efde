//! One bot at the controller: its rollout's state, the evidence about it, and what is usual for it.

mod change;
mod concentrate;
mod failures;
mod serving;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use self::failures::{Failures, canary_failed};
use super::freeze::frozen;
use super::last_hour::LastHour;
use super::learned::Learned;
use super::recent_answers::{Answers, RecentAnswers};
use super::roles::{roles, split};
use super::time::Now;
use super::wish::Waiting;
use crate::config::{Bot, BotName, Config};
use crate::core::evidence::{Evidence, Examination};
use crate::core::ratchet::Facts;
use crate::core::{Breaker, Connections, Guard, Landmarks, Policy, Release, State, Tally, Track, Trip, Weight};
use crate::live::{Durability, Epoch, ExaminationStatus, Judged, Ledger, LedgerReading, News, Status, Times};
use crate::store::{Checkpoint, Entry, Kept, Ticket};
use crate::summary::Summary;

pub use failures::FailingBucket;

/// The interval at which what is usual is stored.
const KEEP_LEARNED_EVERY: Duration = Duration::from_secs(60);
/// The pause before a failed preflight is made again.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// If at least this share of a side's connections broke before a switch, broken connections after the switch do not count against the
/// new side.
const BROKEN_BEFORE: f64 = 0.1;

#[derive(Debug)]
pub(super) struct Pilot {
    pub name: BotName,
    /// The state in force. A change that waits for the disk is not in it.
    pub state: State,
    /// The last revision that is known to be stored.
    pub kept: u64,
    /// The order of this bot's change that waits for the disk.
    pub storing: Option<Ticket>,
    /// Requests that wait for that change, in order.
    pub waiting: VecDeque<Waiting>,
    /// The check of an upstream that must end before the config is followed further.
    pub following: Option<Ticket>,
    /// Whether the check of the side before a switch is in progress.
    pub checks_former: bool,
    /// The epoch that was published last; and its snapshot's sequence, until every worker serves it, then 0.
    pub epoch: Arc<Epoch>,
    pub sequence: u64,
    /// The bot must be published anew.
    pub due: bool,
    /// The status has changed since it was shown.
    pub news: bool,
    /// Something has changed since the last stored snapshot.
    pub unsaved: bool,
    /// When the status was last shown.
    pub shown: Duration,
    /// The revision for which the log said that a human is needed; `None` while none is.
    asked_at: Option<u64>,
    /// The newest epoch that every worker serves: its ledger is read.
    observed: Arc<Epoch>,
    opening: Option<Opening>,
    evidence: Option<Evidence>,
    judged: Option<Judged>,
    learned: Learned,
    breaker: Breaker,
    recent: RecentAnswers,
    /// How far the ledger has been read.
    reading: LedgerReading,
    step_began: Option<Duration>,
    /// A warning about the current rollout.
    warning: Option<String>,
    /// What the bot's clock showed, and since when this process has run, at the same moment. The bot's clock stands still while serin
    /// does not run.
    began: (Duration, Duration),
    /// The reason why the config's release is not started yet, and since when.
    config_waits: Option<(String, Duration)>,
    failures: Failures,
    /// When each kind of change last happened.
    landmarks: Arc<Landmarks>,
    /// When the ledger that serves began to count, in Unix seconds.
    counted_since: f64,
    learned_kept: Option<Duration>,
    /// Stable's answers in the last hour. After a switch the new side is compared with them.
    hour: RecentAnswers,
    /// For the dashboard's chart.
    pub last_hour: LastHour,
}

/// What happens to the evidence when the split serves. Of several changes that take effect together the greatest value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Opening {
    /// The evidence continues in a new step.
    Step,
    /// The evidence begins from nothing, because what was learnt of another canary says nothing about this one.
    Fresh,
}

impl Pilot {
    /// A pilot in this state. `at`: the bot's clock.
    pub fn new(config: &Config, bot: &Bot, state: State, at: Duration, now: Now) -> Pilot {
        let status = Status::of(state.clone(), bot.guard.clone());
        let (split, roles) = (split(&state, &config.proxy.salt, bot), roles(&state, bot));
        let epoch = Arc::new(Epoch::new(split, roles, Arc::new(Ledger::new(config.proxy.workers, Learned::default().marks())), status));
        let mut pilot = Pilot {
            name: bot.name.clone(),
            state,
            kept: 0,
            storing: None,
            waiting: VecDeque::new(),
            following: None,
            checks_former: false,
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
            learned: Learned::default(),
            breaker: Breaker::default(),
            recent: RecentAnswers::default(),
            reading: LedgerReading::default(),
            step_began: None,
            warning: None,
            began: (at, now.running),
            config_waits: None,
            failures: Failures::default(),
            landmarks: Arc::default(),
            counted_since: now.unix_secs(),
            learned_kept: None,
            hour: RecentAnswers::hour(),
            last_hour: LastHour::default(),
        };
        pilot.begin_evidence(&bot.guard, now);
        pilot
    }

    /// Takes over what was stored beside the state: what is usual, and the evidence if it is about the state in force. `changed`: the
    /// state was changed to fit the config.
    pub fn remember(&mut self, bot: &Bot, kept: Kept, changed: bool, now: Now) {
        self.landmarks = Arc::new(kept.landmarks.clone());
        if let Some(learned) = kept.past.as_deref().and_then(Learned::unpack) {
            self.learned = learned;
            self.learned.begins(self.now(now));
        }
        // A rollout that is paused at 0 % continues with its evidence.
        if changed || (self.state.weight == Weight::ZERO && self.state.under_way().is_none()) {
            return;
        }
        match kept.evidence.as_deref().map(rmp_serde::from_slice::<Evidence>) {
            Some(Ok(evidence)) => {
                self.step_began = self.state.rollout.as_ref().map(|rollout| rollout.step_began);
                self.evidence = Some(evidence);
            }
            Some(Err(error)) => {
                tracing::warn!(bot = %bot.name, %error, "the stored evidence cannot be read, and begins anew");
                self.begin_evidence(&bot.guard, now);
            }
            // It uses the past that was restored above.
            None => self.begin_evidence(&bot.guard, now),
        }
    }

    /// What is to be stored now; `None` if nothing has changed. While a rollout is under way there is always something: its bake time.
    /// What is usual moves slowly, so it is included less often.
    pub fn checkpoint(&mut self, now: Now) -> Option<Checkpoint> {
        if !std::mem::take(&mut self.unsaved) && self.state.under_way().is_none() {
            return None;
        }
        let due = self.learned_kept.is_none_or(|kept| now.running >= kept + KEEP_LEARNED_EVERY);
        if due {
            self.learned_kept = Some(now.running);
        }
        Some(Checkpoint {
            bot: self.name.to_string(),
            state: self.state.clone(),
            at: self.now(now),
            evidence: self.packed_evidence(),
            past: if due { self.learned.pack() } else { None },
        })
    }

    /// What is to be stored when this process ends or hands the history over: everything, with what was counted until now.
    pub fn last_checkpoint(&mut self, now: Now) -> Checkpoint {
        // The breaker's windows are not stored, so its answer is of no use.
        let _ = self.read(now);
        let evidence = self.packed_evidence();
        Checkpoint { bot: self.name.to_string(), state: self.state.clone(), at: self.now(now), evidence, past: self.learned.pack() }
    }

    /// What is kept of a bot that the config names no more, in case it comes back.
    pub fn leave(self, now: Now) -> Kept {
        Kept {
            at: self.now(now),
            evidence: self.packed_evidence(),
            past: self.learned.pack(),
            landmarks: Arc::unwrap_or_clone(self.landmarks),
            state: self.state,
        }
    }

    fn packed_evidence(&self) -> Option<Vec<u8>> {
        self.evidence.as_ref().and_then(|evidence| rmp_serde::to_vec_named(evidence).ok())
    }

    /// The bot's clock. It stands still while serin does not run, so that no step bakes then.
    pub fn now(&self, now: Now) -> Duration {
        let (at, began) = self.began;
        // Whole microseconds, as they are stored, so that a replay of a decision gives the same result.
        at + Duration::from_micros(now.running.saturating_sub(began).as_micros() as u64)
    }

    /// Reads the ledger and returns what is known now. The flag says whether an examination moves a bucket, so that the bot must be
    /// published anew.
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
        // Under the policy `manual` only operators move anybody, so there are no examinations either.
        let policy = self.state.under_way().map_or(guard.by_hand, |rollout| rollout.plan.policy);
        let Some(evidence) = self.evidence.as_mut().filter(|_| self.opening.is_none()) else { return (facts, false) };
        let released = evidence.examine(guard.examine && policy != Policy::Manual);
        let (judgement, moved) = evidence.judge(now);
        facts.crossed = self.recent.observed().iter().find_map(|[stable, canary]| guard.limits.crossed(canary, stable));
        facts.judgement = Some(judgement);
        self.last_hour.judge(judgement.wealth.log_e());
        let next = self.state.under_way().and_then(|rollout| rollout.next()).map_or(Weight::FULL, |step| step.weight);
        self.judged = Some(Judged { judgement, verdict: guard.verdict(&judgement, facts.crossed, next) });
        (facts, moved || released)
    }

    /// Reads what the ledger has counted since the last call, and returns a trip of the breaker. Must also be called before the ledger
    /// is replaced, or its last second is lost.
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
                self.learned.usual.learn(one.bucket, &one.tally);
            }
        }
        self.learned.learn_latencies(&latencies[Track::Stable as usize]);
        self.learned.pass(now);
        if self.evidence.is_none() {
            self.learned.mark(&epoch.ledger, now);
        }
        let [of_stable, of_canary] = latencies;
        let answers = [Answers { tally: tallies[0], latencies: of_stable }, Answers { tally: tallies[1], latencies: of_canary }];
        self.last_hour.add(time.wall, &answers, rescued, self.state.weight);
        // While a switch is watched, `hour` keeps the side before it.
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

    /// After a switch: compares the new stable with the one before in its last hour.
    fn watch_switch(&self, guard: &Guard, facts: &mut Facts) {
        let ([[now, _], _], [[before, _], _]) = (self.recent.observed(), self.hour.observed());
        // After a restart that hour is empty, and the limits are not checked.
        facts.crossed = guard.limits.crossed(&now, &before).filter(|_| before.requests > 0);
        let [_, before] = self.hour.connections();
        facts.trip = facts.trip.filter(|_| before.share() < BROKEN_BEFORE);
    }

    /// If a switch looks bad, returns the release to go back to, whose side must be checked first.
    pub fn side_to_check_for_undo(&self, facts: &Facts) -> Option<Release> {
        let troubled = self.state.watched_until.is_some() && (facts.trip.is_some() || facts.crossed.is_some());
        self.state.previous.as_ref().filter(|_| troubled).map(|former| former.release.clone())
    }

    /// Sets the reason why the config's release is not started; `None` if nothing stops it. Logs a new reason once.
    pub fn config_waits(&mut self, why: Option<String>, now: Now) {
        let before = self.config_waits.as_ref().map(|(why, _)| why);
        self.news |= before != why.as_ref();
        if let Some(why) = why.as_ref().filter(|why| before != Some(*why)) {
            tracing::warn!(bot = %self.name, why, "the config's release waits");
        }
        self.config_waits = why.map(|why| (why, now.running));
    }

    /// Whether the next attempt to start the config's release is due.
    pub fn retry_is_due(&self, now: Now) -> bool {
        self.config_waits.as_ref().is_none_or(|(_, since)| now.running >= *since + TRY_AGAIN)
    }

    /// Whether there is evidence about the current split. The last judgement is shown even after its end.
    pub fn judges(&self) -> bool {
        self.evidence.is_some()
    }

    pub fn judged(&self) -> Option<Judged> {
        self.judged
    }

    pub fn examined(&self) -> impl Iterator<Item = &Examination> {
        self.evidence.iter().flat_map(Evidence::examinations)
    }

    /// Buckets that were active in the last day or so.
    pub fn active_buckets(&self) -> usize {
        self.learned.usual.active()
    }

    /// Records a change of this bot that is in force.
    pub fn note(&mut self, entry: &Entry) {
        Arc::make_mut(&mut self.landmarks).note(entry.landmark());
        self.news = true;
    }

    /// Logs once per revision that a human is needed, and why.
    pub fn log_need_of_a_human(&mut self, status: &Status) {
        let asks = status.waits_for_human().map(|_| self.state.revision);
        if asks.is_some() && asks != self.asked_at {
            tracing::warn!(bot = %self.name, revision = self.state.revision, summary = Summary::of(status).text(), "a human is needed");
        }
        self.asked_at = asks;
    }

    /// How long the evidence has been about the current step; `None` if nothing is judged.
    pub fn in_step(&self, now: Now) -> Option<Duration> {
        self.step_began.map(|began| self.now(now).saturating_sub(began))
    }

    pub fn status(&self, bot: &Bot, durability: Durability, now: Now) -> Status {
        let at = self.now(now);
        Status {
            state: self.state.clone(),
            guard: bot.guard.clone(),
            judged: self.judged,
            examinations: self.examined().map(ExaminationStatus::from).collect(),
            concentration: self.failures.concentration,
            warning: self.warning.clone(),
            in_step: self.in_step(now),
            durability,
            frozen: frozen(bot, &self.state, now),
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
