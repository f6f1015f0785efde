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

use super::streams::{Streams, StreamsService};
use crate::config::ProxyLimits;
use crate::meters::Closed;
use crate::proxy::client::Origin;
use crate::proxy::wire::Wire;
use crate::proxy::wire::as_tokio::WireIo;
use crate::proxy::wire::clock::Wait;
use crate::proxy::worker::{Stage, Worker};

/// What a client may send of one request's body before serin reads it, in bytes. One piece of a body that is passed on is at most as large.
const STREAM_WINDOW: u32 = 64 * 1024;
/// The same for all requests of a connection together.
const CONNECTION_WINDOW: u32 = 256 * 1024;
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
pub async fn serve(worker: &Rc<Worker>, wire: Wire, origin: Rc<Origin>, limits: Arc<ProxyLimits>) {
    let streams = Streams::new(worker, origin, limits);
    converse(worker, &streams, wire).await;
    streams.all_ended().await;
}

async fn converse(worker: &Worker, streams: &Rc<Streams>, wire: Wire) {
    let limits = &streams.limits;
    let mut server = http2::Builder::new(OnWorker);
    server
        .max_concurrent_streams(limits.max_streams)
        .max_header_list_size(limits.max_head_bytes as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(RESETS_UNSEEN)
        .max_local_error_reset_streams(RESETS_OF_OURS)
        .auto_date_header(false);
    let service = TowerToHyperService::new(StreamsService(streams.clone()));
    let mut connection = pin!(server.serve_connection(TokioIo::new(WireIo(wire)), service));
    let mut leave = Leave::No;
    streams.alarms.arm(Wait::Client, limits.head_timeout);
    streams.alarms.arm(Wait::Presence, CHECK_EVERY);
    std::future::poll_fn(|cx: &mut Context<'_>| {
        loop {
            // A client that broke the protocol knows about it.
            if connection.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            streams.alarms.watch(cx);
            match next(worker, streams, leave) {
                Step::Wait => return Poll::Pending,
                Step::SayGoodbye => {
                    leave = Leave::Said;
                    connection.as_mut().graceful_shutdown();
                }
                Step::End => return Poll::Ready(()),
            }
        }
    })
    .await;
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

fn next(worker: &Worker, streams: &Streams, leave: Leave) -> Step {
    let alarms = &streams.alarms;
    if alarms.rang(Wait::Presence) {
        alarms.arm(Wait::Presence, CHECK_EVERY);
        if streams.any_overdue() {
            return Step::End;
        }
    }
    if streams.in_flight() > 0 {
        alarms.clear(Wait::Client);
    } else if !alarms.armed(Wait::Client) {
        alarms.arm(Wait::Client, if leave == Leave::Said { GOODBYE } else { streams.limits.idle_timeout });
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
