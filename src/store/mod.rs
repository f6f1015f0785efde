//! The history: every change, who made it and on what evidence. Beside it the store keeps each bot's last evidence and what is usual
//! for it. One thread does all writing, so that a disk that hangs delays nobody who lowers a weight.

#![forbid(unsafe_code)]

mod append;
mod entry;
mod health;
mod kept;
mod key;
mod open;
mod private;
mod reader;
mod roles;
mod schema;
mod thread;
mod told;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use health::Shared;
use reader::{Question, Reader};
use thread::Job;

pub use append::{Append, Claim, NotDurable, Ticket, Unwritten, Written};
pub use entry::{Entry, Reasons, Row, Who};
pub use health::{Health, Op};
pub use kept::{Checkpoint, Kept};
pub use key::InstallationKey;
pub use open::{Found, OpenError, Place, place};
pub use reader::NotRead;
pub use schema::replay;
pub use told::Mark;

/// The handle to the history of all bots.
#[derive(Debug)]
pub struct Store {
    jobs: mpsc::SyncSender<Job>,
    /// `None` if the history is in memory: then the writing thread also reads.
    reader: Option<Reader>,
    shared: Arc<Shared>,
    path: Option<PathBuf>,
    key: InstallationKey,
}

/// The most marks and questions that may wait for the writing thread; further ones are dropped.
const WAITING_MOST: usize = 1_024;
/// The most jobs of all kinds that may wait for the writing thread. While a disk hangs, the controller orders at most 1,000 changes
/// besides those that lower; the rest is for these, some for each bot of a large installation. A row beyond the limit is lost, with a
/// log line.
const JOBS_MOST: usize = 16 * 1_024;
/// The most answers that the controller may not have taken yet; at this limit the writing thread waits.
const ANSWERS_MOST: usize = 1_024;

impl Store {
    /// Opens the history, or creates it. A file that cannot be read is renamed and kept. The receiver gets the answer to each order;
    /// rows older than `keep` are deleted.
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
        // Also `None` if the file could not be used.
        let path = database.path.clone();
        let reader = database.reader.take().map(Reader::start);
        thread::start(database, queue, written, shared.clone(), keep);
        Ok((Store { jobs, reader, shared, path, key }, found, answers))
    }

    /// The file; `None` if the history does not outlive the process.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Orders rows to be written and returns at once. The answer goes to the receiver that `open` returned.
    pub fn append(&self, append: Append) {
        // There will be no answer; the caller's time limit ends the wait.
        if let Err(error) = self.jobs.try_send(Job::Append(append)) {
            self.shared.count(Op::Append);
            tracing::error!(%error, "a change will be missing from the history: too many wait for the disk, or the thread has ended");
        }
    }

    /// Writes checkpoints soon, without waiting for the disk. A crash may lose them. Skipped if checkpoints wait already.
    pub fn checkpoint(&self, checkpoints: Vec<Checkpoint>) {
        if !self.shared.checkpoint_waits.swap(true, Ordering::AcqRel) && self.jobs.try_send(Job::Checkpoint(checkpoints)).is_err() {
            self.shared.checkpoint_waits.store(false, Ordering::Release);
        }
    }

    /// A bot's changes below a revision, the newest first, at most `most`.
    pub async fn history(&self, bot: &str, below: Option<u64>, most: usize) -> Result<Vec<Row>, NotRead> {
        self.ask(|reply| Question::Rows { bot: bot.to_owned(), below, most, reply }).await
    }

    /// All marks: what each notifier was told.
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

    /// Stores marks soon, without waiting for the disk. A crash may lose them.
    pub fn mark(&self, marks: Vec<Mark>) {
        if !marks.is_empty() {
            // If the queue is full, the disk hangs: the marks are dropped, and a restart sends the messages again.
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

    /// Waits for at most `within` until all earlier orders were tried. Returns `true` if nothing is left to be written.
    pub async fn finish(&self, within: Duration) -> bool {
        let (reply, finished) = oneshot::channel();
        self.jobs.try_send(Job::Finish { reply }).is_ok() && matches!(tokio::time::timeout(within, finished).await, Ok(Ok(true)))
    }

    /// The key that this history's links are made with.
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
