//! The active buckets of a window as rows to compute with, and the shocks that all rows share.

use super::baseline::{Baseline, Rate};
use super::likelihood::log_latency_variance;
use super::metric::{COUNTED, Metric};
use super::shock::{self, RateShock};

/// The counts of one active bucket in a window.
#[derive(Clone, Debug)]
pub(super) struct BucketRow<'a> {
    pub bucket: usize,
    pub canary: bool,
    /// The bucket was never on the canary before this step, so this step could have drawn it.
    pub fresh: bool,
    /// An examination found that the trouble is the workspace's own: the bucket can lose a bet, but cannot win one.
    pub refuted: bool,
    pub requests: f64,
    /// The requests with a latency.
    pub timed: f64,
    /// The requests that were compared with the latency marks.
    pub marked: f64,
    /// In the order of [`Metric::COUNTS`].
    pub counts: [f64; COUNTED],
    /// Σ ln(latency in µs).
    pub log_latency: f64,
    pub baseline: &'a Baseline,
}

impl BucketRow<'_> {
    pub fn exposed(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Errors | Metric::Late | Metric::Rejected => self.requests,
            Metric::Slow | Metric::VerySlow => self.marked,
            Metric::LogLatency => self.timed,
        }
    }

    pub fn rate(&self, metric: Metric) -> Rate {
        self.baseline.rates[metric as usize]
    }

    pub fn count(&self, metric: Metric) -> f64 {
        self.counts[metric as usize]
    }
}

/// All rows of a window, and the shocks that they share.
#[derive(Default)]
pub(super) struct BucketRows<'a> {
    pub rows: Vec<BucketRow<'a>>,
    pub shocks: Shocks,
}

impl<'a> BucketRows<'a> {
    pub fn of(rows: Vec<BucketRow<'a>>) -> BucketRows<'a> {
        BucketRows { shocks: Shocks::of(&rows), rows }
    }
}

/// The shared shocks, by metric.
#[derive(Default)]
pub(super) struct Shocks {
    /// In the order of [`Metric::COUNTS`].
    pub rates: [f64; COUNTED],
    pub latency: f64,
}

impl Shocks {
    fn of(rows: &[BucketRow<'_>]) -> Shocks {
        let mut rates: [RateShock; COUNTED] = Default::default();
        for row in rows {
            for (shock, metric) in rates.iter_mut().zip(Metric::COUNTS) {
                shock.add(row.count(metric), row.exposed(metric), row.rate(metric));
            }
        }
        Shocks { rates: rates.map(|shock| shock.found()), latency: latency_shock(rows) }
    }
}

/// The shared shock of a counted metric over all rows.
pub(super) fn rate_shock(rows: &[BucketRow<'_>], metric: Metric) -> f64 {
    shock::of_rate(rows.iter().map(|row| (row.count(metric), row.exposed(metric), row.rate(metric))))
}

/// The shared shock of the log-latency: how far all rows lie above their baselines.
pub(super) fn latency_shock(rows: &[BucketRow<'_>]) -> f64 {
    shock::of_latency(rows.iter().filter(|row| row.timed > 0.0).map(|row| {
        let deviation = row.log_latency / row.timed - row.baseline.log_mean;
        (deviation, log_latency_variance(row.timed, row.baseline.log_variance))
    }))
}
