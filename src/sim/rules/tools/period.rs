//! Sums of a track over the periods in which a tool measures.

use std::time::Duration;

use crate::sim::rules::rule::Seen;
use crate::sim::world::Counts;

/// Sums up ticks until a period is over.
#[derive(Default)]
pub struct Period {
    canary: Counts,
    /// The number of periods that have ended.
    ended: u32,
}

impl Period {
    /// Adds a tick. Returns the canary's sums at the end of each period.
    pub fn add(&mut self, seen: &Seen<'_>, length: Duration) -> Option<Counts> {
        self.canary += seen.canary;
        if seen.now < length * (self.ended + 1) {
            return None;
        }
        self.ended += 1;
        Some(std::mem::take(&mut self.canary))
    }
}
