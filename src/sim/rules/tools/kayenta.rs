//! Like Kayenta: at the end of each step it compares the canary's minutes with stable's by rank, metric by metric.

use std::time::Duration;

use crate::core::Weight;
use crate::sim::rules::ramp::{RAMP_STEP, is_over, ramp};
use crate::sim::rules::rule::{Rule, Ruling, TickResults};
use crate::sim::world::{TrackCounts, ratio};

/// A track's values in one minute: the rate of errors, the rate above the usual p99, and the mean log-latency; `None` without
/// requests.
type MinuteMetrics = [Option<f64>; 3];

#[derive(Default)]
pub struct Kayenta {
    now: Duration,
    minute: [TrackCounts; 2],
    minutes: u32,
    /// The minutes of this step: stable's and the canary's.
    points: Vec<[MinuteMetrics; 2]>,
}

const MINUTE: Duration = Duration::from_secs(60);
/// The quantile of the normal distribution for an interval of 98 %.
const Z: f64 = 2.326;
/// The difference counts if even the interval's lower end is above this part of the estimate.
const TOLERANCE: f64 = 0.25;
/// The least share of metrics that pass, in per cent.
const SCORE_LEAST: f64 = 75.0;

impl Rule for Kayenta {
    fn weight(&self) -> Weight {
        ramp(self.now)
    }

    fn judge(&mut self, results: &TickResults<'_>) -> Ruling {
        self.now = results.now;
        self.minute[0] += results.stable;
        self.minute[1] += results.canary;
        if results.now >= MINUTE * (self.minutes + 1) {
            self.minutes += 1;
            self.points.push(std::mem::take(&mut self.minute).map(point));
        }
        let step = (RAMP_STEP.as_secs() / MINUTE.as_secs()) as usize;
        if self.points.len() < step {
            return Ruling::GoOn;
        }
        let points = std::mem::take(&mut self.points);
        let failed = (0..3).filter(|metric| is_higher(&column(&points, 1, *metric), &column(&points, 0, *metric))).count();
        Ruling::of(100.0 * (3 - failed) as f64 / 3.0 < SCORE_LEAST, is_over(self.now))
    }
}

fn point(counts: TrackCounts) -> MinuteMetrics {
    let mean = (counts.requests > 0).then(|| counts.log_latency / f64::from(counts.requests));
    [ratio(counts.errors, counts.requests), ratio(counts.above_p99, counts.requests), mean]
}

fn column(points: &[[MinuteMetrics; 2]], track: usize, metric: usize) -> Vec<f64> {
    points.iter().filter_map(|point| point[track][metric]).collect()
}

/// Whether the canary is higher than stable: by the Mann–Whitney interval of the shift from `stable` to `canary`, with the normal
/// approximation of its rank, and the Hodges–Lehmann estimate.
fn is_higher(canary: &[f64], stable: &[f64]) -> bool {
    if canary.len() < 3 || stable.len() < 3 || canary == stable {
        return false;
    }
    let mut shifts: Vec<f64> = canary.iter().flat_map(|c| stable.iter().map(move |s| c - s)).collect();
    shifts.sort_by(f64::total_cmp);
    let (n, m) = (canary.len() as f64, stable.len() as f64);
    let rank = (n * m / 2.0 - Z * (n * m * (n + m + 1.0) / 12.0).sqrt()).round_ties_even();
    if rank < 1.0 {
        return false;
    }
    let middle = shifts.len() / 2;
    let estimate = if shifts.len() % 2 == 1 { shifts[middle] } else { (shifts[middle - 1] + shifts[middle]) / 2.0 };
    shifts[rank as usize - 1] > TOLERANCE * estimate.abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With ten points on each side there are 100 shifts, and the interval's lower end is the 19th: 50 − 2.326·√175 = 19.2. With
    /// two equal ladders, −9 occurs once, −8 twice … so the 19th is −4.
    #[test]
    fn the_lower_end_decides() {
        let stable: Vec<f64> = (0..10).map(f64::from).collect();
        let above = |shift: f64| stable.iter().map(|value| value + shift).collect::<Vec<_>>();
        assert!(!is_higher(&above(5.0), &stable), "1 is not above a quarter of 5");
        assert!(is_higher(&above(6.0), &stable), "2 is above a quarter of 6");
        assert!(!is_higher(&stable, &above(8.0)), "only an increase counts");
        assert!(!is_higher(&stable, &stable));
    }

    #[test]
    fn too_few_points_say_nothing() {
        assert!(!is_higher(&[9.0, 9.0], &[0.0, 0.0, 0.0]));
        // Three against three: the rank would be 4.5 − 5.3, below the first.
        assert!(!is_higher(&[9.0, 8.0, 7.0], &[0.0, 1.0, 2.0]));
    }
}
