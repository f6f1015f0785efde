//! One bot at the controller: where its rollout stands, the evidence about it, and what is usual for it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use xxhash_rust::xxh3::xxh3_64;

use super::past::Past;
use super::recent::{Answers, Recent};
use super::traffic::Reach;
use super::trail::Trail;
use crate::config::{Bot, Config, Upstream};
use crate::core::evidence::{Evidence, Examination};
use crate::core::ratchet::{Decision, Facts};
use crate::core::{Breaker, Bucket, Connections, Guard, Release, Salt, Split, State, Tally, Track, Trip, Weight};
use crate::live::{Durability, Epoch, Examined, Judged, Ledger, News, Reading, Roles, Status};
use crate::store::{Kept, Snapshot};

/// What is usual is written down this often.
const KEEP_PAST_EVERY: Duration = Duration::from_secs(60);
/// A preflight that failed is made again after this.
const TRY_AGAIN: Duration = Duration::from_secs(10);
/// A side of which so many connections broke before a switch says nothing about the one after it.
const BROKEN_BEFORE: f64 = 0.1;

#[derive(Debug)]
pub(super) struct Pilot {
    pub state: State,
    evidence: Option<Evidence>,
    judged: Option<Judged>,
    past: Past,
    breaker: Breaker,
    recent: Recent,
    /// How far the ledger in force has been read.
    reading: Reading,
    step_began: Option<Duration>,
    /// About the rollout under way.
    warning: Option<String>,
    /// What its clock said when this process began with it.
    began: (Duration, Instant),
    /// What the config's release waits for, and since when.
    config_waits: Option<(String, Instant)>,
    drilled: Option<f64>,
    past_kept: Option<Instant>,
    /// What stable did in the last hour, for what comes after it by a switch.
    hour: Recent,
    /// To be shown.
    pub trail: Trail,
}

impl Pilot {
    /// A bot that stands there, when its clock says so.
    pub fn new(config: &Config, bot: &Bot, state: State, now: Duration) -> Pilot {
        let mut pilot = Pilot {
            state,
            evidence: None,
            judged: None,
            past: Past::default(),
            breaker: Breaker::default(),
            recent: Recent::default(),
            reading: Reading::default(),
            step_began: None,
            warning: None,
            began: (now, Instant::now()),
            config_waits: None,
            drilled: None,
            past_kept: None,
            hour: Recent::hour(),
            trail: Trail::default(),
        };
        pilot.begin_evidence(&pilot.split(&config.proxy.salt, bot), &bot.guard);
        pilot
    }

    /// Takes up what was kept beside the state: what is usual, and the evidence, if it is still about what serves.
    pub fn remember(&mut self, config: &Config, bot: &Bot, kept: Kept, changed: bool) {
        self.drilled = kept.drilled;
        if let Some(past) = kept.past.as_deref().and_then(Past::unpack) {
            self.past = past;
            self.past.begins(self.now());
        }
        if changed || self.state.weight == Weight::ZERO {
            return;
        }
        match kept.evidence.as_deref().map(rmp_serde::from_slice::<Evidence>) {
            Some(Ok(evidence)) => {
                self.step_began = self.state.rollout.as_ref().map(|rollout| rollout.step_began);
                self.evidence = Some(evidence);
            }
            Some(Err(error)) => {
                tracing::warn!(bot = %bot.name, %error, "the evidence of before cannot be read: it begins anew");
                self.begin_evidence(&self.split(&config.proxy.salt, bot), &bot.guard);
            }
            // With the past that was just taken up.
            None => self.begin_evidence(&self.split(&config.proxy.salt, bot), &bot.guard),
        }
    }

