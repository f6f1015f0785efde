//! The task around the owner: what happens comes in here, and what the owner wants done is done here. It belongs to whoever began it,
//! not to whoever asks for something.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until, timeout};

use super::looks::{Look, Sides};
use super::owner::{Asked, Effect, Event, Owner, Told};
use super::time::Now;
use super::{Controller, TICK};
use crate::config::Config;
use crate::live::Live;
use crate::store::{Found, Row, Store, Ticket, Written};
use crate::summary;
use crate::telemetry::Metrics;

/// Requests that wait for the owner. It never waits itself, so that they wait for microseconds; one more waits outside.
const REQUESTS: usize = 256;
/// Who listens and is further behind than this has missed some changes.
const CHANGES_KEPT: usize = 256;
/// A disk that takes nothing does not keep serin from starting: what the config wants beyond stable waits for it then.
const BEGIN_WITHIN: Duration = Duration::from_secs(3);

/// The running task.
pub struct Running {
    task: tokio::task::JoinHandle<()>,
    goes: watch::Sender<Goes>,
    store: Arc<Store>,
}

/// How far the controller still goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    On,
    /// Nothing is decided by itself any more; people still may.
    ForPeople,
    /// Nothing begins any more.
    ToItsEnd,
}

struct Runner {
    owner: Owner,
    start: Instant,
    live: Arc<Live>,
    store: Arc<Store>,
    metrics: Arc<Metrics>,
    requests: mpsc::Receiver<Asked>,
    written: mpsc::Receiver<Written>,
    looks: Looks,
    changes: broadcast::Sender<Arc<Row>>,
    ticks: Interval,
    ticked: Arc<AtomicU64>,
    goes: watch::Receiver<Goes>,
    /// The newest snapshot that the owner knows to serve everywhere.
    served: u64,
}

/// Begins with what is kept, and follows the config as far as that goes at once: what it says of a weight serves from the first request
/// on. The controller's task runs from then on.
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
    let mut looks = Looks::new(sides);
    let mut told = Vec::new();
    let settle = async {
        loop {
            for effect in effects.drain(..) {
                match effect {
                    // The first snapshot is made of what is current at the end.
                    Effect::Publish(_) => {}
                    Effect::Append(append) => store.append(append),
                    Effect::Snapshot(snapshots) => store.snapshot(snapshots),
                    Effect::Look { ticket, look } => looks.begin(ticket, look),
                    Effect::Tell(change) => told.push(*change),
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
    let (goes, follows) = watch::channel(Goes::On);
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
        looks,
        changes,
        ticks,
        ticked,
        goes: follows,
        served: 0,
    };
    told.into_iter().for_each(|change| runner.tell(change));
    effects.into_iter().for_each(|effect| runner.does(effect));
    let task = tokio::spawn(runner.run());
    (controller, Running { task, goes, store })
}

impl Running {
    /// Nothing is decided by itself any more: what a drain looks like to the evidence is nobody's fault. Operators still may.
    pub fn stops_deciding(&self) {
        self.goes.send_replace(Goes::ForPeople);
    }

    /// Lets what has begun come to its end, on the cores and on the disk, for at most so long.
    pub async fn finish(self, within: Duration) {
        let began = Instant::now();
        self.goes.send_replace(Goes::ToItsEnd);
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
                self.does(effect);
            }
            if tick {
                self.ticked.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// What happens next; none once serin ends and all that was begun has ended.
    async fn next(&mut self) -> Option<Event> {
        let ends = *self.goes.borrow() == Goes::ToItsEnd;
        if ends && self.requests.is_empty() && self.owner.rests() {
            return None;
        }
        let alarm = self.owner.alarm();
        let rings = tokio::time::Instant::from_std(self.start + alarm.unwrap_or_default());
        // What is done already comes before what is new; and no flood of requests keeps the ticks away.
        tokio::select! {
            biased;
            Some(written) = self.written.recv() => Some(Event::Written(written)),
            served = self.live.served_beyond(self.served) => {
                self.served = served;
                Some(Event::Serves { sequence: served })
            }
            Some((ticket, answer)) = self.looks.next() => Some(Event::Looked { ticket, answer }),
            Ok(()) = self.goes.changed() => {
                if *self.goes.borrow_and_update() == Goes::ToItsEnd {
                    self.requests.close();
                }
                Some(Event::Stop)
            }
            () = sleep_until(rings), if alarm.is_some() => Some(Event::Alarm),
            _ = self.ticks.tick() => Some(Event::Tick),
            Some(asked) = self.requests.recv() => Some(Event::Asked(asked)),
        }
    }

    fn does(&mut self, effect: Effect) {
        match effect {
            Effect::Publish(snapshot) => self.live.publish(snapshot),
            Effect::Append(append) => self.store.append(append),
            Effect::Snapshot(snapshots) => self.store.snapshot(snapshots),
            Effect::Look { ticket, look } => self.looks.begin(ticket, look),
            Effect::Tell(told) => self.tell(*told),
        }
    }

    /// The one place where changes are told: logged, counted, and sent to whoever listens.
    fn tell(&self, told: Told) {
        let Told { entry, actor, took } = told;
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

/// The looks at sides that are under way.
struct Looks {
    sides: Arc<dyn Sides>,
    tasks: JoinSet<Result<(), String>>,
    tickets: HashMap<tokio::task::Id, Ticket>,
}

impl Looks {
    fn new(sides: Arc<dyn Sides>) -> Looks {
        Looks { sides, tasks: JoinSet::new(), tickets: HashMap::new() }
    }

    fn begin(&mut self, ticket: Ticket, look: Look) {
        let sides = self.sides.clone();
        let task = self.tasks.spawn(async move { look.make(&*sides).await });
        self.tickets.insert(task.id(), ticket);
    }

    /// The next one that has ended; none while none is under way. Cancel safe.
    async fn next(&mut self) -> Option<(Ticket, Result<(), String>)> {
        let (id, answer) = match self.tasks.join_next_with_id().await? {
            Ok((id, answer)) => (id, answer),
            Err(error) => (error.id(), Err(format!("the look broke off: {error}"))),
        };
        Some((self.tickets.remove(&id)?, answer))
    }
}
