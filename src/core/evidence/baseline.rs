//! What is usual: for each bucket the rates of its own past on stable, shrunk towards the bot's rates. So a customer that always
//! had 5 % errors does not look like a bug, and a bucket without a past is judged by the others.

use serde::{Deserialize, Serialize};

use crate::core::sparse::ByBucket;
use crate::core::{Bucket, LOG_UNIT, LatencyMarks, Tally};

use super::metric::{COUNTED, Metric};

/// A Gamma(a, c) belief about a rate: its mean is a/c, and it weighs as much as `c` requests.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rate {
    pub a: f64,
    pub c: f64,
}

impl Rate {
    pub(super) fn mean(self) -> f64 {
        self.a / self.c
    }
}

/// What to expect of one bucket.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    pub(super) rates: [Rate; COUNTED],
    /// Of ln(latency in µs).
    pub(super) log_mean: f64,
    /// The variance of a bucket's mean over many requests around `log_mean`.
    pub(super) log_variance: f64,
}

/// The variance of ln(latency) from request to request within a workspace.
pub(super) const LOG_VARIANCE: f64 = 0.75;
/// The standard deviation of a bucket's own mean from one hour to the next.
const LOG_WANDER: f64 = 0.07;
/// The standard deviation of the means between workspaces, used for a workspace without a past.
const LOG_SPREAD: f64 = 0.3;

/// The constants of the belief about one metric's rate.
struct Shape {
    /// A₀: the weight, in events, of the bot's rate against the bucket's own.
    prior: f64,
    /// A_max: a past counts for at most this many events, because rates change.
    most: f64,
    /// P₀: the rate of a bot without a past.
    cold: f64,
    /// A bucket adds at most `fair·n + 5` events to the bot's rate, so that one customer cannot dominate it.
    fair: f64,
}

const fn shape(prior: f64, most: f64, cold: f64, fair: f64) -> Shape {
    Shape { prior, most, cold, fair }
}

/// In the order of [`Metric::COUNTS`].
const SHAPES: [Shape; COUNTED] = [
    shape(0.5, 6.0, 0.005, 0.05),
    shape(20.0, 50.0, 0.1, 0.05),
    shape(0.5, 6.0, 0.0005, 0.05),
    shape(0.5, 6.0, 0.02, 0.2),
    shape(2.0, 8.0, 0.005, 0.05),
];

/// The least and the greatest rate that a bot may have.
const POOLED: (f64, f64) = (1e-4, 0.5);
/// The weight, in requests, of the cold rate in the bot's rate.
const COLD_REQUESTS: f64 = 200.0;

/// A bucket's past on stable, with old requests counting less.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct BucketPast {
    requests: f64,
    timed: f64,
    log_latency: f64,
    /// The requests that were compared with the current latency marks.
    marked: f64,
    /// In the order of [`Metric::COUNTS`].
    counts: [f64; COUNTED],
}

/// The past of all buckets of a bot. Buckets that never had a request take no memory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Usual {
    buckets: ByBucket<BucketPast>,
    marks: Option<LatencyMarks>,
}

/// A request counts half after this time.
const HALF_LIFE_SECS: f64 = 24.0 * 3600.0;

impl Default for Usual {
    fn default() -> Usual {
        Usual { buckets: ByBucket::new(BucketPast::default()), marks: None }
    }
}

impl Usual {
    /// Adds requests that a bucket had on stable.
    pub fn learn(&mut self, bucket: Bucket, tally: &Tally) {
        let past = self.buckets.at(bucket.index());
        past.requests += f64::from(tally.requests);
        past.timed += f64::from(tally.timed);
        past.log_latency += tally.log_latency as f64 / LOG_UNIT;
        if self.marks.is_some() {
            past.marked += f64::from(tally.timed);
        }
        for (count, metric) in past.counts.iter_mut().zip(Metric::COUNTS) {
            *count += metric.of(tally).0;
        }
    }

    /// Reduces the weight of the whole past by the time that has passed.
    pub fn fade(&mut self, secs: f64) {
        let keep = 0.5_f64.powf(secs / HALF_LIFE_SECS);
        for past in self.buckets.values_mut() {
            past.requests *= keep;
            past.timed *= keep;
            past.log_latency *= keep;
            past.marked *= keep;
            past.counts.iter_mut().for_each(|count| *count *= keep);
        }
    }

    /// A bucket's requests on stable, old ones counting less.
    pub fn requests_of(&self, bucket: Bucket) -> f64 {
        self.buckets.get(bucket.index()).requests
    }

    /// A bucket's events of this metric on stable, and the requests that could have been such; old ones count less.
    pub fn counted(&self, bucket: Bucket, metric: Metric) -> (f64, f64) {
        let past = self.buckets.get(bucket.index());
        (past.counts.get(metric as usize).copied().unwrap_or(0.0), past.exposed(metric))
    }

    pub fn requests(&self) -> f64 {
        self.buckets.values().map(|past| past.requests).sum()
    }

    /// The number of buckets with at least one request, old ones counting less.
    pub fn active(&self) -> usize {
        self.buckets.values().filter(|past| past.requests >= 1.0).count()
    }

    pub fn marks(&self) -> Option<LatencyMarks> {
        self.marks
    }

