//! What outlives a process: the history of changes, a snapshot of what was known, and the token of whoever may write.

use std::time::Duration;

use super::judge::Window;
use crate::core::State;
use crate::core::ratchet::{Decision, Input};

/// One change, as it is kept.
#[derive(Clone)]
pub struct Record {
    /// Of the controller that decided it.
    pub token: u64,
    pub input: Input,
    pub decision: Decision,
    /// What the controller took for the last change.
    pub based_on: u64,
    pub state: State,
    /// By the controller's clock.
    pub at: Duration,
}

/// What was known at some moment after the last change. It is written without waiting for the disk, so it may be lost.
#[derive(Clone)]
pub struct Snapshot {
    pub state: State,
    pub at: Duration,
    pub window: Option<Window>,
}

pub struct Store {
    pub first: State,
    pub records: Vec<Record>,
    /// A record whose writing broke off: half of it is there.
    pub torn: Option<Record>,
    pub snapshot: Option<Snapshot>,
    /// Of the controller that opened it last.
    pub token: u64,
    pub writable: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten {
    Unwritable,
    /// Somebody else has opened it since, or has written.
    Fenced,
}

impl Store {
    pub fn new(first: State) -> Store {
        Store { first, records: Vec::new(), torn: None, snapshot: None, token: 1, writable: true }
    }

    /// The revision that is durable.
    pub fn revision(&self) -> u64 {
        self.records.last().map_or(self.first.revision, |record| record.state.revision)
    }

    pub fn write(&mut self, record: &Record, fences: bool) -> Result<(), NotWritten> {
        if !self.writable {
            return Err(NotWritten::Unwritable);
        }
        if fences && (record.token != self.token || record.based_on != self.revision()) {
            return Err(NotWritten::Fenced);
        }
        self.records.push(record.clone());
        Ok(())
    }

    /// For a new process: its token, and the last whole state with its time.
    pub fn open(&mut self) -> (u64, State, Duration) {
        self.token += 1;
        self.writable = true;
        self.torn = None;
        let last = self.records.last().map(|record| (record.state.clone(), record.at));
        let (state, at) = last.unwrap_or_else(|| (self.first.clone(), Duration::ZERO));
        (self.token, state, at)
    }
}
