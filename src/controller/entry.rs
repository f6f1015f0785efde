//! Builds the history's row of a change: who made it, why, and on what evidence.

use std::time::Duration;

use serde_json::{Value, json};

use super::pilot::Pilot;
use super::time::Now;
use super::wish::Actor;
use crate::config::Bot;
use crate::core::evidence::{Exposure, Finding, Metric};
use crate::core::ratchet::{Because, Decision, Input};
use crate::core::{AbortReason, Guard, State};
use crate::store::{Entry, Reasons, Who};
use crate::summary;

/// The row of a change. `said`: the reason that the operator gave.
#[expect(clippy::too_many_arguments, reason = "they are what a change consists of")]
pub(super) fn entry(
    bot: &Bot,
    pilot: &Pilot,
    actor: &Actor,
    decision: &Decision,
    (before, after): (&State, State),
    input: Input,
    guard: &Guard,
    now: Now,
    said: Option<String>,
) -> Entry {
    Entry {
        bot: bot.name.to_string(),
        who: who(actor),
        reasons: Reasons { why: why(decision, pilot, before), said, evidence: evidence(pilot) },
        decision: decision.name(),
        before: Some(before.clone()),
        input: Some(input),
        guard: guard.clone(),
        at: pilot.now(now),
        unix_ms: now.timestamp().as_millisecond(),
        state: after,
    }
}

/// The first row of a bot.
pub(super) fn beginning(bot: &Bot, state: &State, now: Now) -> Entry {
    Entry {
        bot: bot.name.to_string(),
        who: who(&Actor::Config),
        reasons: Reasons::default(),
        decision: "begin",
        before: None,
        input: None,
        guard: bot.guard.clone(),
        at: Duration::ZERO,
        unix_ms: now.timestamp().as_millisecond(),
        state: state.clone(),
    }
}

fn who(actor: &Actor) -> Who {
    Who { kind: actor.kind(), name: actor.name().to_owned() }
}

/// What a decision rests on, in words; `None` if the row's other fields say it.
fn why(decision: &Decision, pilot: &Pilot, before: &State) -> Option<String> {
    let judgement = pilot.judged().filter(|_| pilot.judges()).map(|judged| judged.judgement);
    match decision {
        Decision::Abort { why: AbortReason::Evidence { e }, .. } => match (judgement, &before.canary) {
            (Some(judgement), Some(canary)) => Some(summary::why(&judgement, canary, &before.stable, *e)),
            _ => Some(AbortReason::Evidence { e: *e }.to_string()),
        },
        // The row names the actor.
        Decision::Abort { why: AbortReason::Operator, .. } | Decision::Undo { why: AbortReason::Undone } => None,
        Decision::Abort { why, .. } | Decision::Undo { why } => Some(why.to_string()),
        Decision::Trip { trip, .. } => Some(trip.to_string()),
        Decision::Advance { because: Because::Operator, .. } | Decision::Promote { because: Because::Operator } => None,
        Decision::Advance { because, .. } | Decision::Promote { because } => {
            let rates = judgement.map_or(String::new(), |judgement| format!(": {}", summary::rates(&judgement, Metric::Errors)));
            Some(format!("{because}{rates}"))
        }
        Decision::Drilled { took } => Some(format!("everybody was back within {}", told(*took))),
        Decision::Start
        | Decision::SetWeight { .. }
        | Decision::Pause
        | Decision::Resume
        | Decision::Retreat { .. }
        | Decision::Adopt
        | Decision::Reassign { .. }
        | Decision::Switch
        | Decision::Withdraw { .. }
        | Decision::Desire
        | Decision::Freeze
        | Decision::Thaw
        | Decision::Drill
        | Decision::Hold
        | Decision::Nothing
        | Decision::Refuse(_) => None,
    }
}

/// In microseconds below one millisecond.
fn told(took: Duration) -> String {
    match took.as_micros() {
        micros if micros < 1_000 => format!("{micros} µs"),
        micros => format!("{:.1} ms", micros as f64 / 1_000.0),
    }
}

/// The evidence at the time of the decision, as a later reader needs it; `None` if nothing is judged.
fn evidence(pilot: &Pilot) -> Option<Value> {
    let judged = pilot.judged().filter(|_| pilot.judges())?;
    let judgement = judged.judgement;
    let finite = |number: f64| number.is_finite().then_some(number);
    let track = |exposure: Exposure| {
        let tally = exposure.tally;
        json!({ "requests": tally.requests, "errors": tally.errors, "late": tally.late, "rejected": tally.rejected, "buckets": exposure.buckets })
    };
    let examined = |finding| pilot.examined().filter(|examination| examination.finding == finding).count();
    Some(json!({
        "e_value": finite(judgement.wealth.log_e().exp()),
        "verdict": judged.verdict.name(),
        "leading": judgement.leading.name(),
        "harm_could_be_percent": finite(judgement.harm.0 * 100.0),
        "stable": track(judgement.stable),
        "canary": track(judgement.canary),
        "examined": { "open": examined(Finding::Open), "refuted": examined(Finding::Refuted), "went_away": examined(Finding::WentAway) },
    }))
}
