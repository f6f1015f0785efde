//! A client's connection as its requests see it: reads heads and bodies, and keeps the client's time limits. The connection's task
//! and the request that it answers share a `Session`. One task polls both, so a `RefCell` is enough.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Buf;
use tokio::net::TcpStream;

use crate::config::ProxyLimits;
use crate::http1::write::{LINE_END, status_line};
use crate::http1::{AnswerHead, Decoded, Decoder, RefusedHead, RequestHead, Version};
use crate::proxy::headers;
use crate::proxy::wire::clock::{Alarms, Clock, Wait};
use crate::proxy::wire::stream::Stream;
use crate::proxy::wire::{BodyBroken, Outgoing, Wire};

/// The interval of checks whether the client of a slow request is still connected, if the kernel's readiness cannot tell.
const PRESENCE_EVERY: Duration = Duration::from_millis(500);
/// A connection that is idle for this long frees its buffers (8 kB and more). Most connections of a platform are idle most of the
/// time; a busy connection never reaches this limit.
const REST_AFTER: Duration = Duration::from_millis(100);
/// The limit for interim answers that wait to be written. They are few and small; more than this is an error of the upstream.
const INTERIM_BYTES_MAX: usize = 16 * 1024;
/// Room to read a head and the body of an ordinary webhook.
const READ_ROOM: usize = 8 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The state of one connection, shared by its parts.
#[derive(Debug)]
pub struct Session {
    pub alarms: Rc<Alarms>,
    /// The peer's address in the form of `X-Forwarded-For`, formatted once per connection.
    pub peer: Box<str>,
    pub limits: Arc<ProxyLimits>,
    phase: Cell<ConnectionPhase>,
    gone: Cell<Option<Instant>>,
    /// The upload of the current request.
    upload: Cell<Upload>,
    /// True once something has arrived that the current request does not read. From then on only a check at intervals can tell
    /// whether the client is still connected.
    distracted: Cell<bool>,
    io: RefCell<Io>,
}

#[derive(Debug)]
struct Io {
    wire: Wire,
    /// Finds the end of the current request's body.
    body: Decoder,
    /// The client waits for `100 Continue` before it sends its body.
    expects: bool,
    /// The number of bytes of `input` that are known to contain no whole head.
    looked_at: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionPhase {
    /// Between requests.
    Idle,
    /// A part of a head has arrived.
    Head,
    /// A request is being answered.
    Busy,
}

/// The state of a request's upload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// serin waits for the client to send more.
    ForClient,
    /// serin waits for the upstream to take more.
    ForUpstream,
    /// The client has sent the whole body; its last byte was read at this time.
    Done(Instant),
    /// The client broke off the upload.
    Broken,
}

/// The result of waiting for a request.
#[derive(Debug)]
pub enum Heard {
    // Boxed, because it is moved several times.
    Request(Box<RequestHead>),
    Refused(RefusedHead),
    /// HTTP/2. It gets no answer, since the client could not read an answer in HTTP/1.1.
    Http2,
    /// The client has closed the connection, or it is broken.
    End,
}

impl Session {
    pub fn new(clock: &Rc<Clock>, stream: TcpStream, peer: SocketAddr, limits: Arc<ProxyLimits>) -> Rc<Session> {
        let io = Io { wire: Wire::new(Stream::Plain(stream)), body: Decoder::length(0), expects: false, looked_at: 0 };
        let session = Session {
            alarms: clock.alarms(),
            peer: peer.ip().to_canonical().to_string().into(),
            limits,
            phase: Cell::new(ConnectionPhase::Idle),
            gone: Cell::new(None),
            upload: Cell::new(Upload::ForClient),
            distracted: Cell::new(false),
            io: RefCell::new(io),
        };
        session.alarms.arm(Wait::Client, session.limits.idle_timeout);
        Rc::new(session)
    }

    pub fn phase(&self) -> ConnectionPhase {
        self.phase.get()
    }

