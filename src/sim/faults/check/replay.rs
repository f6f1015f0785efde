//! A second reader of the history. It knows what each decision means, but not when it is right.

use super::{Checked, must};
use crate::core::ratchet::{Command, Decision, Input};
use crate::core::{Phase, Plan, Release, State, Weight};
use crate::sim::faults::store::Record;

pub struct Replay {
    revision: u64,
    weight: Weight,
    stable: Release,
    canary: Option<Release>,
    attempts: u64,
    /// While a rollout is under way.
    rollout: Option<Way>,
    quarantine: Vec<Release>,
}

struct Way {
    plan: Plan,
    step: usize,
    paused: bool,
}

impl Replay {
    pub fn new(first: &State) -> Replay {
        Replay {
            revision: first.revision,
            weight: first.weight,
            stable: first.stable.clone(),
            canary: first.canary.clone(),
            attempts: first.attempts,
            rollout: None,
            quarantine: Vec::new(),
        }
    }

    pub fn follow(&mut self, record: &Record) {
        self.revision += 1;
        let command = match &record.input {
            Input::Command { command, .. } => Some(command),
            Input::Tick(_) => None,
        };
        match (&record.decision, command) {
            (Decision::Start, Some(Command::Start { release, plan, .. })) => {
                self.attempts += 1;
                self.quarantine.retain(|quarantined| quarantined != release);
                self.canary = Some(release.clone());
                self.weight = plan.steps[0].weight;
                self.rollout = Some(Way { plan: plan.clone(), step: 0, paused: false });
            }
            (Decision::SetWeight { .. }, Some(Command::SetWeight { weight, canary })) => {
                self.weight = *weight;
                match &mut self.rollout {
                    Some(way) => way.paused = true,
                    None if *weight > Weight::ZERO => self.canary = Some(canary.clone()),
                    None => {}
                }
            }
            (Decision::Trip { .. }, _) => {
                self.weight = Weight::ZERO;
                self.rollout.iter_mut().for_each(|way| way.paused = true);
            }
            (Decision::Abort { .. }, _) => {
                self.weight = Weight::ZERO;
                if self.rollout.take().is_some() {
                    let canary = self.canary.take();
                    self.quarantine.retain(|quarantined| Some(quarantined) != canary.as_ref());
                    self.quarantine.extend(canary);
                }
            }
            (Decision::Promote { .. }, _) => {
                self.rollout = None;
                self.weight = Weight::ZERO;
                if let Some(canary) = self.canary.take() {
                    self.quarantine.retain(|quarantined| *quarantined != canary);
                    self.stable = canary;
                }
            }
            (Decision::Adopt, Some(Command::Adopt { stable })) => {
                self.stable = stable.clone();
                self.canary = None;
            }
            (decision, _) => {
                if let Some(way) = &mut self.rollout {
                    self.weight = way.goes_on(decision, self.weight);
                }
            }
        }
    }

    /// 10: that is where it stands.
    pub fn is_at(&self, state: &State) -> Checked {
        let under_way = state.under_way();
        let same = self.revision == state.revision
            && self.weight == state.weight
            && self.stable == state.stable
            && self.canary == state.canary
            && self.attempts == state.attempts
            && self.rollout.as_ref().map(|way| way.step) == under_way.map(|rollout| rollout.step)
            && self.rollout.as_ref().is_some_and(|way| way.paused) == (state.phase == Phase::Paused)
            && self.quarantine.iter().eq(state.quarantine.iter().map(|quarantined| &quarantined.release));
        must(same, 10, || format!("the history leads to {} of revision {}, the state is {state:?}", self.weight, self.revision))
    }
}

impl Way {
    fn goes_on(&mut self, decision: &Decision, weight: Weight) -> Weight {
        let of = |way: &Way| way.plan.steps[way.step].weight;
        match decision {
            Decision::Advance { .. } => {
                self.step += 1;
                of(self)
            }
            Decision::Retreat { from } if self.step > 0 && !self.paused => {
                self.step -= 1;
                of(self).min(*from)
            }
            Decision::Retreat { .. } => {
                self.paused = true;
                Weight::ZERO
            }
            Decision::Pause => {
                self.paused = true;
                weight
            }
            Decision::Resume => {
                self.paused = false;
                if weight != of(self) {
                    let not_above = |step: &crate::core::Step| step.weight <= weight && step.weight < Weight::FULL;
                    self.step = self.plan.steps.iter().rposition(not_above).unwrap_or(0);
                }
                of(self)
            }
            Decision::Start
            | Decision::SetWeight { .. }
            | Decision::Trip { .. }
            | Decision::Abort { .. }
            | Decision::Promote { .. }
            | Decision::Adopt
            | Decision::Reassign { .. }
            | Decision::Switch
            | Decision::Undo { .. }
            | Decision::Withdraw { .. }
            | Decision::Desire
            | Decision::Freeze
            | Decision::Thaw
            | Decision::Drill
            | Decision::Drilled { .. }
            | Decision::Hold
            | Decision::Nothing
            | Decision::Refuse(_) => weight,
        }
    }
}
