//! One request from its head to the moment it is sent on: refuse what is malformed, find the bot, find the workspace,
//! assign it. The first function tells the story.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::header::{HOST, HeaderValue, MAX_FORWARDS};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Response, Uri};
use http_body::Body as _;
use hyper::body::Incoming;

use super::assign::{Looked, decide};
use super::body::{AnswerBody, Hold, RequestBody, hold};
use super::client::Session;
use super::exchange::Exchange;
use super::forward::{Outbound, forward};
use super::headers::{self, Minded};
use super::listen::Worker;
use super::problem::Problem;
use super::route;
use super::view::BotView;
use crate::config::OverCap;
use crate::core::Assignment;
use crate::identify::Head;

/// Answers one request. Never fails: what goes wrong is an answer too.
pub async fn handle(worker: Rc<Worker>, session: Rc<Session>, request: Request<Incoming>) -> Response<AnswerBody> {
    let started = Instant::now();
    session.request_began();
    let answered = answer(&worker, &session, request, started).await;
    session.answering();
    match answered {
        Ok(response) => response,
        Err(problem) => {
            worker.metrics().error(problem.code());
            session.request_ended();
            problem.answer()
        }
    }
}

async fn answer(
    worker: &Rc<Worker>,
    session: &Rc<Session>,
    mut request: Request<Incoming>,
    started: Instant,
) -> Result<Response<AnswerBody>, Problem> {
    let minded = check(&mut request)?;
    if let Some(answer) = own_options(&mut request) {
        session.request_ended();
        return Ok(answer);
    }
    let bot = find_bot(worker, &request)?;
    let slot = worker.slot().ok_or(Problem::Overloaded)?;

    let (mut head, incoming) = request.into_parts();
    let received = receive(&bot, &head, incoming, session).await?;
    // Time that the client took for its body is not ours.
    let since = if received.waited { Instant::now() } else { started };
    let (assignment, retried) = assign(&bot, &mut head, &received);
    let exchange = Exchange::begin(bot.clone(), session.clone(), slot, started, assignment, retried);
    let (body, upload) = match received.body {
        Body::Whole(body) => (body, None),
        Body::Part { read, rest } => {
            let (body, upload) = RequestBody::stream(read, rest, session, bot.bot().timeout);
            (body, Some(upload))
        }
    };
    forward(exchange, Outbound { bot, head, minded, body, upload, track: assignment.track, since }).await
}

/// Refuses what cannot be passed on, and brings the target into the form that an upstream expects.
fn check(request: &mut Request<Incoming>) -> Result<Minded, Problem> {
    if [Method::CONNECT, Method::TRACE].contains(request.method()) {
        return Err(Problem::Method);
    }
    let minded = Minded::of(request.headers());
    headers::check(request.version(), minded, request.headers())?;
    // Neither a path nor a whole URL: `GET bot.example`, which is the form for CONNECT; or `*`, which is for OPTIONS.
    let bare_authority = request.uri().scheme().is_none() && request.uri().authority().is_some();
    if bare_authority || (request.uri().path() == "*" && request.method() != Method::OPTIONS) {
        return Err(Problem::BadTarget);
    }
    // Absolute form: its authority is the host that was meant, whatever the header says (RFC 9112, 3.2.2).
    let Some(authority) = request.uri().authority() else { return Ok(minded) };
    let host = HeaderValue::from_str(authority.as_str()).map_err(|_| Problem::BadHost)?;
    let path = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    request.headers_mut().insert(HOST, host);
    *request.uri_mut() = Uri::from(path);
    // Anew: there is a Host now in any case, and it may have a user in it.
    let minded = Minded::of(request.headers());
    headers::check(request.version(), minded, request.headers())?;
    Ok(minded)
}

/// `Max-Forwards` counts down, and an OPTIONS that reaches 0 is ours to answer (RFC 9110, 7.6.2).
fn own_options(request: &mut Request<Incoming>) -> Option<Response<AnswerBody>> {
    if request.method() != Method::OPTIONS {
        return None;
    }
    let left: u32 = request.headers().get(MAX_FORWARDS)?.to_str().ok()?.trim().parse().ok()?;
    if left > 0 {
        request.headers_mut().insert(MAX_FORWARDS, HeaderValue::from(left - 1));
        return None;
    }
    let mut response = Response::new(AnswerBody::own(Bytes::new()));
    response.headers_mut().insert(http::header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    Some(response)
}

fn find_bot(worker: &Worker, request: &Request<Incoming>) -> Result<Rc<BotView>, Problem> {
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let view = worker.view();
    match route::find(&view.snapshot.config.bots, host, request.uri().path()) {
        Some(index) => Ok(view.bots[index].clone()),
        None => {
            worker.metrics().unmatched();
            Err(Problem::NoBot)
        }
    }
}

/// What came of a request's body before it is sent on.
struct Received {
    body: Body,
    too_large: bool,
    waited: bool,
}

enum Body {
    Whole(RequestBody),
    /// Not looked into, or too large to be: what was read of it, and the rest.
    Part {
        read: Bytes,
        rest: Incoming,
    },
}

/// Holds the body if the workspace may be in it, else leaves it where it is.
async fn receive(bot: &BotView, head: &Parts, incoming: Incoming, session: &Session) -> Result<Received, Problem> {
    if incoming.is_end_stream() {
        return Ok(Received { body: Body::Whole(RequestBody::Empty), too_large: false, waited: false });
    }
    let config = bot.bot();
    if !config.plan.wants_body(of(head)) {
        return Ok(Received { body: Body::Part { read: Bytes::new(), rest: incoming }, too_large: false, waited: false });
    }
    match hold(incoming, config.body_cap, session).await {
        Hold::Whole(body) => Ok(Received { body: Body::Whole(body), too_large: false, waited: true }),
        Hold::Over { .. } if config.over_cap == OverCap::Reject => Err(Problem::BodyTooLarge),
        Hold::Over { read, rest } => Ok(Received { body: Body::Part { read, rest }, too_large: true, waited: true }),
        Hold::Broken => Err(Problem::BodyBroken),
        Hold::TimedOut => Err(Problem::BodyTimeout),
    }
}

/// Where this request goes, and whether the platform sent it before. Counts what was found.
fn assign(bot: &BotView, head: &mut Parts, received: &Received) -> (Assignment, bool) {
    let config = bot.bot();
    let looked = match &received.body {
        Body::Whole(body) => Looked::Whole(body.held().unwrap_or_default()),
        Body::Part { .. } if received.too_large => Looked::TooLarge,
        Body::Part { .. } => Looked::NotWanted,
    };
    let decision = decide(config, &bot.epoch.split, of(head), looked);
    let meter = decision.source.map_or(&bot.no_source, |source| &bot.sources[source]);
    meter.add(bot.worker, decision.result);
    if decision.reading.handshake {
        bot.meters().handshakes.add(1);
    }
    let assignment = decision.assignment;
    let retried = decision.reading.retry.map(|retry| bot.meters.retry(assignment.track, retry.reason)).is_some();
    if let Some(tester) = &config.tester {
        head.headers.remove(&tester.header);
    }
    (assignment, retried)
}

fn of(head: &Parts) -> Head<'_> {
    Head { method: &head.method, uri: &head.uri, headers: &head.headers }
}
