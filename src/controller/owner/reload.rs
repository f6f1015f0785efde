//! Reloads: a new config is put in force whole or not at all. A value that has changed in the file is applied like an operator's
//! request; a value that has not never overrides what was set since.

use std::collections::HashMap;
use std::sync::Arc;

use super::Owner;
use crate::config::{Bot, BotName, Config, Proxy, ProxyTls, UpstreamUrl};
use crate::controller::change::{Caller, Change, Planned, Step};
use crate::controller::new_config::{Reload, ReloadRefused, TakeUp};
use crate::controller::pilot::Pilot;
use crate::controller::roles::{candidate, index, release, roles, rule};
use crate::controller::wish::Actor;
use crate::core::ratchet::{Command, Input};
use crate::core::{State, Track};

impl Owner {
    /// Plans a new config and carries it out. If it exposes somebody, it is stored before any of it serves; if the disk does not store
    /// it, none of it is done.
    pub(super) fn reload(&mut self, reload: Reload) {
        let (steps, take_up) = match self.plan_reload(&reload.config) {
            Ok(planned) => planned,
            Err(error) => return drop(reload.reply.send(Err(error))),
        };
        let changed = self.config.hash != reload.config.hash;
        self.carry_out(Change { steps, take_up: Some(Box::new(take_up)), caller: Caller::Reload { reload, changed } });
    }

    fn plan_reload(&self, config: &Arc<Config>) -> Result<(Vec<Step>, TakeUp), ReloadRefused> {
        needs_restart(&self.config, config)?;
        let (mut steps, mut new, mut beginnings, mut exposes) = (Vec::new(), HashMap::new(), Vec::new(), false);
        for bot in &config.bots {
            match self.number(bot.name.as_str()) {
                Some(number) => steps.extend(self.plan_bot(number, config, bot)?),
                None => {
                    let kept = self.absent.get(bot.name.as_str()).cloned();
                    let (pilot, rows) = self.new_pilot(config, bot, kept);
                    exposes |= !rows.is_empty() && !pilot.state.canary_is_closed() && pins_to_canary(bot).next().is_some();
                    new.insert(bot.name.clone(), pilot);
                    beginnings.extend(rows);
                }
            }
        }
        for (pilot, old) in
            self.pilots.iter().zip(&self.config.bots).filter(|(pilot, _)| !config.bots.iter().any(|bot| bot.name == pilot.name))
        {
            refuse_if_live(old, &pilot.state, "the name", true)?;
        }
        Ok((steps, TakeUp { config: config.clone(), new, beginnings, exposes }))
    }

    /// Puts the config in force.
    pub(super) fn take_up(&mut self, take_up: TakeUp) {
        let TakeUp { config, mut new, .. } = take_up;
        let mut old: HashMap<BotName, Pilot> =
            std::mem::take(&mut self.pilots).into_iter().map(|pilot| (pilot.name.clone(), pilot)).collect();
        for bot in &config.bots {
            self.absent.remove(bot.name.as_str());
            if let Some(mut pilot) = old.remove(&bot.name).or_else(|| new.remove(&bot.name)) {
                pilot.due = true;
                self.pilots.push(pilot);
            }
        }
        self.config = config;
        for (name, mut pilot) in old {
            tracing::warn!(bot = %name, "a bot is gone from the config; a renamed bot is a new bot");
            for waiting in std::mem::take(&mut pilot.waiting) {
                let _ = self.known(name.as_str()).map_err(|error| waiting.reply.refuse(error));
            }
            self.absent.insert(name.to_string(), pilot.leave(self.now));
        }
        // The config is followed in the same event, because going back to the release before must not wait for a tick.
        self.config_changed = true;
    }

