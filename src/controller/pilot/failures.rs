//! Where a bot's failures come from, for the status and the dashboard. It is computed only after the canary failed, or when new counts
//! come in after that, so a bot without traffic or with a healthy canary costs nothing.

use crate::core::{Bucket, Tally, Track, Weight};
use crate::live::{Concentration, Failing, News};

#[derive(Debug, Default)]
pub(super) struct Failures {
    pub concentration: Option<Concentration>,
    /// The canary has failed since the last computation.
    pub due: bool,
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
