//! The requests of one connection. A request runs in a task of its own: a client that breaks off its stream does not end the bot's
//! work.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{Notify, oneshot};

use super::reply::{StreamBody, response};
use super::request::{Asked, read};
use crate::config::ProxyLimits;
use crate::proxy::client::{Http2, Inbound, Origin, Session};
use crate::proxy::exchange::{Reply, handle};
use crate::proxy::problem::Problem;
use crate::proxy::wire::budget::{Budget, Charge, NoMemory};
use crate::proxy::wire::clock::{Alarms, Wait};
use crate::proxy::worker::Worker;

/// What a client may send of all requests of its connection together before serin reads it, in bytes.
pub const WINDOW: usize = 256 * 1024;

pub struct Streams {
    worker: Rc<Worker>,
    origin: Rc<Origin>,
    pub limits: Arc<ProxyLimits>,
    budget: Rc<Budget>,
    /// What the connection may hold of requests that serin has not read, while there are any.
    charge: RefCell<Option<Rc<Charge>>>,
    /// Those of the connection; each request has its own.
    pub alarms: Rc<Alarms>,
    in_flight: Cell<usize>,
    had_any: Cell<bool>,
    /// The requests whose answers may wait for the client.
    answered: RefCell<Vec<Weak<Session>>>,
    ended: Notify,
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
            answered: RefCell::default(),
            ended: Notify::new(),
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

    /// Whether the client has taken nothing of an answer for the write timeout. Then the connection must end: hyper does not poll an
    /// answer that waits.
    pub fn any_overdue(&self) -> bool {
        let mut overdue = false;
        self.answered.borrow_mut().retain(|session| {
            let Some(session) = session.upgrade() else { return false };
            overdue |= session.alarms.rang(Wait::Write);
            true
        });
        overdue
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

    /// Answers one request. The answer's body counts as in flight too.
    async fn answer(self: Rc<Self>, request: Request<Incoming>) -> Response<StreamBody> {
        let in_flight = self.begins();
        let charged = self.charge();
        let (parts, body) = request.into_parts();
        let inbound = Inbound::Http2(RefCell::new(Http2::new(body)));
        let session = Session::new(self.worker.clock().alarms(), self.origin.clone(), (self.limits.clone(), self.budget.clone()), inbound);
        let asked = Asked::by(&parts);
        let (ready, reply) = oneshot::channel();
        let (worker, handled) = (self.worker.clone(), session.clone());
        tokio::task::spawn_local(async move {
            let head = charged.map_err(|NoMemory| Problem::Memory).and_then(|()| read(parts));
            let reply = match head {
                Ok(head) => handle(&worker, &handled, Box::new(head)).await,
                Err(problem) => {
                    worker.counts(problem);
                    Reply::problem(problem, None)
                }
            };
            if let Err((reply, in_flight)) = ready.send((reply, in_flight)) {
                // The client has left meanwhile.
                reply.body.drain().await;
                drop(in_flight);
            }
        });
        let mut client = Client { session: Some(session.clone()) };
        let answered = reply.await;
        client.session = None;
        self.answered.borrow_mut().push(Rc::downgrade(&session));
        match answered {
            Ok((reply, in_flight)) => response(asked, reply, session, Box::new(in_flight)),
            // The task has panicked.
            Err(_) => {
                let own = Reply::own(StatusCode::INTERNAL_SERVER_ERROR, bytes::Bytes::new());
                response(asked, own, session, Box::new(()))
            }
        }
    }
}

/// The client that waits for an answer. If it is dropped, the client has broken off its stream.
struct Client {
    session: Option<Rc<Session>>,
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.leaves();
        }
    }
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

/// The streams as a service.
#[derive(Clone)]
pub struct StreamsService(pub Rc<Streams>);

impl tower::Service<Request<Incoming>> for StreamsService {
    type Response = Response<StreamBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<StreamBody>, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let streams = self.0.clone();
        Box::pin(async move { Ok(streams.answer(request).await) })
    }
}
