//! The one owner of all pilots. It is told what happens, one event after the other, and answers with what is to be done: it has
//! no clock, waits for nothing and does no I/O. Whatever takes time (the disk, the workers, a look at a side) is begun as an
//! [`Effect`] and comes back as an [`Event`], so that a change is carried to its end whoever has stopped waiting for it, and
//! nothing that hangs holds up anything else.
//!
//! [`run`](super::run) feeds it from the real world, and the fault simulator from a simulated one.

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

/// What happens to the owner.
#[derive(Debug)]
pub enum Event {
    /// A second has passed: everything is looked at.
    Tick,
    /// The moment of [`Owner::alarm`] has come.
    Alarm,
    Asked(Asked),
    /// An order to the history is done.
    Written(Written),
    /// A side was looked at.
    Looked {
        ticket: Ticket,
        answer: Result<(), String>,
    },
    /// Every worker serves this snapshot, or a later one.
    Serves {
        sequence: u64,
    },
    /// serin ends: what has begun is carried to its end, and nothing begins by itself any more.
    Stop,
}

/// Who has stopped waiting for an answer does not get one; what was asked for is done all the same.
pub type Reply<T, E> = oneshot::Sender<Result<T, E>>;

/// What may be asked of the owner.
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
    /// What would it do?
    PreviewDrill {
        bot: String,
        drill: Drill,
        reply: Reply<Preview, ChangeError>,
    },
    /// The answer says whether the config differs from the one that served.
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

/// What is to be done, in this order.
#[derive(Debug)]
pub enum Effect {
    Publish(Arc<Snapshot>),
    Append(Append),
    /// To be kept without waiting for the disk.
    Snapshot(Vec<store::Snapshot>),
    Look {
        ticket: Ticket,
        look: Look,
    },
    Tell(Box<Told>),
}

/// A change that serves, for the log, the metrics and whoever listens.
#[derive(Debug)]
pub struct Told {
    pub entry: Entry,
    pub actor: Actor,
    /// From the decision until it served on every core; none if it does not yet.
    pub took: Option<Duration>,
}

/// How the owner decides: by the ratchet. The fault simulator puts faulty rules in their place, to see whether they are noticed.
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

/// What is known of all bots is written down this often: a restart forgets at most so much of what was counted since.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(5);
/// A disk that takes longer than this hangs: a raise is given up, and no other one begins.
pub(super) const DISK_PATIENCE: Duration = Duration::from_secs(3);
/// A bot's status is made anew this often at least, for the durations in it.
const SHOWN_FOR: Duration = Duration::from_secs(15);

pub struct Owner {
    pub(super) config: Arc<Config>,
    /// Parallel to the bots of `config`. Nothing outside one call of [`Owner::handle`] holds an index into it.
    pub(super) pilots: Vec<Pilot>,
    /// Bots with a history that the config does not name now: one that comes back goes on where it was.
    pub(super) absent: HashMap<String, Kept>,
    /// Who was stable in a history that could not be read.
    pub(super) stable_before: HashMap<String, Release>,
    /// What was published last.
    pub(super) snapshot: Arc<Snapshot>,
    /// The newest snapshot that every worker serves.
    pub(super) applied: u64,
    /// Does the history outlive the process?
    pub(super) outlives: bool,
    pub(super) health: Health,
    pub(super) now: Now,
    pub(super) rules: Rules,
    tickets: u64,
    /// What was ordered from the history, and is not answered yet.
    pub(super) orders: BTreeMap<Ticket, Order>,
    /// Changes that wait for the disk before they may serve.
    pub(super) keeping: BTreeMap<Ticket, Keeping>,
    /// Changes that are in force, and are not answered yet.
    pub(super) serving: Vec<Serving>,
    pub(super) looks: BTreeMap<Ticket, Purpose>,
    /// Rehearsals that have sent customers to the idle side.
    pub(super) drills: Vec<(Duration, Box<Rehearsal>)>,
    /// Configs that wait until no change waits for the disk.
    pub(super) reloads: VecDeque<Reload>,
    /// The disk does not answer.
    hangs: bool,
    /// The config has changed: what it wants anew is heard now.
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
    /// An owner of these pilots, which are parallel to the config's bots.
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

    /// Takes in one event. `health` is what the history says of itself.
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

    /// All bots are looked at, whatever became of the others; and the config is heard.
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

    /// What waited, and waits no more.
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

    /// A change that exposes somebody must wait while another one of the bot, or a config, waits for the disk.
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
        // Before what is to be written about it, and behind what was published before it.
        let first = self.effects.iter().take_while(|effect| matches!(effect, Effect::Publish(_))).count();
        self.effects.insert(first, Effect::Publish(self.snapshot.clone()));
        self.is_published();
    }

    /// What was decided since the last time is in the snapshot of now.
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
        // Customers on the idle side go back now.
        self.drills.iter_mut().for_each(|(until, _)| *until = self.now.running);
    }

    /// Has all that was begun come to its end?
    pub fn rests(&self) -> bool {
        self.keeping.is_empty() && self.serving.is_empty() && self.drills.is_empty() && self.reloads.is_empty()
    }

    /// Does a change wait for the disk before it may serve?
    pub fn waits_for_the_disk(&self) -> bool {
        !self.keeping.is_empty()
    }

    /// What was published last.
    pub fn current(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub(super) fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        Ticket(self.tickets)
    }

    /// Where a bot stands in the config of this moment.
    pub(super) fn number(&self, name: &str) -> Option<usize> {
        self.pilots.iter().position(|pilot| pilot.name.as_str() == name)
    }

    pub(super) fn known(&self, name: &str) -> Result<usize, ChangeError> {
        self.number(name).ok_or_else(|| {
            let known = self.pilots.iter().map(|pilot| pilot.name.to_string()).collect();
            ChangeError::UnknownBot { name: name.to_owned(), known }
        })
    }

    /// Why a bot's changes cannot be kept now.
    pub(super) fn failing(&self, name: &BotName) -> Option<String> {
        if let Some(why) = self.health.of(name.as_str()) {
            return Some(why.to_owned());
        }
        self.hangs.then(|| format!("no answer from the disk within {DISK_PATIENCE:?}"))
    }

    /// What is tolerated of a bot in this state. Whoever insists is not stopped by a freeze; by a history that cannot be
    /// written, yes.
    pub(super) fn guard(&self, bot: &Bot, state: &State, force: bool) -> Guard {
        let unwritable = self.failing(&bot.name).map(|why| Frozen::Unwritable(why.into()));
        let asked = frozen(bot, state, self.now).filter(|_| !force).map(|why| Frozen::Asked(why.into()));
        Guard { frozen: unwritable.or(asked), ..bot.guard.clone() }
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

    /// Says in a snapshot that is not the newest whether what it has of a bot is durable.
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
