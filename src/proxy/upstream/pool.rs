//! Idle connections. The one used last is used first, so that the others can grow old and be closed. The pool checks a connection
//! before it uses it again, because servers close idle connections at any time (gunicorn after 2 s, Node after 5 s).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::connect::{ConnectError, Endpoint};
use super::descriptors::{Descriptor, Descriptors, HasIdle};
use crate::proxy::wire::Wire;

/// The most idle connections to one upstream, for one worker. A core with more requests at once is overloaded.
const IDLE_MAX: usize = 1024;
/// A connection that was used this recently is taken without asking the kernel whether it is open.
const FRESH: Duration = Duration::from_millis(20);
/// One worker's connections to one upstream.
#[derive(Debug)]
pub struct Pool {
    target: Endpoint,
    idle: RefCell<Vec<Idle>>,
    idle_timeout: Duration,
    /// The count of address changes when `idle` was last compared with the addresses.
    seen_changes: Cell<u64>,
    descriptors: Rc<Descriptors>,
}

/// Kept in a box, because it is moved several times.
#[derive(Debug)]
pub struct Connection {
    pub wire: Wire,
    address: SocketAddr,
    _descriptor: Descriptor,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Pool {
    pub fn new(target: Endpoint, idle_timeout: Duration, descriptors: &Rc<Descriptors>) -> Rc<Pool> {
        let seen_changes = Cell::new(target.addresses.changes());
        let pool = Rc::new(Pool { target, idle: RefCell::default(), idle_timeout, seen_changes, descriptors: descriptors.clone() });
        descriptors.add(pool.clone());
        pool
    }

    /// The upstream's own host and port.
    pub(super) fn authority(&self) -> &str {
        self.target.url.authority.as_str()
    }

    /// An idle connection that is still open, if there is one.
    pub(super) fn checkout(&self, now: Instant) -> Option<Box<Connection>> {
        if self.seen_changes.get() != self.target.addresses.changes() {
            self.forget_moved();
        }
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, since }) = idle.pop() {
            let age = now.saturating_duration_since(since);
            if age >= self.idle_timeout {
                // All other connections are older.
                idle.clear();
                return None;
            }
            if connection.wire.stream.seems_idle() && (age < FRESH || connection.wire.stream.is_open()) {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn give_back(&self, mut connection: Box<Connection>) {
        connection.wire.shrink();
        let mut idle = self.idle.borrow_mut();
        if idle.len() < IDLE_MAX {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    /// Closes the connections to addresses that the upstream no longer has.
    fn forget_moved(&self) {
        self.seen_changes.set(self.target.addresses.changes());
        self.idle.borrow_mut().retain(|idle| self.target.addresses.contains(idle.connection.address));
    }

    /// Closes connections that were idle for too long or that the other side has closed. The worker calls it at an interval.
    pub fn reap(&self) {
        let now = Instant::now();
        self.idle
            .borrow_mut()
            .retain_mut(|idle| now.saturating_duration_since(idle.since) < self.idle_timeout && idle.connection.wire.stream.seems_idle());
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Box<Connection>, ConnectError> {
        let descriptor = self.descriptors.take().ok_or(ConnectError::Exhausted)?;
        let (stream, address) = self.target.connect().await?;
        Ok(Box::new(Connection { wire: Wire::new(stream), address, _descriptor: descriptor }))
    }
}

impl HasIdle for Pool {
    fn close_idle(&self) {
        self.idle.borrow_mut().clear();
    }
}
