//! One client connection from its first byte to its end: hyper speaks HTTP, and what hyper leaves open is done here:
//! the waits for the client, a 408 for a head that never came whole, and a close that does not destroy the last answer.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::body::AnswerBody;
use super::client::{ClientIo, Phase, Session};
use super::clock::Wait;
use super::handle::handle;
use super::listen::{Open, Stage, Worker};
use super::problem::Problem;

/// How long, and for how many bytes, a closing connection still listens, so that what the client sends does not reset
/// the connection under our last answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// How long an idle connection's next request may take to reach us once serin drains.
const LAST_MOMENT: Duration = Duration::from_millis(100);
/// hyper's buffer has room for this much of a body behind the longest head.
const BEHIND_HEAD: usize = 16 * 1024;

/// How a connection came to its end.
enum End {
    /// HTTP says so.
    Done,
    Failed(hyper::Error),
    /// Nothing to wait for any more; `Head` says that a part of a head had come.
    TimedOut(Phase),
    /// The client takes nothing of its answer.
    Stalled,
}

/// Drives a connection to its end. While it rests it is a socket and a few hundred bytes; hyper comes with the first
/// byte, and goes again when nothing more is expected soon.
pub async fn serve(worker: Rc<Worker>, mut stream: TcpStream, session: Rc<Session>) {
    loop {
        if rest(&worker, &stream, &session).await.is_err() {
            return Box::pin(close(worker, stream, End::TimedOut(Phase::Idle))).await;
        }
        // Boxed, as are other rare or large states: a resting connection must not keep room for them.
        match Box::pin(converse(&worker, stream, &session)).await {
            Conversed::Rests(socket) => {
                worker.one_rests();
                stream = socket;
            }
            Conversed::Ended(socket, end) => return Box::pin(close(worker, socket, end)).await,
        }
    }
}

/// The client said nothing for too long.
struct Silence;

/// Waits until there is something to read.
async fn rest(worker: &Worker, stream: &TcpStream, session: &Session) -> Result<(), Silence> {
    session.rests();
    let mut last = LastRequest::default();
    std::future::poll_fn(|cx| {
        // It is idle, so this only sets its last moment when serin drains.
        last.is_now(worker.stage(), session);
        if stream.poll_read_ready(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        session.alarms.watch(cx);
        if session.alarms.rang(Wait::Client) { Poll::Ready(Err(Silence)) } else { Poll::Pending }
    })
    .await
}

enum Conversed {
    Rests(TcpStream),
    Ended(TcpStream, End),
}

/// Speaks HTTP until the connection ends or may rest.
async fn converse(worker: &Rc<Worker>, stream: TcpStream, session: &Rc<Session>) -> Conversed {
    let mut builder = http1::Builder::new();
    builder
        .half_close(true)
        .header_read_timeout(None)
        .max_header_size(session.limits.max_head_bytes)
        .max_buf_size(session.limits.max_head_bytes + BEHIND_HEAD);
    let mut last = LastRequest::default();
    let (mut stream, mut before) = (stream, Bytes::new());
    loop {
        session.roused();
        let service = Webhooks { worker: worker.clone(), session: session.clone() };
        let mut connection = builder.serve_connection(ClientIo::new(stream, session.clone(), before), service);
        let end = std::future::poll_fn(|cx| {
            let polled = connection.poll_without_shutdown(cx);
            if last.is_now(worker.stage(), session) {
                Pin::new(&mut connection).graceful_shutdown();
            }
            match polled {
                Poll::Ready(Ok(())) => Poll::Ready(Some(End::Done)),
                Poll::Ready(Err(error)) => Poll::Ready(Some(End::Failed(error))),
                Poll::Pending if session.may_rest() => Poll::Ready(None),
                Poll::Pending => overdue(session, cx).map(Some),
            }
        })
        .await;
        let parts = connection.into_parts();
        stream = parts.io.into_stream();
        match end {
            Some(end) => return Conversed::Ended(stream, end),
            None if parts.read_buf.is_empty() => return Conversed::Rests(stream),
            // A part of the next head came behind the last request: it is waited for like any other.
            None => {
                before = parts.read_buf;
                session.bytes_came();
            }
        }
    }
}

/// Tells a connection, once, that its present request is the last: when serin is on its way out. An idle connection is
/// not closed at once when it drains, for its next request may be in the kernel already: it gets a last moment.
#[derive(Default)]
struct LastRequest {
    told: bool,
    last_moment: bool,
}

impl LastRequest {
    fn is_now(&mut self, stage: Stage, session: &Session) -> bool {
        match (stage, session.phase()) {
            (Stage::Serving, _) | (_, Phase::Head) | (Stage::LameDuck, Phase::Idle) => false,
            (Stage::LameDuck | Stage::Draining, Phase::Busy) => !std::mem::replace(&mut self.told, true),
            (Stage::Draining, Phase::Idle) => {
                if !std::mem::replace(&mut self.last_moment, true) {
                    session.alarms.arm(Wait::Client, LAST_MOMENT);
                }
                false
            }
        }
    }
}

fn overdue(session: &Session, cx: &mut Context<'_>) -> Poll<End> {
    session.alarms.watch(cx);
    if session.alarms.rang(Wait::Client) {
        return Poll::Ready(End::TimedOut(session.phase()));
    }
    if session.alarms.rang(Wait::Write) {
        return Poll::Ready(End::Stalled);
    }
    Poll::Pending
}

async fn close(worker: Rc<Worker>, mut stream: TcpStream, end: End) {
    match end {
        End::Done | End::TimedOut(Phase::Idle) => linger(stream).await,
        End::Failed(error) => {
            if error.is_parse() {
                // hyper has answered 400, 414 or 431.
                worker.metrics().error("bad_request");
            }
            linger(stream).await;
        }
        End::TimedOut(Phase::Head) => {
            worker.metrics().error(Problem::HeadTimeout.code());
            if stream.write_all(&head_timeout()).await.is_ok() {
                linger(stream).await;
            }
        }
        End::TimedOut(Phase::Busy) | End::Stalled => {}
    }
}

/// hyper has no answer for a head that never came whole, so this one is written by hand.
fn head_timeout() -> Vec<u8> {
    let body = Problem::HeadTimeout.json();
    let head = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\nserin-error: {}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        Problem::HeadTimeout.code(),
        body.len()
    );
    [head.as_bytes(), &body].concat()
}

