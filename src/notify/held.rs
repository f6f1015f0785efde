//! What is no change and still worth telling: a rollout that waits for a human, a drill that is due, a side that is free.

use std::time::Duration;

use super::link::Act;
use crate::config::Bot;
use crate::core::{Hold, Phase, State, Weight};
use crate::live::{Status, Waits};
use crate::store::Row;

/// What may help.
pub fn offers(status: &Status, waits: &Waits<'_>) -> Vec<Act> {
    match waits {
        // No approval goes above it.
        Waits::Step(Hold::MaxWeight { .. }) | Waits::Failing => vec![Act::Abort],
        Waits::Step(_) => vec![Act::Advance, Act::Abort],
        Waits::Braked(_) if status.state.phase == Phase::Paused => vec![Act::Resume, Act::Abort],
        Waits::Braked(_) | Waits::NoHistory(_) | Waits::SameUpstream(_) => Vec::new(),
        Waits::Switched(_) => vec![Act::Undo],
    }
}

/// What the mark of a hold is about.
pub fn topic(code: &str) -> String {
    format!("held:{code}")
}

/// The hold that a change says too: who is told of the change needs no second message, as long as it is the last one.
pub fn says_too(row: &Row) -> Option<&'static str> {
    match row.decision.as_str() {
        "trip" => Some("breaker"),
        "retreat" => Some("retreated"),
        _ => None,
    }
}

/// What an approval does. The last step is a promotion.
pub fn approval(state: &State) -> String {
    approves(state).map_or("promote".to_owned(), |weight| format!("on to {weight}"))
}

/// The weight of the next step; `None` where it is everybody's.
pub fn approves(state: &State) -> Option<Weight> {
    state.under_way()?.next().map(|step| step.weight).filter(|weight| *weight < Weight::FULL)
}

/// The last drill, in whole Unix seconds (0: none), if it is too long ago.
pub fn drill_due(status: &Status, bot: &Bot, now_unix: Duration) -> Option<i64> {
    let (every, last) = (bot.drill_every?, status.landmarks.drilled().unwrap_or(0.0));
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
    use crate::core::{AbortReason, Former, Landmark, Plan, Release, Rollout};

    fn status(phase: Phase) -> Status {
        let mut state = State::new(Release { upstream: "blue".into(), version: None });
        state.phase = phase;
        Status::of(state, crate::core::Guard::default())
    }

    #[test]
    fn what_is_offered_is_what_would_help() {
        let (marginal, max) = (Hold::Marginal { e: 30.0, abort_at: 150.0 }, Hold::MaxWeight { max: Weight::ZERO });
        let held = status(Phase::Held);
        assert_eq!(offers(&held, &Waits::Step(&marginal)), [Act::Advance, Act::Abort]);
        assert_eq!(offers(&held, &Waits::Step(&max)), [Act::Abort]);
        assert_eq!(offers(&status(Phase::Progressing), &Waits::Failing), [Act::Abort]);
        let braked = Waits::Braked(&Hold::Retreated);
        assert_eq!(offers(&status(Phase::Paused), &braked), [Act::Resume, Act::Abort]);
        assert_eq!(offers(&status(Phase::Manual), &braked), []);
        assert_eq!((topic(braked.code()), topic(Waits::Step(&marginal).code())), ("held:retreated".to_owned(), "held:marginal".to_owned()));
        let failed = Hold::Failed(AbortReason::Evidence { e: 1.0 });
        assert_eq!(offers(&status(Phase::Promoted), &Waits::Switched(&failed)), [Act::Undo]);
    }

    #[test]
    fn the_last_approval_is_a_promotion() {
        let mut held = status(Phase::Held);
        let (at, plan) = (Duration::ZERO, Plan::usual());
        let (release, last) = (Release { upstream: "green".into(), version: None }, plan.steps.len() - 1);
        let begun = |step| Rollout {
            release: release.clone(),
            plan: plan.clone(),
            step,
            step_began: at,
            looked: at,
            no_retreat_before: at,
            failing: false,
        };
        held.state.rollout = Some(begun(0));
        assert_eq!(approval(&held.state), format!("on to {}", plan.steps[1].weight));
        // Whether everybody is a step of its own or comes after the last one.
        for step in [last, last - usize::from(plan.steps[last].weight == Weight::FULL)] {
            held.state.rollout = Some(begun(step));
            assert_eq!((approval(&held.state).as_str(), approves(&held.state)), ("promote", None));
        }
    }

    #[test]
    fn a_drill_is_due_and_a_side_is_free_once() {
        let text = "[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = { a = \"http://a\" }\ndrill_every = \"1h\"\n";
        let bot = &crate::config::parse(text, std::path::Path::new("serin.toml")).unwrap().bots[0];
        let mut idle = status(Phase::Idle);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(3_600)), Some(0), "never");
        let drilled = Landmark {
            revision: 2,
            at: 1_000.5,
            decision: "drilled".to_owned(),
            kind: "operator".to_owned(),
            by: "ana".to_owned(),
            reason: None,
            why: None,
            from: Weight::ZERO,
            to: Weight::ZERO,
            release: None,
            rehearsal: true,
        };
        Arc::make_mut(&mut idle.landmarks).note(drilled);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(4_600)), None);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(4_601)), Some(1_000));
        idle.state.previous = Some(Former { release: idle.state.stable.clone(), until: Duration::from_micros(7) });
        idle.previous = Some((Duration::ZERO, false));
        assert_eq!(free_to_tear_down(&idle), None);
        idle.previous = Some((Duration::ZERO, true));
        assert_eq!(free_to_tear_down(&idle), Some(7));
    }
}
