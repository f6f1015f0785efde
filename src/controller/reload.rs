//! A new config, taken whole or not at all. A value that changed is an operator's action; one that did not never
//! overrides what was set since.

use std::sync::Arc;

use super::{Controller, first_epoch, new_epoch};
use crate::config::{Bot, Config};
use crate::core::{Split, Weight};
use crate::live::{Epoch, NotApplied};

/// Why a config is not taken while serin runs. The old one serves on, except after `NotApplied`: some workers serve
/// the new one already.
#[derive(Debug, thiserror::Error)]
pub enum ReloadRefused {
    #[error("{key} changed from {from} to {to}: that needs a restart")]
    NeedsRestart { key: &'static str, from: String, to: String },
    #[error("{what} of bot {bot:?} changed while {weight} of its buckets are on the canary: set its weight to 0% first")]
    LiveSplit { bot: String, what: &'static str, weight: Weight },
    #[error(transparent)]
    NotApplied(#[from] NotApplied),
}

impl Controller {
    /// Takes up a config; `false` if it says what already serves.
    pub async fn reload(&self, config: Config) -> Result<bool, ReloadRefused> {
        let _turn = self.turn.lock().await;
        let now = self.live.current();
        needs_restart(&now.config, &config)?;
        let mut epochs = Vec::new();
        for bot in &config.bots {
            epochs.push(match now.bot(bot.name.as_str()) {
                Some(old) => carry_over(&now.config, &now.config.bots[old], &now.epochs[old], &config, bot)?,
                None => first_epoch(&config, bot),
            });
        }
        for (old, epoch) in now.config.bots.iter().zip(&now.epochs) {
            if !config.bots.iter().any(|bot| bot.name == old.name) {
                refuse_if_live(old, epoch, "the name", true)?;
                tracing::warn!(bot = %old.name, "a bot is gone from the config; a renamed bot is a new bot");
            }
        }
        let changed = now.config.hash != config.hash;
        self.live.publish(Arc::new(config), epochs).await?;
        Ok(changed)
    }
}

fn needs_restart(old: &Config, new: &Config) -> Result<(), ReloadRefused> {
    let fixed = [
        ("[proxy] listen", old.proxy.listen.to_string(), new.proxy.listen.to_string()),
        ("[proxy] workers", old.proxy.workers.to_string(), new.proxy.workers.to_string()),
        ("[admin] listen", old.admin.listen.to_string(), new.admin.listen.to_string()),
    ];
    match fixed.into_iter().find(|(_, from, to)| from != to) {
        Some((key, from, to)) => Err(ReloadRefused::NeedsRestart { key, from, to }),
        None => Ok(()),
    }
}

/// What becomes of a bot's epoch under its new config.
fn carry_over(old_config: &Config, old: &Bot, epoch: &Arc<Epoch>, new_config: &Config, new: &Bot) -> Result<Arc<Epoch>, ReloadRefused> {
    refuse_if_live(old, epoch, "the salt", old_config.proxy.salt != new_config.proxy.salt)?;
    refuse_if_live(old, epoch, "the workspace's sources", !old.plan.same_sources(&new.plan))?;
    let same_stable = upstream(old, Some(old.stable)) == upstream(new, Some(new.stable));
    let same_canary = upstream(old, old.canary) == upstream(new, new.canary);
    refuse_if_live(old, epoch, "the stable upstream", !same_stable)?;
    refuse_if_live(old, epoch, "the canary upstream", !same_canary)?;
    // Tallies of one upstream must not be read as another's.
    let same_upstreams = same_stable && same_canary;
    // A weight that the config does not change is the operators': it stays, within the new `max`.
    let weight = if old.weight == new.weight { epoch.split.weight().min(new.max_weight) } else { new.weight };
    let weight = if new.canary.is_some() { weight } else { Weight::ZERO };
    let split = Split::new(new_config.proxy.salt.clone(), new.name.as_str(), 0, weight, new.pins.clone());
    match split == epoch.split && same_upstreams {
        true => Ok(epoch.clone()),
        false => Ok(new_epoch(epoch, split, new_config.proxy.workers)),
    }
}

fn refuse_if_live(bot: &Bot, epoch: &Epoch, what: &'static str, changed: bool) -> Result<(), ReloadRefused> {
    let weight = epoch.split.weight();
    if changed && weight > Weight::ZERO {
        return Err(ReloadRefused::LiveSplit { bot: bot.name.to_string(), what, weight });
    }
    Ok(())
}

fn upstream(bot: &Bot, index: Option<usize>) -> Option<(&str, &crate::config::UpstreamUrl)> {
    let upstream = &bot.upstreams[index?];
    Some((&upstream.name, &upstream.url))
}
