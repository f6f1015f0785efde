//! Who is suspect, and what their examinations have found.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::Examined;
use super::bets::{Row, rate_shock};
use super::examination::{COIN, Examination, Finding, Suspicion};
use super::labels::Labels;
use super::likelihood::added_rate;
use super::metric::Metric;
use super::urns::BROKEN_BY;
use crate::core::bucket::BUCKETS;
use crate::core::split::Apart;

/// What opens an examination: half of its requests more are bad, by this log-ratio, with at least so many bad ones.
const SUSPECT_AT: f64 = 5.0;
const BAD_LEAST: f64 = 2.0;
/// Which metrics do, in this order.
const EXAMINED: [Metric; 2] = [Metric::Errors, Metric::Rejected];
const EVERY: Duration = Duration::from_secs(15);
/// Who was suspect on stable this lately brought the trouble along.
const BROUGHT_ALONG: Duration = Duration::from_secs(300);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Suspects {
    seed: u64,
    enabled: bool,
    examinations: Vec<Examination>,
    /// By bucket: which of the examinations is its own.
    #[serde(with = "crate::core::sparse")]
    of_bucket: Vec<Option<u32>>,
    /// By bucket: when it was last suspect on stable.
    #[serde(with = "crate::core::sparse")]
    on_stable: Vec<Option<Duration>>,
    stable_suspects: f64,
    stable_bucket_secs: f64,
    canary_bucket_secs: f64,
    passed: Option<Duration>,
    looked: Option<Duration>,
    newly_refuted: Vec<usize>,
    newly_open: bool,
}

impl Suspects {
    pub fn new(seed: u64, enabled: bool) -> Suspects {
        let buckets = if enabled { usize::from(BUCKETS) } else { 0 };
        Suspects {
            seed,
            enabled,
            examinations: Vec::new(),
            of_bucket: vec![None; buckets],
            on_stable: vec![None; buckets],
            stable_suspects: 0.0,
            stable_bucket_secs: 0.0,
            canary_bucket_secs: 0.0,
            passed: None,
            looked: None,
            newly_refuted: Vec::new(),
            newly_open: false,
        }
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

    /// What came of the requests that were routed under examination, and what is under way of them.
    pub fn count(&mut self, examined: impl IntoIterator<Item = Examined>) {
        self.examinations.iter_mut().for_each(Examination::forget_under_way);
        for Examined { bucket, turn, tally, under_way } in examined {
            if let Some(Some(number)) = self.of_bucket.get(bucket.index()) {
                let exam = &mut self.examinations[*number as usize];
                let (bad, requests) = exam.metric.of(&tally);
                exam.count(turn, bad, requests, under_way);
            }
        }
    }

    /// Time has passed over the active buckets of both tracks.
    pub fn pass(&mut self, now: Duration, labels: &Labels) {
        let secs = now.saturating_sub(self.passed.unwrap_or(now)).as_secs_f64();
        self.passed = Some(now);
        let (stable, canary) = labels.active_sizes();
        self.stable_bucket_secs += secs * stable as f64;
        self.canary_bucket_secs += secs * canary as f64;
    }

    /// Ends the blocks that may end; answers whether a coin fell.
    pub fn end_blocks(&mut self, now: Duration) -> bool {
        let seed = self.seed;
        let mut fell = false;
        for exam in &mut self.examinations {
            let bucket = exam.bucket;
            fell |= exam.end_block(now, |block| coin(seed, bucket, block));
        }
        fell
    }

    pub fn is_due(&self, now: Duration) -> bool {
        self.enabled && self.looked.is_none_or(|looked| now >= looked + EVERY)
    }

    /// Opens and closes examinations by what the last minutes show; answers whether the split has changed for it.
    pub fn examine(&mut self, now: Duration, rows: &[Row<'_>], labels: &Labels) -> bool {
        if !self.enabled {
            return false;
        }
        self.looked = Some(now);
        for metric in EXAMINED {
            let shock = rate_shock(rows, metric);
            let suspects = rows.iter().filter(|row| {
                row.count(metric) >= BAD_LEAST
                    && added_rate(row.count(metric), row.exposed(metric), row.rate(metric), shock, BROKEN_BY) > SUSPECT_AT
            });
            let (canary, stable): (Vec<_>, Vec<_>) = suspects.partition(|row| row.canary);
            for row in stable {
                if !self.was_suspect_on_stable(row.bucket, now) {
                    self.on_stable[row.bucket] = Some(now);
                    self.stable_suspects += 1.0;
                }
            }
            for row in canary {
                self.maybe_open(now, row, metric, shock * row.rate(metric).mean(), labels);
            }
        }
        self.conclude()
    }

    fn was_suspect_on_stable(&self, bucket: usize, now: Duration) -> bool {
        self.on_stable[bucket].is_some_and(|then| now <= then + BROUGHT_ALONG)
    }

    fn maybe_open(&mut self, now: Duration, row: &Row<'_>, metric: Metric, usual: f64, labels: &Labels) {
        let (stable, canary) = labels.active_sizes();
        let active = stable + canary;
        let open = self.examinations.iter().filter(|exam| exam.finding == Finding::Open).count();
        let full = open >= (active / 50).max(3) || self.examinations.len() >= (active / 10).max(10);
        if full || self.of_bucket[row.bucket].is_some() || self.was_suspect_on_stable(row.bucket, now) {
            return;
        }
        let suspicion = Suspicion {
            bucket: row.bucket,
            metric,
            rate: row.count(metric) / row.exposed(metric),
            usual,
            expected_suspects: self.canary_bucket_secs * (self.stable_suspects + 0.5) / (self.stable_bucket_secs + 1.0),
        };
        self.of_bucket[row.bucket] = Some(self.examinations.len() as u32);
        self.newly_open = true;
        self.examinations.push(Examination::open(&suspicion, coin(self.seed, row.bucket, 0), now));
    }

    fn conclude(&mut self) -> bool {
        // Also those whom the first coin leaves where they are: from now on their requests are told apart.
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

    /// Those refuted since this was last asked.
    pub fn newly_refuted(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.newly_refuted)
    }
}

/// The coin of a block: a hash, so that the same rollout tosses the same coins when it is replayed.
pub(super) fn coin(seed: u64, bucket: usize, block: u32) -> bool {
    let mut bytes = [0u8; 8];
    bytes[..4].copy_from_slice(&(bucket as u32).to_le_bytes());
    bytes[4..].copy_from_slice(&block.to_le_bytes());
    (xxh3_64_with_seed(&bytes, seed) as f64) < COIN * 2.0_f64.powi(64)
}
