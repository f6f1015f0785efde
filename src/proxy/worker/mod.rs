//! One worker's state: what its requests and connections share. Only its own thread uses it.

mod access_log;
mod random;
mod view;

pub use access_log::{AccessLog, Finished, Noted};
pub use view::{BotView, Shared, Surroundings};

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use self::random::Random;
use self::view::View;
use super::memory;
use super::problem::Problem;
use super::wire::clock::Clock;
use crate::http1::{Fields, Trace, brought_trace};
use crate::live::{Follower, Snapshot};
use crate::meters::Metrics;

/// The interval at which a worker closes old idle connections to upstreams and passes on its access log lines.
const REAP_EVERY: Duration = Duration::from_millis(500);
/// After this many connections went to rest, some megabytes are free, which are worth giving back to the system.
const RESTED_MANY: usize = 256;

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
    inflight: Cell<usize>,
    /// The number of connections that went to rest since memory was last given back.
    rested: Cell<usize>,
    /// Notified when a connection ends.
    ended: Notify,
}

/// A place among the requests in flight of a worker, held until it is dropped.
pub struct PlaceInFlight(Rc<Worker>);

/// Counts an open connection of a worker until its last request has ended.
pub struct OpenConnection(Rc<Worker>);

impl Worker {
    pub fn new(first: Arc<Snapshot>, around: Surroundings) -> Rc<Worker> {
        let view = Rc::new(View::new(first, &around));
        Rc::new(Worker {
            around,
            random: Random::new(),
            access_log: AccessLog::new(),
            clock: Rc::new(Clock::default()),
            view: RefCell::new(view),
            stage: Cell::new(Stage::Waiting),
            connections: Cell::new(0),
            inflight: Cell::new(0),
            rested: Cell::new(0),
            ended: Notify::new(),
        })
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

    /// Takes a place among the requests in flight. Returns `None` if there are as many as the config allows.
    pub fn place(self: &Rc<Self>) -> Option<PlaceInFlight> {
        let max = self.share_of(|limits| limits.max_inflight);
        if self.inflight.get() >= max {
            return None;
        }
        self.inflight.set(self.inflight.get() + 1);
        Some(PlaceInFlight(self.clone()))
    }

    /// This worker's share of a limit that is for all workers together.
    fn share_of(&self, limit: impl Fn(&crate::config::ProxyLimits) -> usize) -> usize {
        let config = &self.view().snapshot.config;
        limit(&config.proxy.limits).div_ceil(config.proxy.workers.max(1))
    }

    /// Waits until there are fewer connections than the config allows.
    pub async fn has_room(&self) {
        while self.connections.get() >= self.share_of(|limits| limits.max_connections) {
            self.ended.notified().await;
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
            follower.applied(&self.view().snapshot);
        }
    }

    /// Closes old connections to upstreams, and passes on log lines and freed memory, at an interval, for ever.
    pub async fn reap(self: Rc<Self>) {
        loop {
            tokio::time::sleep(REAP_EVERY).await;
            self.around.pools.borrow().values().for_each(|pool| pool.reap());
            self.access_log.hand_over();
            if self.rested.get() >= RESTED_MANY {
                self.rested.set(0);
                memory::give_back();
            }
        }
    }
}

impl OpenConnection {
    pub fn new(worker: Rc<Worker>) -> OpenConnection {
        worker.connections.set(worker.connections.get() + 1);
        OpenConnection(worker)
    }

    pub fn worker(&self) -> &Rc<Worker> {
        &self.0
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.ended.notify_one();
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
    }
}
