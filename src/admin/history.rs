//! `GET /v1/bots/{bot}/history`: a bot's changes, the newest first.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use serde::{Deserialize, Serialize};

use super::context::Context;
use super::problem::ApiError;
use crate::store::Row;
use crate::summary;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Only changes below this revision.
    before: Option<u64>,
    limit: Option<usize>,
}

#[derive(Serialize)]
pub struct HistoryPage {
    changes: Vec<Change>,
    /// The value of `before` for the next page; null on the last one.
    before: Option<u64>,
}

/// A change, with a sentence that says what it did.
#[derive(Serialize)]
pub struct Change {
    #[serde(flatten)]
    row: Row,
    text: String,
}

impl From<Row> for Change {
    fn from(row: Row) -> Change {
        Change { text: summary::happened(&row), row }
    }
}

/// The largest integer that every JSON reader represents exactly.
const REVISION_MOST: u64 = (1 << 53) - 1;
const LIMIT: usize = 50;
const LIMIT_MOST: usize = 1_000;

pub async fn show(
    State(context): State<Context>,
    Path(bot): Path<String>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Json<HistoryPage>, ApiError> {
    let Query(Asked { before, limit }) = asked?;
    let snapshot = context.live.current();
    snapshot.bot(&bot).ok_or_else(|| ApiError::unknown_bot(&snapshot, &bot))?;
    if before.is_some_and(|before| before > REVISION_MOST) {
        return Err(ApiError::unprocessable("before", format!("a revision is at most {REVISION_MOST}")));
    }
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MOST).contains(&limit) {
        return Err(ApiError::unprocessable("limit", format!("a limit is 1 to {LIMIT_MOST}")));
    }
    let changes = context.controller.store().history(&bot, before, limit).await.map_err(ApiError::not_read)?;
    let next = changes.last().filter(|_| changes.len() == limit).map(|row| row.revision);
    Ok(Json(HistoryPage { changes: changes.into_iter().map(Change::from).collect(), before: next }))
}
