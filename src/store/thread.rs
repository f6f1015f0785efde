//! The one thread that writes. Rows of changes that are in force wait here, each bot's in order, and are tried again each second. A row
//! that is itself invalid delays only its own bot's rows; a disk that accepts nothing delays all.
//!
//! What it writes: rows, durably, when the controller orders them; checkpoints (ordered every 5 s) and the marks of sent messages, on a
//! connection that does not wait for the disk; `roles.json`, when another release became stable. Once a day it deletes old rows.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::sync::oneshot;

use super::append::{Append, Claim, NotDurable, Ticket, Unwritten, Written};
use super::entry::Entry;
use super::health::{Op, Shared};
use super::kept::Checkpoint;
use super::open::Database;
use super::reader::Question;
use super::schema;
use super::told::{self, Mark};

#[derive(Debug)]
pub(super) enum Job {
    Append(Append),
    Checkpoint(Vec<Checkpoint>),
    /// To be written without waiting for the disk.
    Mark(Vec<Mark>),
    /// Only if the history is in memory.
    Ask(Question),
    /// Answered once all earlier jobs were tried: `true` if no row waits.
    Finish {
        reply: oneshot::Sender<bool>,
    },
    /// To write what waits and these checkpoints, and then to close the file for another process. Dropped if the claim was given up.
    Close {
        checkpoints: Vec<Checkpoint>,
        claim: Claim,
        reply: oneshot::Sender<Result<(), NotClosed>>,
    },
}

/// Why the history was not closed for another process.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum NotClosed {
    #[error("the history is in memory, so another process cannot have it")]
    InMemory,
    #[error("the history has no lock, so two processes could write it")]
    NoLock,
    #[error("the history cannot be written: {0}")]
    NotWritten(String),
    #[error("the disk did not take what is to be written within {0:?}")]
    TooSlow(Duration),
}

const TRY_AGAIN: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn start(database: Database, jobs: mpsc::Receiver<Job>, answers: Sender<Written>, shared: Arc<Shared>, keep: Duration) {
    let writer = Writer::new(database, answers, shared, keep);
    // If the thread cannot be started, no order is answered, so nothing is raised.
    let _ = std::thread::Builder::new().name("serin-history".to_owned()).spawn(move || writer.run(&jobs));
}

struct Writer {
    database: Database,
    answers: Sender<Written>,
    shared: Arc<Shared>,
    /// By bot: the rows that wait to be written. Their changes are in force.
    unwritten: BTreeMap<String, VecDeque<(Ticket, Entry)>>,
    /// By order: how many of its rows wait.
    rows_left: HashMap<Ticket, usize>,
    /// Rows that were written although their order was given up, and that could not be deleted yet.
    strays: Vec<(String, u64)>,
    tried: Instant,
    keep: Duration,
    pruned: Option<Instant>,
    /// The history is to be closed, and whom to tell.
    closing: Option<oneshot::Sender<Result<(), NotClosed>>>,
}

impl Writer {
    fn new(database: Database, answers: Sender<Written>, shared: Arc<Shared>, keep: Duration) -> Writer {
        let (unwritten, rows_left, strays, tried) = (BTreeMap::new(), HashMap::new(), Vec::new(), Instant::now());
        Writer { database, answers, shared, unwritten, rows_left, strays, tried, keep, pruned: None, closing: None }
    }

    fn run(mut self, jobs: &mpsc::Receiver<Job>) {
        loop {
            match jobs.recv_timeout(TRY_AGAIN) {
                Ok(job) => {
                    self.job(job);
                    // All rows that came while the disk was busy are written in one transaction.
                    while self.closing.is_none()
                        && let Ok(job) = jobs.try_recv()
                    {
                        self.job(job);
                    }
                    if let Some(closed) = self.closing.take() {
                        // Closes the connections first, and releases the lock last.
                        drop(self);
                        let _ = closed.send(Ok(()));
                        return;
                    }
                    self.write_what_waits();
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.write_what_waits();
                    return;
                }
            }
            if self.tried.elapsed() >= TRY_AGAIN {
                self.tried = Instant::now();
                self.try_again();
            }
        }
    }

