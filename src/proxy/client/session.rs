//! A request as its handling sees it: the client, its time limits, and the body that the client sends. The task that drives the
//! client's connection and the request that it answers share a `Session`. One task polls both, so a `Cell` is enough.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use super::inbound::Inbound;
use super::origin::Origin;
use super::pace::Pace;
use crate::config::ProxyLimits;
use crate::http1::{AnswerHead, Decoded};
use crate::proxy::wire::BodyBroken;
use crate::proxy::wire::budget::Budget;
use crate::proxy::wire::clock::{Alarms, Wait};

/// What a request and its connection share. In HTTP/1 the requests of a connection use one session, one after the other.
#[derive(Debug)]
pub struct Session {
    pub alarms: Rc<Alarms>,
    pub origin: Rc<Origin>,
    pub limits: Arc<ProxyLimits>,
    pub budget: Rc<Budget>,
    gone: Cell<Option<Instant>>,
    /// The upload of the current request.
    upload: Cell<Upload>,
    upload_pace: Pace,
    /// When the current request began, in ticks of the clock.
    began: Cell<u32>,
    inbound: Inbound,
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

impl Session {
    pub fn new(alarms: Rc<Alarms>, origin: Rc<Origin>, (limits, budget): (Arc<ProxyLimits>, Rc<Budget>), inbound: Inbound) -> Rc<Session> {
        let (gone, upload, began) = (Cell::new(None), Cell::new(Upload::ForClient), Cell::new(alarms.now()));
        Rc::new(Session { alarms, origin, limits, budget, gone, upload, upload_pace: Pace::default(), began, inbound })
    }

    /// Called when another request begins on the same connection.
    pub fn begins_anew(&self) {
        self.upload.set(Upload::ForClient);
        self.upload_pace.begins_anew();
        self.began.set(self.alarms.now());
    }

    /// The next piece of the current request's body. Pieces that arrived before the client hung up are returned too.
    pub fn poll_body(&self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        let piece = match &self.inbound {
            Inbound::Http1(io) => io.borrow_mut().poll_body(cx),
            Inbound::Http2(stream) => stream.borrow_mut().poll_body(cx),
        };
        match &piece {
            Poll::Pending => self.upload_pace.waits(self.alarms.now()),
            Poll::Ready(Ok(Decoded::Data(data))) => self.upload_pace.passed(self.alarms.now(), data.len() as u64),
            Poll::Ready(_) => {}
        }
        piece
    }

    /// Arms the alarm `Exchange` for the next piece of the body.
    pub fn await_piece(&self) {
        let limits = &self.limits;
        let passed = Alarms::time(self.alarms.now().saturating_sub(self.began.get()));
        let patience = self.upload_pace.patience(limits.body_timeout, limits.least_rate);
        self.alarms.arm(Wait::Exchange, patience.min(limits.body_total.saturating_sub(passed)));
    }

    /// Whether the request has its connection to itself.
    pub fn has_connection(&self) -> bool {
        matches!(self.inbound, Inbound::Http1(_))
    }

    pub fn upload(&self) -> Upload {
        self.upload.get()
    }

    pub fn set_upload(&self, upload: Upload) {
        self.upload.set(upload);
    }

    pub fn body_is_done(&self) -> bool {
        match &self.inbound {
            Inbound::Http1(io) => io.borrow().body_is_done(),
            Inbound::Http2(stream) => stream.borrow().body_is_done(),
        }
    }

    /// The number of bytes of the current request's body that are still to come, if it is known.
    pub fn body_remaining(&self) -> Option<u64> {
        match &self.inbound {
            Inbound::Http1(io) => io.borrow().body_remaining(),
            Inbound::Http2(stream) => stream.borrow().body_remaining(),
        }
    }

    /// Reads the rest of the body in short pieces.
    pub fn read_little(&self) {
        match &self.inbound {
            Inbound::Http1(io) => io.borrow_mut().wire.read_little(),
            // The stream's window bounds it.
            Inbound::Http2(_) => {}
        }
    }

    /// Drops what has arrived of a body that nothing will read.
    pub fn skip_body(&self) {
        match &self.inbound {
            Inbound::Http1(io) => io.borrow_mut().skip_body(),
            // The other streams do not wait for this one's body.
            Inbound::Http2(_) => {}
        }
    }

    /// Passes an interim answer on, before the final one.
    pub fn interim(&self, head: &AnswerHead) {
        match &self.inbound {
            Inbound::Http1(io) => io.borrow_mut().interim(head),
            Inbound::Http2(stream) => stream.borrow_mut().interim(head),
        }
    }

    /// Called when the client has left, or serin gives it up. The request goes on, because the bot's work must not be cancelled.
    pub fn leaves(&self) {
        if !self.is_gone() {
            self.gone.set(Some(Instant::now()));
        }
    }

    pub fn is_gone(&self) -> bool {
        self.gone.get().is_some()
    }

    /// The time at which the client of the current request left, if it has.
    pub fn gone_since(&self) -> Option<Instant> {
        self.gone.get()
    }
}
