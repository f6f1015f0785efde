//! Sums of a track over the periods in which a tool measures.

use std::time::Duration;

use crate::sim::rules::rule::TickResults;
use crate::sim::world::TrackCounts;

/// Sums up ticks until a period is over.
#[derive(Default)]
pub struct PeriodSums {
    canary: TrackCounts,
    /// The number of periods that have ended.
    ended: u32,
}

impl PeriodSums {
    /// Adds a tick. Returns the canary's sums at the end of each period.
    pub fn add(&mut self, results: &TickResults<'_>, length: Duration) -> Option<TrackCounts> {
        self.canary += results.canary;
        if results.now < length * (self.ended + 1) {
            return None;
        }
        self.ended += 1;
        Some(std::mem::take(&mut self.canary))
    }
}
