//! The rules of widespread tools, as far as their documents describe them: rules over the sums of each track. They see no workspaces.

mod kayenta;

use std::time::Duration;

use crate::core::Weight;
use crate::sim::rules::rule::{Next, RAMP, RAMP_STEP, Rule, Seen, ramp};
use crate::sim::world::{Counts, ratio};

pub use kayenta::Kayenta;

/// Sums up ticks until a period is over.
#[derive(Default)]
struct Period {
    canary: Counts,
    /// The number of periods that have ended.
    ended: u32,
}

impl Period {
    /// Adds a tick. Returns the canary's sums at the end of each period.
    fn add(&mut self, seen: &Seen<'_>, length: Duration) -> Option<Counts> {
        self.canary += seen.canary;
        if seen.now < length * (self.ended + 1) {
            return None;
        }
        self.ended += 1;
        Some(std::mem::take(&mut self.canary))
    }
}

/// Like Argo Rollouts' analysis by success rate: at least 95 % in every five minutes; the third failure aborts. A period without
/// requests is not a failure.
#[derive(Default)]
pub struct Argo {
    now: Duration,
    period: Period,
    failures: u32,
}

impl Rule for Argo {
    fn weight(&self) -> Weight {
        ramp(self.now)
    }

    fn judge(&mut self, seen: &Seen<'_>) -> Next {
        self.now = seen.now;
        if let Some(counts) = self.period.add(seen, Duration::from_secs(300)) {
            self.failures += u32::from(ratio(counts.errors, counts.requests).is_some_and(|rate| rate > 0.05));
        }
        match self.failures >= 3 {
            true => Next::RolledBack,
            false => end_of_ramp(self.now),
        }
    }
}

/// Like Flagger: a minute with at least 99 % successes and at most 1 % slower than 500 ms raises the canary by 10 points, up to 50
/// %, and then to 100 %. The fifth failed minute takes it back; a minute without requests has failed.
pub struct Flagger {
    step: u16,
    period: Period,
    failures: u32,
}

impl Default for Flagger {
    fn default() -> Flagger {
        Flagger { step: 1, period: Period::default(), failures: 0 }
    }
}

impl Rule for Flagger {
    fn weight(&self) -> Weight {
        Weight::from_bp(1_000 * self.step).unwrap_or(Weight::FULL)
    }

    fn judge(&mut self, seen: &Seen<'_>) -> Next {
        let Some(counts) = self.period.add(seen, Duration::from_secs(60)) else { return Next::GoOn };
        let most = |part: u32| ratio(part, counts.requests).is_some_and(|rate| rate <= 0.01);
        if !(most(counts.errors) && most(counts.above_half_second)) {
            self.failures += 1;
            return if self.failures >= 5 { Next::RolledBack } else { Next::GoOn };
        }
        if self.step == 5 {
            return Next::Promoted;
        }
        self.step += 1;
        Next::GoOn
    }
}

/// Like CodeDeploy's `Canary10Percent5Minutes` with an alarm: more than 2 % errors in each of two minutes in a row.
#[derive(Default)]
pub struct CodeDeploy {
    period: Period,
    in_a_row: u32,
}

impl CodeDeploy {
    const BAKE: Duration = Duration::from_secs(300);
}

impl Rule for CodeDeploy {
    fn weight(&self) -> Weight {
        Weight::from_bp(1_000).unwrap_or(Weight::FULL)
    }

    fn judge(&mut self, seen: &Seen<'_>) -> Next {
        if let Some(counts) = self.period.add(seen, Duration::from_secs(60)) {
            let alarm = ratio(counts.errors, counts.requests).is_some_and(|rate| rate > 0.02);
            self.in_a_row = if alarm { self.in_a_row + 1 } else { 0 };
        }
        match (self.in_a_row >= 2, seen.now >= CodeDeploy::BAKE) {
            (true, _) => Next::RolledBack,
            (false, true) => Next::Promoted,
            (false, false) => Next::GoOn,
        }
    }
}

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

/// Promoted, once the usual ramp is over.
pub(super) fn end_of_ramp(now: Duration) -> Next {
    if now >= RAMP_STEP * RAMP.len() as u32 { Next::Promoted } else { Next::GoOn }
}

#[cfg(test)]
mod tests;
