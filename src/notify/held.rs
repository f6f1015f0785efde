//! What is no change and still worth telling: a rollout that waits for a human, a drill that is due, a side that is free.
//! Each says how it is remembered as told: a topic, and a mark that is another one when it is news again.

use std::time::Duration;

use super::link::Act;
use crate::config::Bot;
use crate::core::{HeldBy, Hold, Phase, State, Weight};
use crate::live::Status;

/// Somebody must decide.
#[derive(Clone, Debug, PartialEq)]
pub struct Waits {
    pub code: &'static str,
    pub text: String,
    /// What may help.
    pub offers: Vec<Act>,
    /// The change that led here says the same: who is told of that needs no second message.
    pub told_as_change: bool,
}

impl Waits {
    fn new(hold: &Hold, offers: &[Act]) -> Waits {
        Waits { code: hold.code(), text: hold.to_string(), offers: offers.to_vec(), told_as_change: false }
    }

    fn told(hold: &Hold, offers: &[Act]) -> Waits {
        Waits { told_as_change: true, ..Waits::new(hold, offers) }
    }

    pub fn topic(&self) -> String {
        format!("held:{}", self.code)
    }
}

/// Does it wait for a human, and for what?
pub fn waits(status: &Status) -> Option<Waits> {
    let state = &status.state;
    let hold = state.hold.as_ref();
    match state.phase {
        Phase::Held => hold.map(|hold| Waits::new(hold, &[&helps(hold)[..], &[Act::Abort]].concat())),
        Phase::Progressing => left_to_a_human(status),
        Phase::Paused => hold.filter(|hold| is_brake(hold)).map(|hold| Waits::told(hold, &[Act::Resume, Act::Abort])),
        Phase::Manual => hold.filter(|hold| is_brake(hold) && state.weight == Weight::ZERO).map(|hold| Waits::told(hold, &[])),
        Phase::Promoted => match hold {
            Some(hold @ Hold::Failed(_)) => Some(Waits::new(hold, &[Act::Undo])),
            Some(_) | None => against_the_config(state),
        },
        Phase::Idle | Phase::Aborted => against_the_config(state),
    }
}

/// What an approval is, where the evidence or the policy leaves the next step to a human.
fn helps(hold: &Hold) -> Vec<Act> {
    match hold {
        // No approval goes above it.
        Hold::MaxWeight { .. } => Vec::new(),
        Hold::Baking { .. }
        | Hold::Evidence { .. }
        | Hold::Marginal { .. }
        | Hold::NoCanaryTraffic { .. }
        | Hold::NoStableTraffic { .. }
        | Hold::Harm { .. }
        | Hold::SharedCause { .. }
        | Hold::Refusals { .. }
        | Hold::Deadline { .. }
        | Hold::StaleEvidence { .. }
        | Hold::NotJudged
        | Hold::Paused
        | Hold::SetByHand
        | Hold::Breaker(_)
        | Hold::AwaitingAdvance
        | Hold::PolicyManual
        | Hold::Retreated
        | Hold::Failed(_)
        | Hold::Frozen(_)
        | Hold::Drill => vec![Act::Advance],
    }
}

/// It went to nobody by itself, and goes on only when told to.
fn is_brake(hold: &Hold) -> bool {
    matches!(hold, Hold::Breaker(_) | Hold::Retreated)
}

/// The policy `manual`: nobody is asked before the step has baked, unless it fails.
fn left_to_a_human(status: &Status) -> Option<Waits> {
    let hold = status.state.hold.as_ref().filter(|hold| **hold == Hold::PolicyManual)?;
    let rollout = status.state.under_way()?;
    if rollout.failing {
        let text = "the evidence says that it fails; the policy leaves every step to a human".to_owned();
        return Some(Waits { code: "failing", text, offers: vec![Act::Abort], told_as_change: false });
    }
    let baked = status.in_step.is_some_and(|in_step| in_step >= rollout.current().bake);
    baked.then(|| Waits::new(hold, &[Act::Advance, Act::Abort]))
}

/// The config wants a release, and only a human can say what is live.
fn against_the_config(state: &State) -> Option<Waits> {
    let wanted = state.desired_elsewhere()?;
    let (code, text) = match state.held_by? {
        HeldBy::NoHistory => {
            ("no_history", format!("the config wants {wanted}, and nothing is known of what served before: start it, or adopt it"))
        }
        HeldBy::SameUpstream => {
            ("same_upstream", format!("the config wants {wanted}, which is on the upstream that is stable: adopt it once it is live there"))
        }
        // Somebody did that, and knows.
        HeldBy::Abort | HeldBy::Undo | HeldBy::Switch | HeldBy::Start | HeldBy::Adopt => return None,
    };
    Some(Waits { code, text, offers: Vec::new(), told_as_change: false })
}

/// The last drill, in whole Unix seconds (0: none), if it is too long ago.
pub fn drill_due(status: &Status, bot: &Bot, now_unix: Duration) -> Option<i64> {
    let (every, last) = (bot.drill_every?, status.drilled.unwrap_or(0.0));
    (now_unix.as_secs_f64() - last >= every.as_secs_f64()).then_some(last as i64)
}

