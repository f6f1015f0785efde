//! `GET /v1/events`: each change as it is made, as server-sent events; with `status=true` also each bot as it is, once a
//! second if anything about it is new, and who has left the config. Who was away asks the history. A stream lasts as long as
//! the tokens are the same.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Context;
use super::problem::ApiError;
use super::statuses::{Heard, Statuses, event};
use crate::config::{Admin, Token};
use crate::store::Row;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Only this bot's.
    bot: Option<String>,
    #[serde(default)]
    status: bool,
}

/// A stream says at least so often that it is still there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A comment: no event.
const ALIVE: &str = ":\n\n";

pub async fn stream(
    State(context): State<Context>,
    Extension(statuses): Extension<Arc<Statuses>>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(Asked { bot, status }) = asked?;
    if let Some(bot) = &bot {
        let snapshot = context.live.current();
        snapshot.bot(bot).ok_or_else(|| ApiError::unknown_bot(&snapshot, bot))?;
    }
    let watch = status.then(|| Watch { statuses, heard: Heard::default(), due: Instant::now() });
    let keys = context.keys.follow();
    let tokens = keys.borrow().tokens.clone();
    let events = unfold(Listener { changes: context.controller.changes(), bot, watch, keys, tokens }, |mut listener| async move {
        let events = listener.next().await?;
        Some((Ok::<_, Infallible>(events), listener))
    });
    let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((fields, Body::from_stream(events)))
}

struct Listener {
    changes: Receiver<Arc<Row>>,
    bot: Option<String>,
    watch: Option<Watch>,
    keys: watch::Receiver<Arc<Admin>>,
    /// As they were when the stream was allowed.
    tokens: Vec<Token>,
}

impl Listener {
    /// One event or some.
    async fn next(&mut self) -> Option<Bytes> {
        let bot = self.bot.as_deref();
        tokio::select! {
            event = change(&mut self.changes, bot) => event,
            events = status(self.watch.as_mut(), bot) => Some(events),
            // Who may still look connects again, and says who it is.
            () = differ(&mut self.keys, &self.tokens) => None,
            () = sleep(KEEP_ALIVE) => Some(Bytes::from_static(ALIVE.as_bytes())),
        }
    }
}

async fn status(watch: Option<&mut Watch>, bot: Option<&str>) -> Bytes {
    match watch {
        Some(watch) => watch.next(bot).await,
        None => pending().await,
    }
}

async fn differ(keys: &mut watch::Receiver<Arc<Admin>>, tokens: &[Token]) {
    // Without a sender serin ends, and the stream with it.
    let _ = keys.wait_for(|admin| admin.tokens != tokens).await;
}

/// The next change; who reads too slowly is told how many it has missed.
async fn change(changes: &mut Receiver<Arc<Row>>, bot: Option<&str>) -> Option<Bytes> {
    loop {
        match changes.recv().await {
            Ok(row) if bot.is_none_or(|bot| bot == row.bot) => {
                let id = format!("{}:{}", row.bot, row.revision);
                return Some(event("change", Some(&id), &serde_json::to_string(&*row).ok()?));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => return Some(event("missed", None, &missed.to_string())),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// The bots as they are, for one who has heard some of it.
struct Watch {
    statuses: Arc<Statuses>,
    heard: Heard,
    /// When to ask again. Kept here, since whatever else happens ends the waiting.
    due: Instant,
}

impl Watch {
    async fn next(&mut self, only: Option<&str>) -> Bytes {
        loop {
            sleep_until(self.due).await;
            self.due = self.statuses.next();
            let news = self.statuses.news(&mut self.heard, only);
            if !news.is_empty() {
                return news;
            }
        }
    }
}
