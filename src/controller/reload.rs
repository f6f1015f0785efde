//! A new config, taken whole or not at all. A value that changed is an operator's action; one that did not never
//! overrides what was set since.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};

use super::begin::came;
use super::pilot::{Pilot, candidate, index, release, rule};
use super::{Actor, Controller, guard, keep};
use crate::config::{Bot, Config, UpstreamUrl};
use crate::core::ratchet::{self, Command, Decision, Input, Refusal};
use crate::core::{State, Weight};
use crate::live::NotApplied;
use crate::store::{Entry, Health, Kept, NotDurable, Unwritten};

/// Why a config is not taken while serin runs. The old one serves on, except after `NotApplied`: some workers serve
/// the new one already.
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
}

/// What a new config makes of a bot: its next state, and the steps that led there.
struct Change {
    state: State,
    steps: Vec<Step>,
}

struct Step {
    before: State,
    decision: Decision,
    entry: Entry,
}

impl Controller {
    /// Takes up a config; `false` if it says what already serves.
    pub async fn reload(&self, config: Config) -> Result<bool, ReloadRefused> {
        let changed = self.take_up(config).await?;
        // A revert is a way back, and that is taken now.
        self.hear_the_config().await;
        Ok(changed)
    }

    async fn take_up(&self, config: Config) -> Result<bool, ReloadRefused> {
        let mut pilots = self.pilots.lock().await;
        let (snapshot, health) = (self.live.current(), self.store.health());
        needs_restart(&snapshot.config, &config)?;
        let mut changes = Vec::new();
        for bot in &config.bots {
            let old = snapshot.config.bots.iter().find(|old| old.name == bot.name);
            changes.push(match old.zip(pilots.get(&bot.name)) {
                Some((old, pilot)) => Some(change(&snapshot.config, old, pilot, &config, bot, &health)?),
                None => None,
            });
        }
        for old in snapshot.config.bots.iter().filter(|old| !config.bots.iter().any(|bot| bot.name == old.name)) {
            if let Some(pilot) = pilots.get(&old.name) {
                refuse_if_live(old, pilot, "the name", true)?;
            }
            tracing::warn!(bot = %old.name, "a bot is gone from the config; a renamed bot is a new bot");
        }
        self.keep_all(&changes).await?;
        for (name, pilot) in pilots.extract_if(|name, _| !config.bots.iter().any(|bot| bot.name == *name)) {
            self.absent().insert(name.to_string(), pilot.leave());
        }
        let mut epochs = Vec::new();
        for (bot, change) in config.bots.iter().zip(&changes) {
            let old = snapshot.bot(bot.name.as_str()).map(|number| &*snapshot.epochs[number]);
            if !pilots.contains_key(&bot.name) {
                let kept = self.absent().remove(bot.name.as_str());
                pilots.insert(bot.name.clone(), came(&self.store, &config, bot, kept, bot.stable).await);
            }
            let Some(pilot) = pilots.get_mut(&bot.name) else { continue };
            if let Some(old) = old {
                pilot.read(old);
            }
            if let Some(change) = change {
                pilot.state = change.state.clone();
                change.steps.iter().for_each(|step| pilot.is_about_to_change(&step.decision));
            }
            epochs.push(pilot.epoch(&config, bot, old));
        }
        let changed = snapshot.config.hash != config.hash;
        let config = Arc::new(config);
        let served = self.live.publish(config.clone(), epochs.clone()).await;
        for ((number, bot), (change, epoch)) in config.bots.iter().enumerate().zip(changes.iter().zip(&epochs)) {
            let Some(pilot) = pilots.get_mut(&bot.name) else { continue };
            for step in change.iter().flat_map(|change| &change.steps) {
                pilot.has_changed(&step.decision, bot, epoch, &step.before);
                self.tell(bot, &step.decision, Actor::Config, &step.entry, served.as_ref().ok().copied());
            }
            self.shows(pilots.get(&bot.name), bot, number);
        }
        served?;
        Ok(changed)
    }

