//! Flagger, as far as its documents describe its canary analysis.

use std::time::Duration;

use super::period::PeriodSums;
use crate::core::Weight;
use crate::sim::rules::rule::{Rule, Ruling, TickResults};
use crate::sim::world::ratio;

/// Like Flagger: a minute with at least 99 % successes and at most 1 % slower than 500 ms raises the canary by 10 points, up to 50
/// %, and then to 100 %. The fifth failed minute takes it back; a minute without requests has failed.
pub struct Flagger {
    step: u16,
    period: PeriodSums,
    failures: u32,
}

impl Default for Flagger {
    fn default() -> Flagger {
        Flagger { step: 1, period: PeriodSums::default(), failures: 0 }
    }
}

impl Rule for Flagger {
    fn weight(&self) -> Weight {
        Weight::from_bp(1_000 * self.step).unwrap_or(Weight::FULL)
    }

    fn judge(&mut self, results: &TickResults<'_>) -> Ruling {
        let Some(counts) = self.period.add(results, Duration::from_secs(60)) else { return Ruling::GoOn };
        let most = |part: u32| ratio(part, counts.requests).is_some_and(|rate| rate <= 0.01);
        if !(most(counts.errors) && most(counts.above_half_second)) {
            self.failures += 1;
            return if self.failures >= 5 { Ruling::RolledBack } else { Ruling::GoOn };
        }
        if self.step == 5 {
            return Ruling::Promoted;
        }
        self.step += 1;
        Ruling::GoOn
    }
}
