//! `GET /v1/events`: each change as it is made, as server-sent events; with `status=true` also each bot as it is, once a
//! second if anything about it is new, and who has left the config. Who was away asks the history. A stream lasts as long as
//! the rules that its connection was opened under.

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
use super::access::Reach;
use super::history::Change;
use super::listen::Peer;
use super::problem::ApiError;
use super::rules::Rules;
use super::statuses::{Heard, Statuses, event};
use crate::config::{Admin, BotName};
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
/// The same where somebody looks at the bots as they are: so that they soon see that what they look at is old.
const KEEP_FRESH: Duration = Duration::from_secs(2);
/// A comment: no event.
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
    /// Those of the connection.
    rules: Rules,
}

/// Whose events.
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
    /// One event or some.
    async fn next(&mut self) -> Option<Bytes> {
        let silence = if self.watch.is_some() { KEEP_FRESH } else { KEEP_ALIVE };
        tokio::select! {
            event = change(&mut self.changes, &self.wanted) => event,
            events = status(self.watch.as_mut(), &self.wanted) => Some(events),
            // Who may still look connects again, and says who it is.
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

/// The next change; who reads too slowly is told how many it has missed.
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

/// The bots as they are, for one who has heard some of it.
struct Watch {
    statuses: Arc<Statuses>,
    heard: Heard,
    /// When to ask again. Kept here, since whatever else happens ends the waiting.
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
