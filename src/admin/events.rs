//! `GET /v1/events`: each change as it is made, as server-sent events; with `status=true` also each bot as it is, once a
//! second if anything about it is new. Who was away asks the history.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use serde::Deserialize;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::problem::ApiError;
use super::{Context, document};
use crate::live::Live;
use crate::store::Row;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Only this bot's.
    bot: Option<String>,
    #[serde(default)]
    status: bool,
}

/// The controller looks at everything as often.
const STATUS_EVERY: Duration = Duration::from_secs(1);

pub async fn stream(
    State(context): State<Context>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Query(Asked { bot, status }) = asked?;
    if let Some(bot) = &bot {
        let snapshot = context.live.current();
        snapshot.bot(bot).ok_or_else(|| ApiError::unknown_bot(&snapshot, bot))?;
    }
    let watch = status.then(|| Watch::new(context.live.clone()));
    let events = unfold(Listener { changes: context.controller.changes(), bot, watch }, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

struct Listener {
    changes: Receiver<Arc<Row>>,
    bot: Option<String>,
    watch: Option<Watch>,
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        let bot = self.bot.as_deref();
        match &mut self.watch {
            None => change(&mut self.changes, bot).await,
            Some(watch) => tokio::select! {
                event = change(&mut self.changes, bot) => event,
                event = watch.next(bot) => event,
            },
        }
    }
}

/// The next change; who reads too slowly is told how many it has missed.
async fn change(changes: &mut Receiver<Arc<Row>>, bot: Option<&str>) -> Option<Event> {
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

/// The bots as they are, of which one has seen what was last told.
struct Watch {
    live: Arc<Live>,
    ticks: Interval,
    /// Documents that are new, to be told one by one.
    news: Vec<String>,
    told: HashMap<String, String>,
}

impl Watch {
    fn new(live: Arc<Live>) -> Watch {
        let mut ticks = interval(STATUS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Watch { live, ticks, news: Vec::new(), told: HashMap::new() }
    }

    async fn next(&mut self, only: Option<&str>) -> Option<Event> {
        loop {
            if let Some(document) = self.news.pop() {
                return Some(Event::default().event("status").data(document));
            }
            self.ticks.tick().await;
            self.look(only);
        }
    }

    fn look(&mut self, only: Option<&str>) {
        let snapshot = self.live.current();
        let names = snapshot.config.bots.iter().map(|bot| bot.name.as_str()).enumerate();
        for (index, name) in names.filter(|(_, name)| only.is_none_or(|only| only == *name)) {
            let Ok(document) = serde_json::to_string(&document::bot(&snapshot, index)) else { continue };
            if self.told.get(name) != Some(&document) {
                self.told.insert(name.to_owned(), document.clone());
                self.news.push(document);
            }
        }
    }
}
