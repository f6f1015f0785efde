//! What serves now. A snapshot holds the whole configuration and each bot's epoch; publishing one swaps it in at once,
//! and every worker says when it has taken it up, so that whoever changed something can wait until it is true on every
//! core. `proxy` reads snapshots and records into epochs, `controller` publishes: they meet here and nowhere else.

mod concentration;
mod ledger;
mod names;
mod shard;
mod status;
mod waits;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::config::{Bot, Config};
use crate::core::Split;

pub use concentration::{Concentration, Failing, on_stable, workspaces_per_bucket};
pub use ledger::{Ledger, News, Reading, TrackTotals};
pub use names::Names;
pub use shard::Shard;
pub use status::{Durability, Examined, Judged, Status, Times};
pub use waits::Waits;

/// One bot's split, who plays which role in it, and the tallies that belong to it. A new split is a new epoch with an
/// empty ledger; a change that leaves the assignment as it is keeps the ledger.
#[derive(Debug)]
pub struct Epoch {
    /// The number of the last committed change to this bot, rising by one.
    pub revision: u64,
    /// Rises only when the assignment changes.
    pub split_id: u64,
    pub split: Split,
    pub roles: Roles,
    /// Shared by successive epochs of the same split.
    pub ledger: Arc<Ledger>,
    /// Who was counted, with `[admin] show_workspaces`: of the same split as the ledger.
    pub names: Option<Arc<Names>>,
    status: Mutex<Arc<Status>>,
    /// Counted when somebody asks.
    canary_buckets: OnceLock<usize>,
}

/// Which upstream plays which track: indices into the bot's upstreams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Roles {
    pub stable: usize,
    /// `None` where nobody may be sent to a canary: there is none, or it was taken back.
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
            status: Mutex::new(Arc::new(status)),
            canary_buckets: OnceLock::new(),
        }
    }

    /// The same, with these names.
    pub fn with_names(self, names: Option<Arc<Names>>) -> Epoch {
        Epoch { names, ..self }
    }

    /// What the controller last said about it.
    pub fn status(&self) -> Arc<Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many buckets the split puts on the canary.
    pub fn canary_buckets(&self) -> usize {
        *self.canary_buckets.get_or_init(|| self.split.canary_buckets())
    }

    /// The upstream of the release that is tried, or may be: also of one that the breaker took back, for which nobody plays the canary
    /// until somebody resumes it.
    pub fn tried(&self, bot: &Bot) -> Option<usize> {
        let status = self.status();
        let release = status.state.canary.as_ref();
        self.roles
            .canary
            .or_else(|| bot.upstreams.iter().position(|upstream| Some(&upstream.name) == release.map(|release| &release.upstream)))
    }

    /// For the controller: what it now makes of what serves. Nothing that serves changes by it.
    pub fn report(&self, status: Status) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(status);
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
    /// The sequence that each worker serves.
    applied: Box<[AtomicU64]>,
    progress: Notify,
}

/// A worker that does not take up a snapshot for this long is stuck; whoever published is told so.
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

    /// Swaps a snapshot in; the workers take it up by themselves. Only the controller calls it, with rising sequences.
    pub fn publish(&self, snapshot: Arc<Snapshot>) {
        self.sender.send_replace(snapshot);
    }

    /// The newest sequence that every worker serves, or a later one.
    pub fn served(&self) -> u64 {
        self.applied.iter().map(|applied| applied.load(Ordering::Acquire)).min().unwrap_or(0)
    }

    /// Waits until every worker serves a later sequence than this one, and returns the newest such. Cancel safe.
    pub async fn served_beyond(&self, sequence: u64) -> u64 {
        loop {
            // Registered before the look, so that no progress between the two is missed.
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

    /// For one worker's thread: what to serve, and the changes of it.
    pub fn follow(self: &Arc<Self>, worker: usize) -> Follower {
        let mut receiver = self.sender.subscribe();
        receiver.mark_changed();
        Follower { live: self.clone(), receiver, worker }
    }
}

/// One worker's end: it takes up snapshots and says so.
#[derive(Debug)]
pub struct Follower {
    live: Arc<Live>,
    receiver: watch::Receiver<Arc<Snapshot>>,
    pub worker: usize,
}

impl Follower {
    /// Waits for a snapshot that was not seen yet; `None` when serin ends.
    pub async fn changed(&mut self) -> Option<Arc<Snapshot>> {
        self.receiver.changed().await.ok()?;
        Some(self.receiver.borrow_and_update().clone())
    }

    /// To be called once the snapshot serves on this worker.
    pub fn applied(&self, snapshot: &Snapshot) {
        self.live.applied[self.worker].store(snapshot.sequence, Ordering::Release);
        self.live.progress.notify_waiters();
    }
}
