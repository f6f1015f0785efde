//! Which buckets are suspect, and what their examinations have found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::examination::{COIN, Examination, Finding, Suspicion};
use super::labels::Labels;
use super::likelihood::{added_rate, log_latency_variance, shifted_latency};
use super::metric::Metric;
use super::observation::Examined;
use super::question::Question;
use super::rows::{BucketRow, BucketRows};
use super::urns::BROKEN_BY;
use crate::core::sparse::ByBucket;
use crate::core::split::Apart;

/// The interval at which suspects are searched for.
pub(super) const EXAMINE_EVERY: Duration = Duration::from_secs(5);
/// An examination opens at this log-ratio for half of the requests more being bad, with at least `BAD_LEAST` bad requests.
const SUSPECT_AT: f64 = 5.0;
const BAD_LEAST: f64 = 2.0;
/// The metrics that open such an examination, in this order.
const EXAMINED: [Metric; 2] = [Metric::Errors, Metric::Rejected];
/// A bucket becomes suspect when its rate is at its highest; the examination expects this part of that rate.
const FADED: f64 = 0.7;
/// An examination for latency opens at this log-ratio for `SLOWER_BY` more in ln(latency), with at least `TIMED_LEAST` answers.
const SLOW_AT: f64 = 1.5;
const SLOWER_BY: f64 = 0.2;
const TIMED_LEAST: f64 = 60.0;
/// A bucket that was suspect on stable within this time had its trouble before it came to the canary.
const BROUGHT_ALONG: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Suspects {
    seed: u64,
    enabled: bool,
    examinations: Vec<Examination>,
    /// By bucket: the number of its examination.
    of_bucket: ByBucket<Option<u32>>,
    /// For bad requests, and for latency.
    on_stable: [OnStable; 2],
    stable_bucket_secs: f64,
    canary_bucket_secs: f64,
    passed: Option<Duration>,
    looked: Option<Duration>,
    newly_refuted: Vec<usize>,
    newly_open: bool,
}

/// The buckets that were suspect on stable.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct OnStable {
    /// By bucket: the time at which it was last suspect.
    last: ByBucket<Option<Duration>>,
    suspects: f64,
}

impl OnStable {
    fn was_lately(&self, bucket: usize, now: Duration) -> bool {
        self.last.get(bucket).is_some_and(|then| now <= then + BROUGHT_ALONG)
    }

    fn note(&mut self, bucket: usize, now: Duration) {
        if !self.was_lately(bucket, now) {
            *self.last.at(bucket) = Some(now);
            self.suspects += 1.0;
        }
    }
}

impl Suspects {
    pub fn new(seed: u64, enabled: bool) -> Suspects {
        Suspects {
            seed,
            enabled,
            examinations: Vec::new(),
            of_bucket: ByBucket::new(None),
            on_stable: [0, 1].map(|_| OnStable { last: ByBucket::new(None), suspects: 0.0 }),
            stable_bucket_secs: 0.0,
            canary_bucket_secs: 0.0,
            passed: None,
            looked: None,
            newly_refuted: Vec::new(),
            newly_open: false,
        }
    }

    /// Sets whether coins are tossed from now on. If not, buckets under examination go back to the canary, because nothing was
    /// found; refuted buckets stay on stable. Returns `true` if a bucket must move.
    pub fn enable(&mut self, enabled: bool) -> bool {
        self.enabled = enabled;
        let mut moved = false;
        for exam in self.examinations.iter_mut().filter(|exam| !enabled && exam.finding == Finding::Open) {
            exam.give_way();
            moved = true;
        }
        moved
    }

    pub fn examinations(&self) -> &[Examination] {
        &self.examinations
    }

    pub fn log_wealth(&self) -> f64 {
        self.examinations.iter().map(Examination::log_factor).sum()
    }

