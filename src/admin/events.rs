//! `GET /v1/events`: each change as it is made, as server-sent events. Who was away asks the history.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::Context;
use super::problem::ApiError;
use crate::store::Row;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Only this bot's.
    bot: Option<String>,
}

pub async fn stream(
    State(context): State<Context>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Query(Asked { bot }) = asked?;
    if let Some(bot) = &bot {
        let snapshot = context.live.current();
        snapshot.bot(bot).ok_or_else(|| ApiError::unknown_bot(&snapshot, bot))?;
    }
    let changes = unfold((context.controller.changes(), bot), |(mut changes, bot)| async move {
        let event = next(&mut changes, bot.as_deref()).await?;
        Some((Ok(event), (changes, bot)))
    });
    Ok(Sse::new(changes).keep_alive(KeepAlive::default()))
}

/// The next change; who reads too slowly is told how many it has missed.
async fn next(changes: &mut Receiver<Arc<Row>>, bot: Option<&str>) -> Option<Event> {
    loop {
        match changes.recv().await {
            Ok(row) if bot.is_none_or(|bot| bot == row.bot) => {
                let id = format!("{}:{}", row.bot, row.revision);
                return Event::default().event("change").id(id).json_data(&*row).ok();
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => return Some(Event::default().event("missed").data(missed.to_string())),
            Err(RecvError::Closed) => return None,
        }
    }
}
