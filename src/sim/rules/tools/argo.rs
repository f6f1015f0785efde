//! Argo Rollouts, as far as its documents describe its analysis by success rate.

use std::time::Duration;

use super::period::PeriodSums;
use crate::core::Weight;
use crate::sim::rules::ramp::{is_over, ramp};
use crate::sim::rules::rule::{Rule, Ruling, TickResults};
use crate::sim::world::ratio;

/// Like Argo Rollouts' analysis by success rate: at least 95 % in every five minutes; the third failure aborts. A period without
/// requests is not a failure.
#[derive(Default)]
pub struct Argo {
    now: Duration,
    period: PeriodSums,
    failures: u32,
}

impl Rule for Argo {
    fn weight(&self) -> Weight {
        ramp(self.now)
    }

    fn judge(&mut self, results: &TickResults<'_>) -> Ruling {
        self.now = results.now;
        if let Some(counts) = self.period.add(results, Duration::from_secs(300)) {
            self.failures += u32::from(ratio(counts.errors, counts.requests).is_some_and(|rate| rate > 0.05));
        }
        Ruling::of(self.failures >= 3, is_over(self.now))
    }
}