    /// What is known now, to be kept. What is usual moves slowly.
    pub fn snapshot(&mut self, bot: &str) -> Snapshot {
        let due = self.past_kept.is_none_or(|kept| kept.elapsed() >= KEEP_PAST_EVERY);
        if due {
            self.past_kept = Some(Instant::now());
        }
        Snapshot {
            bot: bot.to_owned(),
            state: self.state.clone(),
            at: self.now(),
            evidence: self.packed_evidence(),
            past: if due { self.past.pack() } else { None },
        }
    }

    /// What is known when the config names the bot no more, for when it does again.
    pub fn leave(self) -> Kept {
        Kept { at: self.now(), evidence: self.packed_evidence(), past: self.past.pack(), drilled: self.drilled, state: self.state }
    }

    fn packed_evidence(&self) -> Option<Vec<u8>> {
        self.evidence.as_ref().and_then(|evidence| rmp_serde::to_vec_named(evidence).ok())
    }

    /// Its clock. It stands still while no serin runs: nothing bakes then.
    pub fn now(&self) -> Duration {
        let (then, began) = self.began;
        // Whole microseconds, as it is kept: a decision that is made again must come out the same.
        then + Duration::from_micros(began.elapsed().as_micros() as u64)
    }

    /// Reads what came in, and says what is known now; also whether somebody must move for an examination.
    pub fn gather(&mut self, epoch: &Epoch, guard: &Guard) -> (Facts, bool) {
        let now = self.now();
        let trip = self.read(epoch);
        let mut facts = Facts {
            split_id: epoch.split_id,
            judgement: None,
            crossed: None,
            trip,
            connections: self.recent.connections(),
            previous_answers: false,
        };
        if self.state.watched_until.is_some() {
            self.watch_switch(guard, &mut facts);
        }
        let Some(evidence) = &mut self.evidence else { return (facts, false) };
        let released = evidence.examine(guard.examine);
        let (judgement, moved) = evidence.judge(now);
        facts.crossed = self.recent.observed().iter().find_map(|[stable, canary]| guard.limits.crossed(canary, stable));
        facts.judgement = Some(judgement);
        self.trail.judge(judgement.wealth.log_e());
        let next = self.state.under_way().and_then(|rollout| rollout.next()).map_or(Weight::FULL, |step| step.weight);
        self.judged = Some(Judged { judgement, verdict: guard.verdict(&judgement, facts.crossed, next) });
        (facts, moved || released)
    }

