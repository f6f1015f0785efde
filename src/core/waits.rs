//! Whether a bot waits for a human: one answer for the page, the metrics, the pipelines and the notifications.

use std::fmt;
use std::time::Duration;

use super::hold::Hold;
use super::plan::Release;
use super::rollout::{HeldBy, Phase, State};
use super::weight::Weight;

/// A wait that only a human can end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Waits<'a> {
    /// The next step needs an approval.
    Step(&'a Hold),
    /// Every step needs an approval, and the evidence is against the current one.
    Failing,
    /// serin has set the weight to 0 %, by a trip or a retreat, and raises it only after a resume.
    Braked(&'a Hold),
    /// A switch fails, and serin could not undo it.
    Switched(&'a Hold),
    /// The config names this release, and only a human can say whether it is live already.
    NoHistory(&'a Release),
    SameUpstream(&'a Release),
}

impl Waits<'_> {
    pub fn code(&self) -> &'static str {
        match self {
            Waits::Step(hold) | Waits::Braked(hold) | Waits::Switched(hold) => hold.code(),
            Waits::Failing => "failing",
            Waits::NoHistory(_) => "no_history",
            Waits::SameUpstream(_) => "same_upstream",
        }
    }
}

impl fmt::Display for Waits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Waits::Step(hold) | Waits::Braked(hold) | Waits::Switched(hold) => hold.fmt(f),
            Waits::Failing => write!(f, "the evidence says that it fails; the policy leaves every step to a human"),
            Waits::NoHistory(wanted) => {
                write!(f, "the config wants {wanted}, and nothing is known of what served before: start it, or adopt it")
            }
            Waits::SameUpstream(wanted) => {
                write!(f, "the config wants {wanted}, which is on the upstream that is stable: adopt it once it is live there")
            }
        }
    }
}

impl State {
    /// What the bot waits for, if only a human can end the wait. `in_step`: how long its step has lasted.
    pub fn waits_for_human(&self, in_step: Option<Duration>) -> Option<Waits<'_>> {
        let state = self;
        let hold = state.hold.as_ref();
        match state.phase {
            Phase::Held => hold.map(Waits::Step),
            Phase::Progressing => self.left_to_a_human(in_step),
            Phase::Paused => hold.filter(|hold| is_brake(hold)).map(Waits::Braked),
            Phase::Manual => hold.filter(|hold| is_brake(hold) && state.weight == Weight::ZERO).map(Waits::Braked),
            Phase::Promoted => match hold {
                Some(hold @ Hold::Failed(_)) => Some(Waits::Switched(hold)),
                Some(_) | None => against_the_config(state),
            },
            Phase::Idle | Phase::Aborted => against_the_config(state),
        }
    }

    /// Under the policy `manual` a step waits for a human once it has baked, or at once if it fails.
    fn left_to_a_human(&self, in_step: Option<Duration>) -> Option<Waits<'_>> {
        let hold = self.hold.as_ref().filter(|hold| **hold == Hold::PolicyManual)?;
        let rollout = self.under_way()?;
        if rollout.failing {
            return Some(Waits::Failing);
        }
        let baked = in_step.is_some_and(|in_step| in_step >= rollout.current().bake);
        baked.then_some(Waits::Step(hold))
    }
}

fn is_brake(hold: &Hold) -> bool {
    matches!(hold, Hold::Breaker(_) | Hold::Retreated)
}

fn against_the_config(state: &State) -> Option<Waits<'_>> {
    let wanted = state.desired_elsewhere()?;
    match state.held_by? {
        HeldBy::NoHistory => Some(Waits::NoHistory(wanted)),
        HeldBy::SameUpstream => Some(Waits::SameUpstream(wanted)),
        // A human has decided this, so nobody needs to be asked.
        HeldBy::Abort | HeldBy::Undo | HeldBy::Switch | HeldBy::Start | HeldBy::Adopt => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::{AbortReason, Connections, LastConfig, Plan, Policy, Rollout, Trip};

    fn release(upstream: &str) -> Release {
        Release { upstream: upstream.into(), version: Some(Arc::from("v2")) }
    }

    fn state(phase: Phase, hold: Option<Hold>) -> State {
        let mut state = State::new(release("blue"));
        let at = Duration::ZERO;
        let plan = Plan { policy: Policy::Manual, ..Plan::usual() };
        let rollout =
            Rollout { release: release("green"), plan, step: 0, step_began: at, looked: at, no_retreat_before: at, failing: false };
        (state.phase, state.hold, state.rollout, state.canary) = (phase, hold, Some(rollout), Some(release("green")));
        state
    }

    fn asks(state: &State) -> Option<&'static str> {
        state.waits_for_human(Some(Duration::ZERO)).map(|waits| waits.code())
    }

    #[test]
    fn a_held_rollout_asks_and_one_that_waits_for_time_does_not() {
        let marginal = Hold::Marginal { e: 30.0, abort_at: 150.0 };
        assert_eq!(asks(&state(Phase::Held, Some(marginal))), Some("marginal"));
        for hold in [Hold::Baking { left: Duration::ZERO }, Hold::Evidence { e: 3.0 }, Hold::NotJudged] {
            assert_eq!(asks(&state(Phase::Progressing, Some(hold))), None);
        }
        assert_eq!(asks(&state(Phase::Paused, Some(Hold::Paused))), None, "somebody did that");
    }

    #[test]
    fn the_policy_manual_asks_after_the_bake_or_when_a_step_fails() {
        let mut manual = state(Phase::Progressing, Some(Hold::PolicyManual));
        assert_eq!(asks(&manual), None);
        let baked = Some(Plan::usual().steps[0].bake);
        assert_eq!(manual.waits_for_human(baked).map(|waits| waits.code()), Some("policy_manual"));
        manual.rollout.as_mut().unwrap().failing = true;
        assert_eq!(asks(&manual), Some("failing"));
    }

    #[test]
    fn a_trip_and_a_retreat_to_zero_wait_for_a_human() {
        let trip = || Some(Hold::Breaker(Trip { canary: Connections { wanted: 8, broken: 8 } }));
        assert_eq!(asks(&state(Phase::Paused, trip())), Some("breaker"));
        assert_eq!(asks(&state(Phase::Paused, Some(Hold::Retreated))), Some("retreated"));
        assert_eq!(asks(&state(Phase::Manual, trip())), Some("breaker"));
        let mut set_again = state(Phase::Manual, trip());
        set_again.weight = Weight::FULL;
        assert_eq!(asks(&set_again), None);
    }

    #[test]
    fn a_switch_that_fails_asks() {
        let failed = Hold::Failed(AbortReason::Evidence { e: 1.0 });
        assert_eq!(asks(&state(Phase::Promoted, Some(failed))), Some("failed"));
        assert_eq!(asks(&state(Phase::Promoted, None)), None);
    }

    #[test]
    fn a_release_of_the_config_that_waits_asks_only_if_no_operator_decided_that() {
        let mut idle = state(Phase::Idle, None);
        idle.last_config = LastConfig { release: Some(release("green")), ..LastConfig::default() };
        for (held_by, code) in
            [(HeldBy::NoHistory, Some("no_history")), (HeldBy::SameUpstream, Some("same_upstream")), (HeldBy::Abort, None)]
        {
            idle.held_by = Some(held_by);
            assert_eq!(asks(&idle), code);
        }
    }
}
