//! A client's connection as a request sees it: what the client says, read as it is asked for, and how long it may take.
//! The connection's task and the request that it answers share it; they are polled by one task, so a `RefCell` is enough.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Buf;
use tokio::net::TcpStream;

use super::clock::{Alarms, Clock, Wait};
use super::headers;
use super::stream::Stream;
use super::wire::{Broken, Outgoing, Wire};
use crate::config::Limits;
use crate::http1::write::{LINE_END, status_line};
use crate::http1::{AnswerHead, Decoded, Decoder, RefusedHead, RequestHead, Version};

/// How often serin looks whether the client of a slow request is still there, where it is not told at once.
const PRESENCE_EVERY: Duration = Duration::from_millis(500);
/// A connection that was idle for this long gives its buffers back (8 kB and more). Most connections of a webhook's
/// sender are idle most of the time; a busy one never rests.
const REST_AFTER: Duration = Duration::from_millis(100);
/// Interim answers that wait to be written are few and small; more than this is an upstream gone wrong.
const INTERIM_BYTES_MAX: usize = 16 * 1024;
/// Room to read a head into, with the body of an ordinary webhook behind it.
const READ_ROOM: usize = 8 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What one connection's parts know of each other.
#[derive(Debug)]
pub struct Session {
    pub alarms: Rc<Alarms>,
    /// The peer's address as `X-Forwarded-For` says it, made once for all requests of the connection.
    pub peer: Box<str>,
    pub limits: Arc<Limits>,
    phase: Cell<Phase>,
    gone: Cell<Option<Instant>>,
    /// Of the present request.
    upload: Cell<Upload>,
    /// Something came that is not for the present request: only a look now and then tells whether the client is there.
    distracted: Cell<bool>,
    io: RefCell<Io>,
}

#[derive(Debug)]
struct Io {
    wire: Wire,
    /// Finds the end of the present request's body.
    body: Decoder,
    /// The client waits to be told that its body is wanted.
    expects: bool,
    /// So much of `input` is known to be no whole head.
    looked_at: usize,
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

/// How far a request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// It waits for the client.
    ForClient,
    /// It waits for the upstream to take more.
    ForUpstream,
    /// The client has sent all of it, and its last byte was read at this time.
    Done(Instant),
    /// The client broke it off.
    Broken,
}

/// What came of waiting for a request.
#[derive(Debug)]
pub enum Heard {
    /// Boxed, for it goes from hand to hand.
    Request(Box<RequestHead>),
    Refused(RefusedHead),
    /// HTTP/2. Who speaks it would not understand an answer.
    Http2,
    /// The client will say no more.
    End,
}

impl Session {
    pub fn new(clock: &Rc<Clock>, stream: TcpStream, peer: SocketAddr, limits: Arc<Limits>) -> Rc<Session> {
        let io = Io { wire: Wire::new(Stream::Plain(stream)), body: Decoder::length(0), expects: false, looked_at: 0 };
        let session = Session {
            alarms: clock.alarms(),
            peer: peer.ip().to_canonical().to_string().into(),
            limits,
            phase: Cell::new(Phase::Idle),
            gone: Cell::new(None),
            upload: Cell::new(Upload::ForClient),
            distracted: Cell::new(false),
            io: RefCell::new(io),
        };
        session.alarms.arm(Wait::Client, session.limits.idle_timeout);
        Rc::new(session)
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// The next request's head.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        let io = &mut *self.io.borrow_mut();
        loop {
            let bytes_max = self.limits.max_head_bytes;
            if io.has_news(bytes_max) {
                match RequestHead::read(&mut io.wire.input, bytes_max) {
                    Ok(Some(head)) => return Poll::Ready(Heard::Request(self.began(io, Box::new(head)))),
                    Ok(None) => {
                        io.looked_at = io.wire.input.len();
                        self.head_began();
                    }
                    Err(_) if io.wire.input.starts_with(b"PRI * HTTP/2.0\r\n") => return Poll::Ready(Heard::Http2),
                    Err(refused) => return Poll::Ready(Heard::Refused(refused)),
                }
            }
            match ready!(io.wire.poll_read(cx, READ_ROOM)) {
                Ok(0) | Err(_) => return Poll::Ready(Heard::End),
                Ok(_) => self.head_began(),
            }
        }
    }

    fn head_began(&self) {
        if self.phase.get() == Phase::Idle {
            self.phase.set(Phase::Head);
            self.alarms.arm(Wait::Client, self.limits.head_timeout);
        }
    }

    fn began(&self, io: &mut Io, mut head: Box<RequestHead>) -> Box<RequestHead> {
        io.looked_at = 0;
        io.body = std::mem::replace(&mut head.body, Decoder::length(0));
        io.expects = head.version == Version::Http11 && headers::expects_continue(&head.fields);
        self.phase.set(Phase::Busy);
        self.distracted.set(false);
        self.alarms.clear(Wait::Client);
        self.alarms.clear(Wait::Rest);
        self.alarms.clear(Wait::Presence);
        head
    }

    /// The present request has its answer, and the next may come.
    pub fn request_ended(&self) {
        self.phase.set(Phase::Idle);
        self.alarms.arm(Wait::Client, self.limits.idle_timeout);
        self.alarms.arm(Wait::Rest, REST_AFTER);
        self.alarms.clear(Wait::Exchange);
        self.alarms.clear(Wait::Presence);
    }

