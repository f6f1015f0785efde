//! A drill: what to rehearse, how far it is, and what was measured. `owner/drill.rs` makes it.

use std::time::Duration;

use serde::Serialize;

use super::wish::{Actor, ChangeError, ReplySender};
use crate::config::BotName;
use crate::core::{Release, Weight};

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct Drill {
    /// The share of the buckets to move to the idle side and back; `None` moves nobody.
    pub share: Option<Weight>,
    /// How long the share stays on the idle side.
    pub lasts: Duration,
    pub upstream: Option<String>,
}

/// The measurements of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Drilled {
    pub bot: String,
    pub side: String,
    /// From the first request of the preflight to its last right answer.
    pub preflight_ms: f64,
    /// From the decision to go back until every worker served it.
    pub back_ms: f64,
    /// From the decision to go back until it was stored; `None` if that took longer than half a second after it served.
    pub durable_ms: Option<f64>,
    pub moved_percent: f64,
    pub revision: u64,
}

/// A drill in progress.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pub bot: BotName,
    pub drill: Drill,
    pub actor: Actor,
    pub reply: ReplySender<Drilled, ChangeError>,
    pub idle: Release,
    /// When the preflight began, and how long it took.
    pub asked: Duration,
    pub preflight: Duration,
    /// When the decision to go back was made, and how long it took until every worker served it.
    pub word: Duration,
    pub back: Duration,
}

/// The part of a drill that has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DrillStage {
    /// Customers are on the idle side.
    There,
    /// They are back on stable.
    Back,
    /// The drill is recorded as done.
    Noted,
}

impl Rehearsal {
    pub fn fails(self, error: ChangeError) {
        let _ = self.reply.send(Err(error));
    }
}
