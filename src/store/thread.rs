//! The one thread that writes. What serves already and could not be written waits here, in order, and is tried again each
//! second; until it is written nothing else is.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::open::Database;
use super::{Entry, Mark, NotDurable, Op, Row, Shared, Snapshot, Unwritten, schema, told};

#[derive(Debug)]
pub(super) enum Job {
    Append {
        entries: Vec<Entry>,
        unwritten: Unwritten,
        reply: oneshot::Sender<Result<(), NotDurable>>,
    },
    Snapshot(Vec<Snapshot>),
    /// Who has been told what.
    Marks {
        reply: oneshot::Sender<Result<Vec<Mark>, NotDurable>>,
    },
    /// Written without waiting for the disk: whoever raises waits for this thread.
    Mark(Vec<Mark>),
    Read {
        bot: String,
        below: Option<u64>,
        most: usize,
        reply: oneshot::Sender<Result<Vec<Row>, NotDurable>>,
    },
}

const TRY_AGAIN: Duration = Duration::from_secs(1);
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 3600);

pub(super) fn start(database: Database, jobs: Receiver<Job>, shared: Arc<Shared>, keep: Duration) {
    let writer = Writer { database, shared, unwritten: VecDeque::new(), keep, pruned: None };
    // Without a thread each append says that it has ended.
    let _ = std::thread::Builder::new().name("serin-history".to_owned()).spawn(move || writer.run(&jobs));
}

