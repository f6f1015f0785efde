//! Both tracks' latencies of the last two minutes and of the whole step, for the limits that an operator states.

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::evidence::Exposure;
use crate::core::{Latencies, Observed, Quantile};

#[derive(Debug, Default)]
pub(super) struct RecentLatencies {
    slots: VecDeque<(Duration, [Latencies; 2])>,
    recent: [Latencies; 2],
    step: [Latencies; 2],
}

const RECENT: Duration = Duration::from_secs(120);
const SLOT: Duration = Duration::from_secs(5);

impl RecentLatencies {
    pub fn add(&mut self, now: Duration, latencies: [Latencies; 2]) {
        while let Some((_, old)) = self.slots.pop_front_if(|(began, _)| *began + RECENT <= now) {
            self.recent.iter_mut().zip(&old).for_each(|(sum, old)| sum.take_out(old));
        }
        for sums in [&mut self.recent, &mut self.step] {
            sums.iter_mut().zip(&latencies).for_each(|(sum, new)| sum.merge(new));
        }
        match self.slots.back_mut().filter(|(began, _)| now < *began + SLOT) {
            Some((_, slot)) => slot.iter_mut().zip(&latencies).for_each(|(sum, new)| sum.merge(new)),
            None => self.slots.push_back((now, latencies)),
        }
    }

    /// What the limits look at, by track: the last two minutes, and the step so far.
    pub fn observed(&self, recently: [Exposure; 2], in_step: [Exposure; 2]) -> [[Observed; 2]; 2] {
        [of(recently, &self.recent), of(in_step, &self.step)]
    }
}

fn of(exposures: [Exposure; 2], latencies: &[Latencies; 2]) -> [Observed; 2] {
    let observed = |track: usize| {
        let tally = exposures[track].tally;
        let quantile = |quantile: Quantile| latencies[track].quantile(quantile.share());
        let quantiles = match (quantile(Quantile::P50), quantile(Quantile::P90), quantile(Quantile::P99)) {
            (Some(p50), Some(p90), Some(p99)) => Some([p50, p90, p99]),
            _ => None,
        };
        Observed { requests: tally.requests, errors: tally.errors, late: tally.late, quantiles }
    };
    [observed(0), observed(1)]
}
