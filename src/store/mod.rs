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

use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc as tokio_mpsc, oneshot};

use health::Shared;
use open::{Database, IfLost};
use reader::{Question, Reader};
use thread::Job;

pub use append::{Append, Claim, NotDurable, Ticket, Unwritten, Written};
pub use entry::{Entry, Reasons, Row, Who};
pub use health::{Health, Op};
pub use kept::{Checkpoint, Kept};
pub use key::InstallationKey;
pub use open::{Found, OpenError, Place, place};
pub use private::replace as replace_file;
pub use reader::NotRead;
#[cfg(any(test, fuzzing))]
pub use schema::fuzzing;
pub use schema::replay;
pub use thread::NotClosed;
pub use told::Mark;

/// The handle to the history of all bots.
#[derive(Debug)]
pub struct Store {
    /// `None` while the history is handed over to another process.
    threads: ArcSwapOption<Threads>,
    shared: Arc<Shared>,
    place: Place,
    keep: Duration,
    path: Option<PathBuf>,
    key: InstallationKey,
}

/// The ways to the threads that use the open history. They end when it is dropped.
#[derive(Debug)]
struct Threads {
    jobs: mpsc::SyncSender<Job>,
    /// `None` if the history is in memory: then the writing thread also reads.
    reader: Option<Reader>,
}

/// The answers to orders.
type Answers = tokio_mpsc::Receiver<Written>;

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
    pub fn open(place: Place, keep: Duration) -> Result<(Store, Found, Answers), OpenError> {
        Store::open_as(place, keep, IfLost::Begin)
    }

    /// Opens the history that another process has closed. Returns an error where `open` would begin a new history, or keep none.
    pub fn take_over(place: Place, keep: Duration) -> Result<(Store, Found, Answers), OpenError> {
        Store::open_as(place, keep, IfLost::Refuse)
    }

    fn open_as(place: Place, keep: Duration, if_lost: IfLost) -> Result<(Store, Found, Answers), OpenError> {
        let (database, mut found) = open::open(&place, if_lost)?;
        let beside = match &place {
            Place::File(path) => Some(path.as_path()),
            Place::Memory(_) => None,
        };
        let (key, passing) = beside.map_or_else(|| (InstallationKey::passing(), None), InstallationKey::kept);
        found.alarms.extend(passing);
        let key = key.of_history(&database.id);
        // Also `None` if the file could not be used.
        let path = database.path.clone();
        let shared = Arc::new(Shared::default());
        let (threads, answers) = Threads::start(database, &shared, keep);
        Ok((Store { threads: ArcSwapOption::from_pointee(threads), shared, place, keep, path, key }, found, answers))
    }

    /// Hands the history over: writes all that waits, then these checkpoints, closes the file and releases its lock, so that another
    /// process can open it. On an error the history is still open, unless `is_open` says otherwise. Called when nothing is ordered any
    /// more.
    pub async fn close(&self, checkpoints: Vec<Checkpoint>, within: Duration) -> Result<(), NotClosed> {
        let Some(threads) = self.threads.load_full() else { return Ok(()) };
        let (claim, (reply, mut closed)) = (Claim::default(), oneshot::channel());
        if threads.jobs.try_send(Job::Close { checkpoints, claim: claim.clone(), reply }).is_err() {
            return Err(NotClosed::TooSlow(within));
        }
        let answer = match tokio::time::timeout(within, &mut closed).await {
            Ok(answer) => answer,
            Err(_) if claim.give_up() => return Err(NotClosed::TooSlow(within)),
            // The thread closes the file already, and the disk hangs in that.
            Err(_) => {
                self.threads.store(None);
                tokio::time::timeout(within, closed).await.map_err(|_| NotClosed::TooSlow(within))?
            }
        };
        answer.unwrap_or_else(|_| Err(NotClosed::NotWritten("the writing thread has ended".to_owned())))?;
        self.threads.store(None);
        Ok(())
    }

    /// Opens the history again after `close`. Blocks while it reads the file. Returns what is in it now, and the receiver of answers.
    pub fn reopen(&self) -> Result<(Found, Answers), OpenError> {
        let (database, found) = open::open(&self.place, IfLost::Refuse)?;
        self.shared.forget_what_waited();
        let (threads, answers) = Threads::start(database, &self.shared, self.keep);
        self.threads.store(Some(Arc::new(threads)));
        Ok((found, answers))
    }

    /// Whether this process has the history.
    pub fn is_open(&self) -> bool {
        self.threads.load().is_some()
    }

    /// The file; `None` if the history does not outlive the process.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// Orders rows to be written and returns at once. The answer goes to the receiver that `open` returned.
    pub fn append(&self, append: Append) {
        // There will be no answer; the caller's time limit ends the wait.
        if !self.order(Job::Append(append)) {
            self.shared.count(Op::Append);
            tracing::error!("a change will be missing from the history: too many wait for the disk, or its thread has ended");
        }
    }

    /// Gives a job to the writing thread. Returns `false` if the queue is full or there is no thread.
    fn order(&self, job: Job) -> bool {
        self.threads.load().as_ref().is_some_and(|threads| threads.jobs.try_send(job).is_ok())
    }

    /// Writes checkpoints soon, without waiting for the disk. A crash may lose them. Skipped if checkpoints wait already.
    pub fn checkpoint(&self, checkpoints: Vec<Checkpoint>) {
        if !self.shared.checkpoint_waits.swap(true, Ordering::AcqRel) && !self.order(Job::Checkpoint(checkpoints)) {
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
        let Some(threads) = self.threads.load_full() else { return Err(NotRead::HandedOver) };
        let answer = match &threads.reader {
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
        if self.shared.waiting.fetch_add(1, Ordering::AcqRel) < WAITING_MOST && self.order(job) {
            return true;
        }
        self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
        false
    }

    /// Waits for at most `within` until all earlier orders were tried. Returns `true` if nothing is left to be written.
    pub async fn finish(&self, within: Duration) -> bool {
        let (reply, finished) = oneshot::channel();
        // A history that was handed over was written before.
        !self.is_open() || self.order(Job::Finish { reply }) && matches!(tokio::time::timeout(within, finished).await, Ok(Ok(true)))
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

impl Threads {
    fn start(mut database: Database, shared: &Arc<Shared>, keep: Duration) -> (Threads, Answers) {
        let (jobs, queue) = mpsc::sync_channel(JOBS_MOST);
        let (written, answers) = tokio_mpsc::channel(ANSWERS_MOST);
        let reader = database.reader.take().map(Reader::start);
        thread::start(database, queue, written, shared.clone(), keep);
        (Threads { jobs, reader }, answers)
    }
}

#[cfg(test)]
mod tests;
