//! How much harm the canary could still do without having shown it. Every raise must pass this. It is not enough that no evidence
//! was found: there must have been enough requests to find it.

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::rows::BucketRow;

/// An upper bound on the errors that the canary adds, as a share of its requests, at about 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct HarmBound(pub f64);

/// One-sided 95 %.
const SIGMAS: f64 = 1.64;
/// Added, so that a few requests without an error prove nothing.
const DOUBT: f64 = 1.5;

/// A bucket that usually fails more often than this is too noisy to show what a canary adds.
const NOISY: f64 = 0.05;

/// `(T + 1.64 √V + 1.5)/N` over the canary's buckets that are not refuted, with `r = x − s·n·p̂`, `T = Σr` and
/// `V = Σ(r² + s·n·p̂)`; or the same without those that are noisy by their past, if that is less. Today's shock s is that
/// of stable's buckets alone, each bounded by `5·n·p̂ + 3`.
pub(super) fn bound(rows: &[BucketRow<'_>]) -> HarmBound {
    let expected = |row: &BucketRow<'_>| row.requests * row.rate(Metric::Errors).mean();
    let (mut sum, mut usual) = (2.0, 2.0);
    for row in rows.iter().filter(|row| !row.canary) {
        sum += row.count(Metric::Errors).min(5.0 * expected(row) + 3.0);
        usual += expected(row);
    }
    let shock = sum / usual;
    let of_canary = || rows.iter().filter(|row| row.canary && !row.refuted);
    let quiet = of_canary().filter(|row| row.rate(Metric::Errors).mean() < NOISY);
    HarmBound(over(of_canary(), shock).min(over(quiet, shock)))
}

fn over<'a>(rows: impl Iterator<Item = &'a BucketRow<'a>>, shock: f64) -> f64 {
    let (mut total, mut variance, mut requests) = (0.0, 0.0, 0.0);
    for row in rows {
        let usual = shock * row.requests * row.rate(Metric::Errors).mean();
        let excess = row.count(Metric::Errors) - usual;
        total += excess;
        variance += excess * excess + usual;
        requests += row.requests;
    }
    (total + SIGMAS * f64::sqrt(variance) + DOUBT) / f64::max(requests, 1.0)
}

/// The harm bound that is tolerated before a raise to `next` (a share): such harm would cost the bot as a whole at most `tolerated`
/// of its requests, and in any case at most half of the canary's.
pub fn tolerable(tolerated: f64, next: f64) -> f64 {
    (tolerated / next).min(0.5)
}

impl HarmBound {
    /// Estimates how many requests the canary needs in total until this bound, which rests on `requests` of them, falls to
    /// `tolerated`, if the traffic stays as it was. Then the sum in the bound grows with the square root of the requests, except
    /// for the doubt: `(a·√N + 1.5)/N = tolerated`, a quadratic equation in √N.
    pub fn requests_needed(self, requests: f64, tolerated: f64) -> f64 {
        let spread = (self.0 * requests - DOUBT).max(0.0) / requests.max(1.0).sqrt();
        let root = (spread + (spread * spread + 4.0 * tolerated * DOUBT).sqrt()) / (2.0 * tolerated);
        root * root
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::evidence::baseline::{Baseline, Rate};
    use crate::core::evidence::metric::COUNTED;

    fn row(baseline: &Baseline, canary: bool, requests: f64, errors: f64) -> BucketRow<'_> {
        let mut counts = [0.0; COUNTED];
        counts[0] = errors;
        BucketRow {
            bucket: 0,
            canary,
            fresh: true,
            refuted: false,
            requests,
            timed: requests,
            marked: requests,
            counts,
            log_latency: 0.0,
            baseline,
        }
    }

    /// Computed by hand: s = (2 + 1)/(2 + 2) = .75, e = .75, r = 1.25, T = 1.25, V = 1.5625 + .75.
    #[test]
    fn the_bound_is_what_the_formula_says() {
        let baseline = Baseline { rates: [Rate { a: 1.0, c: 100.0 }; COUNTED], log_mean: 0.0, log_variance: 1.0 };
        let rows = [row(&baseline, false, 200.0, 1.0), row(&baseline, true, 100.0, 2.0)];
        let expected = (1.25 + 1.64 * (1.5625_f64 + 0.75).sqrt() + 1.5) / 100.0;
        assert!((bound(&rows).0 - expected).abs() < 1e-12);
        let refuted = [rows[0].clone(), BucketRow { refuted: true, ..rows[1].clone() }];
        assert_eq!(bound(&refuted), HarmBound(1.5));
    }

    #[test]
    fn a_customer_that_always_fails_does_not_hide_what_the_others_show() {
        let noisy = Baseline { rates: [Rate { a: 6.0, c: 40.0 }; COUNTED], log_mean: 0.0, log_variance: 1.0 };
        let quiet = Baseline { rates: [Rate { a: 1.0, c: 1000.0 }; COUNTED], ..noisy };
        let others = [row(&quiet, false, 2_000.0, 2.0), row(&quiet, true, 1_000.0, 1.0)];
        let all = [others[0].clone(), others[1].clone(), row(&noisy, true, 2_000.0, 400.0)];
        assert!(bound(&all) == bound(&others) && bound(&others).0 < 0.005, "{:?}", bound(&all));
    }

    #[test]
    fn what_is_needed_is_what_brings_the_bound_down() {
        // Without an error the bound is 1.5/N: 300 requests for half a per cent.
        assert!((HarmBound(0.015).requests_needed(100.0, 0.005) - 300.0).abs() < 1e-9);
        // With a sum of 5.5 at 100 requests, 4 of it spread: (4·√(N/100) + 1.5)/N.
        let needed = HarmBound(0.055).requests_needed(100.0, 0.02);
        assert!(((4.0 * (needed / 100.0).sqrt() + 1.5) / needed - 0.02).abs() < 1e-12, "{needed}");
        assert!(HarmBound(0.01).requests_needed(1_000.0, 0.02) < 1_000.0, "enough is enough");
    }

    #[test]
    fn a_small_step_may_follow_on_little_and_a_great_one_may_not() {
        assert!((tolerable(0.005, 0.05) - 0.1).abs() < 1e-12);
        assert_eq!(tolerable(0.005, 0.005), 0.5);
        assert_eq!(tolerable(0.005, 1.0), 0.005);
    }
}
