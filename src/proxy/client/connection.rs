//! A client's connection in HTTP/1: reads heads and bodies, writes answers, and keeps the client's time limits.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::inbound::{Http1, Inbound};
use super::origin::Origin;
use super::pace::Pace;
use super::session::{Session, Upload};
use crate::config::ProxyLimits;
use crate::http1::{Decoder, RefusedHead, RequestHead, Version};
use crate::proxy::headers;
use crate::proxy::wire::budget::{Budget, Charge, NoMemory};
use crate::proxy::wire::clock::{REST_AFTER, Wait};
use crate::proxy::wire::stream::Stream;
use crate::proxy::wire::{Outgoing, Wire};
use crate::proxy::worker::Occupant;

/// The interval of checks whether the client of a slow request is still connected, if the kernel's readiness cannot tell.
const PRESENCE_EVERY: Duration = Duration::from_millis(500);
/// Room to read a head and the body of an ordinary webhook.
const READ_ROOM: usize = 8 * 1024;
/// Room to read what will not be used.
const WASTE_ROOM: usize = 2 * 1024;

/// One client connection.
#[derive(Debug)]
pub struct Connection {
    pub session: Rc<Session>,
    pub occupant: Rc<Occupant>,
    phase: Cell<ConnectionPhase>,
    /// Whether a request has come on this connection.
    had_any: Cell<bool>,
    /// How fast the client takes its answers.
    pace: Pace,
    /// For a head that has not arrived whole.
    head: RefCell<Option<Rc<Charge>>>,
    /// True once something has arrived that the current request does not read. From then on only a check at intervals can tell
    /// whether the client is still connected.
    distracted: Cell<bool>,
    io: Rc<RefCell<Http1>>,
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
    /// There is no memory for the rest of the head.
    NoMemory,
}

impl Connection {
    pub fn new(occupant: Rc<Occupant>, stream: Stream, origin: Rc<Origin>, bounds: (Arc<ProxyLimits>, Rc<Budget>)) -> Connection {
        let io = Rc::new(RefCell::new(Http1::new(stream)));
        let session = Session::new(occupant.alarms.clone(), origin, bounds, Inbound::Http1(io.clone()));
        session.alarms.arm(Wait::Client, session.limits.head_timeout);
        let (phase, had_any, distracted) = (Cell::new(ConnectionPhase::Idle), Cell::new(false), Cell::new(false));
        Connection { session, occupant, phase, had_any, pace: Pace::default(), head: RefCell::default(), distracted, io }
    }

    /// The bytes of a connection without a request, for another protocol.
    pub fn into_wire(self) -> Option<Wire> {
        drop(self.session);
        Rc::into_inner(self.io).map(|io| io.into_inner().wire)
    }

    /// Whether a request has come on this connection.
    pub fn had_any(&self) -> bool {
        self.had_any.get()
    }

    pub fn phase(&self) -> ConnectionPhase {
        self.phase.get()
    }

    /// Reads the next request's head.
    pub fn poll_head(&self, cx: &mut Context<'_>) -> Poll<Heard> {
        let io = &mut *self.io.borrow_mut();
        loop {
            let bytes_max = self.session.limits.max_head_bytes;
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
            // A head that came at once is not charged. The room for the next read is.
            if !io.wire.input.is_empty() && self.charge_head(io.wire.input.len() + READ_ROOM).is_err() {
                return Poll::Ready(Heard::NoMemory);
            }
            match ready!(io.wire.poll_read(cx, READ_ROOM)) {
                Ok(0) | Err(_) => return Poll::Ready(Heard::End),
                Ok(_) => self.head_began(),
            }
        }
    }

    fn charge_head(&self, bytes: usize) -> Result<(), NoMemory> {
        let mut head = self.head.borrow_mut();
        head.get_or_insert_with(|| Charge::begin(&self.session.budget, &self.session.alarms)).raise_to(bytes)
    }

    /// Whether the memory of a head that is not whole is needed for another client.
    pub fn head_is_shed(&self) -> bool {
        self.head.borrow().as_ref().is_some_and(|head| head.is_shed())
    }

    fn head_began(&self) {
        if self.phase.get() == ConnectionPhase::Idle {
            self.phase.set(ConnectionPhase::Head);
            self.session.alarms.arm(Wait::Client, self.session.limits.head_timeout);
        }
    }

    fn began(&self, io: &mut Http1, mut head: Box<RequestHead>) -> Box<RequestHead> {
        io.looked_at = 0;
        *self.head.borrow_mut() = None;
        io.body = std::mem::replace(&mut head.body, Decoder::length(0));
        io.expects = head.version == Version::Http11 && headers::expects_continue(&head.fields);
        self.phase.set(ConnectionPhase::Busy);
        self.had_any.set(true);
        self.session.begins_anew();
        self.pace.begins_anew();
        if io.body.is_done() {
            self.occupant.works();
        } else {
            self.occupant.waits_anew();
        }
        self.distracted.set(false);
        self.session.alarms.clear(Wait::Client);
        self.session.alarms.clear(Wait::Rest);
        self.session.alarms.clear(Wait::Presence);
        head
    }

