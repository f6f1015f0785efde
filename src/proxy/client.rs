//! A client's connection below HTTP: hyper reads and writes through it, and it keeps the client's waits in bounds, for
//! hyper sets none by itself. It also carries interim (1xx) answers, which hyper's server cannot send.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderValue;
use hyper::rt::{Read, ReadBufCursor, Write};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::clock::{Alarms, Clock, Wait};
use super::io::{read_into, write_from};
use crate::config::Limits;

/// How often serin looks whether the client of a slow request is still there.
const PRESENCE_EVERY: Duration = Duration::from_millis(500);
/// A connection that was idle for this long gives hyper's buffers back (16 kB and more). Most connections of a webhook's
/// sender are idle most of the time; a busy one never rests.
const REST_AFTER: Duration = Duration::from_millis(100);
/// Interim answers that wait to be written are few and small; more than this is an upstream gone wrong.
const INTERIM_BYTES_MAX: usize = 16 * 1024;

/// What one connection's parts know of each other.
#[derive(Debug)]
pub struct Session {
    pub alarms: Rc<Alarms>,
    /// The peer's address as `X-Forwarded-For` says it, made once for all requests of the connection.
    pub peer: HeaderValue,
    pub limits: Arc<Limits>,
    phase: Cell<Phase>,
    interim: RefCell<Vec<u8>>,
    /// The final answer is on its way: an interim one would come too late.
    answering: Cell<bool>,
    /// hyper has nothing half written: the next byte begins an answer.
    between_answers: Cell<bool>,
    gone: Cell<Option<Instant>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Between requests.
    Idle,
    /// Some bytes of a head came.
    Head,
    /// A request is being answered.
    Busy,
}

impl Session {
    pub fn new(clock: &Rc<Clock>, peer: SocketAddr, limits: Arc<Limits>) -> Rc<Session> {
        let address = peer.ip().to_canonical().to_string();
        let peer = HeaderValue::from_str(&address).expect("an IP address is a header value");
        let session = Session {
            alarms: clock.alarms(),
            peer,
            limits,
            phase: Cell::new(Phase::Idle),
            interim: RefCell::default(),
            answering: Cell::new(false),
            between_answers: Cell::new(true),
            gone: Cell::new(None),
        };
        session.alarms.arm(Wait::Client, session.limits.idle_timeout);
        Rc::new(session)
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn request_began(&self) {
        self.phase.set(Phase::Busy);
        self.answering.set(false);
        self.alarms.clear(Wait::Client);
        self.alarms.clear(Wait::Rest);
        self.alarms.arm(Wait::Presence, PRESENCE_EVERY);
    }

    pub fn request_ended(&self) {
        self.phase.set(Phase::Idle);
        self.alarms.arm(Wait::Client, self.limits.idle_timeout);
        self.alarms.arm(Wait::Rest, REST_AFTER);
        self.alarms.clear(Wait::Exchange);
        self.alarms.clear(Wait::Presence);
    }

    /// The final answer is about to be given to hyper.
    pub fn answering(&self) {
        self.answering.set(true);
    }

    /// The client hung up while its request was being answered.
    pub fn gone(&self) {
        self.gone.set(Some(Instant::now()));
    }

    pub fn gone_since(&self) -> Option<Instant> {
        self.gone.get()
    }

    /// An interim answer's bytes, to be written before the final answer.
    pub fn interim(&self, head: &[u8]) {
        let mut interim = self.interim.borrow_mut();
        if self.phase() == Phase::Busy && interim.len() + head.len() <= INTERIM_BYTES_MAX {
            interim.extend_from_slice(head);
            self.alarms.wake();
        }
    }

    /// Is nothing going on, for long enough that the next request is not expected at once?
    pub fn may_rest(&self) -> bool {
        self.phase() == Phase::Idle && self.between_answers.get() && self.alarms.rang(Wait::Rest)
    }

    /// It rests: the alarm that said so would ring on with each tick.
    pub fn rests(&self) {
        self.alarms.clear(Wait::Rest);
    }

    /// Something may come: if nothing does, the connection may rest again.
    pub fn roused(&self) {
        self.alarms.arm(Wait::Rest, REST_AFTER);
    }

    /// Some bytes came, of a head if no request is being answered.
    pub fn bytes_came(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.alarms.arm(Wait::Client, self.limits.head_timeout);
        }
    }
}

/// The connection as hyper sees it.
#[derive(Debug)]
pub struct ClientIo {
    stream: TcpStream,
    session: Rc<Session>,
    /// Bytes that were read before, to be read again first.
    before: Bytes,
}

impl ClientIo {
    pub fn new(stream: TcpStream, session: Rc<Session>, before: Bytes) -> ClientIo {
        ClientIo { stream, session, before }
    }

    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn wrote<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match result {
            Poll::Pending if !self.session.alarms.armed(Wait::Write) => {
                self.session.alarms.arm(Wait::Write, self.session.limits.write_timeout)
            }
            Poll::Pending => {}
            Poll::Ready(_) => self.session.alarms.clear(Wait::Write),
        }
        result
    }

    /// Interim answers go out between answers and before the final one they belong to.
    fn write_interim(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut interim = self.session.interim.take();
            if interim.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let result = Pin::new(&mut self.stream).poll_write(cx, &interim);
            if let Poll::Ready(Ok(n)) = result {
                interim.drain(..n);
            }
            self.session.interim.replace(interim);
            ready!(self.wrote(result))?;
        }
    }

    fn before_an_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.session.between_answers.get() {
            ready!(self.write_interim(cx))?;
            self.session.between_answers.set(false);
        }
        Poll::Ready(Ok(()))
    }

    /// A reset is a client that left. A FIN is not: it may still wait for its answer.
    fn check_presence(&self) -> io::Result<()> {
        self.session.alarms.arm(Wait::Presence, PRESENCE_EVERY);
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match SockRef::from(&self.stream).peek(&mut byte) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl Read for ClientIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        if !self.before.is_empty() {
            let n = self.before.len().min(buffer.remaining());
            buffer.put_slice(&self.before.split_to(n));
            return Poll::Ready(Ok(()));
        }
        let read = ready!(read_into(Pin::new(&mut self.stream), cx, buffer))?;
        if read > 0 {
            self.session.bytes_came();
        }
        Poll::Ready(Ok(()))
    }
}

impl Write for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.before_an_answer(cx))?;
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        ready!(self.before_an_answer(cx))?;
        let result = write_from(Pin::new(&mut self.stream), cx, slices);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// hyper calls this when all it had to say is written.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.between_answers.set(true);
        if self.session.alarms.rang(Wait::Presence) {
            self.check_presence()?;
        }
        if self.session.answering.get() {
            self.session.interim.borrow_mut().clear();
        }
        self.write_interim(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
