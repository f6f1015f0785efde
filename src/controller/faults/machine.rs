//! A simulated machine around the real owner: its clocks, its disk, its workers, its sides, and clients that hang up. It does what
//! the owner wants done, when the story says so, and writes down what happened for the checker.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::disk::{Disk, Mode};
use super::recorder::{self, Decided};
use super::setting::Setting;
use super::sometimes::Sometimes;
use super::traffic::InFlight;
use super::world::World;
use super::{Flaw, Settings};
use crate::controller::check::Check;
use crate::controller::event::{Effect, Event, Request};
use crate::controller::new_config::ReloadRefused;
use crate::controller::owner::{DecisionFns, Owner};
use crate::controller::rehearsal::{Drill, Drilled};
use crate::controller::time::Now;
pub use crate::controller::wish::ChangeError;
use crate::controller::wish::{Actor, ChangeRequest, ReplyTo};
use crate::core::State;
use crate::live::Snapshot;
use crate::sim::dice::Dice;
use crate::store::{Entry, Ticket, Unwritten, Written};

pub const WORKERS: usize = 3;

pub struct Machine<'a> {
    pub settings: &'a Settings,
    pub dice: Dice,
    pub world: World,
    pub setting: Setting,
    pub clock: Clock,
    pub owner: Owner,
    /// When this process began, by the machine's clock.
    began: Duration,
    pub disk: Disk,
    /// What was published last, and before that.
    pub published: Arc<Snapshot>,
    replaced: Arc<Snapshot>,
    pub workers: [Arc<Snapshot>; WORKERS],
    served: u64,
    pub checks: VecDeque<(Ticket, Check)>,
    pub clients: Vec<Client>,
    pub in_flight: Vec<InFlight>,
    /// Workers take up at once what is published, and the disk takes at once what is ordered.
    pub prompt: bool,
    /// Requests that the canary answered, so far.
    pub canary_requests: u64,
    pub happened: Vec<Happened>,
    pub sometimes: Sometimes,
    /// What the owner is to be told once it has been told of what is happening now.
    events: VecDeque<Event>,
    busy: bool,
}

/// The machine's clocks. Suspended, the first one stands still.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub mono: Duration,
    /// In seconds, and set by whoever likes to.
    pub wall: i64,
}

/// Somebody who waits for an answer.
pub struct Client {
    pub bot: String,
    /// The bot's revision, and the time, when they asked.
    pub revision: u64,
    pub asked: Duration,
    pub waits: Waits,
}

pub enum Waits {
    Change(oneshot::Receiver<Result<Arc<Snapshot>, ChangeError>>),
    Drill(oneshot::Receiver<Result<Drilled, ChangeError>>),
    Reload(oneshot::Receiver<Result<bool, ReloadRefused>>),
}

/// What an event led to, in the order in which it happened: all that the checker is told.
pub enum Happened {
    Decided(Box<Decided>),
    Ordered(Vec<Entry>),
    /// A row is on the disk now.
    Durable(Box<Entry>),
    Published(Arc<Snapshot>),
    /// What each worker serves, after one of them has taken up something.
    TookUp {
        worker: usize,
        sequence: u64,
    },
    /// A request of that split was counted, under that label.
    Counted {
        bot: String,
        split_id: u64,
        canary: bool,
    },
    /// `revision`: the bot's when the request came.
    Answered {
        bot: String,
        revision: u64,
        change: Box<Result<Arc<Snapshot>, ChangeError>>,
    },
    /// A process has begun. A disk that lied has lost rows.
    Restarted {
        bots: Vec<CameBack>,
        lied: bool,
    },
}

/// A bot over a restart.
pub struct CameBack {
    pub name: String,
    /// As it was in memory, and its clock.
    pub before: Option<(State, Duration)>,
    /// As it was on the disk.
    pub on_disk: Option<State>,
    pub after: (State, Duration),
}

