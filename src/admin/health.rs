//! `/livez`, `/readyz` and `/metrics`: what machines ask about serin itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::context::Context;
use super::problem::ApiError;

/// The routes of the listener for probes: these two and nothing else.
pub fn probes(ready: Arc<AtomicBool>) -> Router {
    Router::new()
        .route("/livez", get(livez))
        .route("/readyz", get(move || async move { readiness(&ready) }))
        .fallback(|| async { ApiError::not_found("this listener answers /livez and /readyz alone") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
}

pub async fn livez() -> &'static str {
    "ok\n"
}

pub async fn readyz(State(context): State<Context>) -> (StatusCode, &'static str) {
    readiness(&context.ready)
}

fn readiness(ready: &AtomicBool) -> (StatusCode, &'static str) {
    match ready.load(Ordering::Acquire) {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    }
}

pub async fn metrics(State(context): State<Context>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], context.exporter.render()).into_response()
}
