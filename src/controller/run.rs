//! The task around the owner: it feeds events to the owner and executes the owner's effects. `begin` starts the task, and [`Running`]
//! ends it; the callers of [`Controller`] do not own it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until, timeout};

use super::Controller;
use super::check::{Check, Sides};
use super::event::{Announcement, Effect, Event, Request};
use super::owner::Owner;
use super::time::{Now, TICK};
use crate::config::Config;
use crate::live::Live;
use crate::meters::Metrics;
use crate::store::{Checkpoint, Found, Row, Store, Ticket, Written};
use crate::summary;

/// The queue of requests to the owner. The owner never blocks, so a request waits for microseconds; when the queue is full, the sender
/// waits.
const REQUESTS: usize = 256;
/// A subscriber that is more than this many changes behind misses the oldest of them.
const CHANGES_KEPT: usize = 256;
/// A disk that does not answer must not keep serin from starting: after this time serin serves, and the changes that need the disk
/// wait.
const BEGIN_WITHIN: Duration = Duration::from_secs(3);

/// Owns the controller's task, and ends it.
pub struct Running {
    task: tokio::task::JoinHandle<()>,
    mode: watch::Sender<Mode>,
    turns: mpsc::Sender<Turn>,
    store: Arc<Store>,
}

/// A step of handing the history over to a newer serin.
enum Turn {
    /// Decides nothing more. The reply comes once all pending changes are done.
    HandsOver { reply: oneshot::Sender<Vec<Checkpoint>> },
    /// Decides again. With the history, if it was closed meanwhile.
    Resumes(Option<(Found, mpsc::Receiver<Written>)>),
}

/// The changes under way were not done in time, so the history was not handed over.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("a change under way was not done within {0:?}")]
pub struct NotSettled(Duration);

/// What the controller still does during a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Normal,
    /// No more ticks: the ratchet decides nothing. Operators' requests are still carried out.
    NoDecisions,
    /// Accepts no more requests, and ends once everything pending is done.
    Ending,
}

struct Runner {
    owner: Owner,
    start: Instant,
    live: Arc<Live>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    requests: mpsc::Receiver<Request>,
    written: mpsc::Receiver<Written>,
    checks: Checks,
    changes: broadcast::Sender<Arc<Row>>,
    ticks: Interval,
    ticked: Arc<AtomicU64>,
    mode: watch::Receiver<Mode>,
    turns: mpsc::Receiver<Turn>,
    /// Gets the last checkpoints once nothing is pending.
    settled: Option<oneshot::Sender<Vec<Checkpoint>>>,
    /// The sequence of the newest snapshot that the owner knows to be served by every worker.
    served: u64,
}

/// Starts the controller from the stored history. Waits for at most `BEGIN_WITHIN` until the changes that the config demands are
/// stored, so that a weight in the config serves from the first request on; then spawns the controller's task.
pub async fn begin(
    config: Config,
    metrics: Arc<Metrics>,
    (store, found, mut written): (Store, Found, mpsc::Receiver<Written>),
    sides: Arc<dyn Sides>,
) -> (Controller, Running) {
    let (start, store) = (Instant::now(), Arc::new(store));
    let workers = config.proxy.workers;
    let (mut owner, mut effects) = Owner::begin(config, found, store.path().is_some(), Now::since(start));
    effects.extend(owner.handle(Event::Alarm, store.health(), Now::since(start)));
    let mut checks = Checks::new(sides);
    let mut announcements = Vec::new();
    let settle = async {
        loop {
            for effect in effects.drain(..) {
                match effect {
                    // The first snapshot is built from the owner's newest one, below.
                    Effect::Publish(_) => {}
                    Effect::Append(append) => store.append(append),
                    Effect::Checkpoint(checkpoints) => store.checkpoint(checkpoints),
                    Effect::Check { ticket, check } => checks.begin(ticket, check),
                    Effect::Announce(change) => announcements.push(*change),
                }
            }
            if !owner.waits_for_the_disk() {
                return;
            }
            let Some(answer) = written.recv().await else { return };
            effects.extend(owner.handle(Event::Written(answer), store.health(), Now::since(start)));
        }
    };
    let _ = timeout(BEGIN_WITHIN, settle).await;
    let live = Arc::new(Live::new(owner.current().clone(), workers));
    let (requests, asked) = mpsc::channel(REQUESTS);
    let (changes, _) = broadcast::channel(CHANGES_KEPT);
    let (mode, follows) = watch::channel(Mode::Normal);
    // `Running` waits for the end of each turn, so that there is never a second one.
    let (turns, next_turn) = mpsc::channel(1);
    let ticked = Arc::new(AtomicU64::new(0));
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let controller = Controller { live: live.clone(), store: store.clone(), requests, changes: changes.clone(), ticks: ticked.clone() };
    let mut runner = Runner {
        owner,
        start,
        live,
        store: store.clone(),
        metrics,
        requests: asked,
        written,
        checks,
        changes,
        ticks,
        ticked,
        mode: follows,
        turns: next_turn,
        settled: None,
        served: 0,
    };
    announcements.into_iter().for_each(|change| runner.announce(change));
    effects.into_iter().for_each(|effect| runner.execute(effect));
    let task = tokio::spawn(runner.run());
    (controller, Running { task, mode, turns, store })
}

impl Running {
    /// Stops the ratchet: the errors and disconnects of a drain must not count against a canary. Operators' requests are still carried
    /// out.
    pub fn stops_deciding(&self) {
        self.mode.send_replace(Mode::NoDecisions);
    }

