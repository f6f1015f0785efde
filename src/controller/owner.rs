//! Owns all pilots. It is a state machine: [`Owner::handle`] takes one event and returns the effects to execute. It has no clock, does
//! no I/O and never blocks. Work that takes time (the disk, the workers, a check of an upstream) leaves as an [`Effect`] and comes back
//! as an [`Event`]. So a change is completed even if its caller has gone, and one operation that hangs delays nothing else.
//!
//! [`run`](super::run) drives the owner with real events, and the fault simulator with simulated ones.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::change::{Keeping, Order, Serving};
use super::drill::{Drill, Drilled, Rehearsal};
use super::looks::{Look, Purpose};
use super::pilot::Pilot;
use super::reload::Reload;
use super::reports::{Report, Reported};
use super::time::Now;
use super::traffic::Traffic;
use super::wish::{Actor, ChangeError, ChangeRequest, ReplyTo};
use super::{ReloadRefused, frozen};
use crate::config::{Bot, BotName, Config};
use crate::core::ratchet::{self, Decision, Input};
use crate::core::{Frozen, Guard, Release, State};
use crate::live::{Durability, Snapshot, Status};
use crate::store::{self, Append, Entry, Health, Kept, Ticket, Written};
use crate::summary::Preview;

/// An input of the owner.
#[derive(Debug)]
pub enum Event {
    /// One second has passed: the ratchet looks at every bot.
    Tick,
    /// The time that [`Owner::alarm`] returned has come.
    Alarm,
    Asked(Asked),
    /// The history has stored the rows of an order, or failed to.
    Written(Written),
    /// The check of an upstream has ended.
    Looked {
        ticket: Ticket,
        answer: Result<(), String>,
    },
    /// Every worker serves this snapshot or a later one.
    Serves {
        sequence: u64,
    },
    /// serin shuts down: pending changes are completed, and the ratchet decides nothing more.
    Stop,
}

/// Sends the answer to a request. A closed receiver is no error: the request is carried out all the same.
pub type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// A request to the owner.
#[derive(Debug)]
pub enum Asked {
    Change {
        request: ChangeRequest,
        reply: ReplyTo,
    },
    Drill {
        bot: String,
        drill: Drill,
        actor: Actor,
        reply: Reply<Drilled, ChangeError>,
    },
    /// Asks what the drill would do.
    PreviewDrill {
        bot: String,
        drill: Drill,
        reply: Reply<Preview, ChangeError>,
    },
    /// The reply is `true` if the config differs from the one in force.
    Reload {
        config: Box<Config>,
        reply: Reply<bool, ReloadRefused>,
    },
    Report {
        bot: String,
        reports: Vec<Report>,
        reply: Reply<Reported, ChangeError>,
    },
    Traffic {
        bot: String,
        reply: oneshot::Sender<Option<Traffic>>,
    },
}

/// Work for the task around the owner, to be executed in the order in which `handle` returns it.
#[derive(Debug)]
pub enum Effect {
    Publish(Arc<Snapshot>),
    Append(Append),
    /// To be stored without waiting for the disk.
    Snapshot(Vec<store::Snapshot>),
    Look {
        ticket: Ticket,
        look: Look,
    },
    Tell(Box<Told>),
}

/// A change that is in force, for the log, the metrics and the subscribers.
#[derive(Debug)]
pub struct Told {
    pub entry: Entry,
    pub actor: Actor,
    /// From the decision until every worker served the change; `None` if they did not within `APPLY_TIMEOUT`.
    pub took: Option<Duration>,
}

/// The decision functions. The fault simulator replaces them by faulty ones, to test that it notices the fault.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub step: fn(State, &Input, &Guard, Duration) -> (State, Decision),
    pub exposes: fn(&State, &State, &Decision) -> bool,
}

impl Default for Rules {
    fn default() -> Rules {
        Rules { step: ratchet::step, exposes: ratchet::exposes }
    }
}