    /// The next piece of the present request's body. What came before its client hung up is given all the same.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Decoded, Broken>> {
        let Io { wire, body, expects, .. } = &mut *self.io.borrow_mut();
        // Who sends its body anyway need not be told (RFC 9110, 10.1.1).
        if std::mem::take(expects) && wire.input.is_empty() && !body.is_done() {
            wire.out.extend_from_slice(CONTINUE);
        }
        wire.poll_piece(cx, body)
    }

    pub fn upload(&self) -> Upload {
        self.upload.get()
    }

    pub fn set_upload(&self, upload: Upload) {
        self.upload.set(upload);
    }

    pub fn body_is_done(&self) -> bool {
        self.io.borrow().body.is_done()
    }

    /// How many bytes of the present request's body are still to come, where that is known.
    pub fn body_remaining(&self) -> Option<u64> {
        self.io.borrow().body.remaining()
    }

    /// Passes over what has come of a body that nobody reads.
    pub fn skip_body(&self) {
        let Io { wire, body, .. } = &mut *self.io.borrow_mut();
        while let Ok(Decoded::Data(_) | Decoded::Trailers(_)) = body.decode(&mut wire.input) {}
    }

    /// An interim answer, to be written before the final one.
    pub fn interim(&self, head: &AnswerHead) {
        let out = &mut self.io.borrow_mut().wire.out;
        if out.len() < INTERIM_BYTES_MAX {
            status_line(Version::Http11, head.status, head.reason.as_deref(), out);
            headers::write_answer(&head.fields, false, out);
            out.extend_from_slice(LINE_END);
        }
    }

    /// For what is to be written, or what is left of what was read.
    pub fn with_wire<T>(&self, with: impl FnOnce(&mut Wire) -> T) -> T {
        with(&mut self.io.borrow_mut().wire)
    }

    /// Writes what is to be written, within the client's time.
    pub fn poll_written(&self, cx: &mut Context<'_>, message: &mut Outgoing) -> Poll<io::Result<()>> {
        let written = message.poll_written(cx, &mut self.io.borrow_mut().wire);
        match written {
            Poll::Pending if !self.alarms.armed(Wait::Write) => self.alarms.arm(Wait::Write, self.limits.write_timeout),
            Poll::Pending => {}
            Poll::Ready(_) => self.alarms.clear(Wait::Write),
        }
        written
    }

    /// Notices a client that hung up; its request runs on, for the bot's work is not cancelled. A reset is a client that
    /// left. A FIN is not: it may still wait for its answer.
    pub fn watch(&self, cx: &mut Context<'_>) {
        let stirs = match self.distracted.get() {
            false => self.with_wire(|wire| wire.stream.poll_read_ready(cx)).is_ready(),
            true => self.alarms.rang(Wait::Presence),
        };
        if stirs {
            self.distracted.set(true);
            self.alarms.arm(Wait::Presence, PRESENCE_EVERY);
            if self.with_wire(|wire| wire.stream.is_broken()) {
                self.hang_up();
            }
        }
    }

    /// The client is gone, or given up: it gets nothing more.
    pub fn hang_up(&self) {
        if !self.is_gone() {
            self.gone.set(Some(Instant::now()));
            self.with_wire(|wire| {
                wire.out.clear();
                wire.stream.cut();
            });
        }
    }

    pub fn is_gone(&self) -> bool {
        self.gone.get().is_some()
    }

    /// Since when the client of the present request is gone.
    pub fn gone_since(&self) -> Option<Instant> {
        self.gone.get()
    }

    /// Waits for something to read, or the end.
    pub fn poll_stirs(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_wire(|wire| wire.stream.poll_read_ready(cx))
    }

    /// Is nothing going on, for long enough that the next request is not expected at once?
    pub fn may_rest(&self) -> bool {
        self.phase() == Phase::Idle && self.alarms.rang(Wait::Rest) && self.with_wire(|wire| wire.input.is_empty())
    }

    /// It rests, without buffers. The alarm that said so would ring on with each tick.
    pub fn rests(&self) {
        self.alarms.clear(Wait::Rest);
        self.with_wire(Wire::rest);
    }

    /// Something may come: if nothing does, the connection may rest again.
    pub fn roused(&self) {
        self.alarms.arm(Wait::Rest, REST_AFTER);
    }

    /// Closes our side.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_wire(|wire| wire.stream.poll_shutdown(cx))
    }

    /// Reads what nobody wants any more; says how much there was.
    pub fn poll_waste(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.with_wire(|wire| {
            wire.input.clear();
            wire.poll_read(cx, READ_ROOM)
        })
    }
}

impl Io {
    /// May a head be whole now, or be known not to be one? Only a line's end can tell, or the limit; looking at each byte
    /// that trickles in would cost a slow client nothing and us much.
    fn has_news(&mut self, bytes_max: usize) -> bool {
        let input = &mut self.wire.input;
        // Empty lines before a head say nothing (RFC 9112, 2.2).
        while let Some(n) = [&b"\r\n"[..], b"\n"].iter().find(|end| input.starts_with(end)).map(|end| end.len()) {
            input.advance(n);
            self.looked_at = 0;
        }
        let new = &input[self.looked_at.min(input.len())..];
        !input.is_empty() && (self.looked_at == 0 || input.len() >= bytes_max || memchr::memchr(b'\n', new).is_some())
    }
}
