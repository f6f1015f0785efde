//! The parts of a bot's document that explain its status: sentences, possible actions, times.

use serde::Serialize;

use crate::core::{Landmark, Track};
use crate::live::Status;
use crate::summary;

/// Whole sentences, or empty. Times are in UTC.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub urgency: &'static str,
    /// The other texts in one line.
    pub text: String,
    pub state: String,
    pub customers: String,
    pub next: String,
    pub todo: String,
    /// The action that is most likely needed.
    pub action: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct Possible {
    pub name: &'static str,
    pub allowed: bool,
    pub refusal: Option<String>,
}

/// Times in Unix seconds.
#[derive(Debug, Serialize)]
pub struct Until {
    pub bakes_until: f64,
    /// When the step is decided at the latest; null if it waits without a limit.
    pub decides_by: Option<f64>,
    pub then: &'static str,
    /// About how many more requests a raise needs.
    pub needs_requests: Option<u64>,
    pub needs_on: Option<&'static str>,
    pub expected_at: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Since {
    pub at: f64,
    pub decision: String,
    pub actor_kind: String,
    /// Null if serin did it by itself.
    pub by: Option<String>,
    pub reason: Option<String>,
    pub from_percent: f64,
    pub to_percent: f64,
}

#[derive(Debug, Serialize)]
pub struct FrozenBy {
    /// Null if the history does not have it any more.
    pub at: Option<f64>,
    pub by: String,
    pub reason: Option<String>,
}

pub(super) fn summary(status: &Status) -> Summary {
    let summary = summary::Summary::of(status);
    Summary {
        urgency: summary.urgency.name(),
        text: summary.text(),
        action: summary.action.map(summary::Action::name),
        state: summary.state,
        customers: summary.customers,
        next: summary.next,
        todo: summary.todo,
    }
}

pub(super) fn possible((action, refusal): (summary::Action, Option<String>)) -> Possible {
    Possible { name: action.name(), allowed: refusal.is_none(), refusal }
}

pub(super) fn until(until: summary::Until) -> Until {
    Until {
        bakes_until: until.bakes,
        decides_by: until.decides,
        then: until.then.name(),
        needs_requests: until.needs.map(|needs| needs.requests),
        needs_on: until.needs.map(|needs| if needs.of_canary { Track::Canary } else { Track::Stable }.name()),
        expected_at: until.expected,
    }
}

pub(super) fn since(landmark: &Landmark) -> Since {
    Since {
        at: landmark.at,
        decision: landmark.decision.clone(),
        actor_kind: landmark.kind.clone(),
        by: landmark.person().map(str::to_owned),
        reason: landmark.reason.clone(),
        from_percent: landmark.from.percent(),
        to_percent: landmark.to.percent(),
    }
}

pub(super) fn frozen_by(status: &Status) -> Option<FrozenBy> {
    let freeze = status.state.frozen.as_ref()?;
    let at = status.landmarks.of("freeze").map(|landmark| landmark.at);
    Some(FrozenBy { at, by: freeze.by.to_string(), reason: freeze.why.as_deref().map(str::to_owned) })
}
