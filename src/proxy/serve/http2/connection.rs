//! Drives a connection: its limits, its idle time, and its end.

use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;

use super::streams::{Streams, StreamsService, WINDOW};
use crate::config::ProxyLimits;
use crate::meters::Closed;
use crate::proxy::client::Origin;
use crate::proxy::wire::Wire;
use crate::proxy::wire::as_tokio::WireIo;
use crate::proxy::wire::budget::Budget;
use crate::proxy::wire::clock::Wait;
use crate::proxy::worker::{Occupant, Stage, Worker};

/// What a client may send of one request's body before serin reads it, in bytes. One piece of a body that is passed on is at most as large.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What hyper may hold of one answer until the client takes it.
const SEND_BUFFER: usize = 64 * 1024;
/// The requests that a client may break off before serin has looked at them. More are an attack (CVE-2023-44487).
const RESETS_UNSEEN: usize = 20;
/// The streams that may break the protocol before the connection is closed (CVE-2025-8671).
const RESETS_OF_OURS: usize = 100;
/// How long a client has to end a connection that serin has said goodbye to, once no request is in flight.
const GOODBYE: Duration = Duration::from_secs(2);
/// The interval of checks whether a client takes its answers.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// Runs hyper's tasks on this worker.
#[derive(Clone, Copy, Debug)]
struct OnWorker;

impl<F: Future<Output: 'static> + 'static> Executor<F> for OnWorker {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(task);
    }
}

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

async fn converse(worker: &Worker, occupant: &Occupant, streams: &Rc<Streams>, wire: Wire) -> Option<Closed> {
    let limits = &streams.limits;
    let mut server = http2::Builder::new(OnWorker);
    server
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_head_bytes as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(WINDOW as u32)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(RESETS_OF_OURS)
        .auto_date_header(false);
    let service = TowerToHyperService::new(StreamsService(streams.clone()));
    let mut connection = pin!(server.serve_connection(TokioIo::new(WireIo(wire)), service));
    let (mut leave, mut closed) = (Leave::No, None);
    streams.alarms.arm(Wait::Client, limits.head_timeout);
    streams.alarms.arm(Wait::Presence, CHECK_EVERY);
    std::future::poll_fn(|cx: &mut Context<'_>| {
        loop {
            // A client that broke the protocol knows about it.
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(closed);
            }
            streams.alarms.watch(cx);
            match next(worker, occupant, streams, leave) {
                Step::Wait => return Poll::Pending,
                Step::SayGoodbye(reason) => {
                    (leave, closed) = (Leave::Said, reason);
                    connection.as_mut().graceful_shutdown();
                }
                Step::End(reason) => return Poll::Ready(reason.or(closed)),
            }
        }
    })
    .await
}

/// Whether serin has told the client to send no more requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Leave {
    No,
    Said,
}

enum Step {
    Wait,
    SayGoodbye(Option<Closed>),
    End(Option<Closed>),
}

fn next(worker: &Worker, occupant: &Occupant, streams: &Streams, leave: Leave) -> Step {
    let alarms = &streams.alarms;
    if let Some(reason) = occupant.must_leave() {
        return Step::End(Some(reason));
    }
    if alarms.rang(Wait::Presence) {
        alarms.arm(Wait::Presence, CHECK_EVERY);
        if streams.any_overdue() {
            return Step::End(None);
        }
    }
    if streams.in_flight() > 0 {
        alarms.clear(Wait::Client);
        occupant.works();
    } else if !alarms.armed(Wait::Client) {
        alarms.arm(Wait::Client, if leave == Leave::Said { GOODBYE } else { streams.limits.idle_timeout });
        occupant.waits();
    }
    match (leave, alarms.rang(Wait::Client)) {
        (Leave::No, rang) if rang || worker.stage() != Stage::Serving => {
            // The wait begins again, for the client's goodbye.
            alarms.clear(Wait::Client);
            Step::SayGoodbye((rang && !streams.had_any()).then_some(Closed::Silent))
        }
        (Leave::Said, true) => Step::End(None),
        (Leave::No | Leave::Said, _) => Step::Wait,
    }
}