    fn job(&mut self, job: Job) {
        match job {
            Job::Append(Append { ticket, entries, unwritten: Unwritten::Keep }) => {
                self.rows_left.insert(ticket, entries.len());
                for entry in entries {
                    self.unwritten.entry(entry.bot.clone()).or_default().push_back((ticket, entry));
                }
            }
            Job::Append(Append { ticket, entries, unwritten: Unwritten::Drop(claim) }) => {
                let result = self.append_or_drop(&entries, &claim);
                let _ = self.answers.blocking_send(Written { ticket, result });
            }
            Job::Checkpoint(checkpoints) => self.checkpoint(&checkpoints),
            Job::Mark(marks) => {
                self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
                self.mark(&marks);
            }
            Job::Ask(question) => {
                self.shared.waiting.fetch_sub(1, Ordering::AcqRel);
                question.answer(&self.database.durable);
            }
            Job::Finish { reply } => {
                self.write_what_waits();
                let _ = reply.send(self.unwritten.is_empty());
            }
            Job::Close { checkpoints, claim, reply } => match self.is_ready_to_close(&checkpoints) {
                Err(why) => drop(reply.send(Err(why))),
                Ok(()) if claim.written() => self.closing = Some(reply),
                // The caller has stopped waiting, and uses the history further.
                Ok(()) => {}
            },
        }
    }

    /// Writes everything that waits, and the checkpoints.
    fn is_ready_to_close(&mut self, checkpoints: &[Checkpoint]) -> Result<(), NotClosed> {
        if self.database.path.is_none() {
            return Err(NotClosed::InMemory);
        }
        if self.database.lock.is_none() {
            return Err(NotClosed::NoLock);
        }
        self.try_again();
        let health = self.shared.health().clone();
        let stuck = self.unwritten.keys().next().map(|bot| health.of(bot).unwrap_or("a row waits").to_owned());
        let stray = (!self.strays.is_empty()).then(|| "a row cannot be taken back".to_owned());
        match health.failing.or(stuck).or(stray) {
            Some(why) => Err(NotClosed::NotWritten(why)),
            None => self.write_checkpoints(checkpoints).map_err(|error| NotClosed::NotWritten(error.to_string())),
        }
    }

    /// Writes the rows of a change that is not in force yet. If the order was given up, they are not written, or are deleted again.
    fn append_or_drop(&mut self, entries: &[Entry], claim: &Claim) -> Result<(), NotDurable> {
        let given_up = || NotDurable("the order was withdrawn before it was written".to_owned());
        if claim.is_given_up() {
            return Err(given_up());
        }
        self.write_what_waits();
        if let Some(behind) = entries.iter().find(|entry| self.unwritten.contains_key(&entry.bot)) {
            let health = self.shared.health();
            let why = health.of(&behind.bot).unwrap_or("earlier changes are not written yet").to_owned();
            return Err(NotDurable(why));
        }
        if let Err(error) = self.insert(entries) {
            self.shared.count(Op::Append);
            match schema::is_of_a_row(&error) {
                true => entries.iter().for_each(|entry| self.bot_fails(&entry.bot, &error)),
                false => self.fails(&error.to_string()),
            }
            return Err(NotDurable(error.to_string()));
        }
        if !claim.written() {
            self.strays.extend(entries.iter().map(|entry| (entry.bot.clone(), entry.state.revision)));
            self.take_back_strays();
            return Err(given_up());
        }
        entries.iter().for_each(|entry| self.keep_roles(entry));
        self.well();
        Ok(())
    }

    /// Writes all waiting rows in one transaction; if a row is invalid, each bot's rows in their own.
    fn write_what_waits(&mut self) {
        self.take_back_strays();
        let failing = self.shared.health().bots.clone();
        let bots: Vec<String> = self.unwritten.keys().filter(|bot| !failing.contains_key(*bot)).cloned().collect();
        match self.write(&bots) {
            Ok(()) => {}
            Err(error) if schema::is_of_a_row(&error) => self.write_each(&bots),
            Err(error) => self.fails(&error.to_string()),
        }
    }

    fn write_each(&mut self, bots: &[String]) {
        for bot in bots {
            match self.write(std::slice::from_ref(bot)) {
                Ok(()) => {}
                Err(error) if schema::is_of_a_row(&error) => self.bot_fails(bot, &error),
                Err(error) => return self.fails(&error.to_string()),
            }
        }
    }

    /// Writes all waiting rows of these bots, or none of them.
    fn write(&mut self, bots: &[String]) -> rusqlite::Result<()> {
        let entries: Vec<Entry> = bots.iter().filter_map(|bot| self.unwritten.get(bot)).flatten().map(|(_, entry)| entry.clone()).collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.insert(&entries).inspect_err(|_| self.shared.count(Op::Append))?;
        for (ticket, entry) in bots.iter().filter_map(|bot| self.unwritten.remove(bot)).flatten().collect::<Vec<_>>() {
            self.keep_roles(&entry);
            self.row_is_written(ticket);
        }
        bots.iter().for_each(|bot| drop(self.shared.health().bots.remove(bot)));
        self.well();
        Ok(())
    }

