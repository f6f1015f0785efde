//! The HTTP API for operators, on its own listener. Its JSON types are here, and are converted by hand from the core's types.

mod access;
mod actions;
mod attempts;
mod document;
mod events;
mod history;
mod keys;
mod links;
mod listen;
mod notifications;
mod openapi;
mod page;
mod places;
mod preview;
mod problem;
mod rules;
mod statuses;
mod traffic;
mod whoami;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde::Deserialize;

use crate::config::Scope;
use crate::controller::Controller;
use crate::live::{Live, Snapshot};
use crate::meters::Metrics;
use crate::notify::Notifications;
use crate::telemetry::Exporter;

use access::{Access, Denial, Reach};
use attempts::{Attempts, Failure};
use listen::Peer;
use places::Kind;
use problem::ApiError;
use rules::Rules;
use statuses::Statuses;

pub use keys::Keys;
pub use listen::{serve, serve_probes};

/// What the handlers need.
#[derive(Clone, Debug)]
pub struct Context {
    pub live: Arc<Live>,
    pub controller: Arc<Controller>,
    pub metrics: Arc<Metrics>,
    pub exporter: Exporter,
    pub keys: Arc<Keys>,
    pub attempts: Arc<Attempts>,
    pub notifications: Arc<Notifications>,
    /// False until all workers serve, and again from SIGTERM on.
    pub ready: Arc<AtomicBool>,
    /// The listener's address, to recognise its own name in Host and Origin.
    pub address: SocketAddr,
}

/// The actor of a request for the history: a token's name, `cert:` and a certificate's name, or `local` if there is neither. A token's
/// name cannot contain a colon or be `local`.
#[derive(Clone, Debug)]
struct Caller {
    name: String,
    scope: Scope,
}

/// Requests to the API are small; a larger body is a mistake.
const BODY_MAX: usize = 256 * 1024;
/// The time limit for a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

pub fn router(context: Context) -> Router {
    Router::new()
        .route("/v1/bots", get(list_bots))
        .route("/v1/bots/{bot}", get(show_bot))
        .route("/v1/bots/{bot}/weight", put(actions::put_weight))
        .route("/v1/bots/{bot}/rollouts", post(actions::start))
        .route("/v1/bots/{bot}/pause", post(actions::pause))
        .route("/v1/bots/{bot}/resume", post(actions::resume))
        .route("/v1/bots/{bot}/advance", post(actions::advance))
        .route("/v1/bots/{bot}/promote", post(actions::promote))
        .route("/v1/bots/{bot}/abort", post(actions::abort))
        .route("/v1/bots/{bot}/undo", post(actions::undo))
        .route("/v1/bots/{bot}/switch", post(actions::switch))
        .route("/v1/bots/{bot}/adopt", post(actions::adopt))
        .route("/v1/bots/{bot}/freeze", post(actions::freeze))
        .route("/v1/bots/{bot}/thaw", post(actions::thaw))
        .route("/v1/bots/{bot}/drill", post(actions::drill))
        .route("/v1/bots/{bot}/history", get(history::show))
        .route("/v1/bots/{bot}/outcomes", post(actions::outcomes))
        .route("/v1/bots/{bot}/explain", get(explain))
        .route("/v1/bots/{bot}/traffic", get(traffic::show))
        .route("/v1/events", get(events::stream).layer(Extension(Arc::new(Statuses::new(context.live.clone())))))
        .route("/v1/whoami", get(whoami::show))
        .route("/v1/notifications/test", post(notifications::test))
        .route("/act/{token}", get(links::show).post(links::act))
        .route("/openapi.json", get(openapi::show))
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .merge(page::routes())
        .fallback(|| async { ApiError::not_found("there is nothing here; the API is below /v1/bots") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(axum::middleware::from_fn_with_state(context.clone(), guard))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
        .with_state(context)
}

/// The only place that authorises requests.
async fn guard(
    State(context): State<Context>,
    Extension(peer): Extension<Arc<Peer>>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if ![Method::GET, Method::HEAD, Method::PUT, Method::POST].contains(request.method()) {
        return Err(ApiError::method_not_allowed());
    }
    let admin = context.keys.current();
    if peer.rules != Rules::of(&admin) {
        return Err(ApiError::other_rules());
    }
    let access = Access { admin: &admin, address: context.address, peer: &peer };
    let granted =
        access.check(request.method(), request.uri().path(), request.headers()).map_err(|denial| denied(&context, &peer, denial))?;
    let is_open = granted.reach == Reach::Open;
    let path = request.uri().path();
    let is_short = matches!(path, "/livez" | "/readyz") || (!is_open && path != "/v1/events");
    if peer.place.kind() == Kind::Reserved && !is_short {
        return Err(ApiError::full());
    }
    let mut request = match is_open {
        // Nobody is authorised here, so the body is not read; no open path needs one.
        true => request.map(|_| Body::empty()),
        false => {
            peer.place.becomes_known();
            whole(request).await?
        }
    };
    request.extensions_mut().insert(Caller { name: granted.actor, scope: granted.scope });
    request.extensions_mut().insert(granted.reach);
    Ok(next.run(request).await)
}

/// Counts a refusal. An address with too many wrong tokens gets only a 429.
fn denied(context: &Context, peer: &Peer, denial: Denial) -> ApiError {
    let failure = match denial {
        Denial::BadToken => context.attempts.failed(peer.address, Instant::now()),
        Denial::NoToken
        | Denial::Scope { .. }
        | Denial::Bot { .. }
        | Denial::NotForOneBot { .. }
        | Denial::Remote(_)
        | Denial::Forwarded(_)
        | Denial::Host(_)
        | Denial::Origin
        | Denial::ContentType => Failure::Told,
    };
    context.metrics.denied(if failure == Failure::Told { denial.reason() } else { "too_many_attempts" });
    match failure {
        Failure::Told => denial.into(),
        Failure::Blocks { retry_after } => {
            denied_address(peer, retry_after);
            ApiError::too_many(retry_after)
        }
        Failure::Blocked { retry_after } => ApiError::too_many(retry_after),
    }
}

fn denied_address(peer: &Peer, retry_after: Duration) {
    let address = attempts::network(peer.address);
    tracing::warn!(%address, ?retry_after, "too many wrong tokens or links from an address: they are answered 429");
}

/// Reads the whole body, within a time limit.
async fn whole(request: Request) -> Result<Request, ApiError> {
    let (parts, body) = request.into_parts();
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), &());
    let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| ApiError::too_slow(BODY_TIMEOUT))??;
    Ok(Request::from_parts(parts, body.into()))
}

