//! One worker's state: what its requests and connections share. Only its own thread uses it.

mod access_log;
mod load;
mod occupants;
mod random;
mod room;
mod sources;
mod view;

pub use access_log::{AccessLog, Finished, Noted};
pub use load::PlaceAtUpstream;
pub use occupants::Occupant;
pub use sources::Source;
pub use view::{BotView, Shared, Surroundings};

use std::cell::{Cell, Ref, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use self::occupants::Occupants;
use self::random::Random;
use self::sources::Sources;
use self::view::View;
use super::backlog;
use super::front_tls::FrontTls;
use super::memory;
use super::problem::Problem;
use super::wire::budget::{Budget, NoMemory};
use super::wire::clock::{self, Alarms, Clock};
use crate::http1::{Fields, Trace, brought_trace};
use crate::live::{Follower, Snapshot};
use crate::meters::{Closed, Metrics};

/// The interval at which a worker closes old idle connections to upstreams and passes on its access log lines.
const REAP_EVERY: Duration = Duration::from_millis(500);
/// After this many connections went to rest, some megabytes are free, which are worth giving back to the system.
const RESTED_MANY: usize = 256;

/// For so long after it was late, a worker looks how long new connections have waited: those that the kernel has queued meanwhile.
const LATE_RECENTLY: Duration = Duration::from_secs(10);
/// The least time between two log lines about connections that are closed because there is too much to do.
const WARN_EVERY: Duration = Duration::from_secs(5);

/// The stages of a worker's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Ready, and takes no connections yet: an older serin has the sockets.
    Waiting,
    Serving,
    /// serin says that it is not ready, but still serves new connections.
    LameDuck,
    /// A newer serin has the listening sockets. No new connections; those that are open are asked to close.
    Retiring(Queue),
    /// No new connections; requests in flight are finished.
    Draining,
    /// Requests still in flight are dropped.
    CutOff,
}

/// What a retiring worker does with the connections in the kernel's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Queue {
    /// The newer serin accepts them from the same socket.
    Left,
    /// The newer serin listens elsewhere: this one accepts them.
    Taken,
}

impl Stage {
    pub fn accepts(self) -> bool {
        matches!(self, Stage::Serving | Stage::LameDuck)
    }
}

/// One worker: a core's share of the proxy.
pub struct Worker {
    around: Surroundings,
    pub random: Random,
    pub access_log: AccessLog,
    clock: Rc<Clock>,
    view: RefCell<Rc<View>>,
    stage: Cell<Stage>,
    connections: Cell<usize>,
    occupants: Occupants,
    sources: Sources,
    inflight: Cell<usize>,
    /// When the log last said that there is no room, in ticks of the clock.
    /// The tick at which the worker was late last.
    late_at: Cell<Option<u32>>,
    warned_at: Cell<Option<u32>>,
    budget: Rc<Budget>,
    /// The number of connections that went to rest since memory was last given back.
    rested: Cell<usize>,
    /// Notified when a connection ends.
    ended: Notify,
}

/// A place among the requests in flight of a worker and of a source, held until it is dropped.
pub struct PlaceInFlight(Rc<Worker>, Rc<Source>);

/// Why a request gets no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// As many are in flight as the config allows.
    Full,
    /// As many of this source, or it has sent as many in this second.
    OfSource,
    NoMemory,
}

/// Counts an open connection of a worker until its last request has ended.
pub struct OpenConnection {
    worker: Rc<Worker>,
    occupant: Rc<Occupant>,
}

impl Worker {
    pub fn new(first: Arc<Snapshot>, around: Surroundings) -> Rc<Worker> {
        let view = Rc::new(View::new(first, &around));
        let worker = Worker {
            around,
            random: Random::new(),
            access_log: AccessLog::new(),
            clock: Rc::new(Clock::default()),
            view: RefCell::new(view),
            stage: Cell::new(Stage::Waiting),
            connections: Cell::new(0),
            occupants: Occupants::default(),
            sources: Sources::default(),
            inflight: Cell::new(0),
            late_at: Cell::new(None),
            warned_at: Cell::new(None),
            budget: Rc::default(),
            rested: Cell::new(0),
            ended: Notify::new(),
        };
        worker.bound_memory();
        Rc::new(worker)
    }

