//! What is kept of a change, and of what is known between two of them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::pilot::Pilot;
use super::{Actor, Controller};
use crate::config::Bot;
use crate::core::evidence::{Exposure, Finding};
use crate::core::ratchet::{Decision, Input};
use crate::core::{Guard, State};
use crate::live::Durability;
use crate::store::{Entry, Reasons, Row, Who};

/// What whoever did it said about it.
pub(super) type Said = Option<String>;

/// A restart forgets at most so much of what was counted since.
pub(super) const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);

#[expect(clippy::too_many_arguments, reason = "they are what a change consists of")]
pub(super) fn entry(
    bot: &Bot,
    pilot: &Pilot,
    actor: Actor<'_>,
    decision: &Decision,
    (before, after): (&State, &State),
    input: Input,
    guard: &Guard,
    now: Duration,
    said: Said,
) -> Entry {
    Entry {
        bot: bot.name.to_string(),
        who: Who { kind: actor.kind(), name: actor.name().to_owned() },
        reasons: Reasons { why: why(decision), said, evidence: evidence(pilot) },
        decision: decision.name(),
        before: Some(before.clone()),
        input: Some(input),
        guard: guard.clone(),
        at: now,
        state: after.clone(),
    }
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

impl Controller {
    /// The one place where changes are told: logged, counted, and sent to whoever listens.
    pub(super) fn tell(&self, bot: &Bot, decision: &Decision, actor: Actor<'_>, entry: &Entry, took: Option<Duration>) {
        self.metrics.decision(bot.name.as_str(), decision.name(), actor.kind());
        let row = Row::of(entry);
        tracing::info!(
            bot = %bot.name, actor = actor.name(), decision = decision.name(), revision = row.revision, phase = row.phase,
            from = %entry.from(), to = %entry.state.weight, stable = row.stable, why = row.why, reason = row.reason,
            e = row.evidence.as_ref().and_then(|known| known["e_value"].as_f64()).map(|e| format!("{e:.3}")),
            took_micros = took.map(|took| took.as_micros() as u64), "rollout changed"
        );
        let _ = self.changes.send(Arc::new(row));
    }

    /// Writes down what is known of every bot.
    pub(super) async fn keep_what_is_known(&self) {
        let mut pilots = self.pilots.lock().await;
        let snapshots = pilots.iter_mut().map(|(name, pilot)| pilot.snapshot(name.as_str())).collect();
        self.store.snapshot(snapshots);
    }

    /// Whether what serves would outlive the process.
    pub(super) fn kept(&self) -> Durability {
        let health = self.store.health();
        Durability { durable: self.store.path().is_some() && health.unwritten == 0, failing: health.failing }
    }
}
