//! `GET /v1/events`: each change as it is committed, as server-sent events. With `status=true` also each bot's document, at most once a
//! second and only if it has changed, and the bots that have left the config. A client that was disconnected reads the history for what
//! it missed. A stream ends when the access rules of its connection change.

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

use super::statuses::{Heard, Statuses, event};
use crate::admin::access::{Reach, Rules};
use crate::admin::connections::Peer;
use crate::admin::context::Context;
use crate::admin::history::Change;
use crate::admin::problem::ApiError;
use crate::config::{Admin, BotName};
use crate::store::Row;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Only events of this bot.
    bot: Option<String>,
    #[serde(default)]
    status: bool,
}

/// The longest silence on a stream.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The longest silence with `status=true`, so that the dashboard soon notices that its data is old.
const KEEP_FRESH: Duration = Duration::from_secs(2);
/// An SSE comment, which is no event.
const ALIVE: &str = ":\n\n";

pub async fn stream(
    State(context): State<Context>,
    Extension(statuses): Extension<Arc<Statuses>>,
    Extension(peer): Extension<Arc<Peer>>,
    Extension(reach): Extension<Reach>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<impl IntoResponse, ApiError> {
    let Query(Asked { bot, status }) = asked?;
    if let Some(bot) = &bot {
        let snapshot = context.live.current();
        if let (Reach::Only(own), false) = (&reach, reach.has(bot)) {
            return Err(ApiError::no_such_bot(bot, own.iter().map(BotName::as_str)));
        }
        snapshot.bot(bot).ok_or_else(|| ApiError::unknown_bot(&snapshot, bot))?;
    }
    let watch = status.then(|| Watch { statuses, heard: Heard::default(), due: Instant::now() });
    let (keys, rules, wanted) = (context.keys.follow(), peer.rules.clone(), Wanted { bot, reach });
    let events = unfold(Listener { changes: context.controller.changes(), wanted, watch, keys, rules }, |mut listener| async move {
        let events = listener.next().await?;
        Some((Ok::<_, Infallible>(events), listener))
    });
    let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((fields, Body::from_stream(events)))
}

struct Listener {
    changes: Receiver<Arc<Row>>,
    wanted: Wanted,
    watch: Option<Watch>,
    keys: watch::Receiver<Arc<Admin>>,
    /// The access rules that the connection was opened under.
    rules: Rules,
}

/// The bots whose events the client gets.
struct Wanted {
    bot: Option<String>,
    reach: Reach,
}

impl Wanted {
    fn is_all(&self) -> bool {
        self.bot.is_none() && self.reach == Reach::AllBots
    }

    fn has(&self, bot: &str) -> bool {
        self.bot.as_deref().is_none_or(|only| only == bot) && self.reach.has(bot)
    }
}

impl Listener {
    /// Waits for the next events.
    async fn next(&mut self) -> Option<Bytes> {
        let silence = if self.watch.is_some() { KEEP_FRESH } else { KEEP_ALIVE };
        tokio::select! {
            event = change(&mut self.changes, &self.wanted) => event,
            events = status(self.watch.as_mut(), &self.wanted) => Some(events),
            // A client that is still allowed connects again and is authorised anew.
            () = differ(&mut self.keys, &self.rules) => None,
            () = sleep(silence) => Some(Bytes::from_static(ALIVE.as_bytes())),
        }
    }
}

async fn status(watch: Option<&mut Watch>, wanted: &Wanted) -> Bytes {
    match watch {
        Some(watch) => watch.next(wanted).await,
        None => pending().await,
    }
}

async fn differ(keys: &mut watch::Receiver<Arc<Admin>>, rules: &Rules) {
    // Without a sender serin ends, and the stream with it.
    let _ = keys.wait_for(|admin| Rules::of(admin) != *rules).await;
}

/// The next change. A client that reads too slowly gets an event with the number of changes that it missed.
async fn change(changes: &mut Receiver<Arc<Row>>, wanted: &Wanted) -> Option<Bytes> {
    loop {
        match changes.recv().await {
            Ok(row) if wanted.has(&row.bot) => {
                let id = format!("{}:{}", row.bot, row.revision);
                return Some(event("change", Some(&id), &serde_json::to_string(&Change::from((*row).clone())).ok()?));
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => return Some(event("missed", None, &missed.to_string())),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// The bots' documents, for a client that has been sent some of them.
struct Watch {
    statuses: Arc<Statuses>,
    heard: Heard,
    /// When to ask again. A field, because other events cancel the wait.
    due: Instant,
}

impl Watch {
    async fn next(&mut self, wanted: &Wanted) -> Bytes {
        loop {
            sleep_until(self.due).await;
            self.due = self.statuses.next();
            let news = match wanted.is_all() {
                true => self.statuses.news(&mut self.heard, None),
                false => self.statuses.news(&mut self.heard, Some(&|bot| wanted.has(bot))),
            };
            if !news.is_empty() {
                return news;
            }
        }
    }
}
