//! What an event led to, in the order in which it happened: all that the checker is told.

use std::sync::Arc;
use std::time::Duration;

use super::live::Epoch;
use super::store::{NotWritten, Record};
use crate::core::ratchet::{Decision, Input};
use crate::core::{Connections, Guard, State, Track};

pub enum Happened {
    Decided(Box<Decided>),
    /// A change is durable now.
    Written(Box<Record>),
    NotWritten {
        token: u64,
        why: NotWritten,
    },
    /// Its writing broke off, and the process with it.
    Torn,
    Published(Arc<Epoch>),
    TookUp {
        worker: usize,
        epoch: Arc<Epoch>,
    },
    /// Evidence begins. `fresh`: it knows nothing of earlier steps.
    Opened {
        window: u64,
        split_id: u64,
        fresh: bool,
    },
    Routed {
        split_id: u64,
        label: Track,
        to: Track,
    },
    /// `split_id` is the one that routed it.
    Answered {
        split_id: u64,
        label: Track,
    },
    /// The canary took no connection.
    Refused,
    Restarted(Box<Restarted>),
}

pub struct Decided {
    pub before: State,
    pub input: Input,
    pub guard: Guard,
    /// By the controller's clock.
    pub now: Duration,
    pub after: State,
    pub decision: Decision,
    /// The evidence that a tick's facts are of.
    pub window: Option<u64>,
    /// A tick's news since the last one: the canary's, and stable's.
    pub news: [Connections; 2],
    /// Whom the evidence has set aside, and who is set aside where requests go: sets of workspaces.
    pub set_aside: Option<[u64; 2]>,
    pub command: Option<Arrived>,
}

/// A command, as it was sent.
#[derive(Clone, Copy)]
pub struct Arrived {
    pub number: u64,
    /// It was here before.
    pub again: bool,
    pub based_on: Option<u64>,
}

pub struct Restarted {
    /// As it was in memory, and the controller's clock.
    pub before: (State, Duration),
    pub after: (State, Duration),
    /// The evidence that was read back, with stable's and the canary's requests in it.
    pub window: Option<(u64, [u32; 2])>,
}
