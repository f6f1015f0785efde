//! What a rule may see of a rollout, and what it may do. Each rule, serin's or another tool's, goes through a world with this trait alone.

use std::time::Duration;

use crate::core::{Bucket, Track, Weight};
use crate::sim::world::{ActiveWorkspace, TrackCounts};

pub trait Rule {
    /// The weight in force, until the next call of `judge`.
    fn weight(&self) -> Weight;

    /// Whether stable answers for this canary bucket now.
    fn is_set_aside(&self, _bucket: Bucket) -> bool {
        false
    }

    /// Called at the end of a tick. Not called again once it has returned that the rollout has ended.
    fn judge(&mut self, results: &TickResults<'_>) -> Ruling;

    /// A code for why the weight stays.
    fn hold(&self) -> Option<&'static str> {
        None
    }

    /// The base-10 logarithm of the evidence, if the rule has evidence.
    fn log10_evidence(&self) -> Option<f64> {
        None
    }
}

/// The results of a tick, under the weight that was in force.
pub struct TickResults<'a> {
    /// The tick's end, since the rollout began.
    pub now: Duration,
    pub stable: TrackCounts,
    pub canary: TrackCounts,
    /// Each workspace that had requests. `tracks` has the track of each, by its bucket's rank and the weight.
    pub active: &'a [ActiveWorkspace],
    pub tracks: &'a [Track],
    /// For the oracle only: ln of the likelihood ratio of the canary's answers.
    pub log_ratio: f64,
}

/// What a rule decides at the end of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    GoOn,
    /// All workspaces are back on stable, and the rollout has ended.
    RolledBack,
    /// All workspaces are on the canary.
    Promoted,
}

impl Ruling {
    /// Rolled back if the release `fails`, otherwise promoted once the rollout has `ended`.
    pub fn of(fails: bool, ended: bool) -> Ruling {
        match (fails, ended) {
            (true, _) => Ruling::RolledBack,
            (false, true) => Ruling::Promoted,
            (false, false) => Ruling::GoOn,
        }
    }
}
