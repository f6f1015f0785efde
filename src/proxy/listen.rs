//! Workers: one thread for each core, each with its own listener on the same port, its own runtime, connections and pools. The
//! kernel distributes connections over them. A request writes to nothing that workers share.
//!
//! Each socket has a queue of its own in the kernel, and the connections in it are reset when its last descriptor is closed. So a
//! worker takes the queue before it closes its socket, unless a newer serin has a descriptor of the socket too.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::LocalOptions;
use tokio::sync::watch;

use super::arrive::{Door, arrive, arrive_at_once};
use super::serve::serve;
use super::wire::clock::TICK;
use super::worker::{OpenConnection, Queue, Shared, Stage, Surroundings, Worker};
use crate::live::{Follower, Live};

/// The connections that the kernel completes before serin accepts them.
const BACKLOG: i32 = 4096;
/// How many bytes of an answer the kernel keeps for a client beyond those on their way to it. Without a bound it takes up to 4 MB for each client
/// that reads slowly, from memory that all connections of the machine share.
const UNSENT_MAX: u32 = 32 * 1024;
/// The pause after a failed accept (without file descriptors, for example). Without it the loop would use a whole core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const ACCEPT_LOG_EVERY: Duration = Duration::from_secs(5);

/// The longest wait for workers that were cut off: a worker drops what it has, and passes on its last log lines.
const LETTING_GO: Duration = Duration::from_millis(200);

