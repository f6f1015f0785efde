//! The HTTP API for operators, on its own listener: its routes. The JSON types are in this module, and are converted by hand from the
//! core's types.

#![forbid(unsafe_code)]

mod access;
mod actions;
mod bots;
mod connections;
mod context;
mod document;
mod health;
mod history;
mod layers;
mod links;
mod notifications;
mod openapi;
mod page;
mod preview;
mod problem;
mod stream;
mod traffic;
mod whoami;

use std::sync::Arc;

use axum::routing::{get, post, put};
use axum::{Extension, Router};

use problem::ApiError;
use stream::Statuses;

pub use access::Keys;
pub use connections::{serve, serve_probes};
pub use context::Context;
#[cfg(any(test, fuzzing))]
pub use links::fuzzing;

pub fn router(context: Context) -> Router {
    let routes = Router::new()
        .route("/v1/bots", get(bots::list))
        .route("/v1/bots/{bot}", get(bots::show))
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
        .route("/v1/bots/{bot}/explain", get(bots::explain))
        .route("/v1/bots/{bot}/traffic", get(traffic::show))
        .route("/v1/events", get(stream::stream).layer(Extension(Arc::new(Statuses::new(context.live.clone())))))
        .route("/v1/whoami", get(whoami::show))
        .route("/v1/notifications/test", post(notifications::test))
        .route("/act/{token}", get(links::show).post(links::act))
        .route("/openapi.json", get(openapi::show))
        .route("/metrics", get(health::metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .merge(page::routes())
        .fallback(|| async { ApiError::not_found("there is nothing here; the API is below /v1/bots") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() });
    layers::around(routes, &context).with_state(context)
}
