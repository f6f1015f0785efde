//! What is no change and still worth telling: a rollout that waits for a human, a drill that is due, a side that is free.

use std::time::Duration;

use super::link::Act;
use crate::config::Bot;
use crate::core::{Hold, Phase};
use crate::live::{Status, Waits};

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

/// The change that led here says the same: who is told of that needs no second message.
pub fn told_as_change(waits: &Waits<'_>) -> bool {
    matches!(waits, Waits::Braked(_))
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
    use super::*;
    use crate::core::{AbortReason, Former, Release, State, Weight};

    fn status(phase: Phase) -> Status {
        let mut state = State::new(Release { upstream: "blue".into(), version: None });
        state.phase = phase;
        Status::of(state)
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
        assert!(told_as_change(&braked) && !told_as_change(&Waits::Step(&marginal)));
        let failed = Hold::Failed(AbortReason::Evidence { e: 1.0 });
        assert_eq!(offers(&status(Phase::Promoted), &Waits::Switched(&failed)), [Act::Undo]);
    }

    #[test]
    fn a_drill_is_due_and_a_side_is_free_once() {
        let text = "[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = { a = \"http://a\" }\ndrill_every = \"1h\"\n";
        let bot = &crate::config::parse(text, std::path::Path::new("serin.toml")).unwrap().bots[0];
        let mut idle = status(Phase::Idle);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(3_600)), Some(0), "never");
        idle.drilled = Some(1_000.5);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(4_600)), None);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(4_601)), Some(1_000));
        idle.state.previous = Some(Former { release: idle.state.stable.clone(), until: Duration::from_micros(7) });
        idle.previous = Some((Duration::ZERO, false));
        assert_eq!(free_to_tear_down(&idle), None);
        idle.previous = Some((Duration::ZERO, true));
        assert_eq!(free_to_tear_down(&idle), Some(7));
    }
}