    /// Takes in what the ledger has got. Also before another ledger takes its place, or its last second would be lost.
    pub fn read(&mut self, epoch: &Epoch) -> Option<Trip> {
        let now = self.now();
        let News { seen, examined, connections, rescued, latencies } = epoch.ledger.read(&mut self.reading);
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
        self.trail.add(SystemTime::now(), &answers, rescued, self.state.weight);
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

    /// It was looked at, although what was decided could not be kept.
    pub fn was_looked_at(&mut self, now: Duration) {
        if let Some(rollout) = &mut self.state.rollout {
            rollout.looked = now;
        }
    }

    /// The config's release waits, for this; or it does not.
    pub fn config_waits(&mut self, bot: &Bot, why: Option<String>) {
        let before = self.config_waits.as_ref().map(|(why, _)| why);
        if let Some(why) = why.as_ref().filter(|why| before != Some(*why)) {
            tracing::warn!(bot = %bot.name, why, "the config's release waits");
        }
        self.config_waits = why.map(|why| (why, Instant::now()));
    }

    /// What the config's release waits for is looked at now and then.
    pub fn may_try_again(&self) -> bool {
        self.config_waits.as_ref().is_none_or(|(_, since)| since.elapsed() >= TRY_AGAIN)
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

    /// How much of what is usual for the bot is usual for the buckets below this weight; `None` while nothing is known.
    pub fn reach(&self, config: &Config, bot: &Bot, weight: Weight) -> Option<Reach> {
        let split = self.split(&config.proxy.salt, bot);
        let history = &self.past.history;
        let all = history.requests();
        let below = || Bucket::all().filter(|bucket| u128::from(split.rank(*bucket)) < weight.threshold());
        let share = below().map(|bucket| history.requests_of(bucket)).sum::<f64>() / all;
        let active = below().filter(|bucket| history.requests_of(*bucket) >= 1.0).count();
        (all >= 1.0).then_some(Reach { weight, active_buckets: active, requests_share: share })
    }

    /// Buckets that were active lately.
    pub fn active_buckets(&self) -> usize {
        self.past.history.active()
    }

    pub fn was_drilled(&mut self, at: f64) {
        self.drilled = Some(at);
    }

    /// Before what a decision means is published: what was learnt of another canary is of no use for this one, nor are
    /// the workspaces that it set aside.
    pub fn is_about_to_change(&mut self, decision: &Decision) {
        let another = match decision {
            Decision::Start
            | Decision::Abort { .. }
            | Decision::Promote { .. }
            | Decision::Adopt
            | Decision::Switch
            | Decision::Undo { .. }
            | Decision::Withdraw { .. }
            | Decision::Drill => true,
            Decision::Drilled { .. } => self.state.weight == Weight::ZERO,
            Decision::SetWeight { .. } => self.state.under_way().is_none(),
            Decision::Resume
            | Decision::Advance { .. }
            | Decision::Retreat { .. }
            | Decision::Trip { .. }
            | Decision::Reassign { .. }
            | Decision::Pause
            | Decision::Desire
            | Decision::Freeze
            | Decision::Thaw
            | Decision::Hold
            | Decision::Nothing
            | Decision::Refuse(_) => false,
        };
        // A rehearsal is over, and what was seen in it is of no use for what comes.
        if matches!(decision, Decision::Withdraw { .. } | Decision::Drilled { .. }) {
            self.judged = None;
        }
        if another {
            self.end_evidence();
            let plan = self.state.under_way().map(|rollout| &rollout.plan);
            self.warning = plan.and_then(|plan| plan.thin_start(self.past.history.active()));
            if let (Decision::Start, Some(warning)) = (decision, &self.warning) {
                tracing::warn!("{warning}");
            }
        }
    }

    /// What the state means for what serves. The ledger stays if the split does.
    pub fn epoch(&self, config: &Config, bot: &Bot, old: Option<&Epoch>) -> Arc<Epoch> {
        let split = self.split(&config.proxy.salt, bot);
        let ledger = match old.filter(|old| old.split_id == self.state.split_id) {
            Some(old) => old.ledger.clone(),
            None => Arc::new(Ledger::new(config.proxy.workers, self.past.marks())),
        };
        Arc::new(Epoch::new(split, self.roles(bot), ledger, self.status(bot, &Durability::default())))
    }

    fn split(&self, salt: &Salt, bot: &Bot) -> Split {
        let split = Split::new(salt.clone(), bot.name.as_str(), self.state.attempt, self.state.weight, bot.pins.clone());
        let split = split.with_apart(self.evidence.iter().flat_map(Evidence::apart).collect());
        if self.roles(bot).canary.is_none() { split.closed() } else { split }
    }

    /// After a change that serves: the evidence of the new split begins.
    pub fn has_changed(&mut self, decision: &Decision, bot: &Bot, epoch: &Epoch, before: &State) {
        let now = self.now();
        if before.split_id != self.state.split_id {
            self.reading = Reading::default();
            self.recent = Recent::default();
        }
        // What it tripped on must not trip it again once it is resumed.
        if before.canary != self.state.canary || matches!(decision, Decision::Trip { .. }) {
            self.breaker.reset();
        }
        match decision {
            Decision::Start | Decision::Drill => self.begin_evidence(&epoch.split, &bot.guard),
            Decision::SetWeight { .. } if self.state.under_way().is_none() => self.begin_evidence(&epoch.split, &bot.guard),
            Decision::SetWeight { .. }
            | Decision::Resume
            | Decision::Advance { .. }
            | Decision::Retreat { .. }
            | Decision::Trip { .. }
            | Decision::Reassign { .. } => {
                if before.split_id != self.state.split_id {
                    self.step_began = Some(now);
                    let (weight, split) = (self.state.weight.ratio(), &epoch.split);
                    if let Some(evidence) = &mut self.evidence {
                        evidence.begin_step(weight, |bucket| split.track(bucket) == Track::Canary, now);
                    }
                }
            }
            Decision::Abort { .. }
            | Decision::Promote { .. }
            | Decision::Adopt
            | Decision::Switch
            | Decision::Undo { .. }
            | Decision::Withdraw { .. }
            | Decision::Drilled { .. }
            | Decision::Desire
            | Decision::Freeze
            | Decision::Thaw
            | Decision::Pause
            | Decision::Hold
            | Decision::Nothing
            | Decision::Refuse(_) => {}
        }
    }

    /// Fresh evidence for what is being tried now, if anything is.
    fn begin_evidence(&mut self, split: &Split, guard: &Guard) {
        let now = self.now();
        self.end_evidence();
        self.judged = None;
        if self.state.weight == Weight::ZERO {
            return;
        }
        let mut evidence = Evidence::new(&self.past.history, split.coins(self.state.revision), guard.examine, now);
        evidence.begin_step(self.state.weight.ratio(), |bucket| split.track(bucket) == Track::Canary, now);
        self.evidence = Some(evidence);
        self.step_began = Some(now);
    }

    /// What it has said last is still to be seen.
    fn end_evidence(&mut self) {
        self.evidence = None;
        self.step_began = None;
    }

    pub fn status(&self, bot: &Bot, durability: &Durability) -> Status {
        let now = self.now();
        Status {
            state: self.state.clone(),
            guard: bot.guard.clone(),
            judged: self.judged,
            examinations: self.examined().map(Examined::from).collect(),
            warning: self.warning.clone(),
            in_step: self.step_began.map(|began| now.saturating_sub(began)),
            durability: durability.clone(),
            frozen: super::frozen(bot, &self.state),
            config_waits: self.config_waits.as_ref().map(|(why, _)| why.clone()),
            previous: self.state.previous.as_ref().map(|former| {
                let ago = now.saturating_sub(former.until);
                (ago, ago >= bot.undo_window)
            }),
            drilled: self.drilled,
        }
    }

    pub fn roles(&self, bot: &Bot) -> Roles {
        let stable = index(bot, &self.state.stable).unwrap_or(bot.stable);
        // What was taken back, and what was replaced, is nobody's canary: neither for pins nor for testers.
        let open = !self.state.canary_is_closed();
        let canary = self.state.canary.as_ref().and_then(|canary| index(bot, canary)).or_else(|| candidate(bot, stable)).filter(|_| open);
        Roles { stable, canary }
    }
}

/// Whom a weight means where no rollout runs: the config's `canary` if it is not stable now, else the only other one.
pub(super) fn candidate(bot: &Bot, stable: usize) -> Option<usize> {
    let others: Vec<usize> = (0..bot.upstreams.len()).filter(|index| *index != stable).collect();
    bot.canary.filter(|canary| *canary != stable).or(match others.as_slice() {
        [only] => Some(*only),
        _ => None,
    })
}

/// The number of the rule by which workspaces are assigned: see [`Seen`](crate::core::Seen).
pub(super) fn rule(config: &Config, bot: &Bot) -> u64 {
    xxh3_64(format!("{:?} {} {:?}", config.proxy.salt, bot.plan.rule(), bot.pins.names()).as_bytes())
}

pub(super) fn index(bot: &Bot, release: &Release) -> Option<usize> {
    bot.upstreams.iter().position(|upstream| upstream.name == release.upstream)
}

/// An upstream with the version that the config says is on it.
pub(super) fn release(upstream: &Upstream) -> Release {
    Release { upstream: upstream.name.clone(), version: upstream.version.as_deref().map(Arc::from) }
}
