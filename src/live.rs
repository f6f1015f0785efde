//! What serves now. A snapshot contains the whole config and each bot's epoch. Publishing one swaps it in atomically, and each worker
//! reports when it serves it, so that the publisher can wait until every worker does. `proxy` reads snapshots and records into epochs,
//! `controller` publishes them; the two meet only here.

#![forbid(unsafe_code)]

mod concentration;
mod ledger;
mod names;
mod shard;
mod status;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{Notify, watch};

use crate::config::{Bot, Config};
use crate::core::Split;

pub use concentration::{Concentration, Failing, on_stable, workspaces_per_bucket};
pub use ledger::{Ledger, LedgerReading, News, TrackTotals};
pub use names::Names;
pub use shard::Shard;
pub use status::{Durability, ExaminationStatus, Judged, Status, Times};

/// One bot's split, its roles, and the tallies that belong to them. A new split is a new epoch with an empty ledger; a change that
/// leaves the assignment as it is keeps the ledger.
#[derive(Debug)]
pub struct Epoch {
    /// The number of the last committed change of this bot. Each change adds 1.
    pub revision: u64,
    /// Rises only when the assignment changes.
    pub split_id: u64,
    pub split: Split,
    pub roles: Roles,
    /// Shared by successive epochs of the same split.
    pub ledger: Arc<Ledger>,
    /// With `[admin] show_workspaces`: the names of workspaces that were counted in the ledger.
    pub names: Option<Arc<Names>>,
    status: ArcSwap<Status>,
    /// Computed on first use.
    canary_buckets: OnceLock<usize>,
}

/// The upstream of each track, as indices into the bot's upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub stable: usize,
    /// `None` if no workspace may be sent to a canary: there is none, or it was taken back.
    pub canary: Option<usize>,
}

impl Epoch {
    pub fn new(split: Split, roles: Roles, ledger: Arc<Ledger>, status: Status) -> Epoch {
        let state = &status.state;
        Epoch {
            revision: state.revision,
            split_id: state.split_id,
            split,
            roles,
            ledger,
            names: None,
            status: ArcSwap::from_pointee(status),
            canary_buckets: OnceLock::new(),
        }
    }

    /// The same epoch with these names.
    pub fn with_names(self, names: Option<Arc<Names>>) -> Epoch {
        Epoch { names, ..self }
    }

    /// The status that the controller reported last.
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// The number of buckets that the split puts on the canary.
    pub fn canary_buckets(&self) -> usize {
        *self.canary_buckets.get_or_init(|| self.split.canary_buckets())
    }

    /// The upstream of the release that is tried. Also set after a trip, when no upstream plays the canary until a resume.
    pub fn tried(&self, bot: &Bot) -> Option<usize> {
        let status = self.status();
        let release = status.state.canary.as_ref();
        self.roles
            .canary
            .or_else(|| bot.upstreams.iter().position(|upstream| Some(&upstream.name) == release.map(|release| &release.upstream)))
    }

    /// Sets the status; only the controller calls this. It does not change what serves.
    pub fn report(&self, status: Status) {
        self.status.store(Arc::new(status));
    }
}

/// Everything that serves at one moment.
#[derive(Debug)]
pub struct Snapshot {
    pub sequence: u64,
    pub config: Arc<Config>,
    /// Parallel to `config.bots`.
    pub epochs: Vec<Arc<Epoch>>,
}

impl Snapshot {
    /// The index of a bot by name.
    pub fn bot(&self, name: &str) -> Option<usize> {
        self.config.bots.iter().position(|bot| bot.name.as_str() == name)
    }
}

#[derive(Debug)]
pub struct Live {
    sender: watch::Sender<Arc<Snapshot>>,
    /// By worker: the sequence of the snapshot that it serves.
    applied: Box<[AtomicU64]>,
    progress: Notify,
}

/// A worker that does not take up a snapshot within this time counts as stuck, and the publisher gets an error.
pub const APPLY_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not all of the {workers} workers took up the change within {APPLY_TIMEOUT:?}")]
pub struct NotApplied {
    pub workers: usize,
}

impl Live {
    pub fn new(snapshot: Arc<Snapshot>, workers: usize) -> Live {
        let (sender, _) = watch::channel(snapshot);
        Live { sender, applied: (0..workers).map(|_| AtomicU64::new(0)).collect(), progress: Notify::new() }
    }

    pub fn current(&self) -> Arc<Snapshot> {
        self.sender.borrow().clone()
    }

    pub fn workers(&self) -> usize {
        self.applied.len()
    }

    /// Swaps a snapshot in; the workers pick it up. Only the controller calls this, with rising sequences.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.sender.send_replace(snapshot);
    }

    /// The newest sequence that every worker has reached.
    pub fn served(&self) -> u64 {
        self.applied.iter().map(|applied| applied.load(Ordering::Acquire)).min().unwrap_or(0)
    }

    /// Waits until every worker serves a later sequence than this one, and returns the newest such. Cancel safe.
    pub async fn served_beyond(&self, sequence: u64) -> u64 {
        loop {
            // Registered before the check, so that no progress in between is missed.
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            let served = self.served();
            if served > sequence {
                return served;
            }
            progress.await;
        }
    }

    /// Waits until all workers serve this sequence or a later one.
    pub async fn applied_everywhere(&self, sequence: u64) -> Result<(), NotApplied> {
        let served = tokio::time::timeout(APPLY_TIMEOUT, self.served_beyond(sequence.saturating_sub(1))).await;
        served.map(drop).map_err(|_| NotApplied { workers: self.applied.len() })
    }

    /// The end for one worker's thread.
    pub fn follow(self: &Arc<Self>, worker: usize) -> Follower {
        let mut receiver = self.sender.subscribe();
        receiver.mark_changed();
        Follower { live: self.clone(), receiver, worker }
    }
}

/// One worker's end: it receives snapshots and reports the one it serves.
#[derive(Debug)]
pub struct Follower {
    live: Arc<Live>,
    receiver: watch::Receiver<Arc<Snapshot>>,
    pub worker: usize,
}

impl Follower {
    /// The number of all workers.
    pub fn workers(&self) -> usize {
        self.live.workers()
    }

    /// Waits for a new snapshot; the first call returns the current one. Returns `None` when serin ends.
    pub async fn changed(&mut self) -> Option<Arc<Snapshot>> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }

    /// Reports that this worker serves the snapshot.
    pub fn applied(&self, snapshot: &Snapshot) {
        self.live.applied[self.worker].store(snapshot.sequence, Ordering::Release);
        self.live.progress.notify_waiters();
    }
}
