//! The config as somebody who wants something: what it says anew is an operator's action, and a release that it names is
//! started once its side is fit to serve. Also what must be looked at before a side is sent anybody.

use std::sync::Arc;

use super::pilot::{Pilot, candidate, index, release};
use super::sides::takes_connections;
use super::wish::{Ask, command, unknown_bot};
use super::{Actor, ChangeError, Controller, Seat, TICK, Wish, guard};
use crate::config::Bot;
use crate::core::ratchet::{Command, Decision, Input};
use crate::core::{Release, State};
use crate::live::Snapshot;

impl Controller {
    /// Does what the config wants and what is not done yet, each second, for ever. Beside the watch: a preflight takes its
    /// time and holds nobody up.
    pub(super) async fn follow(&self) {
        self.look_who_is_there().await;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.hear_the_config().await;
            self.start_what_is_wanted().await;
        }
    }

    /// Takes in what the config says anew, and takes at once whatever way back it is.
    pub(super) async fn hear_the_config(&self) {
        for number in 0..self.live.current().config.bots.len() {
            let snapshot = self.live.current();
            let (Some(bot), Some(epoch)) = (snapshot.config.bots.get(number), snapshot.epochs.get(number)) else { return };
            let state = epoch.status().state.clone();
            for command in self.new_in_config(bot, &state).await {
                self.config_says(&snapshot, number, command).await;
            }
        }
    }

    async fn start_what_is_wanted(&self) {
        for number in 0..self.live.current().config.bots.len() {
            let snapshot = self.live.current();
            let (Some(bot), Some(epoch)) = (snapshot.config.bots.get(number), snapshot.epochs.get(number)) else { return };
            let state = epoch.status().state.clone();
            let Some(wanted) = state.to_start().cloned() else { continue };
            let may_try = self.pilots.lock().await.get(&bot.name).is_some_and(Pilot::may_try_again);
            if !may_try || guard(bot, &state, &self.store.health(), false).frozen.is_some() {
                continue;
            }
            let Some(upstream) = index(bot, &wanted) else { continue };
            let fit = self.sides.preflight(bot, upstream).await;
            self.waits(bot, &fit).await;
            if fit.is_err() {
                continue;
            }
            if state.under_way().is_some() && bot.rollout.steps[0].weight <= bot.max_weight {
                self.config_says(&snapshot, number, Command::Withdraw).await;
            }
            self.config_says(&snapshot, number, Command::Follow { plan: bot.rollout.clone() }).await;
        }
    }

    /// What the config says that it did not say when it was last followed.
    async fn new_in_config(&self, bot: &Bot, state: &State) -> Vec<Command> {
        let mut commands = Vec::new();
        if bot.release != state.seen.release {
            commands.push(self.desire(bot, state).await);
        }
        let stable = index(bot, &state.stable).unwrap_or(bot.stable);
        let canary = state.canary.as_ref().and_then(|canary| index(bot, canary)).or_else(|| candidate(bot, stable));
        if let Some(canary) = canary.filter(|_| bot.weight != state.seen.weight) {
            commands.push(Command::Configure { weight: bot.weight, canary: release(&bot.upstreams[canary]) });
        }
        commands
    }

    /// The way back is taken only to a side that still answers.
    pub(super) async fn desire(&self, bot: &Bot, state: &State) -> Command {
        let former = state.previous.as_ref().map(|former| &former.release);
        let warm = match former.filter(|former| bot.release.as_ref() == Some(*former)) {
            Some(former) => takes_connections(&*self.sides, bot, former).await.is_ok(),
            None => false,
        };
        Command::Desire { release: bot.release.clone(), warm }
    }

    /// One step of the config's; what is refused is said once and holds.
    pub(super) async fn config_says(&self, snapshot: &Arc<Snapshot>, number: usize, command: Command) {
        let mut pilots = self.pilots.lock().await;
        let bot = &snapshot.config.bots[number];
        let current = self.live.current();
        // A reload came between.
        if !Arc::ptr_eq(&current.config, &snapshot.config) {
            return;
        }
        let Some(pilot) = pilots.get_mut(&bot.name) else { return };
        pilot.read(&current.epochs[number]);
        let guard = guard(bot, &pilot.state, &self.store.health(), false);
        let input = Input::Command { command, based_on: None };
        let done = self.decide(Seat { pilot, snapshot: current, number }, input, &guard, Actor::Config, None).await;
        let Some(pilot) = pilots.get_mut(&bot.name) else { return };
        let refused = match done {
            Ok(Decision::Refuse(refusal)) => Some(refusal.to_string()),
            Ok(_) | Err(_) => None,
        };
        pilot.config_waits(bot, refused);
        self.shows(pilots.get(&bot.name), bot, number);
    }

    /// Says what the config's release waits for.
    async fn waits(&self, bot: &Bot, fit: &Result<(), String>) {
        let mut pilots = self.pilots.lock().await;
        if let Some(pilot) = pilots.get_mut(&bot.name) {
            pilot.config_waits(bot, fit.as_ref().err().map(|why| format!("preflight: {why}")));
        }
    }

    /// Nobody is sent to a side that is not fit, and nobody back to one that is gone, unless somebody insists.
    pub(super) async fn look_at_the_side(&self, name: &str, ask: &Ask<'_>) -> Result<(), ChangeError> {
        let snapshot = self.live.current();
        let number = snapshot.bot(name).ok_or_else(|| unknown_bot(&snapshot, name))?;
        let bot = &snapshot.config.bots[number];
        let state = snapshot.epochs[number].status().state.clone();
        // What is refused anyway needs no look.
        if ask.force || guard(bot, &state, &self.store.health(), false).frozen.is_some() && !ask.wish.takes_back() {
            return Ok(());
        }
        let unfit = |side: &Release, why| ChangeError::Preflight { bot: bot.name.to_string(), side: side.to_string(), why };
        match &ask.wish {
            Wish::Start { .. } | Wish::Switch { .. } => {
                let (Command::Start { release, .. } | Command::Switch { release, .. }) = command(bot, &state, ask)? else { return Ok(()) };
                let Some(upstream) = index(bot, &release).filter(|_| release.upstream != state.stable.upstream) else { return Ok(()) };
                self.sides.preflight(bot, upstream).await.map_err(|why| unfit(&release, why))
            }
            Wish::Undo => match state.previous.as_ref().filter(|_| !state.is_live() && state.undone.is_none()) {
                Some(former) => takes_connections(&*self.sides, bot, &former.release).await.map_err(|why| unfit(&former.release, why)),
                None => Ok(()),
            },
            Wish::SetWeight(_)
            | Wish::Pause
            | Wish::Resume
            | Wish::Advance
            | Wish::Promote
            | Wish::Abort
            | Wish::Adopt { .. }
            | Wish::Freeze
            | Wish::Thaw => Ok(()),
        }
    }
}
