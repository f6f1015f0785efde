//! The one writer. Every change of what serves goes through here, one after the other: the ratchet's own decisions, an
//! operator's wish, a new config. Each is a step of `core::ratchet`; what it commits is kept, then published, and counts
//! as done once it serves on every core. What lowers is published first.

mod begin;
mod drill;
mod follow;
mod keep;
mod past;
mod pilot;
mod recent;
mod reload;
mod reports;
mod sides;
mod traffic;
mod trail;
mod wish;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, broadcast};

use crate::config::{Bot, BotName};
use crate::core::ratchet::{self, Command, Decision, Input};
use crate::core::{Frozen, Guard, State};
use crate::live::{Live, NotApplied, Snapshot};
use crate::store::{Health, Kept, NotDurable, Row, Store, Unwritten};
use crate::telemetry::Metrics;

use keep::{SNAPSHOT_EVERY, Said};
use pilot::Pilot;
use wish::{command, unknown_bot};

pub use drill::{Drill, Drilled};
pub use reload::ReloadRefused;
pub use reports::{Report, ReportKind, Reported};
pub use sides::{Answer, Sides};
pub use traffic::{Reach, Traffic};
pub use trail::{Counted, Point, SLOT_SECS};
pub use wish::{Actor, Ask, ChangeError, Wish};

pub struct Controller {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    store: Store,
    sides: Arc<dyn Sides>,
    /// What changed, for whoever listens.
    changes: broadcast::Sender<Arc<Row>>,
    /// Held for the whole of a change: changes are made one at a time, in order.
    pilots: Mutex<Pilots>,
    /// Bots with a history that the config does not name now: one that comes back goes on where it was.
    absent: std::sync::Mutex<HashMap<String, Kept>>,
    /// How often everything was looked at.
    ticks: AtomicU64,
}

type Pilots = HashMap<BotName, Pilot>;

/// How often everything is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Who listens and is further behind than this has missed some.
const CHANGES_KEPT: usize = 256;

/// A change that is not wanted any more once it is known what it would be.
#[derive(Debug)]
enum NotDone {
    Durable(NotDurable),
    Applied(NotApplied),
}

/// Whose pilot it is, and where its bot stands in the snapshot.
struct Seat<'a> {
    pilot: &'a mut Pilot,
    snapshot: Arc<Snapshot>,
    number: usize,
}

