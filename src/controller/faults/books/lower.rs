//! When a weight has to fall, and what keeps it down.

use super::super::recorder::Decided;
use super::{Checked, must};
use crate::core::ratchet::{Command, Decision, Input};
use crate::core::{Hold, Phase, Policy, Release, State, Weight};

#[derive(Default)]
pub struct Lower {
    quarantine: Vec<Release>,
    revision: u64,
    /// An abort is in force, and nobody has asked for anything since.
    aborted: bool,
    /// For how many ticks a split has served everywhere without evidence.
    without: u32,
}

/// The evidence opens with the event after the last worker's.
const WITHOUT_MOST: u32 = 2;

impl Lower {
    /// 3: bad news of the split that serves lowers at once, in every phase, whatever the policy but `manual`. 5: nothing else does.
    pub fn a_fail_lowers(&self, decided: &Decided) -> Checked {
        let Decided { before, after, guard, at, .. } = decided;
        let Input::Tick(facts) = &decided.input else { return Ok(()) };
        if facts.split_id != before.split_id || before.weight == Weight::ZERO {
            return Ok(());
        }
        let acts = match (before.under_way(), before.phase) {
            (Some(rollout), _) => rollout.plan.policy != Policy::Manual,
            (None, phase) => phase == Phase::Manual && guard.by_hand != Policy::Manual,
        };
        let fails = facts.judgement.is_some_and(|judgement| judgement.wealth.log_e().exp() >= guard.abort_at || facts.crossed.is_some());
        let trips = facts.trip.is_some() && guard.brake;
        let must_lower = acts && fails || trips;
        must(!must_lower || after.weight < before.weight, 3, || format!("{} stays in spite of a fail", before.weight))?;
        must(!trips || after.weight == Weight::ZERO, 3, || "the breaker left something".to_owned())?;
        let lowered = after.weight < before.weight && after.stable == before.stable;
        let marginal = matches!(decided.decision, Decision::Retreat { .. });
        let rehearsed = before.drill_until.is_some_and(|until| *at >= until);
        must(!lowered || must_lower || marginal || rehearsed, 5, || format!("lowered for nothing: {:?}", decided.decision))
    }

    /// 3: where somebody is on the canary and all workers serve it, there is evidence of it.
    pub fn what_serves_has_evidence(&mut self, decided: &Decided, serves: bool) -> Checked {
        let Input::Tick(facts) = &decided.input else { return Ok(()) };
        let before = &decided.before;
        if decided.is_spoilt {
            return Ok(());
        }
        let served = before.weight > Weight::ZERO && serves;
        self.without = if served && facts.judgement.is_none() { self.without + 1 } else { 0 };
        must(self.without <= WITHOUT_MOST, 3, || format!("split {} serves and has no evidence", before.split_id))
    }

    /// 3: a new release starts at the plan's first step, whatever was there before.
    pub fn a_start_begins_at_the_first_step(&self, decided: &Decided) -> Checked {
        match (&decided.decision, &decided.input) {
            (Decision::Start, Input::Command { command: Command::Start { plan, release, .. }, .. }) => {
                let first = plan.steps[0].weight;
                let begun = decided.after.weight == first && decided.after.canary.as_ref() == Some(release);
                must(begun, 3, || format!("{release} starts at {} instead of {first}", decided.after.weight))
            }
            _ => Ok(()),
        }
    }

    /// 4: what was taken back stays away, but for who insists.
    pub fn quarantine_holds(&self, decided: &Decided) -> Checked {
        match (&decided.decision, &decided.input) {
            (Decision::Start, Input::Command { command: Command::Start { release, retry, .. }, .. }) => {
                let known = self.quarantine.contains(release);
                must(*retry || !known, 4, || format!("{release} was started in spite of its quarantine"))
            }
            (Decision::Start, Input::Command { command: Command::Follow { .. }, .. }) => {
                let known = decided.after.canary.as_ref().is_some_and(|release| self.quarantine.contains(release));
                must(!known, 4, || "the config started what is in quarantine".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// 7: after an abort the weight stays at zero until somebody asks for more.
    pub fn an_abort_stays(&self, decided: &Decided) -> Checked {
        let by_itself = matches!(decided.input, Input::Tick(_));
        let rises = decided.after.weight > Weight::ZERO && decided.decision.commits();
        must(!(self.aborted && rises && by_itself && decided.before.revision == self.revision), 7, || {
            format!("{} after an abort", decided.after.weight)
        })?;
        let aborts = matches!(decided.input, Input::Command { command: Command::Abort, .. }) && decided.decision.commits();
        must(!aborts || decided.after.weight == Weight::ZERO, 7, || format!("aborted, and {} serve", decided.after.weight))
    }

    /// 15: a rollout that waits says for what.
    pub fn each_hold_says_why(&self, decided: &Decided) -> Checked {
        let waits = matches!((&decided.input, &decided.decision), (Input::Tick(_), Decision::Hold)) && decided.after.under_way().is_some();
        let code = decided.after.hold.as_ref().map_or("", Hold::code);
        must(!waits || !code.is_empty(), 15, || format!("{} without a reason", decided.after.phase.name()))
    }

    /// What is in force now.
    pub fn stands(&mut self, state: &State) {
        self.aborted = state.phase == Phase::Aborted;
        self.revision = state.revision;
        // The state's own list may forget; what is taken from it must have been lifted by somebody.
        self.quarantine = state.quarantine.iter().map(|quarantined| quarantined.release.clone()).collect();
    }

    pub fn restarted(&mut self, state: &State) {
        self.stands(state);
        self.without = 0;
    }
}

/// 16: what lowers is in force when the event is over, whatever waits for the disk.
pub fn what_lowers_is_in_force(decided: &Decided, weight: Weight) -> Checked {
    let Decided { before, after, input, decision, .. } = decided;
    let lowers = decision.commits() && after.weight < before.weight && after.stable == before.stable;
    let at_once = match input {
        Input::Tick(_) => true,
        Input::Command { command, .. } => matches!(command, Command::Abort),
    };
    must(!(lowers && at_once) || weight <= after.weight, 16, || format!("{decision:?}, and {weight} are in force"))
}
