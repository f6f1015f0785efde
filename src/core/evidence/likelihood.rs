//! The formulas for one bucket: how much likelier its outcomes are if the canary adds some harm, and what may be bet on that.
//! `bets` computes the same for many buckets at once.

use super::baseline::{LOG_VARIANCE, Rate};

/// The greatest log-ratio of a single bucket, so that `exp` stays in range.
pub(super) const RATIO_MOST: f64 = 25.0;

/// θ: the factor by which δ more events multiply the rate, at most up to a probability of 1.
pub(super) fn raised(added: f64, expected: f64) -> f64 {
    (1.0 + added / expected).min(raised_most(expected))
}

#[inline(always)]
pub(super) fn raised_most(expected: f64) -> f64 {
    (1.0 / (expected + 1e-9)).max(1.0001)
}

/// ln of the likelihood ratio of x events in n requests: a rate raised by `added` against the usual one, with the rate
/// itself only believed, Gamma(a, c), and multiplied by today's `shock`.
///
/// `L = x ln θ − (a + x) ln((c + θsn)/(c + sn))`, at most 25.
pub(super) fn added_rate(x: f64, n: f64, rate: Rate, shock: f64, added: f64) -> f64 {
    let theta = raised(added, shock * rate.mean());
    let sn = shock * n;
    (x * theta.ln() - (rate.a + x) * ((rate.c + theta * sn) / (rate.c + sn)).ln()).min(RATIO_MOST)
}

/// The variance of a bucket's mean log-latency around its base.
pub(super) fn log_latency_variance(n: f64, base_variance: f64) -> f64 {
    LOG_VARIANCE / n + base_variance
}

/// The same for the mean of the log-latency, shifted by `added`: `L = δd/v − δ²/2v`, at most 25.
pub(super) fn shifted_latency(deviation: f64, variance: f64, added: f64) -> f64 {
    (added * deviation / variance - 0.5 * added * added / variance).min(RATIO_MOST)
}

/// The bet on a bucket before it is bounded: `share` of the belief is on its ratio, the rest on 'not this one'. For the tests only;
/// `bets` computes it for many buckets at once.
#[cfg(test)]
pub(super) fn plain_bet(log_ratio: f64, share: f64) -> f64 {
    1.0 - share + share * log_ratio.exp()
}

/// Bounds the bet: never a factor above `cap + 1`, and scaled so that a bet of 1 stays 1.
#[cfg(test)]
pub(super) fn bounded(plain: f64, cap: f64) -> f64 {
    plain * (1.0 + 1.0 / cap) / (1.0 + plain / cap)
}

/// What the bet g pays once the bucket's label is seen, if a label is canary with probability f. Its mean is 1.
#[cfg(test)]
pub(super) fn label_bet(g: f64, f: f64, canary: bool) -> f64 {
    (if canary { g } else { 1.0 }) / (1.0 - f + f * g)
}

/// Like [`label_bet`], but a refuted bucket cannot win.
#[cfg(test)]
pub(super) fn refuted_bet(g: f64, f: f64) -> f64 {
    label_bet(g, f, true).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::evidence::golden::{self, close};
    use proptest::prelude::*;

    fn rate(v: &serde_json::Value) -> Rate {
        Rate { a: golden::number(&v["a"]), c: golden::number(&v["b"]) }
    }

    #[test]
    fn added_rates_are_the_golden_ones() {
        for key in ["lr_poisson", "v2_lr_poisson"] {
            for v in golden::list(key) {
                let of = |name: &str| golden::number(&v[name]);
                let got = added_rate(of("X"), of("N"), rate(&v), of("s"), of("delta"));
                close(got, of("loglr"), &v);
                if let Some(theta) = v["theta"].as_f64() {
                    close(raised(of("delta"), of("s") * rate(&v).mean()), theta, &v);
                }
            }
        }
    }

    #[test]
    fn shifted_latencies_are_the_golden_ones() {
        for v in golden::list("lr_loglat") {
            let of = |name: &str| golden::number(&v[name]);
            let variance = log_latency_variance(of("n"), of("bv"));
            close(shifted_latency(of("mean") - of("base") - of("shock"), variance, of("delta")), of("loglr"), &v);
        }
    }

    #[test]
    fn bets_are_the_golden_ones() {
        for v in golden::list("cap") {
            let of = |name: &str| golden::number(&v[name]);
            close(bounded(plain_bet(of("loglr"), of("pi")), of("G")), of("g"), &v);
        }
        for v in golden::list("label") {
            let of = |name: &str| golden::number(&v[name]);
            close(label_bet(of("g"), of("f"), v["canary"] == 1).ln(), of("loge"), &v);
        }
        for v in golden::list("v2_refuted") {
            let of = |name: &str| golden::number(&v[name]);
            close(refuted_bet(of("g"), of("f")).ln(), of("loge"), &v);
        }
    }

    proptest! {
        /// This is why wealth is evidence: with fair labels every bet pays 1 on average.
        #[test]
        fn a_label_bet_is_fair(log_ratio in -30.0..25.0_f64, share in 0.01..1.0_f64, cap in 1.0..200.0_f64, f in 0.0001..0.9999_f64) {
            let g = bounded(plain_bet(log_ratio, share), cap);
            let mean = f * label_bet(g, f, true) + (1.0 - f) * label_bet(g, f, false);
            prop_assert!((mean - 1.0).abs() < 1e-9, "{}", mean);
            prop_assert!(g <= cap + 1.0 + 1e-9);
        }
    }
}
