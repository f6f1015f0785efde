//! Latencies: 30 ms·e^z, where z is normal with σ 0.7 for 97 of 100 requests, and 1 plus an exponential with mean 0.8 for the
//! others, the slow tail that every service has. Everything here is in z, the logarithm of the latency over 30 ms.

/// The latency at z = 0, in microseconds.
pub const UNIT_MICROS: f64 = 30_000.0;
/// The standard deviation of z between workspaces.
pub const WORKSPACE_SIGMA: f64 = 0.3;

const BODY_SIGMA: f64 = 0.7;
const TAIL_SHARE: f64 = 0.03;
const TAIL_FROM: f64 = 1.0;
const TAIL_MEAN: f64 = 0.8;

/// The range of the tables: at `LEAST` the body has 1 part in 10^8 left, at `MOST` the tail has.
const LEAST: f64 = -4.0;
const MOST: f64 = 14.0;
const CELLS: usize = 18_000;
/// A power of two, so that a draw takes a few bits.
const QUANTILES: usize = 1 << 14;

pub struct Latency {
    /// z at the middle of each 1/16,384 of the requests.
    quantiles: Box<[f64]>,
    /// P(Z ≤ z) and the logarithm of the density, on the grid.
    below: Box<[f64]>,
    log_density: Box<[f64]>,
    pub marks: SlowMarks,
}

/// The thresholds of slow answers, in z: quantiles over all workspaces, and one that people set by hand.
#[derive(Clone, Copy, Debug)]
pub struct SlowMarks {
    pub p90: f64,
    pub p99: f64,
    pub p99_5: f64,
    pub half_second: f64,
}

impl Default for Latency {
    fn default() -> Latency {
        let density: Vec<f64> = (0..=CELLS).map(|i| density(place(i))).collect();
        let mut below = vec![0.0; CELLS + 1];
        for i in 1..=CELLS {
            below[i] = below[i - 1] + (density[i - 1] + density[i]) / 2.0 * step();
        }
        let all = below[CELLS];
        below.iter_mut().for_each(|p| *p /= all);
        let quantiles = (0..QUANTILES).map(|i| quantile(&below, (i as f64 + 0.5) / QUANTILES as f64)).collect();
        let marks = SlowMarks { p90: 0.0, p99: 0.0, p99_5: 0.0, half_second: (500_000.0 / UNIT_MICROS).ln() };
        let log_density = density.iter().map(|d| (d + 1e-300).ln()).collect();
        let mut latency = Latency { quantiles, below: below.into(), log_density, marks };
        latency.marks = SlowMarks { p90: latency.pooled(0.1), p99: latency.pooled(0.01), p99_5: latency.pooled(0.005), ..marks };
        latency
    }
}

impl Latency {
    /// One request's z, from 14 random bits.
    pub fn draw(&self, bits: u64) -> f64 {
        self.quantiles[bits as usize % QUANTILES]
    }

    /// P(Z > z).
    pub fn above(&self, z: f64) -> f64 {
        let at = ((z - LEAST) / step()).clamp(0.0, CELLS as f64 - 1e-9);
        let (i, part) = (at as usize, at.fract());
        1.0 - (self.below[i] + (self.below[i + 1] - self.below[i]) * part)
    }

    /// The z that this share of a workspace's requests exceeds.
    pub fn slowest(&self, share: f64) -> f64 {
        quantile(&self.below, 1.0 - share)
    }

    /// The mean of z.
    pub fn mean(&self) -> f64 {
        TAIL_SHARE * (TAIL_FROM + TAIL_MEAN)
    }

    pub fn log_density(&self, z: f64) -> f64 {
        self.log_density[((z - LEAST) / step()).clamp(0.0, CELLS as f64) as usize]
    }

    /// The z that this share of all requests exceeds, over workspaces that differ by `WORKSPACE_SIGMA`.
    fn pooled(&self, share: f64) -> f64 {
        let (mut low, mut high) = (LEAST, MOST);
        for _ in 0..60 {
            let middle = (low + high) / 2.0;
            if self.above_pooled(middle) > share {
                low = middle;
            } else {
                high = middle;
            }
        }
        low
    }

    fn above_pooled(&self, z: f64) -> f64 {
        /// Up to 5 σ, in steps of 0.1 σ.
        const SIDE: i32 = 50;
        let weight = |i: i32| (-0.5 * (f64::from(i) / 10.0).powi(2)).exp();
        let (mut sum, mut weights) = (0.0, 0.0);
        for i in -SIDE..=SIDE {
            sum += weight(i) * self.above(z - WORKSPACE_SIGMA * f64::from(i) / 10.0);
            weights += weight(i);
        }
        sum / weights
    }
}

fn step() -> f64 {
    (MOST - LEAST) / CELLS as f64
}

fn place(i: usize) -> f64 {
    LEAST + step() * i as f64
}

fn density(z: f64) -> f64 {
    let body = (-0.5 * (z / BODY_SIGMA).powi(2)).exp() / (BODY_SIGMA * std::f64::consts::TAU.sqrt());
    let tail = if z >= TAIL_FROM { (-(z - TAIL_FROM) / TAIL_MEAN).exp() / TAIL_MEAN } else { 0.0 };
    (1.0 - TAIL_SHARE) * body + TAIL_SHARE * tail
}

fn quantile(below: &[f64], share: f64) -> f64 {
    let i = below.partition_point(|p| *p < share).clamp(1, CELLS);
    let within = (share - below[i - 1]) / (below[i] - below[i - 1]).max(1e-300);
    LEAST + step() * (i as f64 - 1.0 + within.clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::dice::Dice;

    #[test]
    fn the_marks_are_the_quantiles_of_all_workspaces_requests() {
        let latency = Latency::default();
        let mut dice = Dice::new(1, "latency");
        let draws: Vec<f64> = (0..200_000).map(|_| latency.draw(dice.bits()) + dice.normal(WORKSPACE_SIGMA)).collect();
        let above = |mark: f64| draws.iter().filter(|z| **z > mark).count() as f64 / draws.len() as f64;
        let marks = latency.marks;
        // The bounds are five standard errors.
        for (mark, share, bound) in [(marks.p90, 0.1, 0.0034), (marks.p99, 0.01, 0.0012), (marks.p99_5, 0.005, 0.0008)] {
            assert!((above(mark) - share).abs() < bound, "{} above {mark}, not {share}", above(mark));
        }
        assert!((UNIT_MICROS * marks.half_second.exp() - 500_000.0).abs() < 1e-6);
    }

    #[test]
    fn the_body_and_the_tail_are_as_written() {
        let latency = Latency::default();
        assert!((latency.above(0.0) - 0.515).abs() < 1e-3, "{}", latency.above(0.0));
        // Beyond 2.8 (4 σ) there is only the tail: .03·e^(−1.8/.8).
        assert!((latency.above(2.8) / (0.03 * (-1.8_f64 / 0.8).exp() + 0.97 * 3.17e-5) - 1.0).abs() < 0.01);
        assert!((latency.above(latency.slowest(0.02)) - 0.02).abs() < 1e-6);
        assert!((latency.log_density(0.0).exp() - 0.97 * 0.56992).abs() < 1e-3);
    }
}