    fn absent(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A config is taken whole: what it changes is durable before any of it serves, or else nothing in it may send
    /// anybody to a canary.
    async fn keep_all(&self, changes: &[Option<Change>]) -> Result<(), NotDurable> {
        let steps = || changes.iter().flatten().flat_map(|change| &change.steps);
        if steps().next().is_none() {
            return Ok(());
        }
        let exposes = steps().any(|step| ratchet::exposes(&step.before, &step.entry.state, &step.decision));
        let entries = steps().map(|step| step.entry.clone()).collect();
        let unwritten = if exposes { Unwritten::Drop } else { Unwritten::Keep };
        let kept = self.store.append(entries, unwritten).await;
        if exposes { kept } else { Ok(()) }
    }
}

fn needs_restart(old: &Config, new: &Config) -> Result<(), ReloadRefused> {
    let fixed = [
        ("[proxy] listen", old.proxy.listen.to_string(), new.proxy.listen.to_string()),
        ("[proxy] workers", old.proxy.workers.to_string(), new.proxy.workers.to_string()),
        ("[admin] listen", old.admin.listen.to_string(), new.admin.listen.to_string()),
        ("[log] format", format!("{:?}", old.log.format), format!("{:?}", new.log.format)),
        ("[history]", format!("{:?}", old.history), format!("{:?}", new.history)),
    ];
    match fixed.into_iter().find(|(_, from, to)| from != to) {
        Some((key, from, to)) => Err(ReloadRefused::NeedsRestart { key, from, to }),
        None => Ok(()),
    }
}

/// What becomes of a bot under its new config.
fn change(old_config: &Config, old: &Bot, pilot: &Pilot, config: &Config, bot: &Bot, health: &Health) -> Result<Change, ReloadRefused> {
    refuse_if_live(old, pilot, "the salt", old_config.proxy.salt != config.proxy.salt)?;
    refuse_if_live(old, pilot, "the workspace's sources", !old.plan.same_sources(&bot.plan))?;
    let mut change = Change { state: pilot.state.clone(), steps: Vec::new() };
    let gone = index(bot, &pilot.state.stable).is_none();
    let stable_named_anew = old.upstreams[old.stable].name != bot.upstreams[bot.stable].name;
    let (was, is) = (pilot.roles(old), pilot.roles(bot));
    let same_stable = url(old, Some(was.stable)) == url(bot, Some(is.stable));
    let same_canary = url(old, was.canary) == url(bot, is.canary);
    refuse_if_live(old, pilot, "the stable upstream", gone || stable_named_anew || !same_stable)?;
    refuse_if_live(old, pilot, "the canary upstream", !same_canary)?;
    if gone || stable_named_anew {
        change.step(Command::Adopt { stable: release(&bot.upstreams[bot.stable]) }, bot, pilot, health)?;
    }
    let stable = index(bot, &change.state.stable).unwrap_or(bot.stable);
    let canary = change.state.canary.as_ref().and_then(|canary| index(bot, canary)).or_else(|| candidate(bot, stable));
    if let Some(canary) = canary.map(|canary| release(&bot.upstreams[canary])) {
        // A weight that the config does not change is the operators': it stays, within the new `max`.
        let within = pilot.state.weight.min(bot.max_weight);
        // What a freeze stops is followed once it is over: see `follow`.
        let waits = bot.weight > change.state.weight && guard(bot, &change.state, health, false).frozen.is_some();
        if bot.weight != change.state.seen.weight && !waits {
            change.step(Command::Configure { weight: bot.weight, canary }, bot, pilot, health)?;
        } else if within != change.state.weight {
            change.step(Command::SetWeight { weight: within, canary }, bot, pilot, health)?;
        }
    }
    // Tallies of one upstream must not be read as another's, nor those of one assignment as another's.
    let rule = rule(config, bot);
    let another = rule != change.state.seen.rule;
    if another || (!same_stable || !same_canary) && change.state.split_id == pilot.state.split_id {
        change.step(Command::Reassign { rule, exposes: false }, bot, pilot, health)?;
    }
    Ok(change)
}

impl Change {
    fn step(&mut self, command: Command, bot: &Bot, pilot: &Pilot, health: &Health) -> Result<(), ReloadRefused> {
        let (before, now, guard) = (self.state.clone(), pilot.now(), guard(bot, &self.state, health, false));
        let input = Input::Command { command, based_on: None };
        let (after, decision) = ratchet::step(before.clone(), &input, &guard, now);
        if let Decision::Refuse(refusal) = decision {
            return Err(ReloadRefused::Refused { bot: bot.name.to_string(), refusal });
        }
        if decision.commits() {
            let entry = keep::entry(bot, pilot, Actor::Config, &decision, (&before, &after), input, &guard, now, None);
            self.steps.push(Step { before, decision, entry });
        }
        self.state = after;
        Ok(())
    }
}

fn refuse_if_live(bot: &Bot, pilot: &Pilot, what: &'static str, changed: bool) -> Result<(), ReloadRefused> {
    if changed && pilot.state.is_live() {
        return Err(ReloadRefused::LiveSplit { bot: bot.name.to_string(), what, weight: pilot.state.weight });
    }
    Ok(())
}

fn url(bot: &Bot, index: Option<usize>) -> Option<(&str, &UpstreamUrl)> {
    let upstream = &bot.upstreams[index?];
    Some((&upstream.name, &upstream.url))
}
