//! What serves: the epoch that was published last, and the one that each worker has taken up so far.

use std::sync::Arc;

use super::world::{Truth, World, sets};
use crate::core::{Apart, Bucket, Pins, Release, Split, State, Weight};

pub const WORKERS: usize = 3;

/// One state as it serves. The sets are of workspaces.
pub struct Epoch {
    pub revision: u64,
    pub split_id: u64,
    pub attempt: u64,
    pub weight: Weight,
    pub stable: Release,
    pub canary: Option<Release>,
    /// Nobody plays the canary.
    pub closed: bool,
    pub split: Split,
    pub labels: u64,
    /// Whom the canary answers.
    pub on_canary: u64,
    pub pinned: [u64; 2],
    pub set_aside: u64,
    /// Stable's and the canary's.
    pub truths: [Truth; 2],
}

pub struct Live {
    pub published: Arc<Epoch>,
    /// What was published before.
    pub replaced: Arc<Epoch>,
    pub workers: [Arc<Epoch>; WORKERS],
}

/// Whom an operator put on a track by name: at most one on each, by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    pub stable: Option<usize>,
    pub canary: Option<usize>,
}

impl Epoch {
    pub fn new(world: &World, state: &State, pinned: Pinned, apart: impl IntoIterator<Item = (Bucket, Apart)>) -> Arc<Epoch> {
        let names = |workspace: Option<usize>| workspace.map(|number| world.name(number).to_owned()).into_iter().collect::<Vec<_>>();
        let pins = Pins::new(&names(pinned.canary), &names(pinned.stable)).unwrap_or_default();
        let split = Split::new(world.salt(), "support", state.attempt, state.weight, pins).with_apart(apart.into_iter().collect());
        let closed = state.canary_is_closed() || state.canary.is_none();
        let split = if closed { split.closed() } else { split };
        let [labels, on_canary] = sets(world, &split);
        let canary_truth = state.canary.as_ref().map_or(Truth::Good, |canary| world.truth(canary));
        Arc::new(Epoch {
            revision: state.revision,
            split_id: state.split_id,
            attempt: state.attempt,
            weight: state.weight,
            stable: state.stable.clone(),
            canary: state.canary.clone(),
            closed,
            labels,
            on_canary,
            pinned: [pinned.stable, pinned.canary].map(|number| number.map_or(0, |number| 1 << number)),
            set_aside: world.set(|_, bucket| split.is_set_aside(bucket)),
            truths: [world.truth(&state.stable), canary_truth],
            split,
        })
    }
}

impl Live {
    pub fn new(epoch: Arc<Epoch>) -> Live {
        Live { workers: std::array::from_fn(|_| epoch.clone()), replaced: epoch.clone(), published: epoch }
    }

    pub fn is_applied_everywhere(&self) -> bool {
        self.workers.iter().all(|worker| Arc::ptr_eq(worker, &self.published))
    }
}
