//! One request from its head to the moment it is sent on: refuses it if it is malformed, finds the bot and the workspace, and
//! assigns it to a track. `answer` gives the overview.

use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, StatusCode};

use super::assign::{BodyState, decide};
use super::forward::{Outbound, forward};
use super::record::{Assigned, Exchange, Places, Wanted};
use super::reply::Reply;
use super::reply_body::ReplyBody;
use super::route;
use crate::config::{OverCap, Underscores};
use crate::http1::{Known, RequestHead, Target, Trace};
use crate::identify::{Found, Head};
use crate::live::Names;
use crate::proxy::client::{Buffered, RequestBody, Session, Upload, buffer};
use crate::proxy::problem::{ALLOWED, Problem};
use crate::proxy::worker::{BotView, NoPlace, Noted, Source, Worker};
use crate::proxy::{forwarded, headers};

/// Answers one request. Never fails: a problem is an answer too.
pub async fn handle(worker: &Rc<Worker>, session: &Rc<Session>, head: Box<RequestHead>) -> Reply {
    let started = Instant::now();
    let trace = worker.trace(&head.fields);
    let reply = match answer(worker, session, head, (started, trace)).await {
        Ok(reply) => reply,
        Err(problem) => {
            worker.counts(problem);
            Reply::problem(problem, trace.id())
        }
    };
    if let ReplyBody::Own(_) = reply.body {
        // If the body has arrived, the connection can take the next request.
        session.skip_body();
    }
    reply
}

async fn answer(
    worker: &Rc<Worker>,
    session: &Rc<Session>,
    mut head: Box<RequestHead>,
    (started, trace): (Instant, Trace),
) -> Result<Reply, Problem> {
    let target = check(&mut head, worker.view().snapshot.config.proxy.underscores)?;
    if let Some(answer) = own_options(&mut head) {
        return Ok(answer);
    }
    if let Some(answer) = own_challenge(worker, &head, &target) {
        return Ok(answer);
    }
    let bot = find_bot(worker, &head, &target)?;
    let source = source(worker, session, &head);
    let place = worker.place(source).map_err(|no_place| match no_place {
        NoPlace::Full => Problem::Overloaded,
        NoPlace::OfSource => Problem::SourceLimit,
        NoPlace::NoMemory => Problem::Memory,
    })?;

    let received = receive(&bot, of(&head, &target), session).await?;
    // The time in which the client sent its body is not serin's own.
    let since = if received.waited { Instant::now() } else { started };
    let assigned = assign(worker, &bot, of(&head, &target), &received, trace);
    let track = assigned.assignment.track;
    let at_upstream = bot.place(track, worker.clock()).ok_or(Problem::UpstreamOverloaded)?;
    if let Some(tester) = &bot.bot().tester {
        head.fields.remove(tester.header.as_str());
    }
    let exchange = Exchange::begin(bot.clone(), session.clone(), Places { worker: place, upstream: at_upstream }, started, assigned);
    let body = match received.body {
        Body::Whole(body) => {
            session.set_upload(Upload::Done(since));
            body
        }
        Body::Part(read) => RequestBody::stream(read, session, bot.bot().timeout),
    };
    forward(exchange, Outbound { bot, head, path: target.path, body, track, trace, since }).await
}

/// Refuses what cannot be passed on. Returns the target in the form that an upstream expects.
fn check(head: &mut RequestHead, underscores: Underscores) -> Result<Target, Problem> {
    if [Method::CONNECT, Method::TRACE].contains(&head.method) {
        return Err(Problem::Method);
    }
    if head.fields.has_underscores() {
        headers::on_underscores(&mut head.fields, underscores)?;
    }
    headers::check(head.version, &head.fields)?;
    let target = std::mem::replace(&mut head.target, Err(crate::http1::BadTarget))?;
    if target.path.as_str() == "*" && head.method != Method::OPTIONS {
        return Err(Problem::BadTarget);
    }
    // Absolute form: its authority replaces the Host header (RFC 9112, 3.2.2).
    if let Some(authority) = &target.authority {
        head.fields.set("host", authority.as_bytes()).map_err(|_| Problem::BadHost)?;
        // Checked again, because the authority may contain a user.
        headers::check(head.version, &head.fields)?;
    }
    Ok(target)
}

/// Decrements `Max-Forwards` of an OPTIONS request. If it was 0, serin answers itself (RFC 9110, 7.6.2).
fn own_options(head: &mut RequestHead) -> Option<Reply> {
    if head.method != Method::OPTIONS {
        return None;
    }
    let left: u32 = std::str::from_utf8(head.fields.get(Known::MaxForwards)?).ok()?.parse().ok()?;
    if left > 0 {
        head.fields.set("max-forwards", (left - 1).to_string().as_bytes()).expect("a number is a field's value");
        return None;
    }
    Some(Reply::own(StatusCode::OK, Bytes::new()).with("allow", ALLOWED))
}