    /// Reads the next request's head.
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
        if self.phase.get() == ConnectionPhase::Idle {
            self.phase.set(ConnectionPhase::Head);
            self.alarms.arm(Wait::Client, self.limits.head_timeout);
        }
    }

    fn began(&self, io: &mut Io, mut head: Box<RequestHead>) -> Box<RequestHead> {
        io.looked_at = 0;
        io.body = std::mem::replace(&mut head.body, Decoder::length(0));
        io.expects = head.version == Version::Http11 && headers::expects_continue(&head.fields);
        self.phase.set(ConnectionPhase::Busy);
        self.distracted.set(false);
        self.alarms.clear(Wait::Client);
        self.alarms.clear(Wait::Rest);
        self.alarms.clear(Wait::Presence);
        head
    }

    /// Called when the current request is answered and the next may come.
    pub fn request_ended(&self) {
        self.phase.set(ConnectionPhase::Idle);
        self.alarms.arm(Wait::Client, self.limits.idle_timeout);
        self.alarms.arm(Wait::Rest, REST_AFTER);
        self.alarms.clear(Wait::Exchange);
        self.alarms.clear(Wait::Presence);
    }

    /// The next piece of the current request's body. Pieces that arrived before the client hung up are returned too.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        let Io { wire, body, expects, .. } = &mut *self.io.borrow_mut();
        // A client that sends its body without waiting needs no `100 Continue` (RFC 9110, 10.1.1).
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

    /// The number of bytes of the current request's body that are still to come, if it is known.
    pub fn body_remaining(&self) -> Option<u64> {
        self.io.borrow().body.remaining()
    }

    /// Drops what has arrived of a body that nothing will read.
    pub fn skip_body(&self) {
        let Io { wire, body, .. } = &mut *self.io.borrow_mut();
        while let Ok(Decoded::Data(_) | Decoded::Trailers(_)) = body.decode(&mut wire.input) {}
    }

    /// Appends an interim answer to the output, before the final one.
    pub fn interim(&self, head: &AnswerHead) {
        let out = &mut self.io.borrow_mut().wire.out;
        if out.len() < INTERIM_BYTES_MAX {
            status_line(Version::Http11, head.status, head.reason.as_deref(), out);
            headers::write_answer(&head.fields, false, out);
            out.extend_from_slice(LINE_END);
        }
    }

    /// Gives access to the wire, for what is to be written or was read and not used.
    pub fn with_wire<T>(&self, with: impl FnOnce(&mut Wire) -> T) -> T {
        with(&mut self.io.borrow_mut().wire)
    }

    /// Writes the message. If it has to wait, the alarm `Write` rings after the client's write timeout.
    pub fn poll_written(&self, cx: &mut Context<'_>, message: &mut Outgoing) -> Poll<io::Result<()>> {
        let written = message.poll_written(cx, &mut self.io.borrow_mut().wire);
        match written {
            Poll::Pending if !self.alarms.armed(Wait::Write) => self.alarms.arm(Wait::Write, self.limits.write_timeout),
            Poll::Pending => {}
            Poll::Ready(_) => self.alarms.clear(Wait::Write),
        }
        written
    }

    /// Notices a client that has hung up. Its request goes on, because the bot's work must not be cancelled. A reset means that the
    /// client has left. A FIN does not: the client may still wait for its answer.
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

    /// Cuts the connection: the client has left, or serin gives it up. Nothing more is written to it.
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

    /// The time at which the client of the current request left, if it has.
    pub fn gone_since(&self) -> Option<Instant> {
        self.gone.get()
    }

    /// Ready when there is something to read, or the end.
    pub fn poll_stirs(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_wire(|wire| wire.stream.poll_read_ready(cx))
    }

    /// Returns `true` if the connection has been idle for `REST_AFTER` and nothing was read, so that the next request is not
    /// expected soon.
    pub fn may_rest(&self) -> bool {
        self.phase() == ConnectionPhase::Idle && self.alarms.rang(Wait::Rest) && self.with_wire(|wire| wire.input.is_empty())
    }

    /// Frees the buffers. Clears the alarm `Rest`, which would otherwise ring with each tick.
    pub fn rests(&self) {
        self.alarms.clear(Wait::Rest);
        self.with_wire(Wire::rest);
    }

    /// Called when something may arrive. If nothing does, the connection may rest again after `REST_AFTER`.
    pub fn roused(&self) {
        self.alarms.arm(Wait::Rest, REST_AFTER);
    }

    /// Closes serin's side of the connection.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_wire(|wire| wire.stream.poll_shutdown(cx))
    }

    /// Reads and drops what arrives. Returns the number of bytes; 0 is the end.
    pub fn poll_waste(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.with_wire(|wire| {
            wire.input.clear();
            wire.poll_read(cx, READ_ROOM)
        })
    }
}

impl Io {
    /// Returns `true` if `input` may now contain a whole head, or is known to contain none. Only a line's end or the size limit can
    /// change that. Otherwise a slow client could make serin parse its head again for each byte.
    fn has_news(&mut self, bytes_max: usize) -> bool {
        let input = &mut self.wire.input;
        // Empty lines before a head are ignored (RFC 9112, 2.2).
        while let Some(n) = [&b"\r\n"[..], b"\n"].iter().find(|end| input.starts_with(end)).map(|end| end.len()) {
            input.advance(n);
            self.looked_at = 0;
        }
        let new = &input[self.looked_at.min(input.len())..];
        !input.is_empty() && (self.looked_at == 0 || input.len() >= bytes_max || memchr::memchr(b'\n', new).is_some())
    }
}
