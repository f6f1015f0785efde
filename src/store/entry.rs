//! One change as it is kept, and as it is read again.

use std::time::{Duration, SystemTime};

use serde::Serialize;
use serde_json::Value;

use crate::core::ratchet::Input;
use crate::core::{Guard, Landmark, State, Weight};

/// A change: all that it takes to decide it again, and what people ask about it.
#[derive(Clone, Debug)]
pub struct Entry {
    pub bot: String,
    pub who: Who,
    pub reasons: Reasons,
    pub decision: &'static str,
    /// At that moment; with `input`, `guard` and `at` the same step leads to `state` again. None for a bot's first entry.
    pub before: Option<State>,
    pub input: Option<Input>,
    pub guard: Guard,
    /// By the controller's clock, which stands still while no serin runs.
    pub at: Duration,
    /// When it was decided, in Unix milliseconds.
    pub unix_ms: i64,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// `operator`, `config` or `ratchet`.
    pub kind: &'static str,
    pub name: String,
}

/// Why.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    /// What the decision rests on, in words.
    pub why: Option<String>,
    /// What whoever did it said.
    pub said: Option<String>,
    /// What was known.
    pub evidence: Option<Value>,
}

/// A change as it is read.
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
    /// Whom the change is about: who is tried or was taken back, or became stable.
    pub release: Option<String>,
    pub why: Option<String>,
    pub reason: Option<String>,
    pub evidence: Option<Value>,
    /// From which evidence on the canary went to zero.
    pub abort_at: Option<f64>,
    /// Part of a drill: nobody's release is to blame.
    #[serde(skip)]
    pub rehearsal: bool,
}

impl Row {
    /// As it will be read.
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
    /// What is spoken of later; `at` in Unix seconds.
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

/// After an abort the state has no canary any more; before a promotion the new stable was not stable.
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
    /// What is spoken of later.
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

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn written(millis: i64) -> String {
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| millis.to_string(), |at| format!("{at:.3}"))
}
