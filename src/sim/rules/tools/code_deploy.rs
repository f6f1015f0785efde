//! AWS CodeDeploy, as far as its documents describe a canary with an alarm.

use std::time::Duration;

use super::period::PeriodSums;
use crate::core::Weight;
use crate::sim::rules::rule::{Rule, Ruling, TickResults};
use crate::sim::world::ratio;

/// Like CodeDeploy's `Canary10Percent5Minutes` with an alarm: more than 2 % errors in each of two minutes in a row.
#[derive(Default)]
pub struct CodeDeploy {
    period: PeriodSums,
    in_a_row: u32,
}

impl CodeDeploy {
    const BAKE: Duration = Duration::from_secs(300);
}

impl Rule for CodeDeploy {
    fn weight(&self) -> Weight {
        Weight::from_bp(1_000).unwrap_or(Weight::FULL)
    }

    fn judge(&mut self, results: &TickResults<'_>) -> Ruling {
        if let Some(counts) = self.period.add(results, Duration::from_secs(60)) {
            let alarm = ratio(counts.errors, counts.requests).is_some_and(|rate| rate > 0.02);
            self.in_a_row = if alarm { self.in_a_row + 1 } else { 0 };
        }
        Ruling::of(self.in_a_row >= 2, results.now >= CodeDeploy::BAKE)
    }
}
