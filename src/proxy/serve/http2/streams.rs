//! The requests of one connection. A request runs in another task than the connection: a client that breaks off its stream does not
//! end the bot's work.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::Request;
use tokio::sync::Notify;

use super::answer::answer;
use super::lanes::{Idle, Lane};
use super::request::{self, Asked, read};
use crate::config::ProxyLimits;
use crate::proxy::client::{Http2, Inbound, Origin, Session};
use crate::proxy::exchange::{Reply, handle};
use crate::proxy::headers;
use crate::proxy::problem::Problem;
use crate::proxy::wire::budget::{Budget, Charge, NoMemory};
use crate::proxy::wire::clock::Alarms;
use crate::proxy::worker::Worker;

/// What a client may send of all requests of its connection together before serin reads it, in bytes.
pub const WINDOW: usize = 256 * 1024;

pub struct Streams {
    worker: Rc<Worker>,
    origin: Rc<Origin>,
    pub limits: Arc<ProxyLimits>,
    budget: Rc<Budget>,
    /// What the connection may hold of requests that serin has not read, while there are any.
    charge: RefCell<Option<Charge>>,
    /// Those of the connection; each request has its own.
    pub alarms: Rc<Alarms>,
    in_flight: Cell<usize>,
    had_any: Cell<bool>,
    ended: Notify,
    idle: Idle<Stream>,
}

/// A request that has begun, and where its answer goes.
struct Stream {
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    in_flight: InFlight,
}

/// Counts a request in flight, until it is dropped.
struct InFlight(Rc<Streams>);

impl Streams {
    pub fn new(worker: &Rc<Worker>, alarms: Rc<Alarms>, origin: Rc<Origin>, bounds: (Arc<ProxyLimits>, Rc<Budget>)) -> Rc<Streams> {
        let (limits, budget) = bounds;
        Rc::new(Streams {
            worker: worker.clone(),
            origin,
            limits,
            budget,
            charge: RefCell::default(),
            alarms,
            in_flight: Cell::new(0),
            had_any: Cell::new(false),
            ended: Notify::new(),
            idle: Idle::default(),
        })
    }

    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether there has been a request on this connection.
    pub fn had_any(&self) -> bool {
        self.had_any.get()
    }

    /// Waits until the last request has ended.
    pub async fn all_ended(&self) {
        while self.in_flight.get() > 0 {
            self.ended.notified().await;
        }
    }

    /// Begins a request, unless there are too many. The library counts a stream that the client has broken off no more, but its
    /// request goes on: without a limit here, one connection could begin requests without end (CVE-2023-44487).
    pub fn take(self: &Rc<Self>, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if self.in_flight.get() >= self.limits.max_streams as usize {
            // The client may repeat the request (RFC 9113, 8.7).
            return respond.send_reset(Reason::REFUSED_STREAM);
        }
        let stream = Stream { request, respond, in_flight: self.begins() };
        if let Err(stream) = self.idle.run(stream) {
            tokio::task::spawn_local(run(Lane::new(stream)));
        }
    }

    /// Frees what the next request can do without. Returns whether there was something.
    pub fn rest(&self) -> bool {
        let any = !self.idle.is_empty();
        self.idle.end();
        any
    }

    fn begins(self: &Rc<Self>) -> InFlight {
        self.had_any.set(true);
        self.in_flight.set(self.in_flight.get() + 1);
        InFlight(self.clone())
    }

    fn charge(&self) -> Result<(), NoMemory> {
        let mut charge = self.charge.borrow_mut();
        if charge.is_none() {
            *charge = Some(Charge::in_transit(&self.budget, &self.alarms, WINDOW)?);
        }
        Ok(())
    }

    async fn run(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (parts, body) = request.into_parts();
        let asked = Asked::by(&parts);
        let stream = Rc::new(RefCell::new(Http2::new(body, request::length(&parts), respond)));
        let inbound = Inbound::Http2(stream.clone());
        let bounds = (self.limits.clone(), self.budget.clone());
        let session = Session::new(self.worker.clock().alarms(), self.origin.clone(), bounds, inbound);
        let charged = self.charge();
        let reply = {
            let handling = pin!(async {
                match charged.map_err(|NoMemory| Problem::Memory).and_then(|()| read(parts)) {
                    Ok(head) => {
                        stream.borrow_mut().expects = headers::expects_continue(&head.fields);
                        handle(&self.worker, &session, Box::new(head)).await
                    }
                    Err(problem) => {
                        self.worker.counts(problem);
                        Reply::problem(problem, None)
                    }
                }
            });
            watched(&session, &stream, handling).await
        };
        answer(asked, reply, &session, &stream).await;
    }
}

/// Runs one request after the other.
async fn run(lane: Rc<Lane<Stream>>) {
    while let Some(Stream { request, respond, in_flight }) = lane.next().await {
        in_flight.0.run(request, respond).await;
        let streams = in_flight.0.clone();
        drop(in_flight);
        streams.idle.add(&lane);
    }
}

/// Waits for a request's reply, and notices a client that leaves meanwhile.
async fn watched(session: &Session, stream: &RefCell<Http2>, mut handling: std::pin::Pin<&mut impl Future<Output = Reply>>) -> Reply {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(reply) = handling.as_mut().poll(cx) {
            return Poll::Ready(reply);
        }
        // A request that waits for the client's body learns of it by that body, too.
        if !session.is_gone() && stream.borrow_mut().respond.poll_reset(cx).is_ready() {
            session.leaves();
        }
        Poll::Pending
    })
    .await
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.set(self.0.in_flight.get() - 1);
        if self.0.in_flight.get() == 0 {
            *self.0.charge.borrow_mut() = None;
        }
        self.0.ended.notify_one();
        self.0.alarms.wake();
    }
}
