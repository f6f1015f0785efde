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

use super::statuses::{Position, Statuses, event};
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
const KEEP_ALIVE_STATUS: Duration = Duration::from_secs(2);
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
    let watch = status.then(|| StatusFeed { statuses, position: Position::default(), due: Instant::now() });
    let (keys, rules, filter) = (context.keys.follow(), peer.rules.clone(), Filter { bot, reach });
    let events =
        unfold(Subscription { changes: context.controller.changes(), filter, watch, keys, rules }, |mut subscription| async move {
            let events = subscription.next().await?;
            Some((Ok::<_, Infallible>(events), subscription))
        });
    let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-cache")];
    Ok((fields, Body::from_stream(events)))
}

struct Subscription {
    changes: Receiver<Arc<Row>>,
    filter: Filter,
    watch: Option<StatusFeed>,
    keys: watch::Receiver<Arc<Admin>>,
    /// The access rules that the connection was opened under.
    rules: Rules,
}

/// The bots whose events the client gets.
struct Filter {
    bot: Option<String>,
    reach: Reach,
}

impl Filter {
    fn is_all(&self) -> bool {
        self.bot.is_none() && self.reach == Reach::AllBots
    }

    fn has(&self, bot: &str) -> bool {
        self.bot.as_deref().is_none_or(|only| only == bot) && self.reach.has(bot)
    }
}

impl Subscription {
    /// Waits for the next events.
    async fn next(&mut self) -> Option<Bytes> {
        let silence = if self.watch.is_some() { KEEP_ALIVE_STATUS } else { KEEP_ALIVE };
        tokio::select! {
            event = next_change(&mut self.changes, &self.filter) => event,
            events = next_statuses(self.watch.as_mut(), &self.filter) => Some(events),
            // A client that is still allowed connects again and is authorised anew.
            () = rules_changed(&mut self.keys, &self.rules) => None,
            () = sleep(silence) => Some(Bytes::from_static(ALIVE.as_bytes())),
        }
    }
}

async fn next_statuses(watch: Option<&mut StatusFeed>, filter: &Filter) -> Bytes {
    match watch {
        Some(watch) => watch.next(filter).await,
        None => pending().await,
    }
}

async fn rules_changed(keys: &mut watch::Receiver<Arc<Admin>>, rules: &Rules) {
    // Without a sender serin ends, and the stream with it.
    let _ = keys.wait_for(|admin| Rules::of(admin) != *rules).await;
}

/// The next change. A client that reads too slowly gets an event with the number of changes that it missed.
async fn next_change(changes: &mut Receiver<Arc<Row>>, filter: &Filter) -> Option<Bytes> {
    loop {
        match changes.recv().await {
            Ok(row) if filter.has(&row.bot) => {
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
struct StatusFeed {
    statuses: Arc<Statuses>,
    position: Position,
    /// When to ask again. A field, because other events cancel the wait.
    due: Instant,
}

impl StatusFeed {
    async fn next(&mut self, filter: &Filter) -> Bytes {
        loop {
            sleep_until(self.due).await;
            self.due = self.statuses.next();
            let events = match filter.is_all() {
                true => self.statuses.events_since(&mut self.position, None),
                false => self.statuses.events_since(&mut self.position, Some(&|bot| filter.has(bot))),
            };
            if !events.is_empty() {
                return events;
            }
        }
    }
}
