//! A new config on its way: as it was requested, and with its steps decided. `owner/reload.rs` plans it and puts it in force.

use std::collections::HashMap;
use std::sync::Arc;

use super::pilot::Pilot;
use super::wish::ReplySender;
use crate::config::{BotName, Config};
use crate::core::Weight;
use crate::core::ratchet::Refusal;
use crate::live::NotApplied;
use crate::store::{Entry, NotDurable};

/// Why a new config was refused. The old one is still in force, except after `NotApplied`: then some workers serve the new one already.
#[derive(Debug, thiserror::Error)]
pub enum ReloadRefused {
    #[error("{key} changed from {from} to {to}: that needs a restart")]
    NeedsRestart { key: &'static str, from: String, to: String },
    #[error(
        "{what} of bot {bot:?} changed while {weight} of its buckets are on the canary: abort the rollout or set the weight to 0% first"
    )]
    LiveSplit { bot: String, what: &'static str, weight: Weight },
    #[error("bot {bot:?}: {refusal}")]
    Refused { bot: String, refusal: Refusal },
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    #[error(transparent)]
    NotApplied(#[from] NotApplied),
    #[error("serin is ending")]
    Ending,
    #[error("the config is not read now: a newer serin takes over, and reads it by itself")]
    TakesOver,
}

/// A new config, and the caller to answer.
#[derive(Debug)]
pub(super) struct Reload {
    pub config: Arc<Config>,
    pub reply: ReplySender<bool, ReloadRefused>,
}

/// A new config whose steps are decided.
#[derive(Debug)]
pub(super) struct TakeUp {
    pub config: Arc<Config>,
    /// Pilots of the bots that the new config adds.
    pub new: HashMap<BotName, Pilot>,
    pub beginnings: Vec<Entry>,
    /// Whether the config pins a workspace to the canary of a bot that comes back.
    pub exposes: bool,
}
