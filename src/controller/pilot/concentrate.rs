//! Finds where a bot's failures come from.

use super::Pilot;
use super::failures::FailingBucket;
use crate::controller::concentration::{OnStable, concentrated, rate};
use crate::core::evidence::Finding;
use crate::core::{Bucket, Tally, Track, Weight};
use crate::live::{Concentration, Failing, workspaces_per_bucket};

/// The largest number of failing buckets that are shown.
const SHOWN: usize = 10;

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
            past: self.learned.usual.counted(bucket, failing.metric()),
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
