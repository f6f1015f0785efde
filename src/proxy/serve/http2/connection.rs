//! Drives a connection: its limits, its idle time, and its end.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, Handshake};

use super::streams::{Streams, WINDOW};
use crate::config::ProxyLimits;
use crate::meters::Closed;
use crate::proxy::client::Origin;
use crate::proxy::wire::Wire;
use crate::proxy::wire::as_tokio::WireIo;
use crate::proxy::wire::budget::Budget;
use crate::proxy::wire::clock::{REST_AFTER, Wait};
use crate::proxy::worker::{Occupant, Stage, Worker};

/// What a client may send of one request's body before serin reads it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What may wait of one answer until the client takes it.
const SEND_BUFFER: usize = 64 * 1024;
/// The requests that a client may break off before serin has looked at them. More are an attack (CVE-2023-44487).
const RESETS_UNSEEN: usize = 20;
/// The streams that may break the protocol before the connection is closed (CVE-2025-8671).
const RESETS_OF_OURS: usize = 100;
/// How long a client has to end a connection that serin has said goodbye to, once no request is in flight.
const GOODBYE: Duration = Duration::from_secs(2);

/// Returns when the connection has ended, and its last request too: a bot's work goes on after its client has left.
pub async fn serve(
    worker: &Rc<Worker>,
    occupant: &Occupant,
    wire: Wire,
    origin: Rc<Origin>,
    bounds: (Arc<ProxyLimits>, Rc<Budget>),
) -> Option<Closed> {
    let streams = Streams::new(worker, occupant.alarms.clone(), origin, bounds);
    let closed = converse(worker, occupant, &streams, wire).await;
    streams.all_ended().await;
    closed
}

/// Returns why serin closed the connection before its usual end, if it did.
async fn converse(worker: &Worker, occupant: &Occupant, streams: &Rc<Streams>, wire: Wire) -> Option<Closed> {
    let limits = &streams.limits;
    let mut frames = Frames::Begin(Box::new(begin(wire, limits)));
    let (mut leave, mut closed) = (Leave::No, None);
    streams.alarms.arm(Wait::Client, limits.head_timeout);
    std::future::poll_fn(|cx| {
        loop {
            // A client that broke the protocol knows about it.
            if frames.poll(cx, streams).is_ready() {
                return Poll::Ready(closed);
            }
            streams.alarms.watch(cx);
            match next(worker, occupant, streams, &frames, leave) {
                Step::Wait => return Poll::Pending,
                Step::SayGoodbye(reason) => {
                    leave = if frames.say_goodbye() { Leave::Said } else { Leave::Soon };
                    closed = reason.or(closed);
                }
                Step::End(reason) => return Poll::Ready(reason.or(closed)),
            }
        }
    })
    .await
}

fn begin(wire: Wire, limits: &ProxyLimits) -> Handshake<WireIo, Bytes> {
    server::Builder::new()
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_head_bytes as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW as u32)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(Some(RESETS_OF_OURS))
        .handshake(WireIo::new(wire))
}

/// The connection's frames.
enum Frames {
    /// The client's preface has not come.
    Begin(Box<Handshake<WireIo, Bytes>>),
    Open(Box<server::Connection<WireIo, Bytes>>),
}

impl Frames {
    /// Reads and writes what there is, and begins new requests. Ready when the connection has ended.
    fn poll(&mut self, cx: &mut Context<'_>, streams: &Rc<Streams>) -> Poll<()> {
        loop {
            match self {
                Frames::Begin(handshake) => match ready!(std::pin::Pin::new(handshake.as_mut()).poll(cx)) {
                    Ok(connection) => *self = Frames::Open(Box::new(connection)),
                    Err(_) => return Poll::Ready(()),
                },
                Frames::Open(connection) => match ready!(connection.poll_accept(cx)) {
                    Some(Ok((request, respond))) => streams.take(request, respond),
                    Some(Err(_)) | None => return Poll::Ready(()),
                },
            }
        }
    }

    /// Returns whether it is said: there is no frame before the client's preface has come.
    fn say_goodbye(&mut self) -> bool {
        match self {
            Frames::Begin(_) => false,
            Frames::Open(connection) => {
                connection.graceful_shutdown();
                true
            }
        }
    }

    fn is_open(&self) -> bool {
        matches!(self, Frames::Open(_))
    }

    /// Whether the end of some answer may still wait for the client.
    fn has_streams(&self) -> bool {
        match self {
            Frames::Begin(_) => false,
            Frames::Open(connection) => connection.has_streams(),
        }
    }
}

/// Whether serin has told the client to send no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    No,
    /// It will, once the client's preface has come.
    Soon,
    Said,
}

enum Step {
    Wait,
    SayGoodbye(Option<Closed>),
    End(Option<Closed>),
}

fn next(worker: &Worker, occupant: &Occupant, streams: &Streams, frames: &Frames, leave: Leave) -> Step {
    let (alarms, limits) = (&streams.alarms, &streams.limits);
    if let Some(reason) = occupant.must_leave() {
        return Step::End(Some(reason));
    }
    if streams.in_flight() > 0 {
        alarms.clear(Wait::Client);
        alarms.clear(Wait::Rest);
        occupant.works();
    } else if alarms.rang(Wait::Rest) {
        alarms.clear(Wait::Rest);
        if streams.rest() {
            worker.one_rests();
        }
    } else if !alarms.armed(Wait::Client) {
        occupant.waits();
        alarms.arm(Wait::Rest, REST_AFTER);
        alarms.arm(
            Wait::Client,
            match leave {
                Leave::No => limits.idle_timeout,
                Leave::Said if frames.has_streams() => limits.write_timeout,
                // As in HTTP/1, a serin that retires takes one request of every client.
                Leave::Soon if matches!(worker.stage(), Stage::Retiring(_)) => limits.head_timeout,
                Leave::Soon | Leave::Said => GOODBYE,
            },
        );
    }
    match (leave, alarms.rang(Wait::Client)) {
        (Leave::No, rang) if rang || worker.stage() != Stage::Serving => {
            // The wait begins again, for the client's goodbye.
            alarms.clear(Wait::Client);
            Step::SayGoodbye((rang && !streams.had_any()).then_some(Closed::Silent))
        }
        (Leave::Soon | Leave::Said, true) => Step::End(None),
        (Leave::Soon, false) if frames.is_open() => Step::SayGoodbye(None),
        (Leave::No | Leave::Soon | Leave::Said, _) => Step::Wait,
    }
}
