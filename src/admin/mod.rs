//! The HTTP API for operators, on its own listener. Its JSON types are here, and are converted by hand from the core's types.

mod access;
mod actions;
mod attempts;
mod document;
mod events;
mod history;
mod keys;
mod layers;
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
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Extension, Json, Router};
use serde::Deserialize;

use crate::config::Scope;
use crate::controller::{ChangeError, ChangeRequest, Controller};
use crate::live::{Live, Snapshot};
use crate::meters::Metrics;
use crate::notify::Notifications;
use crate::telemetry::Exporter;

use access::Reach;
use attempts::Attempts;
use listen::Peer;
use problem::ApiError;
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

impl Context {
    /// Makes the change, and logs that its request is answered: with the request's id, which the controller does not know.
    async fn change(&self, request: ChangeRequest) -> Result<Arc<Snapshot>, ChangeError> {
        let bot = request.bot.clone();
        let snapshot = self.controller.change(request).await?;
        let revision = snapshot.bot(&bot).map(|index| snapshot.epochs[index].revision);
        tracing::info!(bot, revision, "change answered");
        Ok(snapshot)
    }
}

/// The actor of a request for the history: a token's name, `cert:` and a certificate's name, or `local` if there is neither. A token's
/// name cannot contain a colon or be `local`.
#[derive(Clone, Debug)]
struct Caller {
    name: String,
    scope: Scope,
}

pub fn router(context: Context) -> Router {
    let routes = Router::new()
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
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() });
    layers::around(routes, &context).with_state(context)
}

fn denied_address(peer: &Peer, retry_after: Duration) {
    let address = attempts::network(peer.address);
    tracing::warn!(%address, ?retry_after, "too many wrong tokens or links from an address: they are answered 429");
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
