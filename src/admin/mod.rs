//! The HTTP API for operators, on a listener of its own. Wire types live here and are made by hand from the core's.

mod access;
mod actions;
mod document;
mod events;
mod history;
mod openapi;
mod problem;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;

use crate::controller::Controller;
use crate::live::{Live, Snapshot};
use crate::telemetry::Metrics;

use access::Access;
use problem::ApiError;

/// What the API acts on.
#[derive(Clone, Debug)]
pub struct Context {
    pub live: Arc<Live>,
    pub controller: Arc<Controller>,
    pub metrics: Arc<Metrics>,
    /// False until all workers serve, and again from SIGTERM on.
    pub ready: Arc<AtomicBool>,
    /// Where the listener is, to know our own name in Host and Origin.
    pub address: SocketAddr,
}

/// Who asked, for the logs: a token's name, or `local` where there are no tokens.
#[derive(Clone, Debug)]
struct Actor(String);

/// A request to the API is small; more is a mistake.
const BODY_MAX: usize = 256 * 1024;

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
        .route("/v1/events", get(events::stream))
        .route("/openapi.json", get(openapi::show))
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .fallback(|| async { ApiError::not_found("there is nothing here; the API is below /v1/bots") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(axum::middleware::from_fn_with_state(context.clone(), guard))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
        .with_state(context)
}

/// The one place that decides who may do what.
async fn guard(State(context): State<Context>, mut request: Request, next: Next) -> Result<Response, ApiError> {
    if ![Method::GET, Method::HEAD, Method::PUT, Method::POST].contains(request.method()) {
        return Err(ApiError::method_not_allowed());
    }
    let snapshot = context.live.current();
    let access = Access { admin: &snapshot.config.admin, address: context.address };
    let actor = access.check(request.method(), request.uri().path(), request.headers())?;
    request.extensions_mut().insert(Actor(actor));
    Ok(next.run(request).await)
}

async fn readyz(State(context): State<Context>) -> (StatusCode, &'static str) {
    match context.ready.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

async fn metrics(State(context): State<Context>) -> Response {
    let text = context.metrics.render(&context.live.current(), context.controller.store());
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn list_bots(State(context): State<Context>) -> Json<document::Bots> {
    let snapshot = context.live.current();
    Json(document::Bots { bots: (0..snapshot.config.bots.len()).map(|index| document::bot(&snapshot, index)).collect() })
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
