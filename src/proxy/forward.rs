//! From the assignment to the answer: send, wait within the bot's timeout, let stable answer where the canary could
//! not be connected to, and hand the answer back as it came.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Instant;

use http::header::{HOST, HeaderValue};
use http::request::Parts;
use http::{Request, Response, Version};

use super::body::{AnswerBody, RequestBody, Upload};
use super::client::Session;
use super::clock::Wait;
use super::exchange::Exchange;
use super::headers::{self, Minded};
use super::problem::Problem;
use super::upstream::{Answer, ConnectError, Pool, SendError};
use super::view::BotView;
use crate::config::HostHeader;
use crate::core::Track;
use crate::telemetry::RescueReason;

/// A request that is ready to go.
pub struct Outbound {
    pub bot: Rc<BotView>,
    pub head: Parts,
    /// What `head` had when it came.
    pub minded: Minded,
    pub body: RequestBody,
    /// How far a streamed body has come; `None` where all of it is in hand.
    pub upload: Option<Rc<Cell<Upload>>>,
    pub track: Track,
    /// Since when serin has had all it needs.
    pub since: Instant,
}

/// Answers from the track's upstream. The exchange is recorded in any case: here on failure, else at the answer's end.
pub async fn forward(mut exchange: Exchange, outbound: Outbound) -> Result<Response<AnswerBody>, Problem> {
    let Outbound { bot, head, minded, body, upload, track, since } = outbound;
    let Some(pool) = bot.pool(track) else {
        exchange.failed();
        return Err(Problem::TlsFailed);
    };
    // Clients of HTTP/1.0 know no interim answers.
    let interim = head.version >= Version::HTTP_11;
    let request = prepare(head, minded, body, &bot, pool, exchange.session());
    exchange.sending(since);
    let timeout = bot.bot().timeout;
    exchange.session().alarms.arm(Wait::Exchange, timeout);

    let mut sent = {
        let sending = std::pin::pin!(pool.send(request, interim.then_some(exchange.session())));
        within(exchange.session(), sending).await
    };
    if let Some(Err(SendError::Connect { reason, request })) = sent {
        match may_rescue(&bot, track, &request) {
            Some(stable) => {
                exchange.rescued(RescueReason::from(reason));
                exchange.session().alarms.arm(Wait::Exchange, timeout);
                let mut request = *request;
                // It has a Host by now, its client's or the canary's.
                set_host(request.headers_mut(), true, &bot, stable);
                // Boxed: it is rare, and its room would be a second answer's in every request.
                let mut sending = Box::pin(stable.send(request, interim.then_some(exchange.session())));
                sent = within(exchange.session(), sending.as_mut()).await;
            }
            None => {
                exchange.broken();
                return Err(reason.into());
            }
        }
    }
    match sent {
        Some(Ok(answer)) => Ok(hand_back(exchange, answer, &bot)),
        Some(Err(error)) => Err(failed(&mut exchange, error, upload.as_deref())),
        None => Err(timed_out(&mut exchange, upload.as_deref())),
    }
}

fn prepare(head: Parts, minded: Minded, body: RequestBody, bot: &BotView, pool: &Pool, session: &Session) -> Request<RequestBody> {
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = head.uri;
    *request.headers_mut() = head.headers;
    let fields = request.headers_mut();
    headers::strip_hop_by_hop(minded, fields);
    headers::add_forwarded(minded, fields, &session.peer);
    set_host(fields, minded.has_host(), bot, pool);
    request
}

/// The Host that the upstream sees: the client's, unless the config says that the upstream routes by its own name.
fn set_host(fields: &mut http::HeaderMap, has_host: bool, bot: &BotView, pool: &Pool) {
    if bot.bot().host == HostHeader::Upstream || !has_host {
        let authority = pool.target().url.authority.as_str();
        fields.insert(HOST, HeaderValue::from_str(authority).expect("an authority is a header value"));
    }
}

/// The upstream's answer, `None` when the timeout came first.
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

/// Stable's pool, if it may answer for the canary: nothing was sent yet, and stable still has a live role.
fn may_rescue<'a>(bot: &'a BotView, track: Track, request: &Request<RequestBody>) -> Option<&'a Rc<Pool>> {
    let live = bot.has_canary() && bot.epoch.split.weight() < crate::core::Weight::FULL;
    (track == Track::Canary && live && bot.bot().rescue && request.body().is_whole()).then(|| bot.pool(Track::Stable)).flatten()
}

fn hand_back(mut exchange: Exchange, answer: Answer, bot: &BotView) -> Response<AnswerBody> {
    let (mut head, stream) = answer.response.into_parts();
    let said = headers::take_outcome(&mut head.headers);
    exchange.answered(head.status.as_u16(), said);
    headers::strip_hop_by_hop(answer.minded, &mut head.headers);
    Response::from_parts(head, AnswerBody::upstream(stream, exchange, bot.bot().timeout))
}

fn failed(exchange: &mut Exchange, error: SendError, upload: Option<&Cell<Upload>>) -> Problem {
    if upload.is_some_and(|upload| upload.get() == Upload::Broken) {
        exchange.client_failed();
        return Problem::BodyBroken;
    }
    match error {
        SendError::Connect { reason, .. } => {
            exchange.broken();
            reason.into()
        }
        SendError::Broken => {
            exchange.broken();
            Problem::UpstreamBroken
        }
        SendError::Invalid => {
            exchange.failed();
            Problem::UpstreamInvalid
        }
    }
}

fn timed_out(exchange: &mut Exchange, upload: Option<&Cell<Upload>>) -> Problem {
    match upload.map(Cell::get) {
        Some(Upload::ForClient | Upload::Broken) => {
            exchange.client_failed();
            Problem::BodyTimeout
        }
        Some(Upload::ForUpstream | Upload::Done) | None => {
            exchange.failed();
            Problem::UpstreamTimeout
        }
    }
}

impl From<ConnectError> for RescueReason {
    fn from(error: ConnectError) -> RescueReason {
        match error {
            ConnectError::Refused => RescueReason::Refused,
            ConnectError::Unreachable => RescueReason::Unreachable,
            ConnectError::TimedOut => RescueReason::ConnectTimeout,
            ConnectError::Tls => RescueReason::Tls,
            ConnectError::Unresolved => RescueReason::Unresolved,
        }
    }
}

impl From<ConnectError> for Problem {
    fn from(error: ConnectError) -> Problem {
        match error {
            ConnectError::Refused | ConnectError::Unreachable => Problem::ConnectFailed,
            ConnectError::TimedOut => Problem::ConnectTimeout,
            ConnectError::Tls => Problem::TlsFailed,
            ConnectError::Unresolved => Problem::Unresolved,
        }
    }
}
