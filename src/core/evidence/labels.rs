//! Who is canary in this step, and who could have become it in this step only.

use serde::{Deserialize, Serialize};

use super::bets::Odds;
use crate::core::bucket::Bucket;

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Labels {
    #[serde(with = "crate::core::sparse")]
    canary: Vec<bool>,
    /// Was never canary before this step.
    #[serde(with = "crate::core::sparse")]
    pool: Vec<bool>,
    /// Was examined, and its trouble was its own.
    #[serde(with = "crate::core::sparse")]
    refuted: Vec<bool>,
    /// Had a request in this rollout.
    #[serde(with = "crate::core::sparse")]
    active: Vec<bool>,
    weight: f64,
    /// The highest weight before this step.
    highest: f64,
}

impl Labels {
    pub fn new(buckets: usize) -> Labels {
        let none = vec![false; buckets];
        Labels { canary: none.clone(), pool: vec![true; buckets], refuted: none.clone(), active: none, weight: 0.0, highest: 0.0 }
    }

    pub fn begin_step(&mut self, weight: f64, canary: impl Fn(Bucket) -> bool) {
        self.highest = self.highest.max(self.weight);
        for bucket in Bucket::all() {
            let index = bucket.index();
            self.pool[index] &= !self.canary[index];
            self.canary[index] = canary(bucket);
        }
        self.weight = weight;
    }

    pub fn refute(&mut self, index: usize) {
        self.refuted[index] = true;
    }

    pub fn refuted(&self, index: usize) -> bool {
        self.refuted[index]
    }

    pub fn active(&mut self, bucket: Bucket) {
        self.active[bucket.index()] = true;
    }

    pub fn canary(&self, index: usize) -> bool {
        self.canary[index]
    }

    pub fn pool(&self, index: usize) -> bool {
        self.pool[index]
    }

    /// Are there both tracks to compare?
    pub fn is_a_split(&self) -> bool {
        0.0 < self.weight && self.weight < 1.0
    }

    /// `f`, and `f_c = (f − h)/(1 − h)` with h the highest weight before: 0 if nobody is new.
    pub fn odds(&self) -> Odds {
        let fresh = if self.weight > self.highest { (self.weight - self.highest) / (1.0 - self.highest) } else { 0.0 };
        Odds { all: self.weight, fresh }
    }

    /// The pool's canary buckets, and the whole pool.
    pub fn pool_sizes(&self) -> (usize, usize) {
        let canary = self.canary.iter().zip(&self.pool).filter(|(canary, pool)| **canary && **pool).count();
        (canary, self.pool.iter().filter(|pool| **pool).count())
    }

    /// The active buckets of stable and of the canary.
    pub fn active_sizes(&self) -> (usize, usize) {
        let active = self.active.iter().zip(&self.canary).filter(|(active, _)| **active);
        active.fold((0, 0), |(stable, canary), (_, is_canary)| if *is_canary { (stable, canary + 1) } else { (stable + 1, canary) })
    }
}
