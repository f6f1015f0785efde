//! A change as it is written to the history (`Entry`), and as it is read from it (`Row`).

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::core::ratchet::Input;
use crate::core::{Guard, Landmark, State, Weight};

/// A change: everything that is needed to decide it again, and what people want to know about it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub bot: String,
    pub who: Who,
    pub reasons: Reasons,
    pub decision: &'static str,
    /// The state before. A step with `before`, `input`, `guard` and `at` must give `state` again. `None` for a bot's first entry.
    pub before: Option<State>,
    pub input: Option<Input>,
    pub guard: Guard,
    /// By the bot's clock, which stands still while serin does not run.
    pub at: Duration,
    /// The time of the decision, in Unix milliseconds.
    pub unix_ms: i64,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// `operator`, `config` or `ratchet`.
    pub kind: &'static str,
    pub name: String,
}

/// The reasons for a change.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    /// What the decision rests on, in words.
    pub why: Option<String>,
    /// The reason that the operator gave.
    pub said: Option<String>,
    /// The evidence at the time of the decision.
    pub evidence: Option<Value>,
}

/// A change as the API, the messages and the command line show it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    pub bot: String,
    pub revision: u64,
    /// RFC 3339, UTC.
    pub at: String,
    pub actor_kind: String,
    pub actor: String,
    pub decision: String,
    pub phase: String,
    pub from_percent: f64,
    pub to_percent: f64,
    pub stable: String,
    pub canary: Option<String>,
    /// The release that the change is about: the one that is tried, was taken back or became stable.
    pub release: Option<String>,
    pub why: Option<String>,
    pub reason: Option<String>,
    pub evidence: Option<Value>,
    /// The `abort_at` of the guard in force.
    pub abort_at: Option<f64>,
    /// Whether the change belongs to a drill, so that no release is to blame.
    #[serde(skip)]
    pub rehearsal: bool,
}

impl Row {
    /// The row that reading this entry back gives.
    pub fn of(entry: &Entry) -> Row {
        let Entry { bot, who, reasons, decision, state, .. } = entry;
        Row {
            bot: bot.clone(),
            revision: state.revision,
            at: written(entry.unix_ms),
            actor_kind: who.kind.to_owned(),
            actor: who.name.clone(),
            decision: (*decision).to_owned(),
            phase: state.phase.name().to_owned(),
            from_percent: entry.from().percent(),
            to_percent: state.weight.percent(),
            stable: state.stable.to_string(),
            canary: state.canary.as_ref().map(ToString::to_string),
            release: about(entry.before.as_ref(), state, decision),
            why: reasons.why.clone(),
            reason: reasons.said.clone(),
            evidence: reasons.evidence.clone(),
            abort_at: Some(entry.guard.abort_at),
            rehearsal: is_rehearsal(entry.before.as_ref(), state),
        }
    }
}

impl Row {
    /// The data that a landmark keeps of this change; `at` in Unix seconds.
    pub fn landmark(&self, at: f64) -> Landmark {
        let weight = |percent| Weight::from_percent(percent).unwrap_or_default();
        Landmark {
            revision: self.revision,
            at,
            decision: self.decision.clone(),
            kind: self.actor_kind.clone(),
            by: self.actor.clone(),
            reason: self.reason.clone(),
            why: self.why.clone(),
            from: weight(self.from_percent),
            to: weight(self.to_percent),
            release: self.release.clone(),
            rehearsal: self.rehearsal,
        }
    }
}

/// The release that a change is about. After an abort only the state before has the canary; after a promotion only the state after has
/// the new stable.
pub(super) fn about(before: Option<&State>, after: &State, decision: &str) -> Option<String> {
    let release = match before {
        Some(before) if before.stable != after.stable && decision == "undo" => Some(&before.stable),
        Some(before) if before.stable != after.stable => Some(&after.stable),
        Some(before) => after.canary.as_ref().or(before.canary.as_ref()),
        None => after.canary.as_ref(),
    };
    release.map(ToString::to_string)
}

pub(super) fn is_rehearsal(before: Option<&State>, after: &State) -> bool {
    after.drill_until.is_some() || before.is_some_and(|before| before.drill_until.is_some())
}

impl Entry {
    /// The data that a landmark keeps of this change.
    pub fn landmark(&self) -> Landmark {
        Row::of(self).landmark(self.unix_ms as f64 / 1000.0)
    }

    pub fn from(&self) -> Weight {
        self.before.as_ref().map_or(Weight::ZERO, |state| state.weight)
    }
}

pub(super) fn unix_millis() -> i64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// RFC 3339 in UTC, in milliseconds.
pub(super) fn written(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |at| format!("{at:.3}"))
}