    /// Writes rows. If another writer has used their revisions, its rows are moved aside first: only this thread may write.
    fn insert(&mut self, entries: &[Entry]) -> rusqlite::Result<()> {
        match schema::append(&mut self.database.durable, entries) {
            Err(error) if schema::is_taken(&error) => {
                tracing::error!(%error, "the history has rows of another writer: they are moved to the table set_aside");
                schema::set_aside(&mut self.database.durable, entries)?;
                schema::append(&mut self.database.durable, entries)
            }
            result => result,
        }
    }

    fn row_is_written(&mut self, ticket: Ticket) {
        let Some(left) = self.rows_left.get_mut(&ticket) else { return };
        *left -= 1;
        if *left == 0 {
            self.rows_left.remove(&ticket);
            let _ = self.answers.blocking_send(Written { ticket, result: Ok(()) });
        }
    }

    fn take_back_strays(&mut self) {
        let database = &self.database.durable;
        let shared = &self.shared;
        self.strays
            .retain(|(bot, revision)| schema::take_back(database, bot, *revision).inspect_err(|_| shared.count(Op::Append)).is_err());
    }

    /// Called each second: tries again what has failed, and deletes old rows once a day.
    fn try_again(&mut self) {
        let health = self.shared.health().clone();
        if health.failing.is_some() {
            match schema::probe(&self.database.durable) {
                Ok(()) => self.well(),
                Err(error) => return self.fails(&error.to_string()),
            }
        }
        // A bot without waiting rows counts as working again; its next change shows whether it does.
        self.shared.health().bots.retain(|bot, _| self.unwritten.contains_key(bot));
        self.write_what_waits();
        let stuck: Vec<String> = self.unwritten.keys().cloned().collect();
        self.write_each(&stuck);
        if health.failing.is_none() && self.pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY) {
            self.pruned = Some(Instant::now());
            match schema::prune(&self.database.durable, self.keep) {
                Ok(0) => {}
                Ok(forgotten) => tracing::info!(forgotten, "old rows of the history are deleted"),
                Err(_) => self.shared.count(Op::Append),
            }
        }
    }

    fn checkpoint(&mut self, checkpoints: &[Checkpoint]) {
        self.shared.checkpoint_waits.store(false, Ordering::Release);
        if self.write_checkpoints(checkpoints).is_err() {
            self.shared.count(Op::Checkpoint);
        }
    }

    fn write_checkpoints(&mut self, checkpoints: &[Checkpoint]) -> rusqlite::Result<()> {
        let Some(quick) = &mut self.database.quick else { return Ok(()) };
        let transaction = quick.transaction()?;
        checkpoints.iter().try_for_each(|checkpoint| schema::checkpoint(&transaction, checkpoint))?;
        transaction.commit()
    }

    fn mark(&mut self, marks: &[Mark]) {
        let connection = self.database.quick.as_mut().unwrap_or(&mut self.database.durable);
        if told::write(connection, marks).is_err() {
            self.shared.count(Op::Told);
        }
    }

    fn keep_roles(&mut self, entry: &Entry) {
        let Some(path) = &self.database.path else { return };
        if self.database.roles.is(&entry.bot, &entry.state.stable)
            && let Err(error) = self.database.roles.write(path)
        {
            tracing::warn!(%error, "cannot write the stable releases beside the history");
        }
    }

    fn bot_fails(&self, bot: &str, why: &rusqlite::Error) {
        if self.shared.health().bots.insert(bot.to_owned(), why.to_string()).is_none() {
            tracing::error!(bot, %why, "a change of this bot cannot be written: its weight cannot rise until it is");
        }
    }

    fn fails(&self, why: &str) {
        if self.shared.health().failing.replace(why.to_owned()).is_none() {
            tracing::error!(why, "the history cannot be written: no weight can rise until it can be");
        }
    }

    fn well(&self) {
        if self.shared.health().failing.take().is_some() {
            tracing::info!("the history can be written again");
        }
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;
    use tokio::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::core::{Guard, Release, State};
    use crate::store::roles::Roles;
    use crate::store::{Reasons, Who};

    fn connection() -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        schema::prepare(&connection).unwrap();
        connection
    }

    fn writer() -> (Writer, Receiver<Written>) {
        let (answers, written) = channel(16);
        let (durable, quick) = (connection(), Some(connection()));
        let database = Database { path: None, durable, quick, reader: None, roles: Roles::default(), id: Vec::new(), lock: None };
        (Writer::new(database, answers, Arc::default(), TRY_AGAIN), written)
    }

    fn entry(bot: &str, revision: u64) -> Entry {
        let state = State { revision, ..State::new(Release { upstream: "blue".into(), version: None }) };
        let who = Who { kind: "operator", name: "ana".to_owned() };
        let (before, input, guard) = (None, None, Guard::default());
        Entry {
            bot: bot.to_owned(),
            who,
            reasons: Reasons::default(),
            decision: "freeze",
            before,
            input,
            guard,
            at: TRY_AGAIN,
            unix_ms: 0,
            state,
        }
    }

    fn keep(writer: &mut Writer, ticket: u64, entries: Vec<Entry>) {
        writer.job(Job::Append(Append { ticket: Ticket(ticket), entries, unwritten: Unwritten::Keep }));
        writer.write_what_waits();
    }

    fn revisions(writer: &Writer, bot: &str) -> Vec<u64> {
        schema::rows(&writer.database.durable, bot, None, 100).unwrap().iter().rev().map(|row| row.revision).collect()
    }

    #[test]
    fn a_mark_is_written_without_waiting_for_the_disk() {
        let (mut writer, _answers) = writer();
        let mark = |bot: &str| Mark { notifier: "ops".to_owned(), bot: bot.to_owned(), topic: "change".to_owned(), at: 1 };
        writer.mark(&[mark("a"), mark("b")]);
        assert_eq!(told::all(&writer.database.durable).unwrap(), []);
        assert_eq!(told::all(writer.database.quick.as_ref().unwrap()).unwrap(), [mark("a"), mark("b")]);
        // In memory there is only one connection.
        writer.database.quick = None;
        writer.mark(&[mark("c")]);
        assert_eq!(told::all(&writer.database.durable).unwrap(), [mark("c")]);
    }

    #[test]
    fn a_row_that_cannot_be_written_holds_up_its_own_bot_alone_and_heals() {
        let (mut writer, mut answers) = writer();
        let bad = "CREATE TRIGGER bad BEFORE INSERT ON history WHEN NEW.bot = 'a' BEGIN SELECT RAISE(ABORT, 'a bad row'); END;";
        writer.database.durable.execute_batch(bad).unwrap();
        keep(&mut writer, 1, vec![entry("a", 1), entry("b", 1)]);
        keep(&mut writer, 2, vec![entry("b", 2)]);
        assert_eq!((revisions(&writer, "a"), revisions(&writer, "b")), (vec![], vec![1, 2]));
        let health = writer.shared.health().clone();
        assert_eq!((health.of("a"), health.of("b")), (Some("a bad row"), None));
        assert_eq!(answers.try_recv().unwrap().ticket, Ticket(2), "half of the first order is not written");
        // A raise of that bot is refused; one of another bot is stored.
        assert!(writer.append_or_drop(&[entry("a", 2)], &Claim::default()).is_err());
        assert!(writer.append_or_drop(&[entry("b", 3)], &Claim::default()).is_ok());
        writer.database.durable.execute_batch("DROP TRIGGER bad").unwrap();
        writer.try_again();
        assert_eq!(revisions(&writer, "a"), [1]);
        assert_eq!((writer.shared.health().of("a"), answers.try_recv().unwrap().ticket), (None, Ticket(1)));
    }

    #[test]
    fn rows_of_another_writer_are_set_aside() {
        let (mut writer, mut answers) = writer();
        keep(&mut writer, 1, vec![entry("a", 1)]);
        schema::append(&mut writer.database.durable, &[entry("a", 2), entry("a", 3)]).unwrap();
        keep(&mut writer, 2, vec![entry("a", 2)]);
        assert_eq!(revisions(&writer, "a"), [1, 2]);
        assert_eq!([answers.try_recv().unwrap().ticket, answers.try_recv().unwrap().ticket], [Ticket(1), Ticket(2)]);
        let aside: u32 = writer.database.durable.query_row("SELECT count(*) FROM set_aside", (), |row| row.get(0)).unwrap();
        assert_eq!(aside, 2);
    }

    #[test]
    fn rows_of_a_withdrawn_order_are_not_written_or_are_deleted() {
        let (mut writer, _answers) = writer();
        let claim = Claim::default();
        claim.give_up();
        assert!(writer.append_or_drop(&[entry("a", 1)], &claim).is_err());
        assert!(revisions(&writer, "a").is_empty());
        writer.strays.push(("a".to_owned(), 1));
        schema::append(&mut writer.database.durable, &[entry("a", 1)]).unwrap();
        writer.write_what_waits();
        assert_eq!((revisions(&writer, "a"), writer.strays.len()), (vec![], 0));
    }
}
