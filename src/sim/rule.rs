//! What a rule may see of a rollout, and what it may do. Whoever judges a canary, ours or another, is led through a world
//! by this alone.

use std::time::Duration;

use super::counts::Counts;
use super::world::Cell;
use crate::core::{Bucket, Track, Weight};

pub trait Rule {
    /// The weight in force, until the next call of `judge`.
    fn weight(&self) -> Weight;

    /// A canary bucket that stable answers for now all the same.
    fn is_set_aside(&self, _bucket: Bucket) -> bool {
        false
    }

    /// A tick is over. Not asked again once it has answered that the rollout has come to its end.
    fn judge(&mut self, seen: &Seen<'_>) -> Next;

    /// Why the weight stays as it is, for machines.
    fn hold(&self) -> Option<&'static str> {
        None
    }

    /// The base-10 logarithm of the evidence, where a rule has such a thing.
    fn log10_evidence(&self) -> Option<f64> {
        None
    }
}

/// What a tick showed: under the weight that was in force.
pub struct Seen<'a> {
    /// The tick's end, since the rollout began.
    pub now: Duration,
    pub stable: Counts,
    pub canary: Counts,
    /// Each workspace that had requests, and the track that its bucket's rank and the weight gave it.
    pub cells: &'a [Cell],
    pub tracks: &'a [Track],
    /// What only an oracle knows: ln of the likelihood ratio of what the canary answered.
    pub log_ratio: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    GoOn,
    /// Everybody is back on stable: the end.
    RolledBack,
    /// Everybody is on the canary.
    Promoted,
}

/// The usual ramp of those that have none of their own: 1, 5, 10, 25 and 50 %, ten minutes each, then everybody.
pub const RAMP: [u16; 5] = [100, 500, 1_000, 2_500, 5_000];
pub const RAMP_STEP: Duration = Duration::from_secs(600);

/// Where the usual ramp is at this moment; full once it is over.
pub fn ramp(now: Duration) -> Weight {
    let step = (now.as_secs() / RAMP_STEP.as_secs()) as usize;
    RAMP.get(step).and_then(|bp| Weight::from_bp(*bp)).unwrap_or(Weight::FULL)
}
