//! serin's real rule: `core`'s evidence and its ratchet, with the world's tallies instead of traffic.

use std::collections::HashMap;
use std::time::Duration;

use super::rule::{Rule, Ruling, TickResults};
use crate::core::evidence::{self, Evidence, Exposure, Judgement, Usual};
use crate::core::ratchet::{self, Command, Decision, Facts, Input};
use crate::core::{Apart, Bucket, Connections, Crossed, Guard, Hold, Observed, Phase, Plan, Release, Split, State, Tally, Track, Weight};
use crate::sim::world::World;

/// The settings of serin that an operator chooses.
#[derive(Clone, Debug)]
pub struct SerinSettings {
    pub plan: Plan,
    pub guard: Guard,
    pub operator: Operator,
}

impl Default for SerinSettings {
    fn default() -> SerinSettings {
        SerinSettings { plan: Plan::usual(), guard: Guard::default(), operator: Operator::default() }
    }
}

/// The operator who answers when serin asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Operator {
    /// Approves at once if only time or traffic is lacking, or if the policy needs an approval for every raise. Never approves if
    /// the evidence is suspicious.
    #[default]
    Approving,
    Absent,
}

pub struct Serin {
    settings: SerinSettings,
    state: State,
    evidence: Evidence,
    split: Split,
    judgement: Option<Judgement>,
    /// By bucket: what happens to it, if it does not go by rank.
    apart: Vec<Option<Apart>>,
}

impl Serin {
    pub fn new(world: &World<'_>, settings: SerinSettings, seed: u64) -> Serin {
        let mut usual = Usual::default();
        usual.set_marks(world.marks());
        let mut tallies: HashMap<Bucket, Tally> = HashMap::new();
        for (bucket, counts) in world.past() {
            *tallies.entry(bucket).or_default() += counts.tally();
        }
        tallies.iter().for_each(|(bucket, tally)| usual.learn(*bucket, tally));
        let evidence = Evidence::new(&usual, seed, settings.guard.examine, Duration::ZERO);
        let release = |upstream: &str| Release { upstream: upstream.into(), version: None };
        let start = Command::Start { release: release("new"), plan: settings.plan.clone(), retry: false };
        let buckets = usize::from(crate::core::BUCKETS);
        let mut serin = Serin {
            state: State::new(release("old")),
            settings,
            evidence,
            split: world.split().clone(),
            judgement: None,
            apart: vec![None; buckets],
        };
        serin.decide(&Input::Command { command: start, based_on: None }, Duration::ZERO);
        serin
    }

    /// Calls the ratchet. A new split begins a new step of the evidence.
    fn decide(&mut self, input: &Input, now: Duration) -> Decision {
        let before = self.state.weight;
        let (state, decision) = ratchet::step(self.state.clone(), input, &self.settings.guard, now);
        self.state = state;
        if self.state.weight != before && self.state.weight > Weight::ZERO {
            let weight = self.state.weight;
            let split = &self.split;
            // All buckets, also those without requests, because the urns contain every label.
            let canary = |bucket: Bucket| u128::from(split.rank(bucket)) < weight.threshold();
            self.evidence.begin_step(weight.ratio(), canary, now);
            self.judgement = None;
            self.note_apart();
        }
        decision
    }

    fn note_apart(&mut self) {
        self.apart.fill(None);
        for (bucket, apart) in self.evidence.apart() {
            self.apart[bucket.index()] = Some(apart);
        }
    }

    fn observe(&mut self, results: &TickResults<'_>) {
        let (mut all, mut examined) = (Vec::with_capacity(results.active.len()), Vec::new());
        for (workspace, track) in results.active.iter().zip(results.tracks) {
            let bucket = workspace.bucket;
            let set_aside = *track == Track::Canary && self.is_set_aside(bucket);
            let on_canary = *track == Track::Canary && !set_aside;
            let tally = if on_canary { workspace.answers.canary.tally() } else { workspace.answers.stable.tally() };
            all.push(evidence::BucketTally { bucket, set_aside, tally });
            if let Some(Apart::Examined { turn, .. }) = self.apart[bucket.index()] {
                // In the simulation every request ends in its own tick.
                examined.push(evidence::Examined { bucket, turn, tally, under_way: 0 });
            }
        }
        self.evidence.observe(results.now, all, examined);
        let (judgement, moved) = self.evidence.judge(results.now);
        self.judgement = Some(judgement);
        if moved {
            self.note_apart();
        }
    }

    /// The operator's answer to the current hold.
    fn answer(&self) -> Option<Command> {
        let asked = self.state.phase == Phase::Held;
        let yes = matches!(
            self.state.hold,
            Some(Hold::Deadline { .. } | Hold::AwaitingAdvance | Hold::NoCanaryTraffic { .. } | Hold::NoStableTraffic { .. })
        );
        (asked && yes && self.settings.operator == Operator::Approving).then_some(Command::Advance { force: false })
    }

    /// Compares the last minutes, and the step so far, with the guard's limits. A world does not store single latencies, so limits
    /// on quantiles have no effect here.
    fn crossed(&self) -> Option<Crossed> {
        let judgement = self.judgement?;
        let observed = |exposure: Exposure| {
            let Tally { requests, errors, late, .. } = exposure.tally;
            Observed { requests, errors, late, quantiles: None }
        };
        let windows = [self.evidence.recently(), [judgement.stable, judgement.canary]];
        let crossed = |[stable, canary]: [Exposure; 2]| self.settings.guard.limits.crossed(&observed(canary), &observed(stable));
        windows.into_iter().find_map(crossed)
    }
}

impl Rule for Serin {
    fn weight(&self) -> Weight {
        self.state.weight
    }

    fn is_set_aside(&self, bucket: Bucket) -> bool {
        match self.apart[bucket.index()] {
            Some(Apart::Examined { track, .. }) => track == Track::Stable,
            Some(Apart::Refuted) => true,
            None => false,
        }
    }

    fn judge(&mut self, results: &TickResults<'_>) -> Ruling {
        self.observe(results);
        // In the simulation connections always work.
        let (connections, trip) = (<[Connections; 2]>::default(), None);
        let facts = Facts {
            split_id: self.state.split_id,
            judgement: self.judgement,
            crossed: self.crossed(),
            connections,
            trip,
            previous_answers: true,
        };
        let mut decision = self.decide(&Input::Tick(facts), results.now);
        if let Some(command) = self.answer() {
            decision = self.decide(&Input::Command { command, based_on: None }, results.now);
        }
        if matches!(decision, Decision::Abort { .. }) {
            Ruling::RolledBack
        } else if matches!(decision, Decision::Promote { .. }) {
            Ruling::Promoted
        } else {
            Ruling::GoOn
        }
    }

    fn hold(&self) -> Option<&'static str> {
        self.state.hold.as_ref().map(|hold| hold.code())
    }

    fn log10_evidence(&self) -> Option<f64> {
        Some(self.judgement?.wealth.log_e() / std::f64::consts::LN_10)
    }
}
