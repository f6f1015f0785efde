//! From the assignment to the answer: sends the request, waits within the bot's timeout, lets stable answer if serin could not
//! connect to the canary, and returns the answer unchanged. A request that stable rescues keeps its trace.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use bytes::Bytes;
use http::uri::PathAndQuery;

use super::record::Exchange;
use super::reply::{Reply, Then};
use super::reply_body::ReplyBody;
use super::tunnel::Tunnel;
use crate::config::HostHeader;
use crate::core::Track;
use crate::http1::{Known, RequestHead, Trace, Version, upgrade};
use crate::meters::RescueReason;
use crate::proxy::client::{RequestBody, Session, Upload};
use crate::proxy::headers;
use crate::proxy::problem::Problem;
use crate::proxy::upstream::{Answer, AnswerBody, ConnectError, Host, Interim, Pool, Request, SendError, send};
use crate::proxy::wire::clock::Wait;
use crate::proxy::worker::BotView;

/// A request that is ready to be sent.
pub struct Outbound {
    pub bot: Rc<BotView>,
    pub head: Box<RequestHead>,
    pub path: PathAndQuery,
    pub body: RequestBody,
    pub track: Track,
    pub trace: Trace,
    /// The time since when serin could have sent it: what passes after that is serin's own time.
    pub since: Instant,
}

/// Returns the answer of the track's upstream. The exchange is recorded in any case: here after a failure, else when the answer ends.
pub async fn forward(mut exchange: Exchange, outbound: Outbound) -> Result<Reply, Problem> {
    let Outbound { bot, head, path, body, track, trace, since } = outbound;
    let Some(pool) = bot.pool(track) else {
        exchange.failed(Problem::TlsFailed);
        return Err(Problem::TlsFailed);
    };
    let request = prepare((head, path, body), trace, &bot, exchange.session());
    let now = Instant::now();
    exchange.sending(since, now);
    let timeout = bot.bot().timeout;
    exchange.session().alarms.arm(Wait::Exchange, timeout);

    let mut sent = {
        let sending = std::pin::pin!(send(pool, request, now));
        within(exchange.session(), sending).await
    };
    if let Some(Err(SendError::Connect { reason, request })) = sent {
        let why = rescue_reason(reason);
        match why.zip(may_rescue(&bot, track, &request)) {
            Some((why, stable)) => {
                exchange.rescued(why);
                exchange.session().alarms.arm(Wait::Exchange, timeout);
                // Boxed, because it is rare, and every request's future would need room for it.
                let mut sending = Box::pin(send(stable, *request, Instant::now()));
                sent = within(exchange.session(), sending.as_mut()).await;
            }
            None => {
                match why {
                    Some(_) => exchange.broken(reason.into()),
                    None => exchange.excused(reason.into()),
                }
                return Err(reason.into());
            }
        }
    }
    match sent {
        Some(Ok(answer)) => Ok(hand_back(exchange, answer, &bot, track)),
        Some(Err(error)) => Err(failed(&mut exchange, error)),
        None => Err(timed_out(&mut exchange)),
    }
}

fn prepare(
    (head, path, body): (Box<RequestHead>, PathAndQuery, RequestBody),
    trace: Trace,
    bot: &BotView,
    session: &Rc<Session>,
) -> Request {
    // With `host = "upstream"`, or if the client sent no Host.
    let own = bot.bot().host == HostHeader::Upstream || !head.fields.has(Known::Host);
    let host = if own { Host::OfUpstream } else { Host::OfClient };
    let interim = if head.version == Version::Http11 { Interim::Passes } else { Interim::Dropped };
    // A protocol that the bot changes to needs a connection of its own, which a stream of HTTP/2 is not.
    let upgrade = if session.has_connection() { upgrade::asked(&head).map(Box::from) } else { None };
    Request { head, path, host, body, interim, trace, upgrade, session: session.clone() }
}

/// The upstream's answer, or `None` if the timeout passes first.
async fn within(
    session: &Session,
    mut answer: Pin<&mut impl Future<Output = Result<Answer, SendError>>>,
) -> Option<Result<Answer, SendError>> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        session.alarms.watch(cx);
        if session.alarms.rang(Wait::Exchange) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

/// Stable's pool, if stable may answer for the canary: the bot allows rescues, the weight is below 100 %, and the body is whole.
fn may_rescue<'a>(bot: &'a BotView, track: Track, request: &Request) -> Option<&'a Rc<Pool>> {
    let live = bot.has_canary() && bot.epoch.split.weight() < crate::core::Weight::FULL;
    (track == Track::Canary && live && bot.bot().rescue && request.body.is_whole()).then(|| bot.pool(Track::Stable)).flatten()
}

fn hand_back(mut exchange: Exchange, answer: Answer, bot: &Rc<BotView>, track: Track) -> Reply {
    let Answer { head, body } = answer;
    exchange.answered(head.status.as_u16(), headers::outcome(&head.fields));
    let (body, tunnel) = match body {
        AnswerBody::Stream(stream) => (ReplyBody::upstream(stream, exchange, bot.bot().timeout), None),
        AnswerBody::Upgraded(connection) => {
            // What is recorded is the handshake.
            exchange.end_of_answer();
            let websocket = head.fields.get(Known::Upgrade).is_some_and(upgrade::is_websocket);
            (ReplyBody::Own(Bytes::new()), Some(Box::new(Tunnel::new(connection, websocket, bot.clone(), track))))
        }
    };
    Reply { status: head.status, reason: head.reason, fields: head.fields, length: head.length, body, then: Then::GoOn, tunnel }
}

fn failed(exchange: &mut Exchange, error: SendError) -> Problem {
    if exchange.session().upload() == Upload::Broken {
        exchange.excused(Problem::BodyBroken);
        return Problem::BodyBroken;
    }
    let (problem, broken) = match error {
        SendError::Connect { reason, .. } => (reason.into(), true),
        SendError::Broken => (Problem::UpstreamBroken, true),
        SendError::Invalid => (Problem::UpstreamInvalid, false),
    };
    if broken {
        exchange.broken(problem);
    } else {
        exchange.failed(problem);
    }
    problem
}

fn timed_out(exchange: &mut Exchange) -> Problem {
    match exchange.session().upload() {
        Upload::ForClient | Upload::Broken => {
            exchange.excused(Problem::BodyTimeout);
            Problem::BodyTimeout
        }
        Upload::ForUpstream | Upload::Done(_) => {
            exchange.failed(Problem::UpstreamTimeout);
            Problem::UpstreamTimeout
        }
    }
}

/// `None` if serin is to blame: then stable has no connection for it either.
fn rescue_reason(error: ConnectError) -> Option<RescueReason> {
    match error {
        ConnectError::Refused => Some(RescueReason::Refused),
        ConnectError::Unreachable => Some(RescueReason::Unreachable),
        ConnectError::TimedOut => Some(RescueReason::ConnectTimeout),
        ConnectError::Tls => Some(RescueReason::Tls),
        ConnectError::Unresolved => Some(RescueReason::Unresolved),
        ConnectError::Exhausted => None,
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Problem {
        match error {
            ConnectError::Refused | ConnectError::Unreachable => Problem::ConnectFailed,
            ConnectError::TimedOut => Problem::ConnectTimeout,
            ConnectError::Tls => Problem::TlsFailed,
            ConnectError::Unresolved => Problem::Unresolved,
            ConnectError::Exhausted => Problem::Overloaded,
        }
    }
}