/// The running workers.
#[derive(Debug)]
pub struct Proxy {
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
    #[error("cannot use the sockets for webhooks")]
    Sockets(#[source] io::Error),
    #[error("cannot start a worker")]
    Thread(#[source] io::Error),
}

/// One worker's socket of a listener.
type Own = (Door, std::net::TcpListener);

impl Proxy {
    /// Starts all workers with these sockets, which listen already. The workers serve the current snapshot, but take no connections
    /// before `serve`. Errors if it cannot copy a descriptor or start a thread.
    pub fn start(listeners: &[(Door, &[std::net::TcpListener])], live: &Arc<Live>, shared: &Shared) -> Result<Proxy, StartError> {
        let mut addresses = Vec::new();
        let mut shares: Vec<Vec<Own>> = (0..live.workers()).map(|_| Vec::new()).collect();
        for (door, sockets) in listeners {
            addresses.push(sockets[0].local_addr().map_err(StartError::Sockets)?);
            let of_workers = share(sockets, live.workers()).map_err(StartError::Sockets)?;
            shares.iter_mut().zip(of_workers).for_each(|(own, sockets)| own.extend(sockets.into_iter().map(|socket| (*door, socket))));
        }
        let (stage, stages) = watch::channel(Stage::Waiting);
        for (worker, listeners) in shares.into_iter().enumerate() {
            let (shared, follower, stages) = (shared.clone(), live.follow(worker), stages.clone());
            let thread = std::thread::Builder::new().name(format!("serin-{worker}"));
            thread.spawn(move || run(listeners, shared, follower, stages)).map_err(StartError::Thread)?;
        }
        Ok(Proxy { addresses, stage })
    }

    /// The address of the first listener.
    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// Takes connections from now on.
    pub fn serve(&self) {
        self.stage.send_replace(Stage::Serving);
    }

    /// Accepts no more. Connections are served until the answer to their next request, or until they have been idle for as long as the
    /// config allows. Returns when all have ended, or after `within`.
    pub async fn retire(&self, queue: Queue, within: Duration) {
        self.stage.send_replace(Stage::Retiring(queue));
        let _ = tokio::time::timeout(within, self.stage.closed()).await;
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

/// Makes one socket for each worker, all on one port. It first binds a socket without SO_REUSEPORT, to be sure that no other process
/// has the port: with SO_REUSEPORT the kernel would let both share it.
pub fn listen(address: SocketAddr, workers: usize) -> io::Result<Vec<std::net::TcpListener>> {
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

/// Copies the descriptors for the workers. Workers beyond the number of sockets share a socket with others: the kernel wakes each of
/// them for a new connection, and the first one takes it. With more sockets than workers, some workers have several.
fn share(sockets: &[std::net::TcpListener], workers: usize) -> io::Result<Vec<Vec<std::net::TcpListener>>> {
    let mut shares: Vec<Vec<std::net::TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
    sockets.iter().try_for_each(for_webhooks)?;
    for number in 0..sockets.len().max(workers) {
        shares[number % workers].push(sockets[number % sockets.len()].try_clone()?);
    }
    Ok(shares)
}

/// Sets what the kernel copies to every connection that the socket takes.
fn for_webhooks(socket: &std::net::TcpListener) -> io::Result<()> {
    let socket = SockRef::from(socket);
    // Otherwise a small answer could wait for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT_MAX)?;
    Ok(())
}

fn run(listeners: Vec<Own>, shared: Shared, mut follower: Follower, stages: watch::Receiver<Stage>) {
    // Dropped last, after the runtime and all its tasks.
    let _until_the_end = stages.clone();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "cannot start a worker's runtime"),
    };
    let around = Surroundings::new((follower.worker, follower.workers()), shared);
    runtime.block_on(async move {
        let Some(first) = follower.changed().await else { return };
        let worker = Worker::new(first, around);
        follower.applied(&worker.view().snapshot);
        let mut chores = tokio::task::JoinSet::new();
        chores.spawn_local(worker.clock().clone().run());
        chores.spawn_local(worker.clone().follow(follower));
        chores.spawn_local(worker.clone().reap());
        take_connections(&worker, listeners, stages).await;
    });
}

/// Accepts connections from `Proxy::serve` on until serin drains or retires, then waits until the last has ended or is cut off.
async fn take_connections(worker: &Rc<Worker>, listeners: Vec<Own>, mut stages: watch::Receiver<Stage>) {
    if stages.wait_for(|stage| *stage != Stage::Waiting).await.is_err() {
        // serin ends without having served. It takes no queue: another process has the sockets, or nobody was told to connect.
        return;
    }
    let listeners = listeners.into_iter().map(|(door, socket)| Ok((door, TcpListener::from_std(socket)?)));
    let listeners: Vec<(Door, TcpListener)> = match listeners.collect::<io::Result<_>>() {
        Ok(listeners) => listeners,
        Err(error) => return tracing::error!(%error, "cannot take connections"),
    };
    stages.mark_changed();
    let mut last_log: Option<Instant> = None;
    let mut next = 0;
    let last = loop {
        tokio::select! {
            biased;
            changed = stages.changed() => {
                let stage = if changed.is_ok() { *stages.borrow_and_update() } else { Stage::Draining };
                worker.set_stage(stage);
                if !stage.accepts() {
                    break stage;
                }
            }
            accepted = accept(worker, &listeners, &mut next) => match accepted {
                Ok((_, stream, _)) if worker.is_too_late_for(&stream) => {}
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
    };
    match last {
        Stage::Retiring(Queue::Left) => drop(listeners),
        _ => listeners.into_iter().for_each(|(door, listener)| take_the_queue(worker, listener, door)),
    }
    if last == Stage::CutOff {
        return;
    }
    let cut_off = async {
        while stages.changed().await.is_ok() {
            let stage = *stages.borrow_and_update();
            worker.set_stage(stage);
            if stage == Stage::CutOff {
                return;
            }
        }
    };
    tokio::select! {
        () = cut_off => {}
        () = worker.all_ended() => {}
    }
}

/// Accepts the next connection, once the worker is not late and there are fewer than the config allows. `next` is the socket to ask
/// first, so that each has its turn.
async fn accept(worker: &Worker, listeners: &[(Door, TcpListener)], next: &mut usize) -> io::Result<(Door, TcpStream, SocketAddr)> {
    while worker.is_late() {
        tokio::time::sleep(TICK / 2).await;
    }
    worker.has_room().await;
    std::future::poll_fn(|cx| {
        for turn in 0..listeners.len() {
            let at = (*next + turn) % listeners.len();
            let (door, listener) = &listeners[at];
            if let Poll::Ready(accepted) = listener.poll_accept(cx) {
                *next = at + 1;
                return Poll::Ready(accepted.map(|(stream, peer)| (*door, stream, peer)));
            }
        }
        Poll::Pending
    })
    .await
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

/// Serves an accepted connection in a task of its own.
pub(super) fn take(worker: &Rc<Worker>, stream: TcpStream, peer: SocketAddr, door: Door) {
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
