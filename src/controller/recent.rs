//! Both tracks' latencies and connections of the last two minutes, and the latencies of the whole step: for the limits
//! that an operator states, and for whether the canary takes connections.

use std::collections::VecDeque;
use std::time::Duration;

use crate::core::evidence::Exposure;
use crate::core::{Connections, Latencies, Observed, Quantile, Track};

#[derive(Debug, Default)]
pub(super) struct Recent {
    slots: VecDeque<Slot>,
    latencies: [Latencies; 2],
    step: [Latencies; 2],
}

/// By track.
#[derive(Debug)]
struct Slot {
    began: Duration,
    latencies: [Latencies; 2],
    connections: [Connections; 2],
}

const RECENT: Duration = Duration::from_secs(120);
const SLOT: Duration = Duration::from_secs(5);

impl Recent {
    pub fn add(&mut self, now: Duration, latencies: [Latencies; 2], connections: [Connections; 2]) {
        while let Some(old) = self.slots.pop_front_if(|slot| slot.began + RECENT <= now) {
            self.latencies.iter_mut().zip(&old.latencies).for_each(|(sum, old)| sum.take_out(old));
        }
        for sums in [&mut self.latencies, &mut self.step] {
            sums.iter_mut().zip(&latencies).for_each(|(sum, new)| sum.merge(new));
        }
        match self.slots.back_mut().filter(|slot| now < slot.began + SLOT) {
            Some(slot) => {
                slot.latencies.iter_mut().zip(&latencies).for_each(|(sum, new)| sum.merge(new));
                slot.connections.iter_mut().zip(connections).for_each(|(sum, new)| *sum += new);
            }
            None => self.slots.push_back(Slot { began: now, latencies, connections }),
        }
    }

    /// The canary's, and stable's, of the last two minutes.
    pub fn connections(&self) -> [Connections; 2] {
        [Track::Canary, Track::Stable].map(|track| {
            let mut sum = Connections::default();
            self.slots.iter().for_each(|slot| sum += slot.connections[track as usize]);
            sum
        })
    }

    /// What the limits look at, by track: the last two minutes, and the step so far.
    pub fn observed(&self, recently: [Exposure; 2], in_step: [Exposure; 2]) -> [[Observed; 2]; 2] {
        [of(recently, &self.latencies), of(in_step, &self.step)]
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
