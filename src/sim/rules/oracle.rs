//! The rule that knows the truth: what no rule that sees only answers can beat.

use std::time::Duration;

use super::ramp::{is_over, ramp};
use super::rule::{Rule, Ruling, TickResults};
use crate::core::Weight;

/// Knows for every request what the answer would have been without the release. It rolls back once the likelihood ratio is 100: no
/// other sequential test is better.
#[derive(Default)]
pub struct Oracle {
    now: Duration,
    log_ratio: f64,
}

impl Rule for Oracle {
    fn weight(&self) -> Weight {
        ramp(self.now)
    }

    fn judge(&mut self, results: &TickResults<'_>) -> Ruling {
        self.now = results.now;
        self.log_ratio += results.log_ratio;
        Ruling::of(self.log_ratio >= 100.0_f64.ln(), is_over(self.now))
    }

    fn log10_evidence(&self) -> Option<f64> {
        Some(self.log_ratio / std::f64::consts::LN_10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::world::TrackCounts;

    #[test]
    fn an_oracle_stops_at_a_ratio_of_100() {
        let mut oracle = Oracle::default();
        let mut judge = |secs, log_ratio| {
            let (stable, canary) = (TrackCounts::default(), TrackCounts::default());
            oracle.judge(&TickResults { now: Duration::from_secs(secs), stable, canary, active: &[], tracks: &[], log_ratio })
        };
        assert_eq!((judge(5, 4.6), judge(10, 0.006)), (Ruling::GoOn, Ruling::RolledBack));
    }
}
