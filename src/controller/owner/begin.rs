//! The start: builds the pilots from the stored history and the config.

use std::sync::Arc;
use std::time::Duration;

use super::Owner;
use crate::config::{Bot, Config};
use crate::controller::entry;
use crate::controller::event::Effect;
use crate::controller::pilot::Pilot;
use crate::controller::roles::{index, release, rule};
use crate::controller::time::Now;
use crate::controller::wish::Actor;
use crate::core::ratchet::{self, Command, Input};
use crate::core::{HeldBy, Hold, LastConfig, Release, State, Weight};
use crate::store::{Entry, Found, Kept, Unwritten};

impl Owner {
    /// Builds the owner from what the history has, and, for a bot without a history, from the config. `outlives`: whether the history
    /// outlives the process. The effects must be executed before the first event.
    pub fn begin(config: Config, found: Found, outlives: bool, now: Now) -> (Owner, Vec<Effect>) {
        found.alarms.iter().for_each(|alarm| tracing::error!("{alarm}"));
        let Found { mut bots, stable, lost, .. } = found;
        let config = Arc::new(config);
        let mut owner = Owner::new(config.clone(), Vec::new(), outlives, now);
        owner.stable_before = stable;
        let (mut pilots, mut rows) = (Vec::new(), Vec::new());
        for bot in &config.bots {
            let kept = bots.remove(bot.name.as_str());
            let known = kept.is_some();
            let (mut pilot, entries) = owner.new_pilot(&config, bot, kept);
            if lost && !known {
                // This is no first start, so a weight that the config states is not applied as a new one.
                pilot.state.last_config.weight = bot.weight;
            }
            rows.extend(entries.into_iter().map(|entry| if known { entry } else { entry::beginning(bot, &pilot.state, now) }));
            pilots.push(pilot);
        }
        for gone in bots.keys() {
            tracing::warn!(bot = gone, "the history knows a bot that the config does not; a renamed bot is a new bot");
        }
        owner.pilots = pilots;
        owner.absent = bots;
        owner.order(rows, Unwritten::Keep);
        owner.check_stable_sides();
        let effects = std::mem::take(&mut owner.effects);
        (owner, effects)
    }

    /// Builds the pilot of a bot that the config has just added. Returns it with the history rows that record this.
    pub(super) fn new_pilot(&self, config: &Config, bot: &Bot, kept: Option<Kept>) -> (Pilot, Vec<Entry>) {
        let (mut pilot, entries) = match kept {
            Some(kept) => self.recover(config, bot, kept),
            None => self.first(config, bot),
        };
        entries.iter().for_each(|entry| pilot.note(entry));
        (pilot, entries)
    }

    /// Builds the pilot of a bot without a history: all workspaces are on stable. A weight in the config is then followed like any
    /// change of the config. A release in the config is not started: serin cannot know whether it is new or serves already, so an
    /// operator must say.
    fn first(&self, config: &Config, bot: &Bot) -> (Pilot, Vec<Entry>) {
        // The release may have been promoted before the history was lost.
        let known = self.stable_before.get(bot.name.as_str()).and_then(|known| index(bot, known));
        let mut state = State::new(release(&bot.upstreams[known.unwrap_or(bot.stable)]));
        if let Some(wanted) = &bot.release {
            match wanted.upstream == state.stable.upstream {
                true => state.stable = wanted.clone(),
                false => (state.held_by, state.hold) = (Some(HeldBy::NoHistory), Some(Hold::NoHistory)),
            }
        }
        state.last_config = LastConfig { weight: Weight::ZERO, release: bot.release.clone(), rule: rule(config, bot) };
        let row = entry::beginning(bot, &state, self.now);
        (Pilot::new(config, bot, state, Duration::ZERO, self.now), vec![row])
    }

    /// Builds the pilot of a bot from its history, with the changes that make its state fit a config that may have changed since.
    /// Returns the history rows of these changes.
    fn recover(&self, config: &Config, bot: &Bot, kept: Kept) -> (Pilot, Vec<Entry>) {
        let at = kept.at;
        let mut state = kept.state.clone();
        let (mut rows, was) = (Vec::new(), state.revision);
        for command in repairs(config, bot, &state) {
            let before = state.clone();
            let input = Input::Command { command, based_on: None };
            let (after, decision) = ratchet::step(before.clone(), &input, &bot.guard, at);
            if !decision.commits() {
                tracing::error!(bot = %bot.name, ?decision, "the history does not fit the config");
                continue;
            }
            let pilot = Pilot::new(config, bot, before.clone(), at, self.now);
            rows.push(entry::entry(bot, &pilot, &Actor::Config, &decision, (&before, after.clone()), input, &bot.guard, self.now, None));
            state = after;
        }
        tracing::info!(bot = %bot.name, revision = state.revision, phase = state.phase.name(), weight = %state.weight, stable = %state.stable, "recovered");
        let mut pilot = Pilot::new(config, bot, state, at, self.now);
        pilot.kept = was;
        pilot.remember(bot, kept, !rows.is_empty(), self.now);
        (pilot, rows)
    }
}

/// The commands that make a state fit the config.
fn repairs(config: &Config, bot: &Bot, state: &State) -> Vec<Command> {
    let missing = |of: &Release| index(bot, of).is_none();
    let to_nobody = || if state.under_way().is_some() { Command::Withdraw } else { Command::Abort };
    let mut repairs = Vec::new();
    if state.canary.as_ref().is_some_and(missing) && state.is_live() {
        tracing::error!(bot = %bot.name, "the canary is not in the config any more: everyone is on stable");
        repairs.push(to_nobody());
    }
    if missing(&state.stable) {
        let stable = release(&bot.upstreams[bot.stable]);
        tracing::error!(bot = %bot.name, was = %state.stable, is = %stable, "stable is not in the config any more");
        if state.is_live() && repairs.is_empty() {
            repairs.push(to_nobody());
        }
        repairs.push(Command::Adopt { stable });
    }
    if let Some(canary) = state.canary.clone().filter(|_| repairs.is_empty() && state.weight > bot.max_weight) {
        repairs.push(Command::SetWeight { weight: bot.max_weight, canary });
    }
    let rule = rule(config, bot);
    if state.last_config.rule != rule {
        if state.is_live() {
            tracing::error!(bot = %bot.name, "salt, sources or pins have changed with customers on the canary: it has other customers now");
        }
        repairs.push(Command::Reassign { rule, exposes: false });
    }
    repairs
}