    /// Stops deciding, and refuses requests from now on. Returns what is to be stored last, once the changes under way are done. In any
    /// case `resume` must follow, unless this process ends.
    pub async fn hand_over(&self, within: Duration) -> Result<Vec<Checkpoint>, NotSettled> {
        let (reply, settled) = oneshot::channel();
        let settles = async {
            self.turns.send(Turn::HandsOver { reply }).await.ok()?;
            settled.await.ok()
        };
        timeout(within, settles).await.ok().flatten().ok_or(NotSettled(within))
    }

    /// Decides again. `history`: what the store returned when it was opened again, if it was closed.
    pub async fn resume(&self, history: Option<(Found, mpsc::Receiver<Written>)>) {
        // An error means that the task has ended, as serin does.
        let _ = self.turns.send(Turn::Resumes(history)).await;
    }

    /// Waits for at most `within` until pending changes serve and are stored, then ends the task. Logs an error if some change was not
    /// stored.
    pub async fn finish(self, within: Duration) {
        let began = Instant::now();
        self.mode.send_replace(Mode::Ending);
        let ended = timeout(within, self.task).await.is_ok();
        if !self.store.finish(within.saturating_sub(began.elapsed())).await || !ended {
            tracing::error!("serin ends before all changes are on the disk");
        }
    }
}

impl Runner {
    async fn run(mut self) {
        loop {
            let Some(event) = self.next().await else { return };
            let tick = matches!(event, Event::Tick);
            for effect in self.owner.handle(event, self.store.health(), Now::since(self.start)) {
                self.execute(effect);
            }
            if tick {
                self.ticked.fetch_add(1, Ordering::Relaxed);
            }
            if self.owner.is_idle()
                && let Some(settled) = self.settled.take()
            {
                let _ = settled.send(self.owner.last_checkpoints(Now::since(self.start)));
            }
        }
    }

    /// Waits for the next event. Returns `None` once the shutdown has begun and nothing is pending.
    async fn next(&mut self) -> Option<Event> {
        let ends = *self.mode.borrow() == Mode::Ending;
        if ends && self.requests.is_empty() && self.owner.is_idle() {
            return None;
        }
        let alarm = self.owner.alarm();
        let rings = tokio::time::Instant::from_std(self.start + alarm.unwrap_or_default());
        // Finished work comes before new work, and ticks come before requests, so that a flood of requests cannot stop the ticks.
        tokio::select! {
            biased;
            Some(written) = self.written.recv() => Some(Event::Written(written)),
            served = self.live.served_beyond(self.served) => {
                self.served = served;
                Some(Event::Serves { sequence: served })
            }
            Some((ticket, answer)) = self.checks.next() => Some(Event::Checked { ticket, answer }),
            Ok(()) = self.mode.changed() => {
                if *self.mode.borrow_and_update() == Mode::Ending {
                    self.requests.close();
                }
                Some(Event::Stop)
            }
            Some(turn) = self.turns.recv() => Some(self.turn(turn)),
            () = sleep_until(rings), if alarm.is_some() => Some(Event::Alarm),
            _ = self.ticks.tick() => Some(Event::Tick),
            Some(asked) = self.requests.recv() => Some(Event::Request(asked)),
        }
    }

    fn turn(&mut self, turn: Turn) -> Event {
        match turn {
            Turn::HandsOver { reply } => {
                self.settled = Some(reply);
                Event::HandOver
            }
            Turn::Resumes(history) => {
                self.settled = None;
                let (found, answers) = history.unzip();
                if let Some(answers) = answers {
                    self.written = answers;
                }
                Event::Resume(found)
            }
        }
    }

    fn execute(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(snapshot) => self.live.publish(snapshot),
            Effect::Append(append) => self.store.append(append),
            Effect::Checkpoint(checkpoints) => self.store.checkpoint(checkpoints),
            Effect::Check { ticket, check } => self.checks.begin(ticket, check),
            Effect::Announce(announcement) => self.announce(*announcement),
        }
    }

    /// The one place that reports a change: logs it, counts it in the metrics and sends it to the subscribers.
    fn announce(&self, announcement: Announcement) {
        let Announcement { entry, actor, took } = announcement;
        self.metrics.decision(&entry.bot, entry.decision, actor.kind());
        let row = Row::of(&entry);
        tracing::info!(
            bot = row.bot, actor = actor.name(), decision = entry.decision, revision = row.revision, phase = row.phase,
            from = %entry.from(), to = %entry.state.weight, stable = row.stable, why = row.why, reason = row.reason,
            e = row.evidence.as_ref().and_then(|known| known["e_value"].as_f64()).map(|e| format!("{e:.3}")),
            took_micros = took.map(|took| took.as_micros() as u64), summary = summary::happened(&row), "rollout changed"
        );
        let _ = self.changes.send(Arc::new(row));
    }
}

/// The checks of upstreams that are in progress.
struct Checks {
    sides: Arc<dyn Sides>,
    tasks: JoinSet<Result<(), String>>,
    tickets: HashMap<tokio::task::Id, Ticket>,
}

impl Checks {
    fn new(sides: Arc<dyn Sides>) -> Checks {
        Checks { sides, tasks: JoinSet::new(), tickets: HashMap::new() }
    }

    fn begin(&mut self, ticket: Ticket, check: Check) {
        let sides = self.sides.clone();
        let task = self.tasks.spawn(async move { check.make(&*sides).await });
        self.tickets.insert(task.id(), ticket);
    }

    /// Waits for the next check that ends; returns `None` if none is in progress. Cancel safe.
    async fn next(&mut self) -> Option<(Ticket, Result<(), String>)> {
        let (id, answer) = match self.tasks.join_next_with_id().await? {
            Ok((id, answer)) => (id, answer),
            Err(error) => (error.id(), Err(format!("the check of the upstream failed inside serin: {error}"))),
        };
        Some((self.tickets.remove(&id)?, answer))
    }
}
