//! The occasions for a message that are no change: a rollout that waits for a human, a release of the config that cannot be started, a
//! drill that is due, a side that may be torn down.

use std::time::Duration;

use super::link::Act;
use crate::config::{Bot, Config};
use crate::controller::is_possible;
use crate::core::{Hold, Phase, Release, State, Waits, Weight};
use crate::live::Status;
use crate::store::Row;
use crate::summary::words::weight;
use crate::summary::{Action, Summary};

/// The actions to offer for a hold, in order: the safest first if the canary looks bad. An action that would be refused now is left
/// out.
pub fn hold_actions(config: &Config, bot: &Bot, status: &Status, waits: &Waits<'_>) -> Vec<Act> {
    let acts: &[Act] = match waits {
        Waits::Failing => &[Act::Abort],
        Waits::Step(_) if Summary::of(status).action == Some(Action::Abort) => &[Act::Abort, Act::Advance],
        Waits::Step(_) => &[Act::Advance, Act::Abort],
        Waits::Braked(_) if status.state.phase == Phase::Paused => &[Act::Resume, Act::Abort],
        Waits::Braked(_) | Waits::NoHistory(_) | Waits::SameUpstream(_) => &[],
        Waits::Switched(_) => &[Act::Undo],
    };
    acts.iter().copied().filter(|act| is_possible(config, bot, status, act.action())).collect()
}

/// The topic of a hold's mark. All reasons for which a step waits for a human share one topic, so that people are told once per
/// revision; a reason that looks bad has a topic of its own.
pub fn hold_topic(waits: &Waits<'_>) -> String {
    let event = match waits {
        Waits::Step(Hold::Marginal { .. }) | Waits::Failing => "suspicious",
        Waits::Step(_) => "asks",
        Waits::Braked(_) => "braked",
        Waits::Switched(_) | Waits::NoHistory(_) | Waits::SameUpstream(_) => waits.code(),
    };
    format!("held:{event}")
}

/// The topic of the hold that the message about this change also covers. A notifier that got that message gets none about the hold in
/// the same revision.
pub fn covered_hold_topic(row: &Row) -> Option<String> {
    matches!(row.decision.as_str(), "trip" | "retreat").then(|| "held:braked".to_owned())
}

/// What an approval does, in words: goes to a weight, or promotes after the last step.
pub fn approval_text(state: &State) -> String {
    approval_weight(state).map_or("promote".to_owned(), |next| format!("on to {}", weight(next)))
}

/// The weight that an approval goes to; `None` if it promotes.
pub fn approval_weight(state: &State) -> Option<Weight> {
    state.under_way()?.next().map(|step| step.weight).filter(|weight| *weight < Weight::FULL)
}

/// The release that the config names, and why it cannot be started; `None` if it can be, or if a freeze stops it.
pub fn unstartable_release(status: &Status) -> Option<(&Release, &str)> {
    let wanted = status.state.to_start().filter(|_| status.frozen.is_none())?;
    Some((wanted, status.config_waits.as_deref()?))
}

/// If a drill is due: the time of the last one, in whole Unix seconds, 0 for never.
pub fn drill_due(status: &Status, bot: &Bot, now_unix: Duration) -> Option<i64> {
    let (every, last) = (bot.drill_every?, status.landmarks.drilled().unwrap_or(0.0));
    (now_unix.as_secs_f64() - last >= every.as_secs_f64()).then_some(last as i64)
}

