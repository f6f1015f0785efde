//! Workers: one thread for each core, each with its own listener on the same port, its own runtime, connections and pools. The
//! kernel distributes connections over them. A request writes to nothing that workers share.

use std::cell::{Cell, Ref, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, watch};

use super::access_log::AccessLog;
use super::chance::Chance;
use super::client::Session;
use super::clock::Clock;
use super::memory;
use super::problem::Problem;
use super::serve::serve;
use super::view::{Shared, Surroundings, View};
use crate::http1::{Fields, Trace, brought_trace};
use crate::live::{Follower, Live};
use crate::telemetry::Metrics;

/// The connections that the kernel completes before serin accepts them.
const BACKLOG: i32 = 4096;
/// The pause after a failed accept (without file descriptors, for example). Without it the loop would use a whole core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_LOG_EVERY: Duration = Duration::from_secs(5);
/// The interval at which a worker closes old idle connections to upstreams and passes on its access log lines.
const REAP_EVERY: Duration = Duration::from_millis(500);

/// After this many connections went to rest, some megabytes are free, which are worth giving back to the system.
const RESTED_MANY: usize = 256;

/// The stages of a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Serving,
    /// serin says that it is not ready, but still serves new connections.
    LameDuck,
    /// No new connections; requests in flight are finished.
    Draining,
    /// Requests still in flight are dropped.
    CutOff,
}

/// The longest wait for workers that were cut off: a worker drops what it has, and passes on its last log lines.
const LETTING_GO: Duration = Duration::from_millis(200);

/// The running workers.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    /// Its receivers are gone once all workers have ended.
    stage: watch::Sender<Stage>,
}

/// Ends the workers at once, also those that drain.
#[derive(Debug)]
pub struct CutOff(watch::Sender<Stage>);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("cannot start a worker")]
    Thread(#[source] io::Error),
}

impl Proxy {
    /// Binds the port and starts all workers, which accept connections at once. Uses the socket `open`, if there is one, instead of
    /// binding `wanted`. Errors if it cannot listen or start a thread.
    pub fn start(wanted: SocketAddr, open: Option<std::net::TcpListener>, live: &Arc<Live>, shared: &Shared) -> Result<Proxy, StartError> {
        let listeners = match open {
            Some(open) => shared_by(open, live.workers()),
            None => bind(wanted, live.workers()),
        };
        let listeners = listeners.map_err(|source| StartError::Listen { address: wanted, source })?;
        let address = listeners[0].local_addr().map_err(|source| StartError::Listen { address: wanted, source })?;
        let (stage, stages) = watch::channel(Stage::Serving);
        for (worker, listener) in listeners.into_iter().enumerate() {
            let (shared, follower, stages) = (shared.clone(), live.follow(worker), stages.clone());
            let thread = std::thread::Builder::new().name(format!("serin-{worker}"));
            thread.spawn(move || run(listener, shared, follower, stages)).map_err(StartError::Thread)?;
        }
        Ok(Proxy { address, stage })
    }

    /// Serves for `lame_duck` longer, then accepts no more and waits at most `drain` for the requests in flight.
    pub async fn drain(self, lame_duck: Duration, drain: Duration) {
        self.stage.send_replace(Stage::LameDuck);
        tokio::time::sleep(lame_duck).await;
        self.stage.send_replace(Stage::Draining);
        if tokio::time::timeout(drain, self.stage.closed()).await.is_err() {
            tracing::warn!(?drain, "requests are still in flight after the drain's limit; they are cut off");
            self.cut_off().now().await;
        }
    }

    pub fn cut_off(&self) -> CutOff {
        CutOff(self.stage.clone())
    }
}

impl CutOff {
    /// Cuts off all requests. Returns when the workers have ended, or after `LETTING_GO`.
    pub async fn now(self) {
        self.0.send_replace(Stage::CutOff);
        let _ = tokio::time::timeout(LETTING_GO, self.0.closed()).await;
    }
}

/// One listener for each worker, all on one port. It first binds a socket without SO_REUSEPORT, to be sure that no other process
/// has the port: with SO_REUSEPORT the kernel would let both share it.
fn bind(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let socket = |reuse_port: bool, address: SocketAddr| {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(reuse_port)?;
        socket.bind(&address.into())?;
        Ok::<Socket, io::Error>(socket)
    };
    drop(socket(false, address)?);
    let mut listeners: Vec<std::net::TcpListener> = Vec::new();
    for _ in 0..workers {
        let address = listeners.first().map_or(Ok(address), std::net::TcpListener::local_addr)?;
        let socket = socket(true, address)?;
        socket.set_nonblocking(true)?;
        socket.listen(BACKLOG)?;
        listeners.push(socket.into());
    }
    Ok(listeners)
}

/// All workers use one socket: the kernel wakes each of them for a new connection, and the first one takes it.
fn shared_by(open: std::net::TcpListener, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
    let mut listeners = (1..workers).map(|_| open.try_clone()).collect::<io::Result<Vec<_>>>()?;
    listeners.push(open);
    Ok(listeners)
}

