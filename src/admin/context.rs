//! The parts of the running serin that handlers and layers use, and the name and scope of the client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::access::{Attempts, Keys};
use crate::config::Scope;
use crate::controller::{ChangeError, ChangeRequest, Controller};
use crate::live::{Live, Snapshot};
use crate::meters::Metrics;
use crate::notify::Notifications;
use crate::telemetry::Exporter;

/// The parts of the running serin that handlers and layers use.
#[derive(Clone, Debug)]
pub struct Context {
    pub live: Arc<Live>,
    pub controller: Arc<Controller>,
    pub metrics: Arc<Metrics>,
    pub exporter: Exporter,
    pub keys: Arc<Keys>,
    pub attempts: Arc<Attempts>,
    pub notifications: Arc<Notifications>,
    /// False until all workers serve, and again from SIGTERM on.
    pub ready: Arc<AtomicBool>,
    /// The listener's address, to recognise its own name in Host and Origin.
    pub address: SocketAddr,
}

impl Context {
    /// Makes the change, and logs that its request is answered: with the request's id, which the controller does not know.
    pub async fn change(&self, request: ChangeRequest) -> Result<Arc<Snapshot>, ChangeError> {
        let bot = request.bot.clone();
        let snapshot = self.controller.change(request).await?;
        let revision = snapshot.bot(&bot).map(|index| snapshot.epochs[index].revision);
        tracing::info!(bot, revision, "change answered");
        Ok(snapshot)
    }
}

/// The actor of a request for the history: a token's name, `cert:` and a certificate's name, or `local` if there is neither. A token's
/// name cannot contain a colon or be `local`.
#[derive(Clone, Debug)]
pub struct Caller {
    pub name: String,
    pub scope: Scope,
}
