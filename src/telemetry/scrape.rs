//! What one scrape reads: one snapshot, and the counters.

use std::sync::Arc;

use crate::config::Bot;
use crate::live::{Epoch, Snapshot, Status};
use crate::meters::{BotMeters, Metrics};
use crate::store::Store;

pub(super) struct Scrape<'a> {
    pub process: &'a Metrics,
    pub store: &'a Store,
    pub serving: Vec<Serving<'a>>,
    /// Also bots that a reload has removed.
    pub counted: Vec<Arc<BotMeters>>,
}

/// A bot that serves, as of one moment.
pub(super) struct Serving<'a> {
    pub bot: &'a Bot,
    pub epoch: &'a Epoch,
    pub status: Arc<Status>,
}

impl<'a> Scrape<'a> {
    pub fn new(process: &'a Metrics, store: &'a Store, snapshot: &'a Snapshot) -> Scrape<'a> {
        let serving = |(bot, epoch): (&'a Bot, &'a Arc<Epoch>)| Serving { bot, epoch, status: epoch.status() };
        let serving = snapshot.config.bots.iter().zip(&snapshot.epochs).map(serving).collect();
        Scrape { process, store, serving, counted: process.bots() }
    }
}
