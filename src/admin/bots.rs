//! The bots: all of them, one, and where a workspace of one goes.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Deserialize;

use super::access::Reach;
use super::context::Context;
use super::document;
use super::problem::ApiError;
use crate::live::Snapshot;

pub async fn list(State(context): State<Context>, Extension(reach): Extension<Reach>) -> Json<document::Bots> {
    let snapshot = context.live.current();
    let bots = snapshot.config.bots.iter().enumerate().filter(|(_, bot)| reach.has(bot.name.as_str()));
    Json(document::Bots { bots: bots.map(|(index, _)| document::bot(&snapshot, index)).collect() })
}

pub async fn show(State(context): State<Context>, Path(name): Path<String>) -> Result<Response, ApiError> {
    answer(&context.live.current(), &name)
}

/// The bot's document, with its revision as the ETag.
pub fn answer(snapshot: &Snapshot, name: &str) -> Result<Response, ApiError> {
    let index = snapshot.bot(name).ok_or_else(|| ApiError::unknown_bot(snapshot, name))?;
    let document = document::bot(snapshot, index);
    Ok(([(header::ETAG, format!("\"{}\"", document.revision))], Json(document)).into_response())
}

#[derive(Deserialize)]
pub struct Asked {
    workspace: String,
}

pub async fn explain(
    State(context): State<Context>,
    Path(name): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<document::Explained>, ApiError> {
    let Query(asked) = asked?;
    let snapshot = context.live.current();
    let index = snapshot.bot(&name).ok_or_else(|| ApiError::unknown_bot(&snapshot, &name))?;
    Ok(Json(document::explain(&snapshot, index, &asked.workspace)))
}