/// If the side before stable may be torn down, because the time for an undo is over: when it was replaced, in microseconds by the bot's
/// clock.
pub fn free_to_tear_down(status: &Status) -> Option<i64> {
    let (former, (_, free)) = (status.state.previous.as_ref()?, status.previous?);
    free.then(|| i64::try_from(former.until.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::core::{AbortReason, Former, Landmark, Plan, Rollout};

    fn config() -> Config {
        let text = "[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nstable = \"blue\"\n\
            upstreams = { blue = \"http://a\", green = \"http://b\" }\ndrill_every = \"1h\"\n";
        crate::config::parse(text, std::path::Path::new("serin.toml")).unwrap()
    }

    fn release(upstream: &str) -> Release {
        Release { upstream: upstream.into(), version: None }
    }

    fn status(phase: Phase) -> Status {
        let mut state = State::new(release("blue"));
        state.phase = phase;
        Status::of(state, crate::core::Guard::default())
    }

    /// A status with green in its first step.
    fn under_way(phase: Phase, hold: Hold) -> Status {
        let mut status = status(phase);
        let (at, plan, green) = (Duration::ZERO, Plan::usual(), release("green"));
        status.state.weight = plan.steps[0].weight;
        let rollout = Rollout { release: green.clone(), plan, step: 0, step_began: at, looked: at, no_retreat_before: at, failing: false };
        (status.state.rollout, status.state.canary, status.state.hold) = (Some(rollout), Some(green), Some(hold));
        status
    }

    fn offered(status: &Status) -> Vec<Act> {
        let config = config();
        hold_actions(&config, &config.bots[0], status, &status.waits_for_human().expect("a human is asked"))
    }

    #[test]
    fn only_useful_and_possible_actions_are_offered() {
        let trip = || Hold::Breaker(crate::core::Trip { canary: crate::core::Connections { wanted: 8, broken: 8 } });
        assert_eq!(offered(&under_way(Phase::Held, Hold::AwaitingAdvance)), [Act::Advance, Act::Abort]);
        assert_eq!(offered(&under_way(Phase::Held, Hold::Evidence { e: 7.0 })), [Act::Abort, Act::Advance], "the safe one first");
        assert_eq!(offered(&under_way(Phase::Paused, trip())), [Act::Resume, Act::Abort]);
        let mut manual = under_way(Phase::Progressing, Hold::PolicyManual);
        manual.state.rollout.as_mut().unwrap().failing = true;
        assert_eq!(offered(&manual), [Act::Abort]);
        let mut by_hand = status(Phase::Manual);
        by_hand.state.hold = Some(trip());
        assert_eq!(offered(&by_hand), [], "there is no rollout to resume");
        let mut capped = under_way(Phase::Held, Hold::MaxWeight { max: Weight::ZERO });
        capped.guard.max = capped.state.weight;
        assert_eq!(offered(&capped), [Act::Abort]);
        let mut frozen = under_way(Phase::Held, Hold::AwaitingAdvance);
        frozen.frozen = Some("by ana".to_owned());
        assert_eq!(offered(&frozen), [Act::Abort]);
        let mut switched = status(Phase::Promoted);
        switched.state.hold = Some(Hold::Failed(AbortReason::Evidence { e: 1.0 }));
        switched.state.previous = Some(Former { release: release("green"), until: Duration::ZERO });
        assert_eq!(offered(&switched), [Act::Undo]);
    }

    #[test]
    fn a_hold_is_sent_once_and_again_when_it_looks_bad() {
        let step = |hold: &Hold| hold_topic(&Waits::Step(hold));
        let asks = [Hold::AwaitingAdvance, Hold::NotJudged, Hold::Deadline { could_be: 0.1, tolerated: 0.02 }];
        assert!(asks.iter().all(|hold| step(hold) == "held:asks"));
        assert_eq!(step(&Hold::Marginal { e: 30.0, abort_at: 150.0 }), "held:suspicious");
        assert_eq!(hold_topic(&Waits::Failing), "held:suspicious");
        assert_eq!(hold_topic(&Waits::Braked(&Hold::Retreated)), "held:braked");
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
        assert_eq!(approval_text(&held.state), format!("on to {}", weight(plan.steps[1].weight)));
        // Whether the full weight is the last step or comes after it.
        for step in [last, last - usize::from(plan.steps[last].weight == Weight::FULL)] {
            held.state.rollout = Some(begun(step));
            assert_eq!((approval_text(&held.state).as_str(), approval_weight(&held.state)), ("promote", None));
        }
    }

    #[test]
    fn a_drill_is_due_and_a_side_is_free_once() {
        let config = config();
        let bot = &config.bots[0];
        let mut idle = status(Phase::Idle);
        assert_eq!(drill_due(&idle, bot, Duration::from_secs(3_600)), Some(0), "never");
        let drilled = Landmark { at: 1_000.5, rehearsal: true, ..Landmark::of_test(2, "drilled") };
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
