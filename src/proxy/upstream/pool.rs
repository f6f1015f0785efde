//! Idle connections. The one used last is used first, so that the others can grow old and be closed. The pool checks a connection
//! before it uses it again, because servers close idle connections at any time (gunicorn after 2 s, Node after 5 s).

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::answer::AnswerStream;
use super::call::{Call, Failure};
use super::connect::{ConnectError, Target};
use super::{Request, SendError};
use crate::http1::AnswerHead;
use crate::proxy::wire::Wire;

/// The most idle connections to one upstream, for one worker. A core with more requests at once is overloaded.
const IDLE_MAX: usize = 1024;
/// A connection that was used this recently is taken without asking the kernel whether it is open.
const FRESH: Duration = Duration::from_millis(20);
/// One worker's connections to one upstream.
#[derive(Debug)]
pub struct Pool {
    target: Target,
    idle: RefCell<Vec<Idle>>,
    idle_timeout: Duration,
    /// The count of address changes when `idle` was last compared with the addresses.
    seen_changes: Cell<u64>,
}

/// Kept in a box, because it is moved several times.
#[derive(Debug)]
pub struct Connection {
    pub wire: Wire,
    address: SocketAddr,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

/// An upstream's answer.
pub struct Answer {
    /// The stream contains the decoder that is in the head's `body`.
    pub head: AnswerHead,
    pub stream: AnswerStream,
}

impl Pool {
    pub fn new(target: Target, idle_timeout: Duration) -> Pool {
        let seen_changes = Cell::new(target.addresses.changes());
        Pool { target, idle: RefCell::default(), idle_timeout, seen_changes }
    }

    /// Sends the request on an idle connection, or else on a new one. It sends a second time only if the idle connection turned out
    /// to be closed before any byte was written, and then only once.
    pub async fn send(self: &Rc<Self>, mut request: Request, now: Instant) -> Result<Answer, SendError> {
        if let Some(mut connection) = self.checkout(now) {
            let mut call = Call::new(request, self.authority(), &mut connection);
            match call.answer(&mut connection).await {
                Ok(head) => return Ok(self.answer(head, call, connection)),
                Err(Failure::Unsent) => request = call.take_back(),
                Err(Failure::Failed(error)) => return Err(error),
            }
        }
        // Boxed: connecting is rare, and its state would make every request's future larger.
        Box::pin(self.send_on_new(request)).await
    }

    async fn send_on_new(self: &Rc<Self>, request: Request) -> Result<Answer, SendError> {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(reason) => return Err(SendError::Connect { reason, request: Box::new(request) }),
        };
        let mut call = Call::new(request, self.authority(), &mut connection);
        match call.answer(&mut connection).await {
            Ok(head) => Ok(self.answer(head, call, connection)),
            Err(Failure::Unsent) => Err(SendError::Broken),
            Err(Failure::Failed(error)) => Err(error),
        }
    }

    fn authority(&self) -> &str {
        self.target.url.authority.as_str()
    }

    fn answer(self: &Rc<Self>, head: AnswerHead, call: Call, connection: Box<Connection>) -> Answer {
        let stream = AnswerStream::new(head.body.clone(), connection, call, head.keep_alive, self.clone());
        Answer { head, stream }
    }

    fn checkout(&self, now: Instant) -> Option<Box<Connection>> {
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

    async fn connect(&self) -> Result<Box<Connection>, ConnectError> {
        let (stream, address) = self.target.connect().await?;
        Ok(Box::new(Connection { wire: Wire::new(stream), address }))
    }
}