impl std::fmt::Debug for Controller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Controller").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Controller {
    /// Looks at everything each second, for ever.
    pub async fn run(&self) {
        tokio::join!(self.watch(), self.follow());
    }

    /// It grows for as long as the loop runs.
    pub fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    async fn watch(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut kept = Instant::now();
        loop {
            ticks.tick().await;
            self.tick().await;
            self.ticks.fetch_add(1, Ordering::Relaxed);
            if kept.elapsed() >= SNAPSHOT_EVERY && self.store.takes_snapshots() {
                kept = Instant::now();
                self.keep_what_is_known().await;
            }
        }
    }

    async fn tick(&self) {
        let mut pilots = self.pilots.lock().await;
        let health = self.store.health();
        for number in 0..self.live.current().config.bots.len() {
            let snapshot = self.live.current();
            let bot = &snapshot.config.bots[number];
            let Some(pilot) = pilots.get_mut(&bot.name) else { continue };
            let guard = guard(bot, &pilot.state, &health, false);
            let (mut facts, moved) = pilot.gather(&snapshot.epochs[number], &guard);
            if let Some(former) = pilot.wants_to_know_of_the_former_side(&facts) {
                facts.previous_answers = sides::takes_connections(&*self.sides, bot, &former).await.is_ok();
            }
            let seat = Seat { pilot, snapshot: snapshot.clone(), number };
            let done = self.decide(seat, Input::Tick(facts), &guard, Actor::Ratchet, None).await;
            let Some(pilot) = pilots.get_mut(&bot.name) else { continue };
            if moved && !matches!(&done, Ok(decision) if decision.commits()) {
                let seat = Seat { pilot, snapshot: snapshot.clone(), number };
                if let Err(error) = self.serve(seat, &Decision::Hold, None).await {
                    tracing::error!(bot = %bot.name, %error, "who is examined does not serve everywhere");
                }
            }
            self.shows(pilots.get(&bot.name), bot, number);
        }
    }

    /// Does what an operator asks for; answers once it is kept and serves on every core.
    pub async fn change(&self, name: &str, ask: Ask<'_>) -> Result<Arc<Snapshot>, ChangeError> {
        if self.live.current().config.admin.read_only && !ask.wish.takes_back() {
            return Err(ChangeError::ReadOnly);
        }
        self.look_at_the_side(name, &ask).await?;
        let mut pilots = self.pilots.lock().await;
        let snapshot = self.live.current();
        let number = snapshot.bot(name).ok_or_else(|| unknown_bot(&snapshot, name))?;
        let bot = &snapshot.config.bots[number];
        let pilot = pilots.get_mut(&bot.name).ok_or_else(|| unknown_bot(&snapshot, name))?;
        let health = self.store.health();
        let guard = guard(bot, &pilot.state, &health, ask.force);
        if ask.force && guard.frozen.is_none() && frozen(bot, &pilot.state).is_some() && ask.reason.is_none() && !ask.wish.takes_back() {
            return Err(ChangeError::NoReason { bot: bot.name.to_string() });
        }
        pilot.read(&snapshot.epochs[number]);
        if let Wish::Start { replace: true, .. } = ask.wish
            && pilot.state.under_way().is_some()
        {
            // Whether the other one may start is looked at first: nobody is to be left at 0 % without a rollout.
            let withdrawn =
                ratchet::step(pilot.state.clone(), &Input::Command { command: Command::Withdraw, based_on: None }, &guard, pilot.now()).0;
            let start = Input::Command { command: command(bot, &withdrawn, &ask)?, based_on: None };
            if let (_, Decision::Refuse(refusal)) = ratchet::step(withdrawn, &start, &guard, pilot.now()) {
                return Err(ChangeError::Refused { bot: bot.name.to_string(), refusal });
            }
            let seat = Seat { pilot, snapshot: snapshot.clone(), number };
            self.obey(seat, Command::Withdraw, ask.based_on, &guard, &ask).await?;
        }
        let based_on = ask.based_on.filter(|_| !matches!(ask.wish, Wish::Start { replace: true, .. }));
        let snapshot = self.live.current();
        let pilot = pilots.get_mut(&bot.name).ok_or_else(|| unknown_bot(&snapshot, name))?;
        let command = command(bot, &pilot.state, &ask)?;
        self.obey(Seat { pilot, snapshot, number }, command, based_on, &guard, &ask).await?;
        self.shows(pilots.get(&bot.name), bot, number);
        Ok(self.live.current())
    }

    async fn obey(
        &self,
        seat: Seat<'_>,
        command: Command,
        based_on: Option<u64>,
        guard: &Guard,
        ask: &Ask<'_>,
    ) -> Result<Decision, ChangeError> {
        let (snapshot, number) = (seat.snapshot.clone(), seat.number);
        let input = Input::Command { command, based_on };
        self.done(&snapshot.config.bots[number], self.decide(seat, input, guard, ask.actor, ask.reason.clone()).await)
    }

    fn done(&self, bot: &Bot, done: Result<Decision, NotDone>) -> Result<Decision, ChangeError> {
        match done {
            Ok(Decision::Refuse(refusal)) => Err(ChangeError::Refused { bot: bot.name.to_string(), refusal }),
            Ok(decision) => Ok(decision),
            Err(NotDone::Durable(error)) => Err(error.into()),
            Err(NotDone::Applied(error)) => Err(error.into()),
        }
    }

    /// The one way to another state: a step; what it commits is kept and served. A raise is kept first, for nothing may
    /// serve that a restart would forget; what lowers serves first, whatever the disk says.
    async fn decide(&self, seat: Seat<'_>, input: Input, guard: &Guard, actor: Actor<'_>, said: Said) -> Result<Decision, NotDone> {
        let Seat { pilot, snapshot, number } = seat;
        let bot = &snapshot.config.bots[number];
        let (now, before) = (pilot.now(), pilot.state.clone());
        let (after, decision) = ratchet::step(before.clone(), &input, guard, now);
        if !decision.commits() {
            pilot.state = after;
            return Ok(decision);
        }
        let entry = keep::entry(bot, pilot, actor, &decision, (&before, &after), input, guard, now, said);
        let serves_first = !ratchet::exposes(&before, &after, &decision) && before.split_id != after.split_id;
        if ratchet::exposes(&before, &after, &decision)
            && let Err(error) = self.store.append(vec![entry.clone()], Unwritten::Drop).await
        {
            pilot.was_looked_at(now);
            return Err(NotDone::Durable(error));
        }
        pilot.state = after;
        if !serves_first && !ratchet::exposes(&before, &pilot.state, &decision) {
            let _ = self.store.append(vec![entry.clone()], Unwritten::Keep).await;
        }
        let seat = Seat { pilot, snapshot: snapshot.clone(), number };
        let served = self.serve(seat, &decision, Some(&before)).await;
        if serves_first {
            let _ = self.store.append(vec![entry.clone()], Unwritten::Keep).await;
        }
        self.tell(bot, &decision, actor, &entry, served.as_ref().ok().copied());
        match served {
            Ok(_) => Ok(decision),
            Err(error) => {
                tracing::error!(bot = %bot.name, %error, "a change does not serve everywhere");
                Err(NotDone::Applied(error))
            }
        }
    }

    /// Publishes what a bot's state now means, and opens its evidence anew if the split has changed.
    async fn serve(&self, seat: Seat<'_>, decision: &Decision, before: Option<&State>) -> Result<Duration, NotApplied> {
        let Seat { pilot, snapshot, number } = seat;
        let bot = &snapshot.config.bots[number];
        let mut epochs = snapshot.epochs.clone();
        pilot.is_about_to_change(decision);
        epochs[number] = pilot.epoch(&snapshot.config, bot, Some(&snapshot.epochs[number]));
        let epoch = epochs[number].clone();
        let served = self.live.publish(snapshot.config.clone(), epochs).await;
        // The window opens only now: what it counts was routed by the new split.
        if let Some(before) = before {
            pilot.has_changed(decision, bot, &epoch, before);
        }
        served
    }

    /// What is now made of a bot, for whoever shows it.
    fn shows(&self, pilot: Option<&Pilot>, bot: &Bot, number: usize) {
        let current = self.live.current();
        if let (Some(pilot), Some(epoch)) = (pilot, current.epochs.get(number)) {
            epoch.report(pilot.status(bot, &self.kept()));
        }
    }

    /// Who changes something from now on.
    pub fn changes(&self) -> broadcast::Receiver<Arc<Row>> {
        self.changes.subscribe()
    }

    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// What is tolerated now. Whoever insists is not stopped by a freeze; by a history that cannot be written, yes.
fn guard(bot: &Bot, state: &State, health: &Health, force: bool) -> Guard {
    let unwritable = health.failing.as_deref().map(|why| Frozen::Unwritable(why.into()));
    let asked = frozen(bot, state).filter(|_| !force).map(|why| Frozen::Asked(why.into()));
    Guard { frozen: unwritable.or(asked), ..bot.guard.clone() }
}

/// Why nothing is to rise, by somebody's word or by the time.
fn frozen(bot: &Bot, state: &State) -> Option<String> {
    if let Some(freeze) = &state.frozen {
        let why = freeze.why.as_deref().map_or(String::new(), |why| format!(": {why}"));
        return Some(format!("by {}{why}", freeze.by));
    }
    let freeze = bot.freeze.as_ref()?;
    freeze.at(jiff::Timestamp::now()).map(|window| freeze.text(window))
}