/// The answer to an authority that checks by a request that a name leads here. All else below that path is for a bot.
fn own_challenge(worker: &Worker, head: &RequestHead, target: &Target) -> Option<Reply> {
    let answer = worker.front_tls().challenges().answer(target.path.path())?;
    let asks = [Method::GET, Method::HEAD].contains(&head.method);
    asks.then(|| Reply::own(StatusCode::OK, answer).with("content-type", "application/octet-stream"))
}

/// Whom the request counts for. A trusted proxy says it for each request.
fn source(worker: &Worker, session: &Session, head: &RequestHead) -> Rc<Source> {
    let origin = &session.origin;
    origin.source.clone().unwrap_or_else(|| {
        let trusted = &worker.view().snapshot.config.proxy.trusted_proxies;
        worker.source(forwarded::client(&head.fields, origin, trusted))
    })
}

fn find_bot(worker: &Worker, head: &RequestHead, target: &Target) -> Result<Rc<BotView>, Problem> {
    let view = worker.view();
    match route::find(&view.snapshot.config.bots, head.fields.get(Known::Host), target.path.path()) {
        Some(index) => Ok(view.bots[index].clone()),
        None => {
            worker.metrics().unmatched(worker.number());
            Err(Problem::NoBot)
        }
    }
}

/// What is known of a request's body before it is sent on.
struct Received {
    body: Body,
    too_large: bool,
    waited: bool,
}

enum Body {
    Whole(RequestBody),
    /// The extractor does not need the body, or it is too large. Contains the part that was read; the rest is still to come.
    Part(Bytes),
}

/// Reads the whole body if the workspace may be in it. Otherwise reads nothing of it.
async fn receive(bot: &BotView, head: Head<'_>, session: &Session) -> Result<Received, Problem> {
    if session.body_is_done() {
        return Ok(Received { body: Body::Whole(RequestBody::Empty), too_large: false, waited: false });
    }
    let config = bot.bot();
    if !config.extractor.wants_body(head) {
        return Ok(Received { body: Body::Part(Bytes::new()), too_large: false, waited: false });
    }
    match buffer(session, config.body_cap).await {
        Buffered::Whole { body, waited } => Ok(Received { body: Body::Whole(body), too_large: false, waited }),
        Buffered::Over(_) if config.over_cap == OverCap::Reject => Err(Problem::BodyTooLarge),
        Buffered::Over(read) => Ok(Received { body: Body::Part(read), too_large: true, waited: true }),
        Buffered::Broken => Err(Problem::BodyBroken),
        Buffered::TimedOut => Err(Problem::BodyTimeout),
        Buffered::NoMemory => Err(Problem::Memory),
    }
}

/// Assigns the request, and finds out whether the platform sent it before. Counts the result, and prepares what the access log and
/// the names of workspaces need of this request.
fn assign(worker: &Worker, bot: &BotView, head: Head<'_>, received: &Received, trace: Trace) -> Assigned {
    let config = bot.bot();
    let looked = match &received.body {
        Body::Whole(body) => BodyState::Whole(body.held().unwrap_or_default()),
        Body::Part(_) if received.too_large => BodyState::TooLarge,
        Body::Part(_) => BodyState::NotWanted,
    };
    let decision = decide(config, &bot.epoch.split, head, looked);
    let meter = decision.source.map_or(&bot.no_source, |source| &bot.sources[source]);
    meter.add(bot.worker, decision.result);
    if decision.reading.handshake {
        bot.meters().handshakes.add(1);
    }
    let assignment = decision.assignment;
    let retried = decision.reading.retry.map(|retry| bot.retried(assignment.track, retry.reason)).is_some();
    let log = &bot.snapshot.config.log;
    let (has_line, has_name) =
        (worker.random.takes(log.access_bp), bot.epoch.names.is_some() && assignment.reason.is_evidence() && !retried);
    let wanted = (has_line || has_name).then(|| {
        let workspace = match &decision.reading.found {
            Found::Workspace { workspace, .. } => Some(workspace),
            Found::Missing | Found::Invalid | Found::Mixed => None,
        };
        let said = workspace.filter(|_| log.access_workspace);
        let line = has_line.then(|| Noted::new(head.method.clone(), trace.id(), said.map(ToString::to_string)));
        Box::new(Wanted { line, name: workspace.filter(|_| has_name).map(Names::name) })
    });
    Assigned { assignment, retried, wanted }
}

fn of<'a>(head: &'a RequestHead, target: &'a Target) -> Head<'a> {
    Head { method: &head.method, target: &target.path, fields: &head.fields }
}