    /// Called when the current request is answered and the next may come.
    pub fn request_ended(&self) {
        self.phase.set(ConnectionPhase::Idle);
        self.occupant.waits_anew();
        self.session.alarms.clear(Wait::Total);
        self.session.alarms.arm(Wait::Client, self.session.limits.idle_timeout);
        self.session.alarms.arm(Wait::Rest, REST_AFTER);
        self.session.alarms.clear(Wait::Exchange);
        self.session.alarms.clear(Wait::Presence);
    }

    /// Gives access to the wire, for what is to be written or was read and not used.
    pub fn with_wire<T>(&self, with: impl FnOnce(&mut Wire) -> T) -> T {
        with(&mut self.io.borrow_mut().wire)
    }

    /// Writes the message. If it has to wait, the alarm `Write` rings once the client has had its time.
    pub fn poll_written(&self, cx: &mut Context<'_>, message: &mut Outgoing) -> Poll<io::Result<()>> {
        let before = message.written();
        let written = message.poll_written(cx, &mut self.io.borrow_mut().wire);
        let alarms = &self.session.alarms;
        match written {
            Poll::Pending => {
                self.occupant.waits();
                if !alarms.armed(Wait::Write) {
                    let limits = &self.session.limits;
                    alarms.arm(Wait::Write, self.pace.patience(limits.write_timeout, limits.least_rate));
                }
                self.pace.waits(alarms.now());
            }
            Poll::Ready(_) if alarms.armed(Wait::Write) => {
                alarms.clear(Wait::Write);
                self.occupant.works();
                self.pace.passed(alarms.now(), message.written() - before);
            }
            Poll::Ready(_) => self.pace.passed(alarms.now(), message.written() - before),
        }
        written
    }

    /// Called when a request waits. The connection may end to make room while it waits for its client.
    pub fn request_waits(&self) {
        if self.session.body_is_done() || self.session.upload() == Upload::ForUpstream {
            self.occupant.works();
        } else {
            self.occupant.waits();
        }
    }

    /// Notices a client that has hung up. Its request goes on, because the bot's work must not be cancelled. A reset means that the
    /// client has left. A FIN does not: the client may still wait for its answer.
    pub fn watch(&self, cx: &mut Context<'_>) {
        let stirs = match self.distracted.get() {
            false => self.with_wire(|wire| wire.stream.poll_read_ready(cx)).is_ready(),
            true => self.session.alarms.rang(Wait::Presence),
        };
        if stirs {
            self.distracted.set(true);
            self.session.alarms.arm(Wait::Presence, PRESENCE_EVERY);
            if self.with_wire(|wire| wire.stream.is_broken()) {
                self.hang_up();
            }
        }
    }

    /// Cuts the connection: the client has left, or serin gives it up. Nothing more is written to it.
    pub fn hang_up(&self) {
        if !self.session.is_gone() {
            self.session.leaves();
            self.with_wire(|wire| {
                wire.out.clear();
                wire.stream.cut();
            });
        }
    }

    /// Ready when there is something to read, or the end.
    pub fn poll_stirs(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.with_wire(|wire| wire.stream.poll_read_ready(cx))
    }

    /// Returns `true` if the connection has been idle for `REST_AFTER` and nothing was read, so that the next request is not
    /// expected soon.
    pub fn may_rest(&self) -> bool {
        self.phase() == ConnectionPhase::Idle && self.session.alarms.rang(Wait::Rest) && self.with_wire(|wire| wire.input.is_empty())
    }

    /// Frees the buffers. Clears the alarm `Rest`, which would otherwise ring with each tick.
    pub fn rests(&self) {
        self.session.alarms.clear(Wait::Rest);
        self.with_wire(Wire::rest);
    }

    /// Called when something may arrive. If nothing does, the connection may rest again after `REST_AFTER`.
    pub fn roused(&self) {
        self.session.alarms.arm(Wait::Rest, REST_AFTER);
    }

    /// Closes serin's side of the connection.
    pub fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_wire(|wire| wire.stream.poll_shutdown(cx))
    }

    /// Frees what was read and will not be used.
    pub fn drop_input(&self) {
        self.with_wire(|wire| {
            wire.input.clear();
            wire.rest_input();
        });
    }

    /// Reads and drops what arrives. Returns the number of bytes; 0 is the end.
    pub fn poll_waste(&self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.with_wire(|wire| {
            wire.input.clear();
            wire.poll_read(cx, WASTE_ROOM)
        })
    }
}
