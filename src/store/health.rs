//! What the writing thread reports about itself: what it cannot write, what has failed, and what waits for it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What cannot be written now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing can be written; `None` if the disk works.
    pub failing: Option<String>,
    /// The bots whose own rows cannot be written, each with the reason.
    pub bots: BTreeMap<String, String>,
}

impl Health {
    /// The reason why this bot's changes cannot be stored; `None` if they can be.
    pub fn of(&self, bot: &str) -> Option<&str> {
        self.failing.as_deref().or_else(|| self.bots.get(bot).map(String::as_str))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    Append,
    Checkpoint,
    Read,
    Told,
}

impl Op {
    pub const ALL: [Op; 4] = [Op::Append, Op::Checkpoint, Op::Read, Op::Told];

    pub fn name(self) -> &'static str {
        match self {
            Op::Append => "append",
            Op::Checkpoint => "snapshot",
            Op::Read => "read",
            Op::Told => "told",
        }
    }
}

/// What the writing thread reports about itself.
#[derive(Debug, Default)]
pub(super) struct Shared {
    health: Mutex<Health>,
    /// By [`Op`].
    pub errors: [AtomicU64; Op::ALL.len()],
    /// A checkpoint waits to be written. Another one is not queued meanwhile.
    pub checkpoint_waits: AtomicBool,
    /// How many marks and questions wait for the writing thread.
    pub waiting: AtomicUsize,
}

impl Shared {
    pub fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Nothing waits: the queue is a new one.
    pub fn forget_what_waited(&self) {
        self.checkpoint_waits.store(false, Ordering::Release);
        self.waiting.store(0, Ordering::Release);
    }

    pub fn count(&self, op: Op) {
        self.errors[op as usize].fetch_add(1, Ordering::Relaxed);
    }
}
