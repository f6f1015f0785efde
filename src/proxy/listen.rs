//! Workers: one thread for each core, each with its own listener on the same port, its own runtime, connections and pools. The
//! kernel distributes connections over them. A request writes to nothing that workers share.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::watch;

use super::arrive::{Door, arrive, arrive_at_once};
use super::serve::serve;
use super::worker::{OpenConnection, Shared, Stage, Surroundings, Worker};
use crate::live::{Follower, Live};

/// The connections that the kernel completes before serin accepts them.
const BACKLOG: i32 = 4096;
/// The pause after a failed accept (without file descriptors, for example). Without it the loop would use a whole core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_LOG_EVERY: Duration = Duration::from_secs(5);

/// The longest wait for workers that were cut off: a worker drops what it has, and passes on its last log lines.
const LETTING_GO: Duration = Duration::from_millis(200);

/// The running workers.
#[derive(Debug)]
pub struct Proxy {
    /// The address of the first listener.
    pub address: SocketAddr,
    /// The addresses of all listeners, in the order in which they were given.
    pub addresses: Vec<SocketAddr>,
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

/// A listener that all workers share.
#[derive(Debug)]
pub struct Listener {
    pub wanted: SocketAddr,
    pub door: Door,
    /// A socket that is open already, to use instead of binding `wanted`.
    pub open: Option<std::net::TcpListener>,
}

/// One worker's socket of a listener.
type Own = (Door, std::net::TcpListener);

impl Proxy {
    /// Binds all ports and starts all workers, which accept connections at once. Errors if it cannot listen or start a thread.
    pub fn start(listeners: Vec<Listener>, live: &Arc<Live>, shared: &Shared) -> Result<Proxy, StartError> {
        let mut addresses = Vec::new();
        let mut sockets: Vec<Vec<Own>> = (0..live.workers()).map(|_| Vec::new()).collect();
        for Listener { wanted, door, open } in listeners {
            let of_workers = match open {
                Some(open) => shared_by(open, live.workers()),
                None => bind(wanted, live.workers()),
            };
            let failed = |source| StartError::Listen { address: wanted, source };
            let of_workers = of_workers.map_err(failed)?;
            addresses.push(of_workers[0].local_addr().map_err(failed)?);
            sockets.iter_mut().zip(of_workers).for_each(|(sockets, socket)| sockets.push((door, socket)));
        }
        let (stage, stages) = watch::channel(Stage::Serving);
        for (worker, sockets) in sockets.into_iter().enumerate() {
            let (shared, follower, stages) = (shared.clone(), live.follow(worker), stages.clone());
            let thread = std::thread::Builder::new().name(format!("serin-{worker}"));
            thread.spawn(move || run(sockets, shared, follower, stages)).map_err(StartError::Thread)?;
        }
        Ok(Proxy { address: addresses[0], addresses, stage })
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

fn run(sockets: Vec<Own>, shared: Shared, mut follower: Follower, stages: watch::Receiver<Stage>) {
    // Dropped last, after the runtime and all its tasks.
    let _until_the_end = stages.clone();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "cannot start a worker's runtime"),
    };
    let around = Surroundings::new(follower.worker, shared);
    runtime.block_on(async move {
        let Some(first) = follower.changed().await else { return };
        let worker = Worker::new(first, around);
        follower.applied(&worker.view().snapshot);
        let mut chores = tokio::task::JoinSet::new();
        chores.spawn_local(worker.clock().clone().run());
        chores.spawn_local(worker.clone().follow(follower));
        chores.spawn_local(worker.clone().reap());
        take_connections(&worker, sockets, stages).await;
    });
}

/// One worker's listeners.
struct Listeners {
    doors: Vec<(Door, TcpListener)>,
    /// The listener that is asked first next time, so that a busy one does not keep the others waiting.
    first: Cell<usize>,
}

impl Listeners {
    fn new(sockets: Vec<Own>) -> io::Result<Listeners> {
        let doors = sockets.into_iter().map(|(door, socket)| Ok((door, TcpListener::from_std(socket)?)));
        Ok(Listeners { doors: doors.collect::<io::Result<_>>()?, first: Cell::new(0) })
    }

    /// Accepts the next connection of any listener.
    async fn accept(&self) -> io::Result<(Door, TcpStream, SocketAddr)> {
        std::future::poll_fn(|cx| {
            for turn in 0..self.doors.len() {
                let at = (self.first.get() + turn) % self.doors.len();
                let (door, listener) = &self.doors[at];
                if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                    self.first.set(at + 1);
                    return Poll::Ready(accepted.map(|(stream, peer)| (*door, stream, peer)));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Accepts connections until the drain, then waits until the last has ended or is cut off.
async fn take_connections(worker: &Rc<Worker>, sockets: Vec<Own>, mut stages: watch::Receiver<Stage>) {
    let listeners = match Listeners::new(sockets) {
        Ok(listeners) => listeners,
        Err(error) => return tracing::error!(%error, "cannot take connections"),
    };
    let mut last_log: Option<Instant> = None;
    loop {
        tokio::select! {
            biased;
            changed = stages.changed() => {
                let stage = if changed.is_ok() { *stages.borrow_and_update() } else { Stage::Draining };
                worker.set_stage(stage);
                if matches!(stage, Stage::Draining | Stage::CutOff) {
                    break;
                }
            }
            accepted = accept(worker, &listeners) => match accepted {
                Ok((door, stream, peer)) => take(worker, stream, peer, door),
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
    listeners.doors.into_iter().for_each(|(door, listener)| take_the_queue(worker, listener, door));
    let cut_off = async {
        let _ = stages.wait_for(|stage| *stage == Stage::CutOff).await;
    };
    tokio::select! {
        () = cut_off => {}
        () = worker.all_ended() => {}
    }
}

/// Accepts the next connection, once there are fewer than the config allows.
async fn accept(worker: &Worker, listeners: &Listeners) -> io::Result<(Door, TcpStream, SocketAddr)> {
    worker.has_room().await;
    listeners.accept().await
}

/// Accepts the connections that the kernel has already completed: closing the listener would reset them.
fn take_the_queue(worker: &Rc<Worker>, listener: TcpListener, door: Door) {
    let Ok(listener) = listener.into_std() else { return };
    while let Ok((stream, peer)) = listener.accept() {
        if stream.set_nonblocking(true).is_ok()
            && let Ok(stream) = TcpStream::from_std(stream)
        {
            take(worker, stream, peer, door);
        }
    }
}

fn take(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, door: Door) {
    // Otherwise a small answer could wait for an acknowledgement.
    let _ = stream.set_nodelay(true);
    let connection = OpenConnection::new(worker.clone());
    tokio::task::spawn_local(async move {
        let (worker, occupant) = (connection.worker(), connection.occupant());
        let arrived = match door.is_open(worker) {
            true => arrive_at_once(worker, occupant, stream, peer),
            // Boxed: a resting connection must not keep room for a handshake.
            false => Box::pin(arrive(worker, occupant, stream, peer, door)).await,
        };
        let closed = match arrived {
            Ok(arrived) => serve(worker, occupant, arrived).await,
            Err(reason) => Some(reason),
        };
        if let Some(reason) = closed {
            worker.closed(reason);
        }
        drop(connection);
    });
}
