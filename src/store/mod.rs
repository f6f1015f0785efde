//! What outlives a process: every change, who made it and on what it rests, and beside it what was known and what is
//! usual. A thread of its own does the writing, so that a disk that hangs stops nobody who lowers.

mod entry;
mod key;
mod open;
mod roles;
mod schema;
mod thread;
mod told;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::core::{Release, State};

pub use entry::{Entry, Reasons, Row, Who};
pub use key::InstallationKey;
pub use open::{OpenError, place};
pub use schema::replay;
use thread::Job;
pub use told::Mark;

/// The history of all bots.
#[derive(Debug)]
pub struct Store {
    jobs: mpsc::SyncSender<Job>,
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    key: InstallationKey,
}

/// What the writing thread says about itself.
#[derive(Debug, Default)]
struct Shared {
    health: Mutex<Health>,
    /// By [`Op`].
    errors: [AtomicU64; Op::ALL.len()],
    /// A snapshot waits to be written; another one would only wait behind it.
    snapshot_waits: AtomicBool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing can be written.
    pub failing: Option<String>,
    /// What serves already and is not durable yet.
    pub unwritten: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Append,
    Snapshot,
    Read,
    Told,
}

impl Op {
    pub const ALL: [Op; 4] = [Op::Append, Op::Snapshot, Op::Read, Op::Told];

    pub fn name(self) -> &'static str {
        match self {
            Op::Append => "append",
            Op::Snapshot => "snapshot",
            Op::Read => "read",
            Op::Told => "told",
        }
    }
}

/// Where the history is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    File(PathBuf),
    /// Nowhere: why.
    Memory(String),
}

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    pub bots: HashMap<String, Kept>,
    /// Who was stable, where the history itself could not be read.
    pub stable: HashMap<String, Release>,
    /// What an operator should know.
    pub alarms: Vec<String>,
}

/// What is kept of a bot.
#[derive(Debug)]
pub struct Kept {
    pub state: State,
    /// By the controller's clock.
    pub at: Duration,
    /// Of this split, as of its last look.
    pub evidence: Option<Vec<u8>>,
    pub past: Option<Vec<u8>>,
    /// When a drill last went well, in Unix seconds.
    pub drilled: Option<f64>,
}

/// What was known at some moment after the last change.
#[derive(Debug)]
pub struct Snapshot {
    pub bot: String,
    pub state: State,
    pub at: Duration,
    pub evidence: Option<Vec<u8>>,
    pub past: Option<Vec<u8>>,
}

/// What becomes of an entry that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// It was not done.
    Drop,
    /// It serves: it is written when it can be.
    Keep,
}

/// The change is not durable.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the history cannot be written: {0}")]
pub struct NotDurable(pub String);

/// What waits for a disk that hangs. One more is refused: who lowers is served all the same, and its row is lost.
const QUEUE: usize = 1_024;
/// A disk that takes longer than this for one row hangs.
const PATIENCE: Duration = Duration::from_secs(3);

fn not_taken<T>(error: &mpsc::TrySendError<T>) -> NotDurable {
    NotDurable(match error {
        mpsc::TrySendError::Full(_) => format!("{QUEUE} changes wait for the disk"),
        mpsc::TrySendError::Disconnected(_) => "its thread has ended".to_owned(),
    })
}

impl Store {
    /// Opens what is there, or begins; a file that cannot be read is kept aside.
    pub fn open(place: Place, keep: Duration) -> Result<(Store, Found), OpenError> {
        let (database, mut found) = open::open(&place)?;
        let shared = Arc::new(Shared::default());
        let (jobs, queue) = mpsc::sync_channel(QUEUE);
        let path = match place {
            Place::File(path) => Some(path),
            Place::Memory(_) => None,
        };
        let (key, passing) = path.as_deref().map_or_else(|| (InstallationKey::passing(), None), InstallationKey::kept);
        found.alarms.extend(passing);
        let key = key.of_history(&database.id);
        thread::start(database, queue, shared.clone(), keep);
        Ok((Store { jobs, shared, path, key }, found))
    }

    /// The file; none where nothing outlives the process.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Writes changes, all of them or none; answers once they are durable.
    pub async fn append(&self, entries: Vec<Entry>, unwritten: Unwritten) -> Result<(), NotDurable> {
        let (reply, written) = oneshot::channel();
        if let Err(error) = self.jobs.try_send(Job::Append { entries, unwritten, reply }) {
            let error = not_taken(&error);
            self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).failing = Some(error.0.clone());
            return Err(error);
        }
        match tokio::time::timeout(PATIENCE, written).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(NotDurable("its thread has ended".to_owned())),
            Err(_) => {
                // With the receiver gone, what was to be dropped is taken back, should it be written after all.
                let why = format!("no answer from the disk within {PATIENCE:?}");
                self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).failing = Some(why.clone());
                Err(NotDurable(why))
            }
        }
    }

    /// Writes down what is known, some time soon, without waiting for the disk. It may be lost.
    pub fn snapshot(&self, snapshots: Vec<Snapshot>) {
        if !self.shared.snapshot_waits.swap(true, Ordering::AcqRel) && self.jobs.try_send(Job::Snapshot(snapshots)).is_err() {
            self.shared.snapshot_waits.store(false, Ordering::Release);
        }
    }

    /// Would a snapshot be taken now?
    pub fn takes_snapshots(&self) -> bool {
        self.path.is_some() && !self.shared.snapshot_waits.load(Ordering::Acquire)
    }

    /// A bot's changes, the newest first, below a revision.
    pub async fn history(&self, bot: &str, below: Option<u64>, most: usize) -> Result<Vec<Row>, NotDurable> {
        let (reply, rows) = oneshot::channel();
        if let Err(error) = self.jobs.try_send(Job::Read { bot: bot.to_owned(), below, most, reply }) {
            return Err(not_taken(&error));
        }
        rows.await.unwrap_or_else(|_| Err(NotDurable("its thread has ended".to_owned())))
    }

    /// Who has been told what.
    pub async fn marks(&self) -> Result<Vec<Mark>, NotDurable> {
        let (reply, marks) = oneshot::channel();
        if let Err(error) = self.jobs.try_send(Job::Marks { reply }) {
            return Err(not_taken(&error));
        }
        marks.await.unwrap_or_else(|_| Err(NotDurable("its thread has ended".to_owned())))
    }

    /// Remembers that somebody was told, some time soon, without waiting for the disk. It may be lost.
    pub fn mark(&self, marks: Vec<Mark>) {
        if !marks.is_empty() {
            // With the queue full the disk hangs; then a restart tells it once more.
            let _ = self.jobs.try_send(Job::Mark(marks));
        }
    }

    /// What the links about this history are made with.
    pub fn key(&self) -> InstallationKey {
        self.key
    }

    pub fn health(&self) -> Health {
        self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn errors(&self, op: Op) -> u64 {
        self.shared.errors[op as usize].load(Ordering::Relaxed)
    }
}
