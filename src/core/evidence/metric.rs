//! The metrics of the evidence, and the harms that it searches for: the alternatives, each with a prior.

use serde::{Deserialize, Serialize};

use crate::core::Tally;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metric {
    Errors,
    /// Slower than the bot's usual p90.
    Slow,
    Late,
    Rejected,
    /// Slower than the bot's usual p99.5.
    VerySlow,
    /// The mean of the logarithm of the latency.
    LogLatency,
}

/// The number of metrics that are counts. They index the arrays of a bucket's rates, in the order of [`Metric`].
pub(super) const COUNTED: usize = 5;

impl Metric {
    pub(super) const COUNTS: [Metric; COUNTED] = [Metric::Errors, Metric::Slow, Metric::Late, Metric::Rejected, Metric::VerySlow];

    pub fn name(self) -> &'static str {
        match self {
            Metric::Errors => "errors",
            Metric::Slow => "slow answers",
            Metric::Late => "late answers",
            Metric::Rejected => "rejected requests",
            Metric::VerySlow => "very slow answers",
            Metric::LogLatency => "latency",
        }
    }

    /// The tally's events of this metric, and the requests that could have been such.
    pub fn of(self, tally: &Tally) -> (f64, f64) {
        let (x, n) = match self {
            Metric::Errors => (tally.errors, tally.requests),
            Metric::Late => (tally.late, tally.requests),
            Metric::Rejected => (tally.rejected, tally.requests),
            Metric::Slow => (tally.slow, tally.timed),
            Metric::VerySlow => (tally.very_slow, tally.timed),
            Metric::LogLatency => (0, tally.timed),
        };
        (f64::from(x), f64::from(n))
    }
}

/// One way in which a canary may harm: `share` of the workspaces have `added` more of the metric (a probability; for the latency a
/// step in its logarithm).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Alternative {
    pub metric: Metric,
    /// δ.
    pub added: f64,
    /// π.
    pub share: f64,
    /// G: the greatest factor by which one bucket may multiply the wealth.
    pub cap: f64,
    /// The weight in the prior; only the ratios between alternatives matter.
    pub prior: f64,
}

const fn alternative(metric: Metric, added: f64, share: f64, cap: f64, prior: f64) -> Alternative {
    Alternative { metric, added, share, cap, prior }
}

/// Alternatives of one metric are adjacent, so that the metric's columns are filled once.
pub const ALTERNATIVES: [Alternative; 19] = [
    alternative(Metric::Errors, 0.005, 1.0, 5.0, 8.0),
    alternative(Metric::Errors, 0.02, 1.0, 10.0, 8.0),
    alternative(Metric::Errors, 0.1, 1.0, 10.0, 9.0),
    alternative(Metric::Errors, 0.5, 1.0, 100.0, 11.0),
    alternative(Metric::Errors, 0.5, 0.05, 100.0, 7.0),
    alternative(Metric::Errors, 0.1, 0.3, 30.0, 7.0),
    alternative(Metric::Late, 0.002, 1.0, 10.0, 3.0),
    alternative(Metric::Late, 0.01, 1.0, 10.0, 4.0),
    alternative(Metric::Late, 0.1, 0.3, 30.0, 2.0),
    alternative(Metric::Rejected, 0.02, 1.0, 10.0, 2.0),
    alternative(Metric::Rejected, 0.1, 1.0, 10.0, 3.0),
    alternative(Metric::Rejected, 0.8, 1.0, 100.0, 5.0),
    alternative(Metric::Slow, 0.03, 1.0, 10.0, 3.5),
    alternative(Metric::Slow, 0.15, 1.0, 30.0, 3.5),
    alternative(Metric::VerySlow, 0.01, 1.0, 10.0, 4.0),
    alternative(Metric::VerySlow, 0.05, 0.5, 30.0, 4.0),
    alternative(Metric::LogLatency, 0.08, 1.0, 10.0, 4.5),
    alternative(Metric::LogLatency, 0.2, 1.0, 10.0, 5.0),
    alternative(Metric::LogLatency, 0.6, 1.0, 30.0, 3.5),
];

pub(super) const COUNT_OF_ALTERNATIVES: usize = ALTERNATIVES.len();

/// ln Σ priorₖ·e^vₖ over the alternatives, with the priors scaled to sum to 1.
pub(super) fn mix(logs: &[f64; COUNT_OF_ALTERNATIVES]) -> f64 {
    let total: f64 = ALTERNATIVES.iter().map(|alternative| alternative.prior).sum();
    log_sum(ALTERNATIVES.iter().zip(logs).map(|(alternative, log)| log + (alternative.prior / total).ln()))
}

/// ln Σ e^v, without leaving the range of a double.
pub(super) fn log_sum(logs: impl Iterator<Item = f64> + Clone) -> f64 {
    let greatest = logs.clone().fold(f64::NEG_INFINITY, f64::max);
    if greatest == f64::NEG_INFINITY {
        return greatest;
    }
    greatest + logs.map(|log| (log - greatest).exp()).sum::<f64>().ln()
}
