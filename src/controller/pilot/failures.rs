//! Where a bot's failures come from, for the status and the dashboard. It is computed only after the canary failed, or when new counts
//! come in after that, so a bot without traffic or with a healthy canary costs nothing.

use super::super::concentration::{OnStable, concentrated, rate};
use super::Pilot;
use crate::core::evidence::Finding;
use crate::core::{Bucket, Tally, Track, Weight};
use crate::live::{Concentration, Failing, News, workspaces_per_bucket};

#[derive(Debug, Default)]
pub(super) struct Failures {
    pub concentration: Option<Concentration>,
    /// The canary has failed since the last computation.
    due: bool,
}

/// A bucket with failures in the current split.
#[derive(Clone, Copy, Debug)]
pub struct FailingBucket {
    pub bucket: Bucket,
    /// The track that its rank puts it on.
    pub track: Track,
    pub tally: Tally,
    /// The kind that most of its failures are of.
    pub failing: Failing,
    /// Whether the bucket fails on stable as well; `None` if too little is known.
    pub fails_on_stable: Option<bool>,
}

/// The largest number of failing buckets that are shown.
const SHOWN: usize = 10;

impl Failures {
    /// Notes whether counts came in, and whether the canary failed in them.
    pub fn hear(&mut self, came: bool, failed: bool) {
        self.due |= failed || (came && self.concentration.is_some());
    }

    /// Ends a split. If the canary is at 0 % then, its last concentration stays visible, marked as over.
    pub fn end_of_split(&mut self, weight: Weight) {
        self.due = false;
        match weight {
            Weight::ZERO => self.concentration.iter_mut().for_each(|last| last.over = true),
            _ => self.concentration = None,
        }
    }

    /// Discards everything, because another canary follows.
    pub fn forget(&mut self) {
        *self = Failures::default();
    }
}

/// Whether the canary failed in what came in. Answers by stable do not count.
pub(super) fn canary_failed(news: &News, track: impl Fn(Bucket) -> Track) -> bool {
    let fails = |tally: &Tally| Failing::ALL.iter().any(|failing| failing.of(tally) > 0);
    let of_canary = |bucket| track(bucket) == Track::Canary;
    news.rescued[Track::Canary as usize] > 0 || news.seen.iter().any(|one| fails(&one.tally) && !one.set_aside && of_canary(one.bucket))
}

impl Pilot {
    /// Computes the concentration anew if it may have changed. `found`: an examination has ended or begun.
    pub(super) fn concentrate(&mut self, found: bool) {
        let due = std::mem::take(&mut self.failures.due) || (found && self.failures.concentration.is_some());
        if !due || self.observed.split.weight() == Weight::ZERO {
            return;
        }
        let now = self.concentration();
        self.news |= now != self.failures.concentration;
        self.failures.concentration = now;
    }

    fn concentration(&self) -> Option<Concentration> {
        let split = &self.observed.split;
        let canary: Vec<(Bucket, Tally)> = self.reading.by_bucket().filter(|(bucket, _)| split.track(*bucket) == Track::Canary).collect();
        let found = concentrated(&canary, self.reading.rescued(Track::Canary))?;
        Some(Concentration {
            failing: found.failing,
            bucket: found.bucket.index(),
            in_bucket: u64::from(found.failing.of(&found.tally)),
            of: found.of,
            fails_on_stable: self.on_stable(found.bucket, found.failing).fails(rate(found.failing, &found.tally)),
            workspaces_per_bucket: workspaces_per_bucket(self.active_buckets()),
            over: false,
        })
    }

    fn on_stable(&self, bucket: Bucket, failing: Failing) -> OnStable {
        let set_aside = self.reading.set_aside(bucket);
        OnStable {
            refuted: self.examined().any(|exam| exam.bucket == bucket.index() && exam.finding == Finding::Refuted),
            set_aside: (f64::from(failing.of(&set_aside)), f64::from(set_aside.requests)),
            past: self.past.history.counted(bucket, failing.metric()),
        }
    }

    /// The buckets with the most failures on either track, as far as the ledger was read. Errors and late answers count before rejected
    /// requests.
    pub fn failing(&self) -> Vec<FailingBucket> {
        let split = &self.observed.split;
        let worst = |tally: &Tally| (u64::from(tally.errors) + u64::from(tally.late), tally.rejected);
        let mut buckets: Vec<(Bucket, Tally)> = self.reading.by_bucket().filter(|(_, tally)| worst(tally) > (0, 0)).collect();
        buckets.sort_unstable_by_key(|(bucket, tally)| (std::cmp::Reverse(worst(tally)), *bucket));
        buckets.truncate(SHOWN);
        let shown = buckets.into_iter().map(|(bucket, tally)| {
            let track = split.track(bucket);
            let first_of_most = Failing::ALL.into_iter().rev().max_by_key(|failing| failing.of(&tally));
            let failing = first_of_most.unwrap_or(Failing::Errors);
            let fails_on_stable = match track {
                Track::Stable => Some(true),
                Track::Canary => self.on_stable(bucket, failing).fails(rate(failing, &tally)),
            };
            FailingBucket { bucket, track, tally, failing, fails_on_stable }
        });
        shown.collect()
    }
}