struct Writer {
    database: Database,
    shared: Arc<Shared>,
    unwritten: VecDeque<Entry>,
    keep: Duration,
    pruned: Option<Instant>,
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        loop {
            match jobs.recv_timeout(TRY_AGAIN) {
                Ok(Job::Append { entries, unwritten: Unwritten::Keep, reply }) => {
                    let _ = reply.send(self.append(&entries).inspect_err(|_| self.keep(entries)));
                }
                Ok(Job::Append { entries, unwritten: Unwritten::Drop, reply }) => {
                    // Whoever gave up waiting has told everybody that it was not done.
                    if reply.send(self.append(&entries)) == Err(Ok(())) {
                        self.take_back(&entries);
                    }
                }
                Ok(Job::Snapshot(snapshots)) => self.snapshot(&snapshots),
                Ok(Job::Read { bot, below, most, reply }) => {
                    let rows = schema::rows(&self.database.durable, &bot, below, most);
                    let _ = reply.send(rows.map_err(|error| self.failed(Op::Read, &error)));
                }
                Ok(Job::Marks { reply }) => {
                    let marks = told::all(&self.database.durable);
                    let _ = reply.send(marks.map_err(|error| self.failed(Op::Read, &error)));
                }
                Ok(Job::Mark(marks)) => self.mark(&marks),
                Err(RecvTimeoutError::Timeout) => self.try_again(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.try_again();
                    return;
                }
            }
        }
    }

    fn append(&mut self, entries: &[Entry]) -> Result<(), NotDurable> {
        match self.flush().and_then(|()| schema::append(&mut self.database.durable, entries)) {
            Ok(()) => {
                entries.iter().for_each(|entry| self.keep_roles(entry));
                self.well();
                Ok(())
            }
            Err(error) => {
                let failed = self.failed(Op::Append, &error);
                self.fails(&failed.0);
                Err(failed)
            }
        }
    }

    fn keep(&mut self, entries: Vec<Entry>) {
        self.unwritten.extend(entries);
        self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).unwritten = self.unwritten.len();
    }

    fn take_back(&mut self, entries: &[Entry]) {
        let taken = entries.iter().try_for_each(|entry| schema::take_back(&self.database.durable, entry));
        if let Err(error) = taken {
            let failed = self.failed(Op::Append, &error);
            self.fails(&failed.0);
        }
    }

    fn flush(&mut self) -> rusqlite::Result<()> {
        while let Some(entry) = self.unwritten.front() {
            schema::append(&mut self.database.durable, std::slice::from_ref(entry))?;
            if let Some(entry) = self.unwritten.pop_front() {
                self.keep_roles(&entry);
            }
        }
        Ok(())
    }

    /// Only where something went wrong; and once a day what is old goes.
    fn try_again(&mut self) {
        let fails = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner).failing.is_some();
        if fails {
            match self.flush().and_then(|()| schema::probe(&self.database.durable)) {
                Ok(()) => self.well(),
                Err(error) => self.fails(&error.to_string()),
            }
        }
        if !fails && self.pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY) {
            self.pruned = Some(Instant::now());
            match schema::prune(&self.database.durable, self.keep) {
                Ok(0) => {}
                Ok(forgotten) => tracing::info!(forgotten, "old history is forgotten"),
                Err(error) => drop(self.failed(Op::Append, &error)),
            }
        }
    }

    fn snapshot(&mut self, snapshots: &[Snapshot]) {
        self.shared.snapshot_waits.store(false, Ordering::Release);
        let Some(quick) = &mut self.database.quick else { return };
        let all = quick.transaction().and_then(|transaction| {
            snapshots.iter().try_for_each(|snapshot| schema::snapshot(&transaction, snapshot))?;
            transaction.commit()
        });
        if let Err(error) = all {
            self.failed(Op::Snapshot, &error);
        }
    }

    fn mark(&mut self, marks: &[Mark]) {
        let connection = self.database.quick.as_mut().unwrap_or(&mut self.database.durable);
        if let Err(error) = told::write(connection, marks) {
            self.failed(Op::Told, &error);
        }
    }

    fn keep_roles(&mut self, entry: &Entry) {
        let Some(path) = &self.database.path else { return };
        if self.database.roles.is(&entry.bot, &entry.state.stable)
            && let Err(error) = self.database.roles.write(path)
        {
            tracing::warn!(%error, "cannot write who is stable beside the history");
        }
    }

    fn failed(&self, op: Op, error: &rusqlite::Error) -> NotDurable {
        self.shared.errors[op as usize].fetch_add(1, Ordering::Relaxed);
        NotDurable(error.to_string())
    }

    fn fails(&self, why: &str) {
        let mut health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.failing.is_none() {
            tracing::error!(why, "the history cannot be written: nothing is raised until it can be");
        }
        health.failing = Some(why.to_owned());
        health.unwritten = self.unwritten.len();
    }

    fn well(&self) {
        let mut health = self.shared.health.lock().unwrap_or_else(PoisonError::into_inner);
        if health.failing.take().is_some() {
            tracing::info!("the history can be written again");
        }
        health.unwritten = 0;
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::store::roles::Roles;

    #[test]
    fn a_mark_does_not_go_the_way_that_waits_for_the_disk() {
        let connection = || {
            let connection = Connection::open_in_memory().unwrap();
            schema::prepare(&connection).unwrap();
            connection
        };
        let (durable, quick) = (connection(), Some(connection()));
        let database = Database { path: None, durable, quick, roles: Roles::default(), id: Vec::new(), _lock: None };
        let mut writer = Writer { database, shared: Arc::default(), unwritten: VecDeque::new(), keep: TRY_AGAIN, pruned: None };
        let mark = |bot: &str| Mark { notifier: "ops".to_owned(), bot: bot.to_owned(), topic: "change".to_owned(), at: 1 };
        writer.mark(&[mark("a"), mark("b")]);
        assert_eq!(told::all(&writer.database.durable).unwrap(), []);
        assert_eq!(told::all(writer.database.quick.as_ref().unwrap()).unwrap(), [mark("a"), mark("b")]);
        // Without a file there is only one.
        writer.database.quick = None;
        writer.mark(&[mark("c")]);
        assert_eq!(told::all(&writer.database.durable).unwrap(), [mark("c")]);
    }
}
