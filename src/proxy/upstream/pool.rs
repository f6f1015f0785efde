//! Idle connections, the last used first, so that the rest can age out. A connection is looked at before it is used
//! again: servers close idle ones whenever they like (gunicorn after 2 s, Node after 5 s).

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::BytesMut;
use http::{Request, Response};

use super::answer::AnswerStream;
use super::call::{Call, Failure};
use super::connect::{ConnectError, Target};
use super::head::Head;
use super::stream::Stream;
use super::{Minded, SendError};
use crate::proxy::body::RequestBody;
use crate::proxy::client::Session;

/// Idle connections to one upstream, for one worker. More than that many requests at once on one core is overload.
const IDLE_MAX: usize = 1024;
/// A connection that was used this recently is taken without asking the kernel whether it is still open.
const FRESH: Duration = Duration::from_millis(20);
/// An idle connection keeps no larger buffers than this: few webhooks need more, and there may be a thousand of them.
const BUFFER_KEPT: usize = 8 * 1024;

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
pub struct Connection {
    pub stream: Stream,
    pub input: BytesMut,
    pub out: BytesMut,
    address: SocketAddr,
    /// The most that `input` had to have room for.
    room: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

/// An upstream's answer, and which of the fields that serin minds it has.
pub struct Answer {
    pub response: Response<AnswerStream>,
    pub minded: Minded,
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
    pub async fn send(self: &Rc<Self>, mut request: Request<RequestBody>, interim: Option<&Session>) -> Result<Answer, SendError> {
        if let Some(mut connection) = self.checkout() {
            match Call::new(request, &mut connection).answer(&mut connection, interim).await {
                Ok((head, call)) => return Ok(self.answer(head, call, connection)),
                Err(Failure::Unsent(unsent)) => request = *unsent,
                Err(Failure::Failed(error)) => return Err(error),
            }
        }
        // Boxed: connecting is rare, and its state would make every request's future larger.
        Box::pin(self.send_on_new(request, interim)).await
    }

    async fn send_on_new(self: &Rc<Self>, request: Request<RequestBody>, interim: Option<&Session>) -> Result<Answer, SendError> {
        let mut connection = match self.connect().await {
            Ok(connection) => connection,
            Err(reason) => return Err(SendError::Connect { reason, request: Box::new(request) }),
        };
        match Call::new(request, &mut connection).answer(&mut connection, interim).await {
            Ok((head, call)) => Ok(self.answer(head, call, connection)),
            Err(Failure::Unsent(_)) => Err(SendError::Broken),
            Err(Failure::Failed(error)) => Err(error),
        }
    }

    fn answer(self: &Rc<Self>, head: Head, call: Call, connection: Connection) -> Answer {
        let mut response = Response::new(AnswerStream::new(head.body, connection, call, head.keep_alive, self.clone()));
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        if let Some(reason) = head.reason {
            response.extensions_mut().insert(reason);
        }
        Answer { response, minded: head.minded }
    }

    fn checkout(&self) -> Option<Connection> {
        if self.seen_changes.get() != self.target.addresses.changes() {
            self.forget_moved();
        }
        let mut idle = self.idle.borrow_mut();
        let now = Instant::now();
        while let Some(Idle { mut connection, since }) = idle.pop() {
            let age = now.saturating_duration_since(since);
            if age >= self.idle_timeout {
                // All others are older still.
                idle.clear();
                return None;
            }
            if connection.stream.seems_idle() && (age < FRESH || connection.stream.is_open()) {
                return Some(connection);
            }
        }
        None
    }

    pub(super) fn give_back(&self, mut connection: Connection) {
        connection.shrink();
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
            .retain_mut(|idle| now.saturating_duration_since(idle.since) < self.idle_timeout && idle.connection.stream.seems_idle());
    }

    async fn connect(&self) -> Result<Connection, ConnectError> {
        let (stream, address) = self.target.connect().await?;
        Ok(Connection { stream, input: BytesMut::new(), out: BytesMut::new(), address, room: 0 })
    }
}

impl Connection {
    /// Appends to `input` what there is to read, if `room` is enough for it; 0 is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.room = self.room.max(self.input.len() + room);
        self.input.reserve(room);
        self.stream.poll_read(cx, &mut self.input)
    }

    /// Lets go of buffers that a long message needed. What is left of `input` may be the end of a large one.
    fn shrink(&mut self) {
        if self.room > BUFFER_KEPT {
            (self.input, self.room) = (BytesMut::new(), 0);
        }
        if self.out.capacity() > BUFFER_KEPT {
            self.out = BytesMut::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn an_idle_connection_keeps_no_large_buffers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let (input, out) = (BytesMut::new(), BytesMut::with_capacity(64 * 1024));
        let mut connection = Connection { stream: Stream::Plain(client.unwrap()), input, out, address, room: 0 };
        server.unwrap().0.write_all(&[b'x'; 100]).await.unwrap();
        std::future::poll_fn(|cx| connection.poll_read(cx, 64 * 1024)).await.unwrap();
        // What is left of a large buffer is small, and still all of it.
        let _answer = connection.input.split();
        connection.shrink();
        assert_eq!((connection.input.capacity(), connection.out.capacity()), (0, 0));
    }
}
