//! One bot at the controller: where its rollout stands, the evidence about it, and what is usual for it.

use std::sync::Arc;
use std::time::Duration;

use super::past::Past;
use super::recent::{Answers, Recent};
use crate::config::{Bot, Config, Upstream};
use crate::core::evidence::Evidence;
use crate::core::ratchet::{self, Decision, Facts, Input};
use crate::core::{Breaker, Guard, Phase, Release, Salt, Split, State, Tally, Track, Trip, Weight};
use crate::live::{Epoch, Examined, Judged, Ledger, News, Reading, Roles, Status};

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
}

impl Pilot {
    /// A bot as its config has it at first. A weight that it states is a split by hand.
    pub fn new(config: &Config, bot: &Bot, now: Duration) -> Pilot {
        let mut state = State::new(release(&bot.upstreams[bot.stable]));
        if let Some(canary) = bot.canary.filter(|_| bot.weight > Weight::ZERO) {
            state.canary = Some(release(&bot.upstreams[canary]));
            state.weight = bot.weight;
            state.phase = Phase::Manual;
        }
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
        };
        pilot.begin_evidence(&pilot.split(&config.proxy.salt, bot), &bot.guard, now);
        pilot
    }

    /// Reads what came in, and says what is known now; also whether somebody must move for an examination.
    pub fn gather(&mut self, epoch: &Epoch, guard: &Guard, now: Duration) -> (Facts, bool) {
        let trip = self.read(epoch, now);
        let mut facts = Facts {
            split_id: epoch.split_id,
            judgement: None,
            crossed: None,
            trip,
            connections: self.recent.connections(),
            previous_answers: false,
        };
        let Some(evidence) = &mut self.evidence else { return (facts, false) };
        let (judgement, moved) = evidence.judge(now);
        facts.crossed = self.recent.observed().iter().find_map(|[stable, canary]| guard.limits.crossed(canary, stable));
        facts.judgement = Some(judgement);
        let next = self.state.under_way().and_then(|rollout| rollout.next()).map_or(Weight::FULL, |step| step.weight);
        self.judged = Some(Judged { judgement, verdict: guard.verdict(&judgement, facts.crossed, next) });
        (facts, moved)
    }

    /// Takes in what the ledger has got. Also before another ledger takes its place, or its last second would be lost.
    pub fn read(&mut self, epoch: &Epoch, now: Duration) -> Option<Trip> {
        let News { seen, examined, connections, latencies } = epoch.ledger.read(&mut self.reading);
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
        self.recent.add(now, answers, connections);
        let [stable, canary] = connections;
        if let Some(evidence) = &mut self.evidence {
            evidence.observe(now, seen, examined);
        }
        self.breaker.observe(now, canary, stable)
    }

    /// The one way to another state.
    pub fn step(&mut self, input: &Input, guard: &Guard, now: Duration) -> Decision {
        let (state, decision) = ratchet::step(self.state.clone(), input, guard, now);
        self.state = state;
        decision
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
            | Decision::Reassign
            | Decision::Pause
            | Decision::Desire
            | Decision::Freeze
            | Decision::Thaw
            | Decision::Hold
            | Decision::Nothing
            | Decision::Refuse(_) => false,
        };
        if another {
            self.end_evidence();
            let plan = self.state.under_way().map(|rollout| &rollout.plan);
            self.warning = plan.and_then(|plan| plan.thin_start(self.past.history.active()));
        }
    }

    /// What the state means for what serves. The ledger stays if the split does.
    pub fn epoch(&self, config: &Config, bot: &Bot, old: Option<&Epoch>, now: Duration) -> Arc<Epoch> {
        let split = self.split(&config.proxy.salt, bot);
        let ledger = match old.filter(|old| old.split_id == self.state.split_id) {
            Some(old) => old.ledger.clone(),
            None => Arc::new(Ledger::new(config.proxy.workers, self.past.marks())),
        };
        Arc::new(Epoch::new(split, self.roles(bot), ledger, self.status(&bot.guard, now)))
    }

    fn split(&self, salt: &Salt, bot: &Bot) -> Split {
        let split = Split::new(salt.clone(), bot.name.as_str(), self.state.attempt, self.state.weight, bot.pins.clone());
        let split = split.with_apart(self.evidence.iter().flat_map(Evidence::apart).collect());
        if self.roles(bot).canary.is_none() { split.closed() } else { split }
    }

    /// After a change that serves: the evidence of the new split begins.
    pub fn has_changed(&mut self, decision: &Decision, bot: &Bot, epoch: &Epoch, before: &State, now: Duration) {
        if before.split_id != self.state.split_id {
            self.reading = Reading::default();
            self.recent = Recent::default();
        }
        // What it tripped on must not trip it again once it is resumed.
        if before.canary != self.state.canary || matches!(decision, Decision::Trip { .. }) {
            self.breaker.reset();
        }
        match decision {
            Decision::Start | Decision::Drill => self.begin_evidence(&epoch.split, &bot.guard, now),
            Decision::SetWeight { .. } if self.state.under_way().is_none() => self.begin_evidence(&epoch.split, &bot.guard, now),
            Decision::SetWeight { .. }
            | Decision::Resume
            | Decision::Advance { .. }
            | Decision::Retreat { .. }
            | Decision::Trip { .. }
            | Decision::Reassign => {
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
    fn begin_evidence(&mut self, split: &Split, guard: &Guard, now: Duration) {
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

    pub fn warning(&self) -> Option<&str> {
        self.warning.as_deref()
    }

    /// ln E, as last computed.
    pub fn log_e(&self) -> Option<f64> {
        self.judged.map(|judged| judged.judgement.wealth.log_e())
    }

    pub fn status(&self, guard: &Guard, now: Duration) -> Status {
        Status {
            state: self.state.clone(),
            guard: guard.clone(),
            judged: self.judged,
            examinations: self.evidence.iter().flat_map(Evidence::examinations).map(Examined::from).collect(),
            warning: self.warning.clone(),
            in_step: self.step_began.map(|began| now.saturating_sub(began)),
        }
    }

    pub fn roles(&self, bot: &Bot) -> Roles {
        let stable = index(bot, &self.state.stable).unwrap_or(bot.stable);
        let canary = match self.state.phase {
            // What was taken back, and what was replaced, is nobody's canary: neither for pins nor for testers.
            Phase::Aborted | Phase::Promoted => None,
            Phase::Idle | Phase::Manual | Phase::Progressing | Phase::Paused | Phase::Held => {
                self.state.canary.as_ref().and_then(|canary| index(bot, canary)).or_else(|| candidate(bot, stable))
            }
        };
        Roles { stable, canary }
    }

    /// Has somebody been sent to a canary, or may that happen at any moment?
    pub fn is_live(&self) -> bool {
        self.state.weight > Weight::ZERO || self.state.under_way().is_some()
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

pub(super) fn index(bot: &Bot, release: &Release) -> Option<usize> {
    bot.upstreams.iter().position(|upstream| upstream.name == release.upstream)
}

/// An upstream with the version that the config says is on it.
pub(super) fn release(upstream: &Upstream) -> Release {
    Release { upstream: upstream.name.clone(), version: upstream.version.as_deref().map(Arc::from) }
}