    /// The steps by which the new config changes a bot that exists.
    fn plan_bot(&self, number: usize, config: &Config, bot: &Bot) -> Result<Vec<Step>, ReloadRefused> {
        let (old, state) = (&self.config.bots[number], &self.pilots[number].state);
        refuse_if_live(old, state, "the salt", self.config.proxy.salt != config.proxy.salt)?;
        refuse_if_live(old, state, "the workspace's sources", !old.extractor.same_sources(&bot.extractor))?;
        let guard = self.guard(bot, state, false);
        let decide =
            |state: &State, command| self.decide(number, state, Input::Command { command, based_on: None }, &guard, &Actor::Config, None);
        let refused = |refusal| ReloadRefused::Refused { bot: bot.name.to_string(), refusal };
        let mut plan = Planned::from(state);
        let gone = index(bot, &state.stable).is_none();
        let stable_named_anew = old.upstreams[old.stable].name != bot.upstreams[bot.stable].name;
        let (was, is) = (roles(state, old), roles(state, bot));
        let same_stable = url(old, Some(was.stable)) == url(bot, Some(is.stable));
        let same_canary = url(old, was.canary) == url(bot, is.canary);
        refuse_if_live(old, state, "the stable upstream", gone || stable_named_anew || !same_stable)?;
        refuse_if_live(old, state, "the canary upstream", !same_canary)?;
        if gone || stable_named_anew {
            plan.add(decide(&plan.state, Command::Adopt { stable: release(&bot.upstreams[bot.stable]) })).map_err(refused)?;
        }
        let stable = index(bot, &plan.state.stable).unwrap_or(bot.stable);
        let canary = plan.state.canary.as_ref().and_then(|canary| index(bot, canary)).or_else(|| candidate(bot, stable));
        if let Some(canary) = canary.map(|canary| release(&bot.upstreams[canary])) {
            // A weight that did not change in the file stays as the operators set it, but not above the new `max`.
            let within = state.weight.min(bot.max_weight);
            // A raise that a freeze stops is made when the freeze is over: see `follow`.
            let waits = bot.weight > plan.state.weight && guard.frozen.is_some();
            if bot.weight != plan.state.last_config.weight && !waits {
                plan.add(decide(&plan.state, Command::Configure { weight: bot.weight, canary })).map_err(refused)?;
            } else if within != plan.state.weight {
                plan.add(decide(&plan.state, Command::SetWeight { weight: within, canary })).map_err(refused)?;
            }
        }
        // Tallies of one upstream or assignment must not be read as those of another: a new split begins.
        let rule = rule(config, bot);
        let another = rule != plan.state.last_config.rule;
        if another || (!same_stable || !same_canary) && plan.state.split_id == state.split_id {
            plan.add(decide(&plan.state, Command::Reassign { rule, exposes: pins_more(old, bot) })).map_err(refused)?;
        }
        Ok(plan.steps)
    }
}

/// Whether the new config pins a workspace to the canary that the old one did not pin there.
fn pins_more(old: &Bot, bot: &Bot) -> bool {
    let before: Vec<&str> = pins_to_canary(old).collect();
    pins_to_canary(bot).any(|name| !before.contains(&name))
}

fn pins_to_canary(bot: &Bot) -> impl Iterator<Item = &str> {
    bot.pins.names().into_iter().filter(|(_, track)| *track == Track::Canary.name()).map(|(name, _)| name)
}

fn needs_restart(old: &Config, new: &Config) -> Result<(), ReloadRefused> {
    let fixed = [
        ("[proxy] listen", old.proxy.listen.to_string(), new.proxy.listen.to_string()),
        ("TLS for webhooks", doors(&old.proxy), doors(&new.proxy)),
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

/// Where webhooks come in over TLS.
fn doors(proxy: &Proxy) -> String {
    match &proxy.tls {
        None => "none".to_owned(),
        Some(ProxyTls { listen: None, .. }) => "[proxy] listen".to_owned(),
        Some(ProxyTls { listen: Some(address), .. }) => address.to_string(),
    }
}

fn refuse_if_live(bot: &Bot, state: &State, what: &'static str, changed: bool) -> Result<(), ReloadRefused> {
    if changed && state.is_live() {
        return Err(ReloadRefused::LiveSplit { bot: bot.name.to_string(), what, weight: state.weight });
    }
    Ok(())
}

fn url(bot: &Bot, index: Option<usize>) -> Option<(&str, &UpstreamUrl)> {
    let upstream = &bot.upstreams[index?];
    Some((&upstream.name, &upstream.url))
}
