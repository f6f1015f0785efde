//! Drives a connection: its limits, its idle time, and its end.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{self, Handshake};

use super::streams::Streams;
use crate::config::ProxyLimits;
use crate::meters::Closed;
use crate::proxy::client::Origin;
use crate::proxy::wire::Wire;
use crate::proxy::wire::as_tokio::WireIo;
use crate::proxy::wire::clock::Wait;
use crate::proxy::worker::{Stage, Worker};

/// What a client may send of one request's body before serin reads it, in bytes.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all requests of a connection together.
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// What may wait of one answer until the client takes it.
const SEND_BUFFER: usize = 64 * 1024;
/// The requests that a client may break off before serin has looked at them. More are an attack (CVE-2023-44487).
const RESETS_UNSEEN: usize = 20;
/// The streams that may break the protocol before the connection is closed (CVE-2025-8671).
const RESETS_OF_OURS: usize = 100;
/// How long a client has to end a connection that serin has said goodbye to, once no request is in flight.
const GOODBYE: Duration = Duration::from_secs(2);

/// Returns when the connection has ended, and its last request too: a bot's work goes on after its client has left.
pub async fn serve(worker: &Rc<Worker>, wire: Wire, origin: Rc<Origin>, limits: Arc<ProxyLimits>) {
    let streams = Streams::new(worker, origin, limits);
    converse(worker, &streams, wire).await;
    streams.all_ended().await;
}

async fn converse(worker: &Worker, streams: &Rc<Streams>, wire: Wire) {
    let limits = &streams.limits;
    let mut frames = Frames::Begin(Box::new(begin(wire, limits)));
    let mut leave = Leave::No;
    streams.alarms.arm(Wait::Client, limits.head_timeout);
    std::future::poll_fn(|cx| {
        loop {
            // A client that broke the protocol knows about it.
            if frames.poll(cx, streams).is_ready() {
                return Poll::Ready(());
            }
            streams.alarms.watch(cx);
            match next(worker, streams, &frames, leave) {
                Step::Wait => return Poll::Pending,
                Step::SayGoodbye => {
                    leave = Leave::Said;
                    frames.say_goodbye();
                }
                Step::End => return Poll::Ready(()),
            }
        }
    })
    .await;
}

fn begin(wire: Wire, limits: &ProxyLimits) -> Handshake<WireIo, Bytes> {
    server::Builder::new()
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_head_bytes as u32)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(Some(RESETS_OF_OURS))
        .handshake(WireIo(wire))
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

    /// A client whose preface has not come gets no goodbye: it has asked for nothing.
    fn say_goodbye(&mut self) {
        if let Frames::Open(connection) = self {
            connection.graceful_shutdown();
        }
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
    Said,
}

enum Step {
    Wait,
    SayGoodbye,
    End,
}

fn next(worker: &Worker, streams: &Streams, frames: &Frames, leave: Leave) -> Step {
    let (alarms, limits) = (&streams.alarms, &streams.limits);
    if streams.in_flight() > 0 {
        alarms.clear(Wait::Client);
    } else if !alarms.armed(Wait::Client) {
        alarms.arm(
            Wait::Client,
            match leave {
                Leave::No => limits.idle_timeout,
                Leave::Said if frames.has_streams() => limits.write_timeout,
                Leave::Said => GOODBYE,
            },
        );
    }
    match (leave, alarms.rang(Wait::Client)) {
        (Leave::No, rang) if rang || worker.stage() != Stage::Serving => {
            if rang && !streams.had_any() {
                worker.metrics().connections(worker.number()).closed(Closed::Silent);
            }
            // The wait begins again, for the client's goodbye.
            alarms.clear(Wait::Client);
            Step::SayGoodbye
        }
        (Leave::Said, true) => Step::End,
        (Leave::No | Leave::Said, _) => Step::Wait,
    }
}
