//! Idle connections, the last used first, so that the rest can age out. A connection is looked at before it is used
//! again: servers close idle ones whenever they like (gunicorn after 2 s, Node after 5 s).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http::Request;
use hyper::client::conn::http1::SendRequest;

use super::connect::{ConnectError, Socket, Target};
use super::{Answer, SendError, meaning};
use crate::proxy::body::RequestBody;

/// Idle connections to one upstream, for one worker. More than that many requests at once on one core is overload.
const IDLE_MAX: usize = 1024;
/// A connection that was used this recently is taken without asking the kernel whether it is still open.
const FRESH: Duration = Duration::from_millis(20);

/// One worker's connections to one upstream.
#[derive(Debug)]
pub struct Pool {
    target: Target,
    idle: RefCell<Vec<Idle>>,
    idle_timeout: Duration,
    /// The addresses' changes when `idle` was last looked through.
    seen_changes: Cell<u64>,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<RequestBody>,
    socket: Rc<Socket>,
    address: SocketAddr,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// A connection whose answer's body is still coming.
#[derive(Debug)]
pub struct Lease {
    connection: Connection,
    pool: Rc<Pool>,
}

impl Pool {
    pub fn new(target: Target, idle_timeout: Duration) -> Pool {
        let seen_changes = Cell::new(target.addresses.changes());
        Pool { target, idle: RefCell::default(), idle_timeout, seen_changes }
    }

    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Sends on an idle connection, else on a new one. A request is sent twice only if an idle connection turned out to
    /// be closed before a single byte of it was written, and then once more only.
    pub async fn send(self: &Rc<Self>, mut request: Request<RequestBody>) -> Result<Answer, SendError> {
        if let Some(mut connection) = self.checkout() {
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok(Answer { response, lease: self.lease(connection) }),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(meaning(error.error())),
                },
            }
        }
        // Boxed: connecting is rare, and its state would make every request's future larger.
        let mut connection = match Box::pin(self.connect()).await {
            Ok(connection) => connection,
            Err(reason) => return Err(SendError::Connect { reason, request: Box::new(request) }),
        };
        match connection.sender.try_send_request(request).await {
            Ok(response) => Ok(Answer { response, lease: self.lease(connection) }),
            Err(error) => Err(meaning(error.error())),
        }
    }

    fn lease(self: &Rc<Self>, connection: Connection) -> Lease {
        Lease { connection, pool: self.clone() }
    }

    fn checkout(&self) -> Option<Connection> {
        if self.seen_changes.get() != self.target.addresses.changes() {
            self.forget_moved();
        }
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while let Some(Idle { connection, since }) = idle.pop() {
            let age = now.saturating_duration_since(since);
            if age >= self.idle_timeout {
                // All others are older still.
                idle.clear();
                return None;
            }
            if connection.sender.is_ready() && (age < FRESH || connection.socket.is_open()) {
                return Some(connection);
            }
        }
        None
    }

    /// The upstream moved: connections to addresses that are no longer its own are closed.
    fn forget_moved(&self) {
        self.seen_changes.set(self.target.addresses.changes());
        self.idle.borrow_mut().retain(|idle| self.target.addresses.contains(idle.connection.address));
    }

    /// Closes what was idle for too long; called now and then.
    pub fn reap(&self) {
        let now = Instant::now();
        self.idle
            .borrow_mut()
            .retain(|idle| now.saturating_duration_since(idle.since) < self.idle_timeout && !idle.connection.sender.is_closed());
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let connected = self.target.connect().await?;
        let (sender, driver) = hyper::client::conn::http1::Builder::new()
            .allow_obsolete_multiline_headers_in_responses(true)
            .handshake(connected.io)
            .await
            .map_err(|_| ConnectError::Unreachable)?;
        // The task ends with the connection and is dropped then: a request queued on it comes back at once instead of
        // waiting for its timeout.
        tokio::task::spawn_local(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an upstream connection ended");
            }
        });
        Ok(Connection { sender, socket: connected.socket, address: connected.address })
    }
}

impl Lease {
    /// The answer ended: the connection may serve again.
    pub fn give_back(self) {
        let Lease { connection, pool } = self;
        let mut idle = pool.idle.borrow_mut();
        if idle.len() < IDLE_MAX && !connection.sender.is_closed() {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }
}
