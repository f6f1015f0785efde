//! The owner's inputs (events, and the requests among them) and its outputs (effects).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::check::Check;
use super::new_config::ReloadRefused;
use super::rehearsal::{Drill, Drilled};
use super::report::{Report, Reported};
use super::traffic::Traffic;
use super::wish::{Actor, ChangeError, ChangeRequest, ReplySender, ReplyTo};
use crate::config::Config;
use crate::live::Snapshot;
use crate::store::{self, Append, Entry, Found, Ticket, Written};
use crate::summary::Preview;

/// An input of the owner.
#[derive(Debug)]
pub enum Event {
    /// One second has passed: the ratchet looks at every bot.
    Tick,
    /// The time that `Owner::alarm` returned has come.
    Alarm,
    Request(Request),
    /// The history has stored the rows of an order, or failed to.
    Written(Written),
    /// The check of an upstream has ended.
    Checked {
        ticket: Ticket,
        answer: Result<(), String>,
    },
    /// Every worker serves this snapshot or a later one.
    Serves {
        sequence: u64,
    },
    /// serin shuts down: pending changes are completed, and the ratchet decides nothing more.
    Stop,
    /// A newer serin takes over: pending changes are completed, and nothing more is decided.
    HandOver,
    /// The newer serin has failed. With the history, if it was closed meanwhile.
    Resume(Option<Found>),
}

/// A request to the owner.
#[derive(Debug)]
pub enum Request {
    Change {
        request: ChangeRequest,
        reply: ReplyTo,
    },
    Drill {
        bot: String,
        drill: Drill,
        actor: Actor,
        reply: ReplySender<Drilled, ChangeError>,
    },
    /// Asks what the drill would do.
    PreviewDrill {
        bot: String,
        drill: Drill,
        reply: ReplySender<Preview, ChangeError>,
    },
    /// The reply is `true` if the config differs from the one in force.
    Reload {
        config: Box<Config>,
        reply: ReplySender<bool, ReloadRefused>,
    },
    Report {
        bot: String,
        reports: Vec<Report>,
        reply: ReplySender<Reported, ChangeError>,
    },
    Traffic {
        bot: String,
        reply: oneshot::Sender<Option<Traffic>>,
    },
}

/// Work for the task around the owner, to be executed in the order in which `handle` returns it.
#[derive(Debug)]
pub enum Effect {
    Publish(Arc<Snapshot>),
    Append(Append),
    /// To be stored without waiting for the disk.
    Checkpoint(Vec<store::Checkpoint>),
    Check {
        ticket: Ticket,
        check: Check,
    },
    Announce(Box<Announcement>),
}

/// A change that is in force, for the log, the metrics and the subscribers.
#[derive(Debug)]
pub struct Announcement {
    pub entry: Entry,
    pub actor: Actor,
    /// From the decision until every worker served the change; `None` if they did not within `APPLY_TIMEOUT`.
    pub took: Option<Duration>,
}