    /// The canary's buckets that do not go by rank now.
    pub fn apart(&self) -> impl Iterator<Item = (usize, Apart)> + '_ {
        self.examinations.iter().filter_map(|exam| Some((exam.bucket, exam.apart()?)))
    }

    /// Counts the requests that were routed under examination: those that ended, and those under way.
    pub fn count(&mut self, examined: impl IntoIterator<Item = Examined>) {
        self.examinations.iter_mut().for_each(Examination::forget_under_way);
        for Examined { bucket, turn, tally, under_way } in examined {
            if let Some(number) = self.of_bucket.get(bucket.index()) {
                let exam = &mut self.examinations[*number as usize];
                exam.count(turn, tally, under_way);
            }
        }
    }

    /// Adds the time since the last call to the bucket-seconds of both tracks.
    pub fn pass(&mut self, now: Duration, labels: &Labels) {
        let secs = now.saturating_sub(self.passed.unwrap_or(now)).as_secs_f64();
        self.passed = Some(now);
        let (stable, canary) = labels.active_sizes();
        self.stable_bucket_secs += secs * stable as f64;
        self.canary_bucket_secs += secs * canary as f64;
    }

    /// Ends the blocks that may end. Returns `true` if a coin was tossed.
    pub fn end_blocks(&mut self, now: Duration) -> bool {
        let seed = self.seed;
        let mut fell = false;
        for exam in &mut self.examinations {
            let (bucket, kind) = (exam.bucket, kind(exam.metric()));
            fell |= exam.end_block(now, |block| coin(seed, bucket, kind, block));
        }
        fell
    }

    pub fn is_due(&self, now: Duration) -> bool {
        self.enabled && self.looked.is_none_or(|looked| now >= looked + EXAMINE_EVERY)
    }

    /// Opens and closes examinations by the last two minutes. Returns `true` if the split must change.
    pub fn examine(&mut self, now: Duration, BucketRows { rows, shocks }: &BucketRows<'_>, labels: &Labels) -> bool {
        if !self.enabled {
            return false;
        }
        self.looked = Some(now);
        for metric in EXAMINED {
            let shock = shocks.rates[metric as usize];
            for row in rows.iter().filter(|row| row.count(metric) >= BAD_LEAST) {
                if added_rate(row.count(metric), row.exposed(metric), row.rate(metric), shock, BROKEN_BY) > SUSPECT_AT {
                    let rate = FADED * row.count(metric) / row.exposed(metric);
                    self.suspect(now, row, Question::bad(metric, rate, shock * row.rate(metric).mean()), labels);
                }
            }
        }
        let shock = shocks.latency;
        for row in rows.iter().filter(|row| row.timed >= TIMED_LEAST) {
            let (usual, base_variance) = (row.baseline.log_mean + shock, row.baseline.log_variance);
            let deviation = row.log_latency / row.timed - usual;
            if shifted_latency(deviation, log_latency_variance(row.timed, base_variance), SLOWER_BY) > SLOW_AT {
                self.suspect(now, row, Question::slow(deviation, usual, base_variance), labels);
            }
        }
        self.conclude()
    }

    fn suspect(&mut self, now: Duration, row: &BucketRow<'_>, question: Question, labels: &Labels) {
        let on_stable = &mut self.on_stable[kind(question.metric())];
        if !row.canary {
            on_stable.note(row.bucket, now);
        } else if !on_stable.was_lately(row.bucket, now) {
            self.maybe_open(now, row.bucket, question, labels);
        }
    }

    /// Opens an examination, one for each bucket. But a bucket that is examined for latency and begins to fail is examined for that.
    fn maybe_open(&mut self, now: Duration, bucket: usize, question: Question, labels: &Labels) {
        let kind_of_this = kind(question.metric());
        let before = *self.of_bucket.get(bucket);
        if before.is_some_and(|number| kind(self.examinations[number as usize].metric()) <= kind_of_this) {
            return;
        }
        let (stable, canary) = labels.active_sizes();
        let active = stable + canary;
        let of_kind = || self.examinations.iter().filter(|exam| kind(exam.metric()) == kind_of_this);
        let open = of_kind().filter(|exam| exam.finding == Finding::Open).count();
        if open >= (active / 50).max(3) || of_kind().count() >= (active / 10).max(10) {
            return;
        }
        let stable_suspects = self.on_stable[kind_of_this].suspects;
        let expected_suspects = self.canary_bucket_secs * (stable_suspects + 0.5) / (self.stable_bucket_secs + 1.0);
        if let Some(number) = before {
            self.examinations[number as usize].give_way();
        }
        *self.of_bucket.at(bucket) = Some(self.examinations.len() as u32);
        self.newly_open = true;
        let suspicion = Suspicion { bucket, question, expected_suspects };
        self.examinations.push(Examination::open(&suspicion, coin(self.seed, bucket, kind_of_this, 0), now));
    }

    fn conclude(&mut self) -> bool {
        // Also buckets that the first coin does not move: from now on their requests are counted by block.
        let mut moved = std::mem::take(&mut self.newly_open);
        for exam in &mut self.examinations {
            let before = exam.finding;
            exam.conclude();
            if before != exam.finding {
                moved = true;
                if exam.finding == Finding::Refuted {
                    self.newly_refuted.push(exam.bucket);
                }
            }
        }
        moved
    }

    /// The buckets that were refuted since the last call.
    pub fn newly_refuted(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.newly_refuted)
    }
}

/// 0 for bad requests, 1 for latency. An examination of kind 0 replaces one of kind 1.
fn kind(metric: Metric) -> usize {
    match metric {
        Metric::Errors | Metric::Slow | Metric::Late | Metric::Rejected | Metric::VerySlow => 0,
        Metric::LogLatency => 1,
    }
}

/// The coin of a block. A hash, so that a replayed rollout tosses the same coins. The two kinds of a bucket's examinations have
/// different coins.
pub(super) fn coin(seed: u64, bucket: usize, kind: usize, block: u32) -> bool {
    let mut bytes = [0u8; 8];
    bytes[..4].copy_from_slice(&(bucket as u32 | (kind as u32) << 24).to_le_bytes());
    bytes[4..].copy_from_slice(&block.to_le_bytes());
    (xxh3_64_with_seed(&bytes, seed) as f64) < COIN * 2.0_f64.powi(64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_examinations_no_bucket_is_switched() {
        let mut suspects = Suspects::new(1, true);
        let question = Question::bad(Metric::Errors, 0.9, 0.01);
        let open = |bucket| Examination::open(&Suspicion { bucket, question, expected_suspects: 0.1 }, false, Duration::ZERO);
        for (number, bucket) in [3, 4].into_iter().enumerate() {
            *suspects.of_bucket.at(bucket) = Some(number as u32);
            suspects.examinations.push(open(bucket));
        }
        suspects.examinations[1].finding = Finding::Refuted;
        assert!(suspects.apart().count() == 2 && !suspects.enable(true));
        assert!(suspects.enable(false));
        assert_eq!(suspects.apart().collect::<Vec<_>>(), [(4, Apart::Refuted)], "who had trouble of its own stays on stable");
        assert!(!suspects.enable(false));
    }
}
