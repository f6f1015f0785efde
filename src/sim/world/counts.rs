//! Counts of one track's requests: those of the core's tallies, and those that other rules need.

use std::ops::AddAssign;

use super::latency::UNIT_MICROS;
use crate::core::{LOG_UNIT, Tally};

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrackCounts {
    pub requests: u32,
    pub errors: u32,
    pub late: u32,
    pub rejected: u32,
    /// Above the bot's usual p90, p99 and p99.5, and above 500 ms.
    pub above_p90: u32,
    pub above_p99: u32,
    pub above_p99_5: u32,
    pub above_half_second: u32,
    /// Σ ln(latency/30 ms). In the simulation every request has a latency.
    pub log_latency: f64,
}

impl TrackCounts {
    pub fn bad(&self) -> u32 {
        self.errors + self.late + self.rejected
    }

    /// The core's tally of these requests.
    pub fn tally(&self) -> Tally {
        let log_micros = self.log_latency + f64::from(self.requests) * UNIT_MICROS.ln();
        Tally {
            requests: self.requests,
            errors: self.errors,
            late: self.late,
            rejected: self.rejected,
            timed: self.requests,
            slow: self.above_p90,
            very_slow: self.above_p99_5,
            log_latency: (log_micros * LOG_UNIT) as i64,
        }
    }
}

impl AddAssign for TrackCounts {
    fn add_assign(&mut self, other: TrackCounts) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.late += other.late;
        self.rejected += other.rejected;
        self.above_p90 += other.above_p90;
        self.above_p99 += other.above_p99;
        self.above_p99_5 += other.above_p99_5;
        self.above_half_second += other.above_half_second;
        self.log_latency += other.log_latency;
    }
}

/// `part` divided by `whole`, or `None` if that is 0.
pub fn ratio(part: u32, whole: u32) -> Option<f64> {
    (whole > 0).then(|| f64::from(part) / f64::from(whole))
}
