//! Idle connections, the last used first, so that the rest can age out. A connection is looked at before it is used
//! again: servers close idle ones whenever they like (gunicorn after 2 s, Node after 5 s).

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

/// Boxed, for it goes from hand to hand.
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
    /// Its `body` is in the stream.
    pub head: AnswerHead,
    pub stream: AnswerStream,
}

impl Pool {
    pub fn new(target: Target, idle_timeout: Duration) -> Pool {
        let seen_changes = Cell::new(target.addresses.changes());
        Pool { target, idle: RefCell::default(), idle_timeout, seen_changes }
    }

    /// Sends on an idle connection, else on a new one. A request is sent twice only if an idle connection turned out to
    /// be closed before a single byte of it was written, and then once more only.
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
                // All others are older still.
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

    /// The upstream moved: connections to addresses that are no longer its own are closed.
    fn forget_moved(&self) {
        self.seen_changes.set(self.target.addresses.changes());
        self.idle.borrow_mut().retain(|idle| self.target.addresses.contains(idle.connection.address));
    }

    /// Closes what was idle for too long, or was closed by the other side; called now and then.
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
