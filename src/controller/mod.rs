//! The one writer. Every change of what serves goes through here, one after the other: the ratchet's own decisions, an
//! operator's wish, a new config. Each is a step of `core::ratchet`.
//!
//! `owner` holds all pilots and decides; it waits for nothing. `run` is the task around it: it brings the requests, the ticks
//! and the answers of the disk, the workers and the sides, and does what the owner wants done. [`Controller`] is the handle that
//! others have: it sends a request and waits for the answer. Whoever stops waiting stops nothing.

mod begin;
mod change;
mod concentration;
mod drill;
#[cfg(test)]
mod faults;
mod follow;
mod keep;
mod looks;
mod owner;
mod past;
mod pilot;
mod possible;
mod preview;
mod recent;
mod reload;
mod reports;
mod requests;
mod run;
mod time;
mod traffic;
mod trail;
mod watch;
mod wish;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use crate::config::{Bot, Config};
use crate::core::State;
use crate::live::{Live, Snapshot};
use crate::store::{Row, Store};
use crate::summary::Preview;

use owner::Asked;
use time::Now;

pub use drill::{Drill, Drilled};
pub use looks::{Answer, How, Look, Sides};
pub use pilot::FailingBucket;
pub use possible::possible;
pub use reload::ReloadRefused;
pub use reports::{Report, ReportKind, Reported};
pub use run::{Running, begin};
pub use traffic::{Reach, Traffic};
pub use trail::{Counted, Point, SLOT_SECS};
use wish::ReplyTo;
pub use wish::{Actor, ChangeError, ChangeRequest, Wish};

/// How often everything is looked at.
const TICK: Duration = Duration::from_secs(1);

/// What others have of the controller.
#[derive(Debug)]
pub struct Controller {
    live: Arc<Live>,
    store: Arc<Store>,
    requests: mpsc::Sender<Asked>,
    /// What changed, for whoever listens.
    changes: broadcast::Sender<Arc<Row>>,
    /// How often everything was looked at.
    ticks: Arc<AtomicU64>,
}

impl Controller {
    /// Does what an operator asks for; answers once it is kept and serves on every core. What lowers is answered at the latest half a
    /// second after it serves, whatever the disk does: whether it is durable is in the status.
    pub async fn change(&self, request: ChangeRequest) -> Result<Arc<Snapshot>, ChangeError> {
        self.ask(|reply| Asked::Change { request, reply: ReplyTo::Change(reply) }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// What the request would do now, or the error with which it would be refused.
    pub async fn preview(&self, request: ChangeRequest) -> Result<Preview, ChangeError> {
        self.ask(|reply| Asked::Change { request, reply: ReplyTo::Preview(reply) }).await.unwrap_or(Err(ChangeError::Ending))
    }

    pub async fn preview_drill(&self, bot: &str, drill: Drill) -> Result<Preview, ChangeError> {
        self.ask(|reply| Asked::PreviewDrill { bot: bot.to_owned(), drill, reply }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// Rehearses a rollback.
    pub async fn drill(&self, bot: &str, drill: Drill, actor: Actor) -> Result<Drilled, ChangeError> {
        self.ask(|reply| Asked::Drill { bot: bot.to_owned(), drill, actor, reply }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// Takes up a config whole or not at all; `false` if it says what already serves.
    pub async fn reload(&self, config: Config) -> Result<bool, ReloadRefused> {
        let config = Box::new(config);
        self.ask(|reply| Asked::Reload { config, reply }).await.unwrap_or(Err(ReloadRefused::Ending))
    }

    /// Counts what a bot reports about its workspaces.
    pub async fn report(&self, bot: &str, reports: Vec<Report>) -> Result<Reported, ChangeError> {
        self.ask(|reply| Asked::Report { bot: bot.to_owned(), reports, reply }).await.unwrap_or(Err(ChangeError::Ending))
    }

    /// `None` where there is no such bot.
    pub async fn traffic(&self, bot: &str) -> Option<Traffic> {
        self.ask(|reply| Asked::Traffic { bot: bot.to_owned(), reply }).await.flatten()
    }

    /// `None` once the controller has ended.
    async fn ask<T>(&self, asked: impl FnOnce(oneshot::Sender<T>) -> Asked) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(asked(reply)).await.ok()?;
        answer.await.ok()
    }

    /// Who changes something from now on.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Row>> {
        self.changes.subscribe()
    }

    /// It grows for as long as everything is looked at.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Why nothing is to rise, by somebody's word or by the time.
fn frozen(bot: &Bot, state: &State, now: Now) -> Option<String> {
    if let Some(freeze) = &state.frozen {
        let why = freeze.why.as_deref().map_or(String::new(), |why| format!(": {why}"));
        return Some(format!("by {}{why}", freeze.by));
    }
    let freeze = bot.freeze.as_ref()?;
    freeze.at(now.timestamp()).map(|window| freeze.text(window))
}
