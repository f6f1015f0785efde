//! The rule that knows the truth: what no rule that sees only answers can beat.

use std::time::Duration;

use super::ramp::{end_of_ramp, ramp};
use super::rule::{Next, Rule, Seen};
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

    fn judge(&mut self, seen: &Seen<'_>) -> Next {
        self.now = seen.now;
        self.log_ratio += seen.log_ratio;
        match self.log_ratio >= 100.0_f64.ln() {
            true => Next::RolledBack,
            false => end_of_ramp(self.now),
        }
    }

    fn log10_evidence(&self) -> Option<f64> {
        Some(self.log_ratio / std::f64::consts::LN_10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::world::Counts;

    #[test]
    fn an_oracle_stops_at_a_ratio_of_100() {
        let mut oracle = Oracle::default();
        let mut judge = |secs, log_ratio| {
            let (stable, canary) = (Counts::default(), Counts::default());
            oracle.judge(&Seen { now: Duration::from_secs(secs), stable, canary, cells: &[], tracks: &[], log_ratio })
        };
        assert_eq!((judge(5, 4.6), judge(10, 0.006)), (Next::GoOn, Next::RolledBack));
    }
}