/// The routes of the listener for probes: these two and nothing else.
fn probes(ready: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(move || async move { readiness(&ready) }))
        .fallback(|| async { ApiError::not_found("this listener answers /livez and /readyz alone") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
}

async fn readyz(State(context): State<Context>) -> (StatusCode, &'static str) {
    readiness(&context.ready)
}

fn readiness(ready: &AtomicBool) -> (StatusCode, &'static str) {
    match ready.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn metrics(State(context): State<Context>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], context.exporter.render()).into_response()
}

async fn list_bots(State(context): State<Context>, Extension(reach): Extension<Reach>) -> Json<document::Bots> {
    let snapshot = context.live.current();
    let bots = snapshot.config.bots.iter().enumerate().filter(|(_, bot)| reach.has(bot.name.as_str()));
    Json(document::Bots { bots: bots.map(|(index, _)| document::bot(&snapshot, index)).collect() })
}

async fn show_bot(State(context): State<Context>, Path(name): Path<String>) -> Result<Response, ApiError> {
    bot_answer(&context.live.current(), &name)
}

fn bot_answer(snapshot: &Snapshot, name: &str) -> Result<Response, ApiError> {
    let index = snapshot.bot(name).ok_or_else(|| ApiError::unknown_bot(snapshot, name))?;
    let document = document::bot(snapshot, index);
    Ok(([(header::ETAG, format!("\"{}\"", document.revision))], Json(document)).into_response())
}

#[derive(Deserialize)]
struct Asked {
    workspace: String,
}

async fn explain(
    State(context): State<Context>,
    Path(name): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<document::Explained>, ApiError> {
    let Query(asked) = asked?;
    let snapshot = context.live.current();
    let index = snapshot.bot(&name).ok_or_else(|| ApiError::unknown_bot(&snapshot, &name))?;
    Ok(Json(document::explain(&snapshot, index, &asked.workspace)))
}
