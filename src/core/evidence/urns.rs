//! The urns of U and N. In each step a fresh bucket is drawn from an urn when it first looks bad: for each alternative from
//! one urn at L > 1.5 and one at L > 4; and if it is newly broken, by errors or by rejections, from one at L > 4 with two bad
//! requests and one at L > 7 with three.

use serde::{Deserialize, Serialize};

use super::bets::SEEN_FROM;
use super::labels::Labels;
use super::likelihood::added_rate;
use super::metric::{ALTERNATIVES, COUNT_OF_ALTERNATIVES, Metric, log_sum, mix};
use super::rows::BucketRow;
use super::urn::{Drawn, Urn};
use crate::core::sparse::ByBucket;

const LOOKS_BAD: [f64; 2] = [SEEN_FROM, 4.0];
const STAKES: [f64; 2] = [3.0, 20.0];

/// (L, bad requests).
const BROKEN: [(f64, f64); 2] = [(4.0, 2.0), (7.0, 3.0)];
const BROKEN_STAKES: [f64; 3] = [20.0, 100.0, 1000.0];
/// A newly broken workspace has this many more bad requests, as a share of all.
pub(super) const BROKEN_BY: f64 = 0.5;
/// The metrics of N, and the part of each in N.
const BREAKS: [(Metric, f64); 2] = [(Metric::Errors, 0.7), (Metric::Rejected, 0.3)];

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Urns {
    /// By alternative, then by threshold.
    urns: Vec<Urn<2>>,
    /// By metric, then by threshold.
    broken: Vec<Urn<3>>,
    /// For each bucket, a bit for each urn from which it was drawn in this step.
    drawn: ByBucket<u64>,
    /// The draws of canary buckets, which may have to be taken back.
    canary_draws: Vec<(usize, Which, Drawn)>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Which {
    Bad(usize),
    Broken(usize),
}

const _: () = assert!(COUNT_OF_ALTERNATIVES * LOOKS_BAD.len() + BREAKS.len() * BROKEN.len() <= u64::BITS as usize);

impl Which {
    fn bit(self) -> u64 {
        match self {
            Which::Bad(number) => 1 << number,
            Which::Broken(number) => 1 << (COUNT_OF_ALTERNATIVES * LOOKS_BAD.len() + number),
        }
    }
}

impl Urns {
    pub fn new() -> Urns {
        Urns {
            urns: vec![Urn::new(0, 0); COUNT_OF_ALTERNATIVES * LOOKS_BAD.len()],
            broken: vec![Urn::new(0, 0); BREAKS.len() * BROKEN.len()],
            drawn: ByBucket::new(0),
            canary_draws: Vec::new(),
        }
    }

    /// Begins a step: all fresh buckets are in the urns again.
    pub fn refill(&mut self, labels: &Labels) {
        let (canary, fresh) = labels.fresh_sizes();
        self.urns.iter_mut().for_each(|urn| urn.refill(canary, fresh));
        self.broken.iter_mut().for_each(|urn| urn.refill(canary, fresh));
        self.drawn.clear();
    }

    /// Draws a fresh bucket from the urns of an alternative under which it now looks bad.
    pub fn look(&mut self, alternative: usize, row: &BucketRow<'_>, log_ratio: f64) {
        for (i, threshold) in LOOKS_BAD.iter().enumerate() {
            if log_ratio > *threshold {
                self.draw(Which::Bad(alternative * LOOKS_BAD.len() + i), row);
            }
        }
    }

    /// Draws the fresh buckets that look newly broken. `shock` returns the shared shock of a metric.
    pub fn look_for_newly_broken(&mut self, rows: &[BucketRow<'_>], shock: impl Fn(Metric) -> f64) {
        for (i, (metric, _)) in BREAKS.iter().enumerate() {
            let shock = shock(*metric);
            for row in rows.iter().filter(|row| row.fresh && row.count(*metric) >= BROKEN[0].1) {
                let log_ratio = added_rate(row.count(*metric), row.exposed(*metric), row.rate(*metric), shock, BROKEN_BY);
                for (j, (threshold, least)) in BROKEN.iter().enumerate() {
                    if row.count(*metric) >= *least && log_ratio > *threshold {
                        self.draw(Which::Broken(i * BROKEN.len() + j), row);
                    }
                }
            }
        }
    }

    fn draw(&mut self, which: Which, row: &BucketRow<'_>) {
        if self.drawn.get(row.bucket) & which.bit() != 0 {
            return;
        }
        *self.drawn.at(row.bucket) |= which.bit();
        let drawn = match which {
            Which::Bad(number) => self.urns[number].draw(row.canary, &STAKES),
            Which::Broken(number) => self.broken[number].draw(row.canary, &BROKEN_STAKES),
        };
        if row.canary {
            self.canary_draws.push((row.bucket, which, drawn));
        }
    }

    /// Takes back what a canary bucket won, because it has been refuted.
    pub fn take_back(&mut self, bucket: usize) {
        for (_, which, drawn) in self.canary_draws.iter().filter(|(of, _, _)| *of == bucket) {
            match which {
                Which::Bad(number) => self.urns[*number].take_back(*drawn, &STAKES),
                Which::Broken(number) => self.broken[*number].take_back(*drawn, &BROKEN_STAKES),
            }
        }
        self.canary_draws.retain(|(of, _, _)| *of != bucket);
    }

    /// U: over the alternatives by their priors, over thresholds and stakes evenly.
    pub fn log_wealth(&self) -> f64 {
        let of = |alternative: usize| {
            let urns = &self.urns[alternative * LOOKS_BAD.len()..][..LOOKS_BAD.len()];
            log_sum(urns.iter().map(Urn::log_mean)) - (LOOKS_BAD.len() as f64).ln()
        };
        mix(&std::array::from_fn::<f64, { ALTERNATIVES.len() }, _>(of))
    }

    /// N.
    pub fn log_newly_broken(&self) -> f64 {
        let parts = BREAKS.iter().enumerate().flat_map(|(i, (_, part))| {
            let urns = &self.broken[i * BROKEN.len()..][..BROKEN.len()];
            urns.iter().map(move |urn| urn.log_mean() + (part / BROKEN.len() as f64).ln())
        });
        log_sum(parts)
    }
}
