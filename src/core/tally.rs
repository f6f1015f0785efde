//! The counts of one bucket: plain integers that merge by adding, so that cores and replicas can each keep their own.

use std::ops::{AddAssign, SubAssign};

use serde::{Deserialize, Serialize};

use super::outcome::Outcome;

/// One finished request, as the evidence needs it. Only requests that chance assigned become samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub outcome: Outcome,
    /// The time to the answer's first byte; `None` if there was no answer (a failure, a rescue).
    pub latency_micros: Option<u64>,
}

/// The sums over a bucket's requests in one split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    pub requests: u32,
    pub errors: u32,
    pub late: u32,
    pub rejected: u32,
    /// The number of latencies in `log_latency`.
    pub timed: u32,
    /// The latencies above the bot's usual p90, and p99.5: see [`LatencyMarks`].
    pub slow: u32,
    pub very_slow: u32,
    /// Sum of ln(latency + [`UNNOTICED_MICROS`], in µs), in units of 2^-20: integers merge in any order to the same sum.
    pub log_latency: i64,
}

/// The latencies above which an answer is slow, and very slow: the p90 and the p99.5 of the bot's stable track, over all its workspaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LatencyMarks {
    pub slow_micros: u64,
    pub very_slow_micros: u64,
}

impl LatencyMarks {
    /// For a bot whose usual latency is not known yet: no answer is slow.
    pub const NONE: LatencyMarks = LatencyMarks { slow_micros: u64::MAX, very_slow_micros: u64::MAX };
}

/// A latency that no user of a bot notices. It is added to each latency before latencies are compared. Otherwise a canary with a
/// twentieth of the traffic would look much slower because its cold caches need 0.5 ms instead of stable's 0.3 ms.
pub const UNNOTICED_MICROS: u64 = 5_000;

/// 2^20 units are one: 1e-6 of a natural logarithm, finer than any clock.
pub const LOG_UNIT: f64 = (1 << 20) as f64;

/// The geometric mean of the latencies, in microseconds, of a sum of their logarithms as in [`Tally::log_latency`]; a little below 0
/// is possible, because each logarithm is rounded.
pub fn typical_micros(log_latency: f64, timed: f64) -> f64 {
    (log_latency / LOG_UNIT / timed).exp() - UNNOTICED_MICROS as f64
}

impl Tally {
    /// The tally of one request. An aborted request is no evidence, and gives an empty tally.
    pub fn of(sample: Sample, marks: LatencyMarks) -> Tally {
        if sample.outcome == Outcome::Aborted {
            return Tally::default();
        }
        let is = |outcome| u32::from(sample.outcome == outcome);
        let log = sample.latency_micros.map(|micros| (((micros + UNNOTICED_MICROS) as f64).ln() * LOG_UNIT) as i64);
        Tally {
            requests: 1,
            errors: is(Outcome::Error),
            late: is(Outcome::Late),
            rejected: is(Outcome::Rejected),
            timed: u32::from(log.is_some()),
            slow: u32::from(sample.latency_micros.is_some_and(|micros| micros > marks.slow_micros)),
            very_slow: u32::from(sample.latency_micros.is_some_and(|micros| micros > marks.very_slow_micros)),
            log_latency: log.unwrap_or(0),
        }
    }
}

/// Adding and subtracting wrap, so that the difference of two readings is right even after months in one split.
impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.requests = self.requests.wrapping_add(other.requests);
        self.errors = self.errors.wrapping_add(other.errors);
        self.late = self.late.wrapping_add(other.late);
        self.rejected = self.rejected.wrapping_add(other.rejected);
        self.timed = self.timed.wrapping_add(other.timed);
        self.slow = self.slow.wrapping_add(other.slow);
        self.very_slow = self.very_slow.wrapping_add(other.very_slow);
        self.log_latency = self.log_latency.wrapping_add(other.log_latency);
    }
}

/// Subtracts what was added before.
impl SubAssign for Tally {
    fn sub_assign(&mut self, other: Tally) {
        self.requests = self.requests.wrapping_sub(other.requests);
        self.errors = self.errors.wrapping_sub(other.errors);
        self.late = self.late.wrapping_sub(other.late);
        self.rejected = self.rejected.wrapping_sub(other.rejected);
        self.timed = self.timed.wrapping_sub(other.timed);
        self.slow = self.slow.wrapping_sub(other.slow);
        self.very_slow = self.very_slow.wrapping_sub(other.very_slow);
        self.log_latency = self.log_latency.wrapping_sub(other.log_latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MARKS: LatencyMarks = LatencyMarks { slow_micros: 50_000_000, very_slow_micros: 90_000_000 };

    fn any_sample() -> impl Strategy<Value = Sample> {
        (0..Outcome::ALL.len(), proptest::option::of(0u64..100_000_000))
            .prop_map(|(i, latency_micros)| Sample { outcome: Outcome::ALL[i], latency_micros })
    }

    fn sum<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Tally {
        let mut total = Tally::default();
        samples.into_iter().for_each(|s| total += Tally::of(*s, MARKS));
        total
    }

    #[test]
    fn an_abort_is_no_evidence() {
        assert_eq!(Tally::of(Sample { outcome: Outcome::Aborted, latency_micros: Some(5) }, MARKS), Tally::default());
    }

    #[test]
    fn a_small_difference_of_short_latencies_is_a_small_difference_of_their_logarithms() {
        let log = |micros| {
            let tally = Tally::of(Sample { outcome: Outcome::Ok, latency_micros: Some(micros) }, MARKS);
            tally.log_latency as f64 / LOG_UNIT
        };
        assert!(log(500) - log(300) < 0.04);
        assert!(log(36_000) - log(30_000) > 0.15);
    }

    proptest! {
        #[test]
        fn merging_commutes(samples in proptest::collection::vec(any_sample(), 0..50), cut in 0usize..50) {
            let (a, b) = samples.split_at(cut.min(samples.len()));
            let mut ab = sum(a);
            ab += sum(b);
            let mut ba = sum(b);
            ba += sum(a);
            prop_assert_eq!(ab, ba);
            prop_assert_eq!(ab, sum(&samples));
            ab -= sum(b);
            prop_assert_eq!(ab, sum(a));
        }

        #[test]
        fn parts_never_exceed_the_whole(samples in proptest::collection::vec(any_sample(), 0..50)) {
            let t = sum(&samples);
            prop_assert!(t.errors + t.late + t.rejected <= t.requests && t.timed <= t.requests);
            prop_assert!(t.very_slow <= t.slow && t.slow <= t.timed);
        }
    }
}
