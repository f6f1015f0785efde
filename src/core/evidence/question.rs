//! The question of an examination: does a block look as its bucket did when it became suspect, or as the bucket usually does?

use serde::{Deserialize, Serialize};

use super::baseline::LOG_VARIANCE;
use super::likelihood::log_latency_variance;
use super::metric::Metric;
use crate::core::tally::{LOG_UNIT, Tally};

/// One block counts for a factor of at most 50, e^3.9.
pub(super) const BLOCK_MOST: f64 = 3.912_023_005_428_146;
/// If the bucket fails on stable at this part of the suspected rate or more, the trouble is its own.
const OWN_TROUBLE: f64 = 0.3;

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Question {
    /// Which of two rates of bad requests is it?
    Bad { metric: Metric, suspected: f64, usual: f64 },
    /// Is the mean log-latency as usual, or `added` above it? What is usual is learnt from the blocks on stable, as a belief with
    /// the precision `precision`, one over its variance.
    Slow { added: f64, usual: f64, precision: f64 },
}

impl Question {
    pub fn bad(metric: Metric, rate: f64, usual: f64) -> Question {
        let suspected = rate.clamp(0.15, 0.95);
        Question::Bad { metric, suspected, usual: usual.max(0.01).min(suspected / 3.0) }
    }

    pub fn slow(deviation: f64, usual: f64, variance: f64) -> Question {
        Question::Slow { added: deviation.clamp(0.1, 1.0), usual, precision: 1.0 / variance }
    }

    pub fn metric(&self) -> Metric {
        match self {
            Question::Bad { metric, .. } => *metric,
            Question::Slow { .. } => Metric::LogLatency,
        }
    }

    /// ln of how much likelier a block is if the suspicion is right, at most [`BLOCK_MOST`] either way.
    pub fn log_ratio(&self, block: &Tally) -> f64 {
        let ratio = match self {
            Question::Bad { metric, suspected, usual } => {
                let (bad, requests) = metric.of(block);
                bad * (suspected / usual).ln() + (requests - bad) * ((1.0 - suspected) / (1.0 - usual)).ln()
            }
            Question::Slow { .. } if block.timed == 0 => 0.0,
            Question::Slow { added, usual, precision } => {
                let variance = log_latency_variance(f64::from(block.timed), 1.0 / precision);
                (added * (mean(block) - usual) - 0.5 * added * added) / variance
            }
        };
        ratio.clamp(-BLOCK_MOST, BLOCK_MOST)
    }

    /// Learns what is usual from a block that stable answered.
    pub fn learn(&mut self, block: &Tally) {
        if let Question::Slow { usual, precision, .. } = self
            && block.timed > 0
        {
            let weight = f64::from(block.timed) / LOG_VARIANCE;
            *usual += (mean(block) - *usual) * weight / (weight + *precision);
            *precision += weight;
        }
    }

    /// Whether the bucket fails on stable too. Always `false` for latency: a workspace that is slow on both tracks goes back to the
    /// canary, and keeps what it won.
    pub fn is_own_trouble(&self, on_stable: &Tally) -> bool {
        match self {
            Question::Bad { metric, suspected, .. } => {
                let (bad, requests) = metric.of(on_stable);
                bad >= 1.0 && bad >= OWN_TROUBLE * suspected * requests
            }
            Question::Slow { .. } => false,
        }
    }
}

fn mean(block: &Tally) -> f64 {
    block.log_latency as f64 / LOG_UNIT / f64::from(block.timed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(timed: u32, mean: f64) -> Tally {
        Tally { requests: timed, timed, log_latency: (mean * f64::from(timed) * LOG_UNIT) as i64, ..Tally::default() }
    }

    /// Computed by hand: v = .75/25 + .01 = .04, d = .2, so L = (.2 · .2 − .02)/.04.
    #[test]
    fn a_slow_block_says_what_the_formula_says() {
        let question = Question::slow(0.2, 10.0, 0.01);
        assert!((question.log_ratio(&timed(25, 10.2)) - 0.5).abs() < 1e-6);
        assert!((question.log_ratio(&timed(25, 10.0)) + 0.5).abs() < 1e-6);
        assert_eq!(question.log_ratio(&Tally::default()), 0.0);
        assert_eq!(question.log_ratio(&timed(25, 20.0)), BLOCK_MOST);
    }

    #[test]
    fn what_is_usual_is_learnt_on_stable() {
        let mut question = Question::slow(0.2, 10.0, 0.01);
        // As much as was known before: 75 requests have a variance of .01.
        question.learn(&timed(75, 10.4));
        let Question::Slow { usual, precision, .. } = question else { panic!("{question:?}") };
        assert!((usual - 10.2).abs() < 1e-6 && (precision - 200.0).abs() < 1e-9, "{question:?}");
        question.learn(&Tally::default());
        assert!(question.log_ratio(&timed(1_000, 10.2)) < 0.0);
    }
}
