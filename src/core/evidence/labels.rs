//! Which buckets are canary in this step, and which could have become canary only in this step.

use serde::{Deserialize, Serialize};

use super::bets::Odds;
use crate::core::bucket::Bucket;
use crate::core::sparse::BucketSet;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Labels {
    canary: BucketSet,
    /// Buckets that were never canary before this step.
    #[serde(rename = "pool")]
    fresh: BucketSet,
    /// Buckets that were examined, and whose trouble was their own.
    refuted: BucketSet,
    /// Buckets that had a request in this rollout.
    active: BucketSet,
    weight: f64,
    /// The highest weight before this step.
    highest: f64,
}

impl Labels {
    pub fn new() -> Labels {
        let none = BucketSet::none();
        Labels { canary: none.clone(), fresh: BucketSet::all(), refuted: none.clone(), active: none, weight: 0.0, highest: 0.0 }
    }

    pub fn begin_step(&mut self, weight: f64, canary: impl Fn(Bucket) -> bool) {
        self.highest = self.highest.max(self.weight);
        self.fresh.remove_all(&self.canary);
        self.canary = Bucket::all().filter(|bucket| canary(*bucket)).map(Bucket::index).collect();
        self.weight = weight;
    }

    pub fn refute(&mut self, index: usize) {
        self.refuted.insert(index);
    }

    pub fn refuted(&self, index: usize) -> bool {
        self.refuted.contains(index)
    }

    pub fn active(&mut self, bucket: Bucket) {
        self.active.insert(bucket.index());
    }

    pub fn canary(&self, index: usize) -> bool {
        self.canary.contains(index)
    }

    pub fn fresh(&self, index: usize) -> bool {
        self.fresh.contains(index)
    }

    /// Whether there are two tracks to compare.
    pub fn is_a_split(&self) -> bool {
        0.0 < self.weight && self.weight < 1.0
    }

    /// `f`, and `f_c = (f − h)/(1 − h)` with h the highest weight before: 0 if this step adds no bucket.
    pub fn odds(&self) -> Odds {
        let fresh = if self.weight > self.highest { (self.weight - self.highest) / (1.0 - self.highest) } else { 0.0 };
        Odds { all: self.weight, fresh }
    }

    /// The number of fresh buckets that are canary, and of all fresh buckets.
    pub fn fresh_sizes(&self) -> (usize, usize) {
        (self.canary.common(&self.fresh), self.fresh.len())
    }

    /// The numbers of active buckets on stable and on the canary.
    pub fn active_sizes(&self) -> (usize, usize) {
        let canary = self.active.common(&self.canary);
        (self.active.len() - canary, canary)
    }
}
