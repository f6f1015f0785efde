//! Owns all pilots. It is a state machine: [`Owner::handle`] takes one event and returns the effects to execute. It has no clock, does
//! no I/O and never blocks. Work that takes time (the disk, the workers, a check of an upstream) leaves as an [`Effect`] and comes back
//! as an [event](super::event::Event). So a change is completed even if its caller has gone, and one operation that hangs delays
//! nothing else.
//!
//! [`run`](super::run) drives the owner with real events, and the fault simulator with simulated ones.

mod begin;
mod carry_out;
mod checks;
mod drill;
mod follow_config;
mod hand_over;
mod handle;
mod preview;
mod reload;
mod reports;
mod requests;
mod traffic;
mod watch;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::change::{Order, Serving, Storing};
use super::check::Purpose;
use super::event::Effect;
use super::freeze::frozen;
use super::new_config::Reload;
use super::pilot::Pilot;
use super::rehearsal::Rehearsal;
use super::time::Now;
use super::wish::ChangeError;
use crate::config::{Bot, BotName, Config};
use crate::core::ratchet::{self, Decision, Input};
use crate::core::{Frozen, Guard, Release, State};
use crate::live::{Durability, Snapshot, Status};
use crate::store::{Health, Kept, Ticket};

/// The decision functions. The fault simulator replaces them by faulty ones, to test that it notices the fault.
#[derive(Clone, Copy)]
pub(super) struct DecisionFns {
    pub step: fn(State, &Input, &Guard, Duration) -> (State, Decision),
    pub exposes: fn(&State, &State, &Decision) -> bool,
}

impl Default for DecisionFns {
    fn default() -> DecisionFns {
        DecisionFns { step: ratchet::step, exposes: ratchet::exposes }
    }
}

/// The interval at which the state and the evidence of all bots are stored. A crash loses at most what was counted in this time.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);
/// A disk that takes longer than this to answer counts as hanging: a raise that waits for the disk is given up, and no raise begins.
pub(super) const DISK_PATIENCE: Duration = Duration::from_secs(3);
/// A bot's status is made anew at least this often, because it contains durations.
const SHOWN_FOR: Duration = Duration::from_secs(15);

pub struct Owner {
    pub(super) config: Arc<Config>,
    /// Parallel to `config.bots`. An index into `pilots` is valid only within one call of [`Owner::handle`].
    pub(super) pilots: Vec<Pilot>,
    /// The last known data of bots that the config does not name now. A bot that comes back continues from them.
    pub(super) absent: HashMap<String, Kept>,
    /// By bot: the stable release that was found beside a history that could not be read.
    pub(super) stable_before: HashMap<String, Release>,
    /// The snapshot that was published last.
    pub(super) snapshot: Arc<Snapshot>,
    /// The sequence of the newest snapshot that every worker serves.
    pub(super) applied: u64,
    /// Whether the history outlives the process.
    pub(super) outlives: bool,
    pub(super) health: Health,
    pub(super) now: Now,
    pub(super) rules: DecisionFns,
    tickets: u64,
    /// Orders to the history that it has not answered yet.
    pub(super) orders: BTreeMap<Ticket, Order>,
    /// Changes that must be stored before they may serve.
    pub(super) storing: BTreeMap<Ticket, Storing>,
    /// Changes that are in force and whose callers are not answered yet.
    pub(super) serving: Vec<Serving>,
    pub(super) checks: BTreeMap<Ticket, Purpose>,
    /// Drills that have customers on the idle side, each with the time at which they go back.
    pub(super) drills: Vec<(Duration, Box<Rehearsal>)>,
    /// New configs. Each waits until no change waits for the disk.
    pub(super) reloads: VecDeque<Reload>,
    /// Whether an order is older than `DISK_PATIENCE`.
    hangs: bool,
    /// The config has changed: the event that is being handled must also follow it.
    pub(super) config_changed: bool,
    checkpoint_due: Duration,
    /// The ratchet decides nothing.
    stopping: bool,
    /// A newer serin takes over: no request is taken either.
    hands_over: bool,
    pub(super) effects: Vec<Effect>,
}

impl std::fmt::Debug for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Owner").field("bots", &self.pilots.len()).finish_non_exhaustive()
    }
}