    pub fn clock(&self) -> &Rc<Clock> {
        &self.clock
    }

    pub fn view(&self) -> Ref<'_, Rc<View>> {
        self.view.borrow()
    }

    pub fn metrics(&self) -> &Metrics {
        &self.around.shared.metrics
    }

    pub fn front_tls(&self) -> &FrontTls {
        &self.around.shared.front
    }

    pub fn number(&self) -> usize {
        self.around.worker
    }

    /// Counts an answer of serin's own.
    pub fn counts(&self, problem: Problem) {
        self.metrics().error(self.number(), problem as usize);
    }

    pub fn stage(&self) -> Stage {
        self.stage.get()
    }

    /// Sets the stage, and wakes every connection to look at it.
    pub fn set_stage(&self, stage: Stage) {
        self.stage.set(stage);
        self.clock.wake_all();
    }

    /// The trace of a request. If the request has none and traces are switched on, a new one.
    pub fn trace(&self, fields: &Fields) -> Trace {
        let limits = &self.view().snapshot.config.proxy;
        match brought_trace(fields) {
            Some(id) => Trace::Passes(Some(id)),
            None if limits.trace => Trace::Begins(self.random.trace_parent(limits.trace_sampled_bp)),
            None => Trace::Passes(None),
        }
    }

    /// Takes a place among the requests in flight.
    pub fn place(self: &Rc<Self>, source: Rc<Source>) -> Result<PlaceInFlight, NoPlace> {
        let view = self.view();
        let shares = &view.shares;
        if self.inflight.get() >= shares.inflight {
            return Err(NoPlace::Full);
        }
        if source.inflight.get() >= shares.inflight_per_source
            || shares.rate_per_source.is_some_and(|rate| !source.may_ask(rate, self.clock.now()))
        {
            return Err(NoPlace::OfSource);
        }
        self.budget.add_request().map_err(|NoMemory| NoPlace::NoMemory)?;
        self.inflight.set(self.inflight.get() + 1);
        source.inflight.set(source.inflight.get() + 1);
        Ok(PlaceInFlight(self.clone(), source))
    }

    /// Puts the view's share of `max_memory` in force.
    fn bound_memory(&self) {
        let bytes = self.view().shares.memory_bytes;
        self.budget.set_limit(bytes);
        self.metrics().connections(self.number()).memory_limit.set(bytes as i64);
    }

    pub fn budget(&self) -> &Rc<Budget> {
        &self.budget
    }

    /// The source of an address.
    pub fn source(&self, address: IpAddr) -> Rc<Source> {
        self.sources.of(address, self.clock.now())
    }

    /// Counts a connection for its client's source. If the source has too many, one of them ends that waits for its client; if there
    /// is none, this one gets no place.
    pub fn admit(&self, occupant: &Occupant, address: IpAddr) -> Result<Rc<Source>, Closed> {
        let source = self.source(address);
        if source.connections.get() >= self.view().shares.connections_per_source + source.room.leaving() {
            let what = "a source has as many connections as max_connections_per_source allows: those that have waited for their clients for longest are closed";
            self.warn_rarely(what, Some(address));
            if self.occupants.make_room_of(&source, self.clock.now()) == 0 {
                return Err(Closed::Source);
            }
        }
        occupant.belongs_to(source.clone());
        Ok(source)
    }

    /// Counts a connection that serin closes for this reason.
    pub fn closed(&self, reason: Closed) {
        self.metrics().connections(self.number()).closed(reason);
    }

    fn warn_rarely(&self, what: &str, source: Option<IpAddr>) {
        let now = self.clock.now();
        if self.warned_at.get().is_none_or(|at| Alarms::time(now.saturating_sub(at)) >= WARN_EVERY) {
            self.warned_at.set(Some(now));
            let source = source.map(tracing::field::display);
            tracing::warn!(source, "{what}");
        }
    }

    /// Whether the worker is late now: it should take no new connections.
    pub fn is_late(&self) -> bool {
        let late = self.clock.behind() > backlog::LATE;
        if late {
            self.late_at.set(Some(self.clock.now()));
        }
        late
    }

    /// Whether this connection, which was accepted just now, has waited for that for too long.
    pub fn is_too_late_for(&self, stream: &TcpStream) -> bool {
        let recently = |at: u32| Alarms::time(self.clock.now().saturating_sub(at)) < LATE_RECENTLY;
        let too_late = self.late_at.get().is_some_and(recently) && backlog::waited(stream).is_some_and(|wait| wait > backlog::WAIT_MAX);
        if too_late {
            self.warn_rarely(
                "there is more to do than this core can: connections that have waited for two seconds for their turn are closed",
                None,
            );
            self.closed(Closed::Late);
        }
        too_late
    }

    /// Waits until there are fewer connections than the config allows. For that, connections that wait for their clients end.
    pub async fn has_room(&self) {
        while self.connections.get() >= self.view().shares.connections {
            self.warn_rarely(
                "there are as many connections as max_connections allows: those that have waited for their clients for longest are closed",
                None,
            );
            self.occupants.make_room(self.clock.now());
            // A connection that cannot make room now may be able to soon.
            let _ = tokio::time::timeout(clock::TICK, self.ended.notified()).await;
        }
    }

    /// Waits until the last connection has ended.
    pub async fn all_ended(&self) {
        while self.connections.get() > 0 {
            self.ended.notified().await;
        }
    }

    /// Counts a connection that went to rest.
    pub fn one_rests(&self) {
        self.rested.set(self.rested.get() + 1);
    }

    /// Applies each new snapshot, until there are no more.
    pub async fn follow(self: Rc<Self>, mut follower: Follower) {
        while let Some(snapshot) = follower.changed().await {
            let view = Rc::new(View::new(snapshot, &self.around));
            *self.view.borrow_mut() = view;
            self.bound_memory();
            follower.applied(&self.view().snapshot);
        }
    }

    /// Closes old connections to upstreams, and passes on log lines and freed memory, at an interval, for ever.
    pub async fn reap(self: Rc<Self>) {
        let mut interval = tokio::time::interval(REAP_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = interval.tick() => {}
                () = self.budget.shed_much() => {
                    // After the tasks whose memory it is have freed it.
                    tokio::task::yield_now().await;
                    memory::give_back();
                    continue;
                }
            }
            self.around.pools.borrow().values().for_each(|pool| pool.reap());
            self.access_log.hand_over();
            self.view().bots.iter().for_each(|bot| bot.watch_loads(&self.clock));
            self.sources.forget(self.view().shares.rate_per_source, self.clock.now());
            self.metrics().connections(self.number()).memory.set(self.budget.used() as i64);
            if self.budget.fell_much() || self.rested.get() >= RESTED_MANY {
                self.rested.set(0);
                memory::give_back();
            }
        }
    }
}

impl OpenConnection {
    pub fn new(worker: Rc<Worker>) -> OpenConnection {
        let occupant = worker.occupants.add(worker.clock.alarms());
        worker.connections.set(worker.connections.get() + 1);
        worker.metrics().connections(worker.number()).open.add(1);
        OpenConnection { worker, occupant }
    }

    pub fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    pub fn occupant(&self) -> &Rc<Occupant> {
        &self.occupant
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        let worker = &self.worker;
        worker.connections.set(worker.connections.get() - 1);
        worker.metrics().connections(worker.number()).open.add(-1);
        worker.ended.notify_one();
    }
}

impl PlaceInFlight {
    pub fn worker(&self) -> &Worker {
        &self.0
    }
}

impl Drop for PlaceInFlight {
    fn drop(&mut self) {
        self.0.inflight.set(self.0.inflight.get() - 1);
        self.0.budget.remove_request();
        self.1.inflight.set(self.1.inflight.get() - 1);
    }
}