/// The interval at which the state and the evidence of all bots are stored. A crash loses at most what was counted in this time.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);
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
    pub(super) rules: Rules,
    tickets: u64,
    /// Orders to the history that it has not answered yet.
    pub(super) orders: BTreeMap<Ticket, Order>,
    /// Changes that must be stored before they may serve.
    pub(super) keeping: BTreeMap<Ticket, Keeping>,
    /// Changes that are in force and whose callers are not answered yet.
    pub(super) serving: Vec<Serving>,
    pub(super) looks: BTreeMap<Ticket, Purpose>,
    /// Drills that have customers on the idle side, each with the time at which they go back.
    pub(super) drills: Vec<(Duration, Box<Rehearsal>)>,
    /// New configs. Each waits until no change waits for the disk.
    pub(super) reloads: VecDeque<Reload>,
    /// Whether an order is older than `DISK_PATIENCE`.
    hangs: bool,
    /// The config has changed: the event that is being handled must also follow it.
    pub(super) hear_the_config: bool,
    snapshot_due: Duration,
    stopping: bool,
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
            rules: Rules::default(),
            tickets: 0,
            orders: BTreeMap::new(),
            keeping: BTreeMap::new(),
            serving: Vec::new(),
            looks: BTreeMap::new(),
            drills: Vec::new(),
            reloads: VecDeque::new(),
            hangs: false,
            hear_the_config: true,
            snapshot_due: now.running + SNAPSHOT_EVERY,
            stopping: false,
            effects: Vec::new(),
        }
    }

    /// Handles one event and returns the effects to execute. `health` is the current health of the history.
    pub fn handle(&mut self, event: Event, health: Health, now: Now) -> Vec<Effect> {
        self.now = now;
        self.hear(health);
        match event {
            Event::Tick => self.tick(),
            Event::Alarm => {}
            Event::Asked(asked) => self.asked(asked),
            Event::Written(written) => self.written(written),
            Event::Looked { ticket, answer } => self.looked(ticket, answer),
            Event::Serves { sequence } => self.serves(sequence),
            Event::Stop => self.stop(),
        }
        self.keep_time_limits();
        loop {
            self.go_on();
            self.publish();
            if !self.answer() {
                break;
            }
        }
        self.show();
        std::mem::take(&mut self.effects)
    }

    fn hear(&mut self, health: Health) {
        let late = |order: &Order| self.now.running > order.since + DISK_PATIENCE && !order.is_of_a_failing_bot(&health);
        let hangs = self.orders.values().any(late);
        if self.health != health || self.hangs != hangs {
            (self.health, self.hangs) = (health, hangs);
            self.pilots.iter_mut().for_each(|pilot| pilot.news = true);
        }
    }

    fn asked(&mut self, asked: Asked) {
        match asked {
            Asked::Change { request, reply } => self.asked_for_a_change(request, reply),
            Asked::Drill { bot, drill, actor, reply } => self.asked_for_a_drill(&bot, drill, actor, reply),
            Asked::PreviewDrill { bot, drill, reply } => drop(reply.send(self.preview_drill(&bot, &drill))),
            Asked::Reload { config, reply } => self.reloads.push_back(Reload { config: Arc::new(*config), reply }),
            Asked::Report { bot, reports, reply } => drop(reply.send(self.report(&bot, &reports))),
            Asked::Traffic { bot, reply } => drop(reply.send(self.traffic(&bot))),
        }
    }

    /// One second has passed: the ratchet looks at every bot, and then the config is followed.
    fn tick(&mut self) {
        if self.stopping {
            return;
        }
        for number in 0..self.pilots.len() {
            self.look_at(number);
        }
        self.follow_the_config();
        if self.outlives && self.now.running >= self.snapshot_due {
            self.snapshot_due = self.now.running + SNAPSHOT_EVERY;
            let now = self.now;
            let snapshots = self.pilots.iter_mut().filter_map(|pilot| pilot.snapshot(now)).collect();
            self.effects.push(Effect::Snapshot(snapshots));
        }
    }

    /// Takes up the reload and the requests that have waited and need to wait no more.
    fn go_on(&mut self) {
        if self.keeping.is_empty()
            && let Some(reload) = self.reloads.pop_front()
        {
            self.reload(reload);
        }
        if std::mem::take(&mut self.hear_the_config) && !self.stopping {
            self.follow_the_config();
        }
        for number in 0..self.pilots.len() {
            while !self.must_wait(number)
                && let Some(waiting) = self.pilots[number].waiting.pop_front()
            {
                self.consider(waiting.request, waiting.reply);
            }
        }
    }

    /// Whether a change that exposes somebody must wait, because another change of the bot, or a config, waits for the disk.
    pub(super) fn must_wait(&self, number: usize) -> bool {
        self.pilots[number].keeping.is_some() || !self.reloads.is_empty() || self.keeping.values().any(Keeping::is_a_reload)
    }

    fn publish(&mut self) {
        if !self.pilots.iter().any(|pilot| pilot.due) && Arc::ptr_eq(&self.config, &self.snapshot.config) && self.snapshot.sequence > 0 {
            self.is_published();
            return;
        }
        let (config, sequence, now) = (self.config.clone(), self.snapshot.sequence + 1, self.now);
        for (pilot, bot) in self.pilots.iter_mut().zip(&config.bots).filter(|(pilot, _)| pilot.due) {
            pilot.is_published(&config, bot, sequence, now);
            pilot.news = true;
        }
        let epochs = self.pilots.iter().map(|pilot| pilot.epoch.clone()).collect();
        self.snapshot = Arc::new(Snapshot { sequence, config, epochs });
        // After the snapshots that were published before, so that they stay in order, and before the rows about this one.
        let first = self.effects.iter().take_while(|effect| matches!(effect, Effect::Publish(_))).count();
        self.effects.insert(first, Effect::Publish(self.snapshot.clone()));
        self.is_published();
    }

    /// Gives the current snapshot to the changes that were decided since the last publication.
    fn is_published(&mut self) {
        for serving in self.serving.iter_mut().filter(|serving| serving.snapshot.is_none()) {
            serving.snapshot = Some(self.snapshot.clone());
        }
    }

    fn serves(&mut self, sequence: u64) {
        self.applied = self.applied.max(sequence);
        let (config, now, applied) = (self.config.clone(), self.now, self.applied);
        let waits = |pilot: &Pilot| pilot.sequence > 0 && pilot.sequence <= applied;
        for (pilot, bot) in self.pilots.iter_mut().zip(&config.bots).filter(|(pilot, _)| waits(pilot)) {
            pilot.sequence = 0;
            pilot.opens(&bot.guard, now);
        }
    }

    fn stop(&mut self) {
        self.stopping = true;
        // Drills end now: customers on the idle side go back to stable.
        self.drills.iter_mut().for_each(|(until, _)| *until = self.now.running);
    }

    /// Whether nothing is pending.
    pub fn rests(&self) -> bool {
        self.keeping.is_empty() && self.serving.is_empty() && self.drills.is_empty() && self.reloads.is_empty()
    }

    /// Whether a change waits for the disk before it may serve.
    pub fn waits_for_the_disk(&self) -> bool {
        !self.keeping.is_empty()
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
            pilot.log_whom_it_needs(&status);
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