/// When the side was replaced, by the controller's clock, if nobody expects to go back to it any more.
pub fn free_to_tear_down(status: &Status) -> Option<i64> {
    let (former, (_, free)) = (status.state.previous.as_ref()?, status.previous?);
    free.then(|| i64::try_from(former.until.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::{AbortReason, Connections, Former, Guard, Plan, Policy, Release, Rollout, Seen, Trip};
    use crate::live::Durability;

    fn release(upstream: &str) -> Release {
        Release { upstream: upstream.into(), version: Some(Arc::from("v2")) }
    }

    fn status(phase: Phase, hold: Option<Hold>) -> Status {
        let mut state = State::new(release("blue"));
        let at = Duration::ZERO;
        let plan = Plan { policy: Policy::Manual, ..Plan::usual() };
        let rollout =
            Rollout { release: release("green"), plan, step: 0, step_began: at, looked: at, no_retreat_before: at, failing: false };
        (state.phase, state.hold, state.rollout, state.canary) = (phase, hold, Some(rollout), Some(release("green")));
        Status {
            state,
            guard: Guard::default(),
            judged: None,
            examinations: Vec::new(),
            warning: None,
            in_step: Some(at),
            durability: Durability::default(),
            frozen: None,
            config_waits: None,
            previous: None,
            drilled: None,
        }
    }

    fn asks(status: &Status) -> Option<(&'static str, Vec<Act>)> {
        waits(status).map(|waits| (waits.code, waits.offers))
    }

    fn trip() -> Hold {
        Hold::Breaker(Trip { canary: Connections { wanted: 8, broken: 8 } })
    }

    #[test]
    fn a_held_rollout_asks_and_one_that_waits_for_time_does_not() {
        let marginal = Hold::Marginal { e: 30.0, abort_at: 150.0 };
        assert_eq!(asks(&status(Phase::Held, Some(marginal))), Some(("marginal", vec![Act::Advance, Act::Abort])));
        let max = Hold::MaxWeight { max: Weight::ZERO };
        assert_eq!(asks(&status(Phase::Held, Some(max))), Some(("max_weight", vec![Act::Abort])));
        for hold in [Hold::Baking { left: Duration::ZERO }, Hold::Evidence { e: 3.0 }, Hold::NotJudged] {
            assert_eq!(asks(&status(Phase::Progressing, Some(hold))), None);
        }
        assert_eq!(asks(&status(Phase::Paused, Some(Hold::Paused))), None, "somebody did that");
    }

    #[test]
    fn where_every_step_is_a_humans_they_are_asked_after_the_bake_or_when_it_fails() {
        let mut manual = status(Phase::Progressing, Some(Hold::PolicyManual));
        assert_eq!(asks(&manual), None);
        manual.in_step = Some(Plan::usual().steps[0].bake);
        assert_eq!(asks(&manual), Some(("policy_manual", vec![Act::Advance, Act::Abort])));
        manual.state.rollout.as_mut().unwrap().failing = true;
        assert_eq!(asks(&manual), Some(("failing", vec![Act::Abort])));
    }

    #[test]
    fn what_went_to_nobody_was_told_as_a_change() {
        let paused = waits(&status(Phase::Paused, Some(trip()))).unwrap();
        assert!(paused.told_as_change);
        assert_eq!((paused.code, paused.offers), ("breaker", vec![Act::Resume, Act::Abort]));
        assert_eq!(asks(&status(Phase::Manual, Some(trip()))), Some(("breaker", vec![])));
    }

    #[test]
    fn a_switch_that_fails_asks_for_the_way_back() {
        let failed = Hold::Failed(AbortReason::Evidence { e: 1.0 });
        assert_eq!(asks(&status(Phase::Promoted, Some(failed))), Some(("failed", vec![Act::Undo])));
        assert_eq!(asks(&status(Phase::Promoted, None)), None);
    }

    #[test]
    fn only_what_nobody_decided_stands_between_the_config_and_what_serves() {
        let mut idle = status(Phase::Idle, None);
        idle.state.seen = Seen { release: Some(release("green")), ..Seen::default() };
        for (held_by, code) in
            [(HeldBy::NoHistory, Some("no_history")), (HeldBy::SameUpstream, Some("same_upstream")), (HeldBy::Abort, None)]
        {
            idle.state.held_by = Some(held_by);
            assert_eq!(waits(&idle).map(|waits| waits.code), code);
        }
    }

    #[test]
    fn a_drill_is_due_and_a_side_is_free_once() {
        let text = "[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = { a = \"http://a\" }\ndrill_every = \"1h\"\n";
        let bot = &crate::config::parse(text, std::path::Path::new("serin.toml")).unwrap().bots[0];
        let mut idle = status(Phase::Idle, None);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(3_600)), Some(0), "never");
        idle.drilled = Some(1_000.5);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(4_600)), None);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(4_601)), Some(1_000));
        idle.state.previous = Some(Former { release: release("green"), until: Duration::from_micros(7) });
        idle.previous = Some((Duration::ZERO, false));
        assert_eq!(free_to_tear_down(&idle), None);
        idle.previous = Some((Duration::ZERO, true));
        assert_eq!(free_to_tear_down(&idle), Some(7));
    }
}
