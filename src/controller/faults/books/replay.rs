//! A second reader of the history. It knows what each decision means, but not when it is right.

use super::{Checked, must};
use crate::core::ratchet::{Command, Input};
use crate::core::{Phase, Plan, Release, State, Weight};
use crate::store::Entry;

pub struct Replay {
    revision: u64,
    weight: Weight,
    stable: Release,
    canary: Option<Release>,
    former: Option<Release>,
    attempts: u64,
    /// While a rollout is under way.
    rollout: Option<Way>,
    quarantine: Vec<Release>,
    /// Customers are on the idle side for a rehearsal.
    rehearses: bool,
}

struct Way {
    plan: Plan,
    step: usize,
    paused: bool,
}

impl Replay {
    /// Begins at this state.
    pub fn new(first: &State) -> Replay {
        let way =
            |rollout: &crate::core::Rollout| Way { plan: rollout.plan.clone(), step: rollout.step, paused: first.phase == Phase::Paused };
        Replay {
            revision: first.revision,
            weight: first.weight,
            stable: first.stable.clone(),
            canary: first.canary.clone(),
            former: first.previous.as_ref().map(|former| former.release.clone()),
            attempts: first.attempts,
            rollout: first.under_way().map(way),
            quarantine: first.quarantine.iter().map(|quarantined| quarantined.release.clone()).collect(),
            rehearses: first.drill_until.is_some(),
        }
    }

    pub fn follow(&mut self, entry: &Entry) {
        self.revision += 1;
        let command = match &entry.input {
            Some(Input::Command { command, .. }) => Some(command),
            Some(Input::Tick(_)) | None => None,
        };
        if let Some(Command::Desire { release, .. }) = command {
            // Whatever the config named before and names now may be tried again.
            let before = entry.before.as_ref().and_then(|before| before.last_config.release.clone());
            self.quarantine.retain(|quarantined| Some(quarantined) != before.as_ref() && Some(quarantined) != release.as_ref());
        }
        self.rehearses &= !matches!(entry.decision, "trip" | "abort" | "set_weight" | "undo");
        match (entry.decision, command) {
            ("start", Some(Command::Start { release, plan, .. })) => self.starts(release, plan),
            ("start", Some(Command::Follow { plan })) => {
                if let Some(release) = entry.before.as_ref().and_then(|before| before.last_config.release.clone()) {
                    self.starts(&release, plan);
                }
            }
            ("set_weight", Some(Command::SetWeight { weight, canary } | Command::Configure { weight, canary })) => {
                self.weight = *weight;
                match &mut self.rollout {
                    Some(way) => way.paused = true,
                    None if *weight > Weight::ZERO => self.is_tried(canary.clone()),
                    None => {}
                }
            }
            ("drill", Some(Command::Drill { weight, canary, .. })) => {
                self.weight = *weight;
                self.canary = Some(canary.clone());
                self.rehearses = true;
            }
            ("trip", _) => {
                self.weight = Weight::ZERO;
                self.rollout.iter_mut().for_each(|way| way.paused = true);
            }
            ("abort", _) => {
                self.weight = Weight::ZERO;
                if self.rollout.take().is_some() {
                    let canary = self.canary.take();
                    self.is_quarantined(canary);
                }
            }
            ("withdraw" | "drilled", _) => {
                if self.rehearses || entry.decision == "withdraw" {
                    (self.weight, self.canary, self.rollout, self.rehearses) = (Weight::ZERO, None, None, false);
                }
            }
            ("promote", _) => {
                let canary = self.canary.take();
                self.becomes_stable(canary);
            }
            ("switch", Some(Command::Switch { release, .. })) => self.becomes_stable(Some(release.clone())),
            ("undo", _) => {
                (self.rollout, self.weight, self.canary) = (None, Weight::ZERO, None);
                if let Some(former) = self.former.take() {
                    let undone = std::mem::replace(&mut self.stable, former);
                    self.is_quarantined(Some(undone));
                }
            }
            ("adopt", Some(Command::Adopt { stable })) => {
                self.stable = stable.clone();
                (self.canary, self.former) = (None, None);
            }
            (decision, _) => {
                if let Some(way) = &mut self.rollout {
                    self.weight = way.goes_on(decision, self.weight);
                }
            }
        }
    }

    fn starts(&mut self, release: &Release, plan: &Plan) {
        self.attempts += 1;
        self.quarantine.retain(|quarantined| *quarantined != *release);
        self.is_tried(release.clone());
        self.weight = plan.steps[0].weight;
        self.rollout = Some(Way { plan: plan.clone(), step: 0, paused: false });
    }

    fn is_tried(&mut self, release: Release) {
        self.former.take_if(|former| former.upstream == release.upstream);
        self.canary = Some(release);
    }

    fn becomes_stable(&mut self, release: Option<Release>) {
        (self.rollout, self.weight, self.canary) = (None, Weight::ZERO, None);
        if let Some(release) = release {
            self.quarantine.retain(|quarantined| *quarantined != release);
            self.former = Some(std::mem::replace(&mut self.stable, release));
        }
    }

    fn is_quarantined(&mut self, release: Option<Release>) {
        self.quarantine.retain(|quarantined| Some(quarantined) != release.as_ref());
        self.quarantine.extend(release);
    }

    /// 10: that is where it stands.
    pub fn is_at(&self, state: &State) -> Checked {
        let under_way = state.under_way();
        let same = self.revision == state.revision
            && self.weight == state.weight
            && self.stable == state.stable
            && self.canary == state.canary
            && self.former.as_ref() == state.previous.as_ref().map(|former| &former.release)
            && self.attempts == state.attempts
            && self.rollout.as_ref().map(|way| way.step) == under_way.map(|rollout| rollout.step)
            && self.rollout.as_ref().is_some_and(|way| way.paused) == (state.phase == Phase::Paused)
            && self.quarantine.iter().eq(state.quarantine.iter().map(|quarantined| &quarantined.release));
        must(same, 10, || {
            let Replay { revision, weight, stable, canary, former, quarantine, .. } = self;
            format!(
                "the history leads to revision {revision} with {weight} on {canary:?}, {stable} and {former:?}, {quarantine:?}; the state is {state:?}"
            )
        })
    }
}

impl Way {
    fn goes_on(&mut self, decision: &str, weight: Weight) -> Weight {
        let of = |way: &Way| way.plan.steps[way.step].weight;
        match decision {
            "advance" => {
                self.step += 1;
                of(self)
            }
            "retreat" if self.step > 0 && !self.paused => {
                self.step -= 1;
                of(self).min(weight)
            }
            "retreat" => {
                self.paused = true;
                Weight::ZERO
            }
            "pause" => {
                self.paused = true;
                weight
            }
            "resume" => {
                self.paused = false;
                if weight != of(self) {
                    let not_above = |step: &crate::core::Step| step.weight <= weight && step.weight < Weight::FULL;
                    self.step = self.plan.steps.iter().rposition(not_above).unwrap_or(0);
                }
                of(self)
            }
            _ => weight,
        }
    }
}
