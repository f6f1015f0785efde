//! The only module that changes what serves. The ratchet's decisions, operators' requests and new configs pass through it one after the
//! other; each is one or more steps of `core::ratchet`.
//!
//! `owner` holds all pilots and decides; it never blocks. `run` is the task around the owner: it delivers requests, ticks, and the
//! answers of the disk, the workers and the upstreams, and executes the effects that the owner returns. [`Controller`] is the handle
//! for the rest of serin: it sends a request and waits for the answer. A request whose caller stops waiting is still carried out.

#![forbid(unsafe_code)]

mod change;
mod check;
mod concentration;
mod entry;
mod event;
#[cfg(test)]
mod faults;
mod freeze;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod last_hour;
mod learned;
mod new_config;
mod owner;

mod pilot;
mod possible;
mod reach;
mod recent_answers;
mod rehearsal;
mod report;
mod run;
mod roles;
mod time;
mod traffic;
mod wish;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::config::Config;
use crate::live::{Live, Snapshot};
use crate::store::{Row, Store};
use crate::summary::Preview;

use event::Request;

pub use check::{Check, Checking, How, Sides};
pub use last_hour::{Counted, Point, SLOT_SECS};
pub use new_config::ReloadRefused;
pub use pilot::FailingBucket;
pub use possible::{is_possible, possible};
pub use reach::Reach;
pub use rehearsal::{Drill, Drilled};
pub use report::{Report, ReportKind, Reported};
pub use run::{NotSettled, Running, begin};
pub use traffic::Traffic;
use wish::ReplyTo;
pub use wish::{Actor, ChangeError, ChangeRequest, Wish};

/// The handle to the controller's task. Each request returns an `Ending` error, or `None`, once the task has ended.
#[derive(Debug)]
pub struct Controller {
    live: Arc<Live>,
    store: Arc<Store>,
    requests: mpsc::Sender<Request>,
    /// Every committed change, for its subscribers.
    changes: broadcast::Sender<Arc<Row>>,
    /// Counts the ticks that the controller has processed.
    ticks: Arc<AtomicU64>,
}

impl Controller {
    /// Makes the change that an operator requests. Returns the snapshot once every worker serves it and the history has stored the
    /// change. A change that exposes nobody does not wait for the disk for longer than half a second after it serves; the snapshot's
    /// status says whether the change is durable.
    pub async fn change(&self, request: ChangeRequest) -> Result<Arc<Snapshot>, ChangeError> {
        self.ask(|reply| Request::Change { request, reply: ReplyTo::Change(reply) }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// Returns what the request would do now, or the error that would refuse it. Changes nothing.
    pub async fn preview(&self, request: ChangeRequest) -> Result<Preview, ChangeError> {
        self.ask(|reply| Request::Change { request, reply: ReplyTo::Preview(reply) }).await.unwrap_or(Err(ChangeError::Ending))
    }

    pub async fn preview_drill(&self, bot: &str, drill: Drill) -> Result<Preview, ChangeError> {
        self.ask(|reply| Request::PreviewDrill { bot: bot.to_owned(), drill, reply }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// Rehearses a rollback and returns its measurements once the rehearsal is over.
    pub async fn drill(&self, bot: &str, drill: Drill, actor: Actor) -> Result<Drilled, ChangeError> {
        self.ask(|reply| Request::Drill { bot: bot.to_owned(), drill, actor, reply }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// Puts the whole config in force, or none of it. Returns `false` if it equals the config in force.
    pub async fn reload(&self, config: Config) -> Result<bool, ReloadRefused> {
        let config = Box::new(config);
        self.ask(|reply| Request::Reload { config, reply }).await.unwrap_or(Err(ReloadRefused::Ending))
    }

    /// Counts what a bot reports about its workspaces.
    pub async fn report(&self, bot: &str, reports: Vec<Report>) -> Result<Reported, ChangeError> {
        self.ask(|reply| Request::Report { bot: bot.to_owned(), reports, reply }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// Returns `None` if there is no such bot.
    pub async fn traffic(&self, bot: &str) -> Option<Traffic> {
        self.ask(|reply| Request::Traffic { bot: bot.to_owned(), reply }).await.flatten()
    }

    /// Sends a request to the owner. Returns `None` if the controller has ended.
    async fn ask<T>(&self, asked: impl FnOnce(oneshot::Sender<T>) -> Request) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(asked(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Subscribes to the changes from now on.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Row>> {
        self.changes.subscribe()
    }

    /// The number of ticks so far. A number that stops growing means that the controller hangs.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}
