//! What hits everybody at once: an outage behind both tracks, a busy hour. It is found without the labels, from all
//! buckets, and taken out before anyone is compared.

use super::baseline::Rate;

/// Rounds of finding the shock and bounding by it what one bucket may add to it.
const ROUNDS: usize = 6;

/// By what factor the counts of all buckets lie above what was to be expected. `buckets` gives x, n and the usual rate.
///
/// `s = (Σx + 2)/(Σn·p̂ + 2)`, then six times with x bounded by `3s·n·p̂ + 2`.
pub(super) fn of_rate(buckets: impl Iterator<Item = (f64, f64, Rate)> + Clone) -> f64 {
    let (mut sum, mut expected) = (2.0, 2.0);
    for (x, n, rate) in buckets.clone() {
        sum += x;
        expected += n * rate.mean();
    }
    if expected <= 2.0 {
        return 1.0;
    }
    let mut shock = sum / expected;
    for _ in 0..ROUNDS {
        sum = 2.0;
        for (x, n, rate) in buckets.clone() {
            sum += x.min(3.0 * shock * (n * rate.mean()) + 2.0);
        }
        shock = sum / expected;
    }
    shock
}

/// By how much the log-latencies of all buckets lie above their bases. `buckets` gives the deviation of each bucket's
/// mean from its base and that deviation's variance v.
///
/// The 1/v-weighted mean, found again twice with deviations bounded by 3√v.
pub(super) fn of_latency(buckets: impl Iterator<Item = (f64, f64)> + Clone) -> f64 {
    let mean = |bound: Option<f64>| {
        let (mut weight, mut sum) = (1e-12, 0.0);
        for (deviation, variance) in buckets.clone() {
            let bounded = match bound {
                None => deviation,
                Some(shock) => shock + (deviation - shock).clamp(-3.0 * variance.sqrt(), 3.0 * variance.sqrt()),
            };
            weight += 1.0 / variance;
            sum += bounded / variance;
        }
        sum / weight
    };
    let shock = mean(None);
    let shock = mean(Some(shock));
    mean(Some(shock))
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
