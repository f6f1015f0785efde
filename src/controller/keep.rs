//! A change as a row of the history: who made it, why, and what was known.

use std::time::Duration;

use serde_json::{Value, json};

use super::pilot::Pilot;
use super::wish::Actor;
use crate::config::Bot;
use crate::core::evidence::{Exposure, Finding};
use crate::core::ratchet::{Decision, Input};
use crate::core::{Guard, State};
use crate::store::{Entry, Reasons, Who};

/// A change as a row. `said`: what whoever made it said about it.
#[expect(clippy::too_many_arguments, reason = "they are what a change consists of")]
pub(super) fn entry(
    bot: &Bot,
    pilot: &Pilot,
    actor: &Actor,
    decision: &Decision,
    (before, after): (&State, State),
    input: Input,
    guard: &Guard,
    at: Duration,
    said: Option<String>,
) -> Entry {
    Entry {
        bot: bot.name.to_string(),
        who: who(actor),
        reasons: Reasons { why: why(decision), said, evidence: evidence(pilot) },
        decision: decision.name(),
        before: Some(before.clone()),
        input: Some(input),
        guard: guard.clone(),
        at,
        state: after,
    }
}

/// The first row of a bot.
pub(super) fn beginning(bot: &Bot, state: &State) -> Entry {
    Entry {
        bot: bot.name.to_string(),
        who: who(&Actor::Config),
        reasons: Reasons::default(),
        decision: "begin",
        before: None,
        input: None,
        guard: bot.guard.clone(),
        at: Duration::ZERO,
        state: state.clone(),
    }
}

fn who(actor: &Actor) -> Who {
    Who { kind: actor.kind(), name: actor.name().to_owned() }
}

/// What a decision rests on, in words.
fn why(decision: &Decision) -> Option<String> {
    match decision {
        Decision::Abort { why, .. } | Decision::Undo { why } => Some(why.to_string()),
        Decision::Trip { trip, .. } => Some(trip.to_string()),
        Decision::Advance { because, .. } | Decision::Promote { because } => Some(because.to_string()),
        Decision::Drilled { took } => Some(format!("{} µs from the word to all cores", took.as_micros())),
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

/// What was known, as people read it later.
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
