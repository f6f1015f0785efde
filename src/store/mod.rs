//! What outlives a process: every change, who made it and on what it rests, and beside it what was known and what is
//! usual. A thread of its own does the writing, so that a disk that hangs stops nobody who lowers.

mod append;
mod entry;
mod key;
mod open;
mod reader;
mod roles;
mod schema;
mod thread;
mod told;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use crate::core::{Landmarks, Release, State};

pub use append::{Append, Claim, Ticket, Unwritten, Written};
pub use entry::{Entry, Reasons, Row, Who};
pub use key::InstallationKey;
pub use open::{OpenError, place};
use reader::{Question, Reader};
pub use schema::replay;
use thread::Job;
pub use told::Mark;

/// The history of all bots.
#[derive(Debug)]
pub struct Store {
    jobs: mpsc::SyncSender<Job>,
    /// None where the history is in memory: then the thread that writes reads, too.
    reader: Option<Reader>,
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
    /// Marks and questions that wait for the thread.
    waiting: AtomicUsize,
}

/// What cannot be written now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing can be.
    pub failing: Option<String>,
    /// The bots whose own rows cannot be, and why.
    pub bots: BTreeMap<String, String>,
}

impl Health {
    /// Why this bot's changes cannot be kept.
    pub fn of(&self, bot: &str) -> Option<&str> {
        self.failing.as_deref().or_else(|| self.bots.get(bot).map(String::as_str))
    }
}

impl Shared {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, op: Op) {
        self.errors[op as usize].fetch_add(1, Ordering::Relaxed);
    }
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
    /// There was a history, and nothing of it could be read: what the config says of a beginning is not true any more.
    pub lost: bool,
}

/// What is kept of a bot.
#[derive(Clone, Debug)]
pub struct Kept {
    pub state: State,
    /// By the controller's clock.
    pub at: Duration,
    /// Of this split, as of its last look.
    pub evidence: Option<Vec<u8>>,
    pub past: Option<Vec<u8>>,
    pub landmarks: Landmarks,
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

/// The change is not durable.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the history cannot be written: {0}")]
pub struct NotDurable(pub String);

/// The history was not read.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotRead {
    #[error("{waiting} others wait for the history already: ask again in a moment")]
    Busy { waiting: usize },
    #[error("the history was not read within {patience:?}: the disk is slow; ask again")]
    TooSlow { patience: Duration },
    #[error("the history cannot be read: {0}")]
    Failed(String),
}

/// Marks and questions that may wait for the thread that writes; one more is dropped.
const WAITING_MOST: usize = 1_024;
/// All that may wait for it. The controller orders no more than 1,000 changes from a disk that hangs, but for those that lower:
/// room for some of these for each bot of a large installation. Of one more the row is lost, and a log line says so.
const JOBS_MOST: usize = 16 * 1_024;
/// Answers that the controller has not taken yet; the thread that writes waits for it then.
const ANSWERS_MOST: usize = 1_024;

impl Store {
    /// Opens what is there, or begins; a file that cannot be read is kept aside. The receiver gets the answers to all orders.
    pub fn open(place: Place, keep: Duration) -> Result<(Store, Found, tokio_mpsc::Receiver<Written>), OpenError> {
        let (mut database, mut found) = open::open(&place)?;
        let shared = Arc::new(Shared::default());
        let (jobs, queue) = mpsc::sync_channel(JOBS_MOST);
        let (written, answers) = tokio_mpsc::channel(ANSWERS_MOST);
        let beside = match &place {
            Place::File(path) => Some(path.as_path()),
            Place::Memory(_) => None,
        };
        let (key, passing) = beside.map_or_else(|| (InstallationKey::passing(), None), InstallationKey::kept);
        found.alarms.extend(passing);
        let key = key.of_history(&database.id);
        // None where the file could not be used, too.
        let path = database.path.clone();
        let reader = database.reader.take().map(Reader::start);
        thread::start(database, queue, written, shared.clone(), keep);
        Ok((Store { jobs, reader, shared, path, key }, found, answers))
    }

    /// The file; none where nothing outlives the process.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Begins to write rows. Nothing waits for them here: the answer goes to the receiver that `open` returned.
    pub fn append(&self, append: Append) {
        // Without an answer whatever waits for one gives up after a while.
        if let Err(error) = self.jobs.try_send(Job::Append(append)) {
            self.shared.count(Op::Append);
            tracing::error!(%error, "a change is lost to the history: too many wait for the disk, or its thread has ended");
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
    pub async fn history(&self, bot: &str, below: Option<u64>, most: usize) -> Result<Vec<Row>, NotRead> {
        self.ask(|reply| Question::Rows { bot: bot.to_owned(), below, most, reply }).await
    }

    /// Who has been told what.
    pub async fn marks(&self) -> Result<Vec<Mark>, NotRead> {
        self.ask(|reply| Question::Marks { reply }).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<rusqlite::Result<T>>) -> Question) -> Result<T, NotRead> {
        let answer = match &self.reader {
            Some(reader) => reader.ask(question).await,
            None => {
                let (reply, answer) = oneshot::channel();
                if !self.wait_in_line(Job::Ask(question(reply))) {
                    return Err(NotRead::Busy { waiting: WAITING_MOST });
                }
                let ended = || NotRead::Failed("its thread has ended".to_owned());
                answer.await.map_err(|_| ended())?.map_err(|error| NotRead::Failed(error.to_string()))
            }
        };
        answer.inspect_err(|_| self.shared.count(Op::Read))
    }

    /// Remembers that somebody was told, some time soon, without waiting for the disk. It may be lost.
    pub fn mark(&self, marks: Vec<Mark>) {
        if !marks.is_empty() {
            // With the line full the disk hangs; then a restart tells it once more.
            self.wait_in_line(Job::Mark(marks));
        }
    }

    fn wait_in_line(&self, job: Job) -> bool {
        if self.shared.waiting.fetch_add(1, Ordering::AcqRel) < WAITING_MOST && self.jobs.try_send(job).is_ok() {
            return true;
        }
        self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
        false
    }

    /// Waits until what was ordered so far is written, or found not to be writable, for at most so long.
    pub async fn finish(&self, within: Duration) -> bool {
        let (reply, finished) = oneshot::channel();
        self.jobs.try_send(Job::Finish { reply }).is_ok() && matches!(tokio::time::timeout(within, finished).await, Ok(Ok(true)))
    }

    /// What the links about this history are made with.
    pub fn key(&self) -> InstallationKey {
        self.key
    }

    pub fn health(&self) -> Health {
        self.shared.health().clone()
    }

    pub fn errors(&self, op: Op) -> u64 {
        self.shared.errors[op as usize].load(Ordering::Relaxed)
    }
}