impl Owner {
    /// `pilots` must be parallel to the config's bots.
    pub(super) fn new(config: Arc<Config>, pilots: Vec<Pilot>, outlives: bool, now: Now) -> Owner {
        let snapshot = Arc::new(Snapshot { sequence: 0, config: config.clone(), epochs: Vec::new() });
        Owner {
            config,
            pilots,
            absent: HashMap::new(),
            stable_before: HashMap::new(),
            snapshot,
            applied: 0,
            outlives,
            health: Health::default(),
            now,
            rules: DecisionFns::default(),
            tickets: 0,
            orders: BTreeMap::new(),
            storing: BTreeMap::new(),
            serving: Vec::new(),
            checks: BTreeMap::new(),
            drills: Vec::new(),
            reloads: VecDeque::new(),
            hangs: false,
            config_changed: true,
            checkpoint_due: now.running + CHECKPOINT_EVERY,
            stopping: false,
            hands_over: false,
            effects: Vec::new(),
        }
    }

    /// Whether a change that exposes somebody must wait, because another change of the bot, or a config, waits for the disk.
    pub(super) fn must_wait(&self, number: usize) -> bool {
        self.pilots[number].storing.is_some() || !self.reloads.is_empty() || self.storing.values().any(Storing::is_a_reload)
    }

    /// Whether nothing is pending.
    pub fn is_idle(&self) -> bool {
        self.storing.is_empty() && self.serving.is_empty() && self.drills.is_empty() && self.reloads.is_empty()
    }

    /// Whether a change waits for the disk before it may serve.
    pub fn waits_for_the_disk(&self) -> bool {
        !self.storing.is_empty()
    }

    /// The snapshot that was published last.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// The index of a bot in the config in force; `None` if the config does not name it.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.pilots.iter().position(|pilot| pilot.name.as_str() == name)
    }

    pub(super) fn known(&self, name: &str) -> Result<usize, ChangeError> {
        self.number(name).ok_or_else(|| {
            let known = self.pilots.iter().map(|pilot| pilot.name.to_string()).collect();
            ChangeError::UnknownBot { name: name.to_owned(), known }
        })
    }

    /// The reason why this bot's changes cannot be stored now; `None` if they can be.
    pub(super) fn failing(&self, name: &BotName) -> Option<String> {
        if let Some(why) = self.health.of(name.as_str()) {
            return Some(why.to_owned());
        }
        self.hangs.then(|| format!("no answer from the disk within {DISK_PATIENCE:?}"))
    }

    /// The bot's guard with a freeze, if one holds in this state. `force` overrides an operator's or the config's freeze; a history
    /// that cannot be written freezes the bot all the same.
    pub(super) fn guard(&self, bot: &Bot, state: &State, force: bool) -> Guard {
        let (unwritable, asked) = (self.failing(&bot.name), frozen(bot, state, self.now).filter(|_| !force));
        Guard { frozen: Frozen::of(unwritable.as_deref(), asked.as_deref()), ..bot.guard.clone() }
    }

    pub(super) fn show(&mut self) {
        let (config, now) = (self.config.clone(), self.now);
        for (number, bot) in config.bots.iter().enumerate() {
            let pilot = &self.pilots[number];
            if !pilot.news && now.running < pilot.shown + SHOWN_FOR {
                continue;
            }
            let durability = self.durability(pilot, pilot.state.revision);
            let pilot = &mut self.pilots[number];
            let status = pilot.status(bot, durability, now);
            pilot.log_need_of_a_human(&status);
            pilot.epoch.report(status);
            (pilot.news, pilot.shown) = (false, now.running);
        }
    }

    /// Reports in an older snapshot whether the revision that it has of the bot is durable.
    pub(super) fn show_in(&self, snapshot: &Snapshot, name: &BotName) {
        let epoch = snapshot.bot(name.as_str()).and_then(|number| snapshot.epochs.get(number));
        if let (Some(epoch), Some(number)) = (epoch, self.number(name.as_str())) {
            let durability = self.durability(&self.pilots[number], epoch.revision);
            epoch.report(Status { durability, ..(*epoch.status()).clone() });
        }
    }

    fn durability(&self, pilot: &Pilot, revision: u64) -> Durability {
        Durability { durable: self.outlives && pilot.kept >= revision, failing: self.failing(&pilot.name) }
    }
}

#[cfg(test)]
mod tests;