    /// Sets new latency marks. Deletes the counts of slow answers, which belong to the old marks.
    pub fn set_marks(&mut self, marks: LatencyMarks) {
        self.marks = Some(marks);
        for past in self.buckets.values_mut() {
            past.marked = 0.0;
            past.counts[Metric::Slow as usize] = 0.0;
            past.counts[Metric::VerySlow as usize] = 0.0;
        }
    }

    /// The baseline of each bucket. A rollout takes this once, at its start.
    pub(super) fn baselines(&self) -> ByBucket<Baseline> {
        let pooled: [f64; COUNTED] = std::array::from_fn(|index| self.pooled_rate(Metric::COUNTS[index], &SHAPES[index]));
        let log_mean = self.pooled_log_mean();
        let mut baselines = ByBucket::new(BucketPast::default().baseline(&pooled, log_mean));
        for (bucket, past) in self.buckets.iter() {
            *baselines.at(bucket) = past.baseline(&pooled, log_mean);
        }
        baselines
    }

    fn pooled_rate(&self, metric: Metric, shape: &Shape) -> f64 {
        let (mut x, mut n) = (COLD_REQUESTS * shape.cold, COLD_REQUESTS);
        for past in self.buckets.values() {
            let exposed = past.exposed(metric);
            x += past.counts[metric as usize].min(shape.fair * exposed + 5.0);
            n += exposed;
        }
        (x / n).clamp(POOLED.0, POOLED.1)
    }

    fn pooled_log_mean(&self) -> f64 {
        let timed: f64 = self.buckets.values().map(|past| past.timed).sum();
        let sum: f64 = self.buckets.values().map(|past| past.log_latency).sum();
        if timed > 0.0 { sum / timed } else { 0.0 }
    }
}

impl BucketPast {
    /// The bucket's baseline, given the bot's rates and its mean log-latency.
    fn baseline(&self, pooled: &[f64; COUNTED], log_mean: f64) -> Baseline {
        let rates = std::array::from_fn(|index| {
            let shape = &SHAPES[index];
            let (a, c) = (shape.prior + self.counts[index], shape.prior / pooled[index] + self.exposed(Metric::COUNTS[index]));
            let weight = (shape.most / a).min(1.0);
            Rate { a: a * weight, c: c * weight }
        });
        if self.timed < 1.0 {
            return Baseline { rates, log_mean, log_variance: LOG_SPREAD * LOG_SPREAD };
        }
        let log_variance = LOG_VARIANCE / self.timed + LOG_WANDER * LOG_WANDER;
        Baseline { rates, log_mean: self.log_latency / self.timed, log_variance }
    }

    fn exposed(&self, metric: Metric) -> f64 {
        match metric {
            Metric::Errors | Metric::Late | Metric::Rejected => self.requests,
            Metric::Slow | Metric::VerySlow => self.marked,
            Metric::LogLatency => self.timed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(bucket: usize, baselines: &ByBucket<Baseline>, metric: Metric) -> f64 {
        baselines.get(bucket).rates[metric as usize].mean()
    }

    fn bucket(index: usize) -> Bucket {
        Bucket::all().nth(index).unwrap()
    }

    #[test]
    fn a_bot_without_a_past_has_the_cold_rates() {
        let baselines = Usual::default().baselines();
        for (metric, rate) in
            [(Metric::Errors, 0.005), (Metric::Slow, 0.1), (Metric::Late, 0.0005), (Metric::Rejected, 0.02), (Metric::VerySlow, 0.005)]
        {
            assert!((of(7, &baselines, metric) - rate).abs() < 1e-12, "{metric:?}");
        }
    }

    #[test]
    fn a_noisy_customer_is_expected_to_be_noisy_and_does_not_make_the_others_so() {
        let mut usual = Usual::default();
        for index in 0..100 {
            usual.learn(bucket(index), &Tally { requests: 10_000, errors: 10, timed: 10_000, ..Tally::default() });
        }
        usual.learn(bucket(100), &Tally { requests: 10_000, errors: 3_000, timed: 10_000, ..Tally::default() });
        let baselines = usual.baselines();
        assert!((of(100, &baselines, Metric::Errors) - 0.3).abs() < 0.01);
        // The noisy bucket counts for 505 of its 3,000 errors.
        let pooled = (1.0 + 1_000.0 + 505.0) / (200.0 + 1_010_000.0);
        assert!((of(5_000, &baselines, Metric::Errors) - pooled).abs() < 1e-12);
        // A past weighs at most six errors.
        assert!(baselines.get(100).rates[Metric::Errors as usize].a <= 6.0 + 1e-12);
    }

    #[test]
    fn a_day_halves_what_is_remembered_and_keeps_the_rate() {
        let mut usual = Usual::default();
        usual.learn(bucket(0), &Tally { requests: 1_000, errors: 100, timed: 1_000, log_latency: 5_000 << 20, ..Tally::default() });
        usual.fade(86_400.0);
        assert!((usual.requests() - 500.0).abs() < 1e-9);
        assert!((usual.baselines().get(0).log_mean - 5.0).abs() < 1e-12);
    }

    #[test]
    fn new_marks_forget_what_was_slow_by_the_old_ones() {
        let mut usual = Usual::default();
        usual.learn(bucket(0), &Tally { requests: 100, timed: 100, slow: 100, ..Tally::default() });
        usual.set_marks(LatencyMarks { slow_micros: 1, very_slow_micros: 2 });
        assert!((of(0, &usual.baselines(), Metric::Slow) - 0.1).abs() < 1e-12);
    }
}