/// Closes our side, then reads what still comes for a while: closing with unread bytes would send a reset, and a reset
/// makes the client's kernel throw our last answer away.
async fn linger(mut stream: TcpStream) {
    let drained = async {
        stream.shutdown().await?;
        let mut sink = [0u8; 4096];
        let mut total = 0;
        while total < LINGER_BYTES {
            match stream.read(&mut sink).await? {
                0 => break,
                n => total += n,
            }
        }
        Ok::<(), io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}

/// hyper's way to `handle`.
struct Webhooks {
    worker: Rc<Worker>,
    session: Rc<Session>,
}

impl Service<Request<Incoming>> for Webhooks {
    type Response = Response<AnswerBody>;
    type Error = std::convert::Infallible;
    type Future = Running;

    fn call(&self, request: Request<Incoming>) -> Running {
        // Boxed: hyper keeps room for the future as long as the connection is open, and most of them are idle.
        let future = handle(self.worker.clone(), self.session.clone(), request);
        Running { future: Some(Box::pin(future)), worker: self.worker.clone(), session: self.session.clone() }
    }
}

/// A request that is being answered. If the client hangs up it runs on, for the bot's work is not cancelled.
struct Running {
    future: Option<Pin<Box<dyn Future<Output = Response<AnswerBody>>>>>,
    worker: Rc<Worker>,
    session: Rc<Session>,
}

impl Future for Running {
    type Output = Result<Response<AnswerBody>, std::convert::Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let future = self.future.as_mut().expect("not polled after it was ready");
        let response = std::task::ready!(future.as_mut().poll(cx));
        self.future = None;
        Poll::Ready(Ok(response))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.session.gone();
            // Counted like a connection, so that a drain waits for it.
            let open = Open::new(self.worker.clone());
            tokio::task::spawn_local(async move {
                future.await.into_body().drain().await;
                drop(open);
            });
        }
    }
}
