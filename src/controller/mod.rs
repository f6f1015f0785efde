//! The one writer. Every change of what serves goes through here, one after the other: an operator's weight, a new
//! config. A change names the revision it is based on, is checked whole, then published, and counts as done once it
//! serves on every core.

mod reload;

use std::sync::Arc;

use tokio::sync::Mutex;

use crate::config::{Bot, Config};
use crate::core::{Split, Weight};
use crate::live::{Epoch, Ledger, Live, NotApplied, Snapshot};

pub use reload::ReloadRefused;

#[derive(Debug)]
pub struct Controller {
    live: Arc<Live>,
    /// Held for the whole of a change: changes are applied one at a time, in order.
    turn: Mutex<()>,
}

/// Why a change was not made. Nothing has changed then, except after `NotApplied`: some workers serve it already.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no bot {name:?}; there are {}", list(.known))]
    UnknownBot { name: String, known: Vec<String> },
    #[error("the change is based on revision {based_on}, but {actual} serves: look again and repeat it")]
    Stale { based_on: u64, actual: u64 },
    #[error("bot {bot:?} has only one upstream: there is nothing to send a share to; add a second one to its upstreams")]
    OneUpstream { bot: String },
    #[error("bot {bot:?} has several upstreams besides stable: say which is meant, with canary = one of {}", list(.choices))]
    WhichCanary { bot: String, choices: Vec<String> },
    #[error("bot {bot:?} takes no weight above max = \"{max}\"")]
    AboveMax { bot: String, max: Weight },
    #[error(transparent)]
    NotApplied(#[from] NotApplied),
}

/// The first epochs of a config.
pub fn first_epochs(config: &Config) -> Vec<Arc<Epoch>> {
    config.bots.iter().map(|bot| first_epoch(config, bot)).collect()
}

fn first_epoch(config: &Config, bot: &Bot) -> Arc<Epoch> {
    // Attempt 0: a split by hand, not a rollout.
    let split = Split::new(config.proxy.salt.clone(), bot.name.as_str(), 0, bot.weight, bot.pins.clone());
    Arc::new(Epoch { revision: 1, split_id: 1, split, ledger: Arc::new(Ledger::new(config.proxy.workers)) })
}

/// The next epoch of a bot: a new split has a new id and begins with empty tallies, the same split keeps both.
fn next_epoch(old: &Epoch, split: Split, workers: usize) -> Arc<Epoch> {
    if split == old.split {
        return Arc::new(Epoch { revision: old.revision + 1, split_id: old.split_id, split, ledger: old.ledger.clone() });
    }
    new_epoch(old, split, workers)
}

/// An epoch with a new split id and empty tallies.
fn new_epoch(old: &Epoch, split: Split, workers: usize) -> Arc<Epoch> {
    Arc::new(Epoch { revision: old.revision + 1, split_id: old.split_id + 1, split, ledger: Arc::new(Ledger::new(workers)) })
}

impl Controller {
    pub fn new(live: Arc<Live>) -> Controller {
        Controller { live, turn: Mutex::new(()) }
    }

    /// Sets the canary's share by hand; answers once it serves on every core.
    pub async fn set_weight(&self, bot: &str, weight: Weight, based_on: Option<u64>, actor: &str) -> Result<Arc<Snapshot>, ChangeError> {
        let _turn = self.turn.lock().await;
        let now = self.live.current();
        let index = now.bot(bot).ok_or_else(|| unknown_bot(&now, bot))?;
        let (config, old) = (&now.config.bots[index], &now.epochs[index]);
        if let Some(based_on) = based_on.filter(|revision| *revision != old.revision) {
            return Err(ChangeError::Stale { based_on, actual: old.revision });
        }
        may_carry(config, weight)?;
        let mut epochs = now.epochs.clone();
        epochs[index] = next_epoch(old, old.split.with_weight(weight), self.live.workers());
        let took = self.live.publish(now.config.clone(), epochs).await?;
        tracing::info!(
            bot, actor, revision = old.revision + 1, from = %old.split.weight(), to = %weight, took_micros = took.as_micros() as u64,
            "weight set"
        );
        Ok(self.live.current())
    }
}

/// Can this bot have this weight at all?
fn may_carry(bot: &Bot, weight: Weight) -> Result<(), ChangeError> {
    let name = || bot.name.to_string();
    if bot.canary.is_none() {
        let others = bot.upstreams.iter().enumerate().filter(|(i, _)| *i != bot.stable);
        let choices: Vec<String> = others.map(|(_, upstream)| upstream.name.to_string()).collect();
        return Err(match choices.is_empty() {
            true => ChangeError::OneUpstream { bot: name() },
            false => ChangeError::WhichCanary { bot: name(), choices },
        });
    }
    if weight > bot.max_weight {
        return Err(ChangeError::AboveMax { bot: name(), max: bot.max_weight });
    }
    Ok(())
}

fn unknown_bot(snapshot: &Snapshot, name: &str) -> ChangeError {
    let known = snapshot.config.bots.iter().map(|bot| bot.name.to_string()).collect();
    ChangeError::UnknownBot { name: name.to_owned(), known }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
