//! Follows the config: a value that changed is applied like an operator's request, and the release that the config names is started
//! once its side passes the preflight. A refusal is logged once, and the start is tried again.

use std::time::Duration;

use super::Owner;
use crate::config::BotName;
use crate::controller::change::{Caller, Change};
use crate::controller::check::{How, Purpose, there};
use crate::controller::roles::{candidate, index, release};
use crate::controller::wish::Actor;
use crate::core::ratchet::Command;
use crate::core::{HeldBy, Release};

/// The time limit for a connection to stable, in the check after a lost history.
const IS_THERE: Duration = Duration::from_secs(1);

impl Owner {
    /// Applies what has changed in the config since it was last followed, and starts the release that it names.
    pub(super) fn follow_the_config(&mut self) {
        for number in 0..self.pilots.len() {
            if self.must_wait(number) || self.pilots[number].following.is_some() {
                continue;
            }
            self.apply_release(number);
            self.apply_weight(number);
            self.start_release(number);
        }
    }

    /// If the config names the release that was stable before, the way back to it is taken only if that side takes connections.
    fn apply_release(&mut self, number: usize) {
        let config = self.config.clone();
        let (bot, state) = (&config.bots[number], &self.pilots[number].state);
        if bot.release == state.last_config.release {
            return;
        }
        let former = state.previous.as_ref().map(|former| &former.release).filter(|former| bot.release.as_ref() == Some(*former));
        match former.and_then(|former| index(bot, former)) {
            Some(upstream) => {
                let purpose = Purpose::WayBack { bot: bot.name.clone() };
                let ticket = self.begin_check(number, upstream, there(bot, upstream), purpose);
                self.pilots[number].following = Some(ticket);
            }
            None => self.apply_config(number, vec![Command::Desire { release: bot.release.clone(), warm: false }]),
        }
    }

    pub(super) fn checked_for_the_way_back(&mut self, name: &BotName, warm: bool) {
        let Some(number) = self.number(name.as_str()) else { return };
        let release = self.config.bots[number].release.clone();
        if release != self.pilots[number].state.last_config.release {
            self.apply_config(number, vec![Command::Desire { release, warm }]);
        }
    }

    fn apply_weight(&mut self, number: usize) {
        let (bot, state) = (&self.config.bots[number], &self.pilots[number].state);
        if bot.weight == state.last_config.weight {
            return;
        }
        let stable = index(bot, &state.stable).unwrap_or(bot.stable);
        let canary = state.canary.as_ref().and_then(|canary| index(bot, canary)).or_else(|| candidate(bot, stable));
        if let Some(canary) = canary.map(|canary| release(&bot.upstreams[canary])) {
            let weight = bot.weight;
            self.apply_config(number, vec![Command::Configure { weight, canary }]);
        }
    }

    fn start_release(&mut self, number: usize) {
        let config = self.config.clone();
        let (bot, pilot) = (&config.bots[number], &self.pilots[number]);
        let Some(wanted) = pilot.state.to_start().cloned() else { return };
        if pilot.following.is_some() || !pilot.retry_is_due(self.now) || self.guard(bot, &pilot.state, false).frozen.is_some() {
            return;
        }
        if let Some(upstream) = index(bot, &wanted) {
            let ticket = self.begin_check(number, upstream, How::Preflight, Purpose::Follow { bot: bot.name.clone(), wanted });
            self.pilots[number].following = Some(ticket);
        }
    }

    pub(super) fn checked_for_the_config(&mut self, name: &BotName, wanted: &Release, fit: Result<(), String>) {
        let Some(number) = self.number(name.as_str()) else { return };
        let (bot, state) = (&self.config.bots[number], &self.pilots[number].state);
        if state.to_start() != Some(wanted) || self.must_wait(number) {
            // The state has changed during the check; the next tick checks again.
            return;
        }
        if let Err(why) = fit {
            return self.pilots[number].config_waits(Some(format!("preflight: {why}")), self.now);
        }
        let makes_room = state.under_way().is_some() && bot.rollout.steps[0].weight <= bot.max_weight;
        let follow = Command::Follow { plan: bot.rollout.clone() };
        self.apply_config(number, if makes_room { vec![Command::Withdraw, follow] } else { vec![follow] });
    }

    /// Carries out the config's commands for one bot, all or none. If one is refused, its reason is shown as what the config's release
    /// waits for.
    pub(super) fn apply_config(&mut self, number: usize, commands: Vec<Command>) {
        match self.plan_commands(number, commands, &Actor::Config) {
            Err(refusal) => self.pilots[number].config_waits(Some(refusal.to_string()), self.now),
            Ok(steps) => {
                self.pilots[number].config_waits(None, self.now);
                if !steps.is_empty() {
                    self.carry_out(Change::of(steps, Caller::Nobody));
                }
            }
        }
    }

    /// The lost history may have contained a promotion of the config's release. So if stable takes no connections and the config's
    /// release passes the preflight, that release is adopted as stable.
    pub(super) fn check_stable_sides(&mut self) {
        for number in 0..self.pilots.len() {
            let (pilot, bot) = (&self.pilots[number], &self.config.bots[number]);
            if pilot.state.held_by == Some(HeldBy::NoHistory) {
                let stable = pilot.roles(bot).stable;
                let purpose = Purpose::IsStableThere { bot: pilot.name.clone() };
                self.begin_check(number, stable, How::Connects { within: IS_THERE }, purpose);
            }
        }
    }

    pub(super) fn checked_for_stable(&mut self, name: &BotName, is_there: bool) {
        let Some(number) = self.number(name.as_str()).filter(|_| !is_there) else { return };
        if let Some((upstream, wanted)) = self.may_stand_in(number) {
            self.begin_check(number, upstream, How::Preflight, Purpose::StandIn { bot: name.clone(), wanted });
        }
    }

    pub(super) fn checked_for_a_stand_in(&mut self, name: &BotName, wanted: Release, is_fit: bool) {
        let Some(number) = self.number(name.as_str()).filter(|_| is_fit) else { return };
        if self.may_stand_in(number).is_some_and(|(_, still)| still == wanted) && !self.must_wait(number) {
            let stable = &self.pilots[number].state.stable;
            tracing::error!(bot = %name, %stable, serves = %wanted, "stable takes no connections and nothing is known of before: the config's release serves");
            self.apply_config(number, vec![Command::Adopt { stable: wanted }]);
        }
    }

    fn may_stand_in(&self, number: usize) -> Option<(usize, Release)> {
        let (state, bot) = (&self.pilots[number].state, &self.config.bots[number]);
        let wanted = state.last_config.release.clone().filter(|_| state.held_by == Some(HeldBy::NoHistory))?;
        Some((index(bot, &wanted)?, wanted))
    }
}