impl<'a> Machine<'a> {
    pub fn new(settings: &'a Settings, mut dice: Dice) -> Machine<'a> {
        recorder::decides_by(settings.step);
        let (world, setting) = (World::new(&mut dice), Setting::new(&mut dice));
        let clock = Clock { mono: Duration::from_secs(1_000), wall: 1_700_000_000 };
        let config = setting.config(|bot, number| world.name(bot, number));
        let (owner, effects) =
            Owner::begin(config, Default::default(), true, Now { running: Duration::ZERO, wall: SystemTime::UNIX_EPOCH });
        let nothing = owner.current().clone();
        let mut machine = Machine {
            settings,
            dice,
            world,
            setting,
            clock,
            owner,
            began: clock.mono,
            disk: Disk::default(),
            published: nothing.clone(),
            replaced: nothing.clone(),
            workers: std::array::from_fn(|_| nothing.clone()),
            served: 0,
            checks: VecDeque::new(),
            clients: Vec::new(),
            in_flight: Vec::new(),
            prompt: false,
            canary_requests: 0,
            happened: Vec::new(),
            sometimes: Sometimes::default(),
            events: VecDeque::new(),
            busy: false,
        };
        machine.begins(effects);
        machine
    }

    fn begins(&mut self, effects: Vec<Effect>) {
        self.owner.rules = DecisionFns { step: recorder::step, exposes: self.settings.exposes };
        self.do_all(effects, false);
        self.happens(Event::Alarm);
        self.workers = std::array::from_fn(|_| self.published.clone());
        (0..WORKERS).for_each(|worker| self.happened.push(Happened::TookUp { worker, sequence: self.published.sequence }));
        self.is_served();
    }

    pub fn now(&self) -> Now {
        let wall = self.clock.wall;
        let running = match self.settings.flaw {
            Some(Flaw::ReadsTheWallClock) => Duration::from_secs(wall.saturating_sub(1_699_000_000).max(0) as u64),
            _ => self.clock.mono.saturating_sub(self.began),
        };
        Now { running, wall: SystemTime::UNIX_EPOCH + Duration::from_secs(wall.max(0) as u64) }
    }

    /// Tells the owner, and does what it wants done; then comes what that led to.
    pub fn happens(&mut self, event: Event) {
        self.events.push_back(event);
        if std::mem::replace(&mut self.busy, true) {
            return;
        }
        while let Some(event) = self.events.pop_front() {
            self.tell_the_owner(event);
        }
        self.busy = false;
    }

    fn tell_the_owner(&mut self, event: Event) {
        let hung_up = match &event {
            Event::Request(Request::Change { reply: ReplyTo::Change(reply), .. }) => reply.is_closed(),
            _ => false,
        };
        if hung_up && self.settings.flaw == Some(Flaw::DropsARequestWithItsClient) {
            return;
        }
        let health = self.health();
        let effects = self.owner.handle(event, health, self.now());
        self.happened.extend(recorder::take().into_iter().map(|decided| Happened::Decided(Box::new(decided))));
        self.do_all(effects, hung_up);
        self.hear_answers();
    }

    fn health(&self) -> crate::store::Health {
        let mut health = self.disk.health.clone();
        if self.settings.flaw == Some(Flaw::OneBadRowFreezesAll) {
            health.failing = health.failing.or(health.bots.values().next().cloned());
        }
        health
    }

    fn do_all(&mut self, effects: Vec<Effect>, hung_up: bool) {
        let flaw = self.settings.flaw;
        for effect in effects {
            match effect {
                Effect::Publish(_) if flaw == Some(Flaw::ADiskThatHangsDelaysServing) && self.disk.mode == Mode::Hangs => {}
                Effect::Publish(snapshot) => self.publish(snapshot),
                Effect::Append(append) => {
                    let lowers = matches!(append.unwritten, Unwritten::Keep);
                    if hung_up && lowers && flaw == Some(Flaw::ServesWithoutARowIfItsClientHangsUp) {
                        continue;
                    }
                    self.happened.push(Happened::Ordered(append.entries.clone()));
                    if let (Some(Flaw::SaysItIsDurable), Unwritten::Drop(_)) | (Some(Flaw::SaysALoweringIsDurable), Unwritten::Keep) =
                        (flaw, &append.unwritten)
                    {
                        let written = Written { ticket: append.ticket, result: Ok(()) };
                        self.disk.queue.push_back(append);
                        self.happens(Event::Written(written));
                        continue;
                    }
                    self.disk.queue.push_back(append);
                    if self.prompt {
                        self.disk_works();
                    }
                }
                Effect::Checkpoint(snapshots) => self.disk.snapshot(snapshots),
                Effect::Check { ticket, check } => self.checks.push_back((ticket, check)),
                Effect::Announce(_) => {}
            }
        }
    }

    fn publish(&mut self, snapshot: Arc<Snapshot>) {
        let snapshot = self.tampered(snapshot);
        self.happened.push(Happened::Published(snapshot.clone()));
        self.replaced = std::mem::replace(&mut self.published, snapshot);
        if self.settings.flaw == Some(Flaw::OpensTheWindowTooEarly) {
            self.happens(Event::Serves { sequence: self.published.sequence });
        }
        if self.prompt {
            (0..WORKERS).for_each(|worker| self.take_up(worker));
        }
    }

    /// The flaws that a publisher could have.
    fn tampered(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let mut epochs = snapshot.epochs.clone();
        match self.settings.flaw {
            // As an index that is older than the config would do.
            Some(Flaw::TakesOneBotForAnother) if epochs.len() > 1 => epochs.swap(0, 1),
            Some(Flaw::RanksByAnotherAttempt) => {
                for epoch in &mut epochs {
                    let status = epoch.status();
                    let state = &status.state;
                    if state.under_way().is_some() && state.phase == crate::core::Phase::Paused {
                        let split = crate::core::Split::new(crate::core::Salt::new("serin"), "x", 99, state.weight, Default::default());
                        *epoch = Arc::new(crate::live::Epoch::new(split, epoch.roles, epoch.ledger.clone(), (*status).clone()));
                    }
                }
            }
            _ => return snapshot,
        }
        Arc::new(Snapshot { sequence: snapshot.sequence, config: snapshot.config.clone(), epochs })
    }

    pub fn take_up(&mut self, worker: usize) {
        let goes_back = self.settings.flaw == Some(Flaw::LetsWorkersGoBack) && Arc::ptr_eq(&self.workers[worker], &self.published);
        let snapshot = if goes_back { self.replaced.clone() } else { self.published.clone() };
        if Arc::ptr_eq(&self.workers[worker], &snapshot) {
            return;
        }
        self.happened.push(Happened::TookUp { worker, sequence: snapshot.sequence });
        self.workers[worker] = snapshot;
        self.is_served();
    }

    fn is_served(&mut self) {
        let served = self.workers.iter().map(|snapshot| snapshot.sequence).min().unwrap_or(0);
        if served > self.served {
            self.served = served;
            if self.settings.flaw == Some(Flaw::NeverOpensSomeWindows) && self.published.sequence.is_multiple_of(4) {
                return;
            }
            self.happens(Event::Serves { sequence: served });
        }
    }

    /// The disk works on the next order.
    pub fn disk_works(&mut self) {
        let before: Vec<(String, u64)> = self.disk.rows.keys().cloned().collect();
        let answers = self.disk.work();
        let new = self.disk.rows.iter().filter(|(key, _)| before.binary_search(key).is_err());
        let new: Vec<_> = new.map(|(_, entry)| Happened::Durable(Box::new(entry.clone()))).collect();
        self.happened.extend(new);
        for written in answers {
            self.happens(Event::Written(written));
        }
    }

    /// A side is looked at, in the end.
    pub fn look_is_done(&mut self) {
        let Some((ticket, check)) = self.checks.pop_front() else { return };
        let _ = check;
        let fit = !self.world.outage && !self.dice.one_in(8);
        self.happens(Event::Checked { ticket, answer: if fit { Ok(()) } else { Err("refused".to_owned()) } });
    }

    pub fn ask(&mut self, request: ChangeRequest, hangs_up: bool) {
        let (reply, receiver) = oneshot::channel();
        let bot = request.bot.clone();
        match hangs_up {
            true => drop(receiver),
            false => {
                let revision = self.owner.number(&bot).map_or(0, |number| self.owner.pilots[number].state.revision);
                self.clients.push(Client { bot, revision, asked: self.clock.mono, waits: Waits::Change(receiver) });
            }
        }
        self.happens(Event::Request(Request::Change { request, reply: ReplyTo::Change(reply) }));
    }

    pub fn drill(&mut self, bot: &str, drill: Drill, hangs_up: bool) {
        let (reply, receiver) = oneshot::channel();
        if !hangs_up {
            self.clients.push(Client { bot: bot.to_owned(), revision: 0, asked: self.clock.mono, waits: Waits::Drill(receiver) });
        }
        let actor = Actor::Operator("ana".into());
        self.happens(Event::Request(Request::Drill { bot: bot.to_owned(), drill, actor, reply }));
    }

    pub fn reload(&mut self) {
        let (reply, receiver) = oneshot::channel();
        self.clients.push(Client { bot: String::new(), revision: 0, asked: self.clock.mono, waits: Waits::Reload(receiver) });
        let config = Box::new(self.setting.config(|bot, number| self.world.name(bot, number)));
        self.happens(Event::Request(Request::Reload { config, reply }));
    }

    fn hear_answers(&mut self) {
        let mut waiting = Vec::new();
        for mut client in std::mem::take(&mut self.clients) {
            let answered = match &mut client.waits {
                Waits::Change(receiver) => match receiver.try_recv() {
                    Ok(change) => {
                        self.happened.push(Happened::Answered {
                            bot: client.bot.clone(),
                            revision: client.revision,
                            change: Box::new(change),
                        });
                        true
                    }
                    Err(_) => false,
                },
                Waits::Drill(receiver) => match receiver.try_recv() {
                    Ok(drilled) => {
                        self.sometimes.drilled += u64::from(drilled.is_ok());
                        true
                    }
                    Err(_) => false,
                },
                Waits::Reload(receiver) => match receiver.try_recv() {
                    Ok(reloaded) => {
                        self.sometimes.reloaded += u64::from(matches!(reloaded, Ok(true)));
                        self.sometimes.reload_refused += u64::from(reloaded.is_err());
                        true
                    }
                    Err(_) => false,
                },
            };
            if !answered {
                waiting.push(client);
            }
        }
        self.clients = waiting;
    }

    /// Time passes, with the owner's alarms in it.
    pub fn wait(&mut self, time: Duration) {
        let end = self.clock.mono + time;
        while let Some(alarm) = self.owner.alarm().map(|alarm| (self.began + alarm).max(self.clock.mono)).filter(|alarm| *alarm <= end) {
            self.clock.mono = alarm;
            self.happens(Event::Alarm);
            if self.owner.alarm().is_some_and(|next| self.began + next <= alarm) {
                break;
            }
        }
        self.clock.mono = end;
        self.clock.wall += time.as_secs() as i64;
    }

    /// The process is killed, and the next one begins; perhaps the power fails.
    pub fn restart(&mut self, down: Duration, loses_snapshots: bool, power_fails: bool) {
        let now = self.now();
        let before: Vec<_> = self.owner.pilots.iter().map(|pilot| (pilot.name.to_string(), pilot.state.clone(), pilot.now(now))).collect();
        let begun = self.dice.one_in(2);
        self.disk.process_dies(begun);
        if power_fails {
            self.disk.power_fails();
        }
        if loses_snapshots {
            self.disk.loses_snapshots();
        }
        if self.settings.flaw == Some(Flaw::ForgetsTheLastRecord)
            && let Some(key) = self.disk.rows.keys().next_back().cloned()
        {
            self.disk.rows.remove(&key);
        }
        if self.disk.mode == Mode::Hangs {
            self.disk.mode = Mode::Works;
        }
        self.in_flight.clear();
        self.clients.clear();
        self.checks.clear();
        self.events.clear();
        self.clock.mono += down;
        self.clock.wall += down.as_secs() as i64;
        let mut found = self.disk.found();
        for kept in found.bots.values_mut() {
            match self.settings.flaw {
                Some(Flaw::ForgetsQuarantine) => kept.state.quarantine.clear(),
                Some(Flaw::BakesWhileItIsDown) => kept.at += down,
                _ => {}
            }
        }
        self.began = self.clock.mono;
        let config = self.setting.config(|bot, number| self.world.name(bot, number));
        let (owner, effects) = Owner::begin(config, found, true, Now { running: Duration::ZERO, ..self.now() });
        self.owner = owner;
        self.owner.rules = DecisionFns { step: recorder::step, exposes: self.settings.exposes };
        recorder::take();
        self.published = self.owner.current().clone();
        self.served = 0;
        let now = self.now();
        let came_back = |pilot: &crate::controller::pilot::Pilot| CameBack {
            name: pilot.name.to_string(),
            before: before.iter().find(|(name, _, _)| *name == pilot.name.as_str()).map(|(_, state, at)| (state.clone(), *at)),
            on_disk: self.disk.last(pilot.name.as_str()).map(|entry| entry.state.clone()),
            after: (pilot.state.clone(), pilot.now(now)),
        };
        let bots = self.owner.pilots.iter().map(came_back).collect();
        self.happened.push(Happened::Restarted { bots, lied: self.disk.lied });
        self.do_all(effects, false);
        self.happens(Event::Alarm);
        self.workers = std::array::from_fn(|_| self.published.clone());
        (0..WORKERS).for_each(|worker| self.happened.push(Happened::TookUp { worker, sequence: self.published.sequence }));
        self.is_served();
    }
}
