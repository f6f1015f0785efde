//! What affects all buckets at once: an outage behind both tracks, or a busy hour. It is computed from all buckets without their
//! labels, and removed before buckets are compared.

use super::baseline::Rate;

/// How often the shock is computed again, with each bucket's part bounded by the shock before.
const ROUNDS: usize = 6;

/// The least bound on a bucket's part of the shock.
const BOUND_LEAST: f64 = 2.0;

/// The factor by which the counts of all buckets lie above the expected.
///
/// `s = (Σx + 2)/(Σn·p̂ + 2)`, then six times with x bounded by `3s·n·p̂ + 2`.
pub(super) struct RateShock {
    expected: f64,
    /// The sum of the counts that no bound changes.
    small: f64,
    /// The other counts: x and n·p̂.
    large: Vec<(f64, f64)>,
}

impl Default for RateShock {
    fn default() -> RateShock {
        RateShock { expected: 2.0, small: 2.0, large: Vec::new() }
    }
}

impl RateShock {
    /// Adds a bucket with x in n requests, and its usual rate.
    pub fn add(&mut self, x: f64, n: f64, rate: Rate) {
        let expected = n * rate.mean();
        self.expected += expected;
        if x <= BOUND_LEAST {
            self.small += x;
        } else {
            self.large.push((x, expected));
        }
    }

    pub fn found(&self) -> f64 {
        if self.expected <= 2.0 {
            return 1.0;
        }
        let mut shock = (self.small + sum(&self.large, |(x, _)| x)) / self.expected;
        for _ in 0..ROUNDS {
            let before = shock;
            shock = (self.small + sum(&self.large, |(x, expected)| x.min(3.0 * before * expected + BOUND_LEAST))) / self.expected;
            if shock == before {
                break;
            }
        }
        shock
    }
}

/// Adds up in four sums at once: an addition need not wait for the one before.
fn sum<T: Copy>(list: &[T], value: impl Fn(T) -> f64) -> f64 {
    let mut sums = [0.0; 4];
    let (fours, rest) = list.as_chunks::<4>();
    for four in fours {
        for (sum, one) in sums.iter_mut().zip(four) {
            *sum += value(*one);
        }
    }
    rest.iter().zip(&mut sums).for_each(|(one, sum)| *sum += value(*one));
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// The shock of buckets that are given by x, n and the usual rate.
pub(super) fn of_rate(buckets: impl Iterator<Item = (f64, f64, Rate)>) -> f64 {
    let mut shock = RateShock::default();
    buckets.for_each(|(x, n, rate)| shock.add(x, n, rate));
    shock.found()
}

/// How far the log-latencies of all buckets lie above their baselines. `buckets` gives the deviation of each bucket's mean from its
/// baseline, and that deviation's variance v.
///
/// The 1/v-weighted mean, computed again twice with deviations bounded by 3√v.
pub(super) fn of_latency(buckets: impl Iterator<Item = (f64, f64)>) -> f64 {
    let buckets: Vec<_> = buckets.map(|(deviation, variance)| (deviation, 1.0 / variance, 3.0 * variance.sqrt())).collect();
    let weight = 1e-12 + sum(&buckets, |(_, weight, _)| weight);
    let mut shock = sum(&buckets, |(deviation, weight, _)| deviation * weight) / weight;
    for _ in 0..2 {
        let bounded = |deviation: f64, most: f64| shock + (deviation - shock).max(-most).min(most);
        shock = sum(&buckets, |(deviation, weight, most)| bounded(deviation, most) * weight) / weight;
    }
    shock
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::evidence::golden::{self, close};

    #[test]
    fn shocks_are_the_golden_ones() {
        for key in ["eval", "v2_eval"] {
            let v = golden::value(key);
            let n = golden::numbers(&v["N"]);
            for (j, shock) in golden::numbers(&v["shock"]).into_iter().enumerate() {
                let (x, a, c) = (golden::numbers(&v["X"][j]), golden::numbers(&v["a"][j]), golden::numbers(&v["b"][j]));
                let got = of_rate((0..n.len()).map(|i| (x[i], n[i], Rate { a: a[i], c: c[i] })));
                close(got, shock, &v);
            }
        }
    }

    #[test]
    fn one_broken_customer_is_no_shock() {
        let rate = Rate { a: 0.5, c: 100.0 };
        let calm = (0..100).map(|_| (1.0, 200.0, rate));
        let broken = calm.clone().chain([(200.0, 200.0, rate)]);
        let (calm, broken) = (of_rate(calm), of_rate(broken));
        assert!((calm - 1.0).abs() < 0.05 && broken < 1.1, "{calm} {broken}");
        let latencies = (0..100).map(|_| (0.1, 0.01)).chain([(5.0, 0.01)]);
        assert!((of_latency(latencies) - 0.1).abs() < 0.01);
    }
}