/// One worker: a core's share of the proxy.
pub struct Worker {
    around: Surroundings,
    pub chance: Chance,
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

/// A place among the requests in flight.
pub struct Slot(Rc<Worker>);

fn run(listener: std::net::TcpListener, shared: Shared, mut follower: Follower, stages: watch::Receiver<Stage>) {
    // Dropped last, after the runtime and all its tasks.
    let _until_the_end = stages.clone();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "cannot start a worker's runtime"),
    };
    let around = Surroundings { worker: follower.worker, shared, pools: RefCell::default() };
    runtime.block_on(async move {
        let Some(first) = follower.changed().await else { return };
        let view = Rc::new(View::new(first, &around));
        let worker = Rc::new(Worker {
            around,
            chance: Chance::new(),
            access_log: AccessLog::new(),
            clock: Rc::new(Clock::default()),
            view: RefCell::new(view),
            stage: Cell::new(Stage::Serving),
            connections: Cell::new(0),
            inflight: Cell::new(0),
            rested: Cell::new(0),
            ended: Notify::new(),
        });
        follower.applied(&worker.view().snapshot);
        let mut chores = tokio::task::JoinSet::new();
        chores.spawn_local(worker.clock.clone().run());
        chores.spawn_local(worker.clone().follow(follower));
        chores.spawn_local(worker.clone().reap());
        worker.take_connections(listener, stages).await;
    });
}

impl Worker {
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

    /// The trace of a request. If the request has none and traces are switched on, a new one.
    pub fn trace(&self, fields: &Fields) -> Trace {
        let limits = &self.view().snapshot.config.proxy;
        match brought_trace(fields) {
            Some(id) => Trace::Passes(Some(id)),
            None if limits.trace => Trace::Begins(self.chance.trace_parent(limits.trace_sampled_bp)),
            None => Trace::Passes(None),
        }
    }

    /// Takes a place among the requests in flight. Returns `None` if there are as many as the config allows.
    pub fn slot(self: &Rc<Self>) -> Option<Slot> {
        let max = self.share_of(|limits| limits.max_inflight);
        if self.inflight.get() >= max {
            return None;
        }
        self.inflight.set(self.inflight.get() + 1);
        Some(Slot(self.clone()))
    }

    /// This worker's share of a limit that is for all workers together.
    fn share_of(&self, limit: impl Fn(&crate::config::Limits) -> usize) -> usize {
        let config = &self.view().snapshot.config;
        limit(&config.proxy.limits).div_ceil(config.proxy.workers.max(1))
    }

    pub fn one_rests(&self) {
        self.rested.set(self.rested.get() + 1);
    }

    async fn follow(self: Rc<Self>, mut follower: Follower) {
        while let Some(snapshot) = follower.changed().await {
            let view = Rc::new(View::new(snapshot, &self.around));
            *self.view.borrow_mut() = view;
            follower.applied(&self.view().snapshot);
        }
    }

    async fn reap(self: Rc<Self>) {
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

    /// Accepts connections until the drain, then waits until the last has ended or is cut off.
    async fn take_connections(self: Rc<Self>, listener: std::net::TcpListener, mut stages: watch::Receiver<Stage>) {
        let listener = match TcpListener::from_std(listener) {
            Ok(listener) => listener,
            Err(error) => return tracing::error!(%error, "cannot take connections"),
        };
        let mut last_log: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                changed = stages.changed() => {
                    let stage = if changed.is_ok() { *stages.borrow_and_update() } else { Stage::Draining };
                    self.stage.set(stage);
                    self.clock.wake_all();
                    if matches!(stage, Stage::Draining | Stage::CutOff) {
                        break;
                    }
                }
                accepted = self.accept(&listener) => match accepted {
                    Ok((stream, peer)) => self.take(stream, peer),
                    Err(error) => {
                        if last_log.is_none_or(|at| at.elapsed() > ACCEPT_LOG_EVERY) {
                            tracing::error!(%error, "cannot take a connection; others wait in the kernel's queue");
                            last_log = Some(Instant::now());
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        }
        self.take_the_queue(listener);
        let cut_off = async {
            let _ = stages.wait_for(|stage| *stage == Stage::CutOff).await;
        };
        let idle = async {
            while self.connections.get() > 0 {
                self.ended.notified().await;
            }
        };
        tokio::select! {
            () = cut_off => {}
            () = idle => {}
        }
    }

    /// Accepts the next connection, once there are fewer than the config allows.
    async fn accept(&self, listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
        while self.connections.get() >= self.share_of(|limits| limits.max_connections) {
            self.ended.notified().await;
        }
        listener.accept().await
    }

    /// Accepts the connections that the kernel has already completed: closing the listener would reset them.
    fn take_the_queue(self: &Rc<Self>, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else { return };
        while let Ok((stream, peer)) = listener.accept() {
            if stream.set_nonblocking(true).is_ok()
                && let Ok(stream) = TcpStream::from_std(stream)
            {
                self.take(stream, peer);
            }
        }
    }

    fn take(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr) {
        // Otherwise a small answer could wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let limits = self.view().limits.clone();
        let session = Session::new(&self.clock, stream, peer, limits);
        let connection = Open::new(self.clone());
        tokio::task::spawn_local(async move {
            serve(connection.0.clone(), session).await;
            drop(connection);
        });
    }
}

/// Counts an open connection until its last request has ended.
struct Open(Rc<Worker>);

impl Open {
    fn new(worker: Rc<Worker>) -> Open {
        worker.connections.set(worker.connections.get() + 1);
        Open(worker)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.connections.set(self.0.connections.get() - 1);
        self.0.ended.notify_one();
    }
}

impl Slot {
    pub fn worker(&self) -> &Worker {
        &self.0
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.inflight.set(self.0.inflight.get() - 1);
    }
}
