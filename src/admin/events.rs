//! `GET /v1/events`: each change as it is made, as server-sent events; with `status=true` also each bot as it is, once a
//! second if anything about it is new, and who has left the config. Who was away asks the history. A stream lasts as long as
//! the rules that its connection was opened under.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::access::Reach;
use super::listen::Peer;
use super::problem::ApiError;
use super::rules::Rules;
use super::{Context, document};
use crate::config::{Admin, BotName};
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
    Extension(peer): Extension<Arc<Peer>>,
    Extension(reach): Extension<Reach>,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, ApiError> {
    let Query(Asked { bot, status }) = asked?;
    if let Some(bot) = &bot {
        let snapshot = context.live.current();
        if let (Reach::Only(own), false) = (&reach, reach.has(bot)) {
            return Err(ApiError::no_such_bot(bot, own.iter().map(BotName::as_str)));
        }
        snapshot.bot(bot).ok_or_else(|| ApiError::unknown_bot(&snapshot, bot))?;
    }
    let watch = status.then(|| Watch::new(context.live.clone()));
    let (keys, rules, wanted) = (context.keys.follow(), peer.rules.clone(), Wanted { bot, reach });
    let events = unfold(Listener { changes: context.controller.changes(), wanted, watch, keys, rules }, |mut listener| async move {
        let event = listener.next().await?;
        Some((Ok(event), listener))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
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
    fn has(&self, bot: &str) -> bool {
        self.bot.as_deref().is_none_or(|only| only == bot) && self.reach.has(bot)
    }
}

impl Listener {
    async fn next(&mut self) -> Option<Event> {
        tokio::select! {
            event = change(&mut self.changes, &self.wanted) => event,
            event = status(self.watch.as_mut(), &self.wanted) => event,
            // Who may still look connects again, and says who it is.
            () = differ(&mut self.keys, &self.rules) => None,
        }
    }
}

async fn status(watch: Option<&mut Watch>, wanted: &Wanted) -> Option<Event> {
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
async fn change(changes: &mut Receiver<Arc<Row>>, wanted: &Wanted) -> Option<Event> {
    loop {
        match changes.recv().await {
            Ok(row) if wanted.has(&row.bot) => {
                let id = format!("{}:{}", row.bot, row.revision);
                return Event::default().event("change").id(id).json_data(&*row).ok();
            }
            Ok(_) => {}
            Err(RecvError::Lagged(missed)) => return Some(Event::default().event("missed").data(missed.to_string())),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// A bot that the config had, and has no more.
#[derive(Serialize)]
struct Gone {
    bot: String,
}

/// The bots as they are, of which one has seen what was last told.
struct Watch {
    live: Arc<Live>,
    ticks: Interval,
    /// What is new, to be told one by one.
    news: Vec<Event>,
    told: HashMap<String, String>,
}

impl Watch {
    fn new(live: Arc<Live>) -> Watch {
        let mut ticks = interval(STATUS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Watch { live, ticks, news: Vec::new(), told: HashMap::new() }
    }

    async fn next(&mut self, wanted: &Wanted) -> Option<Event> {
        loop {
            if let Some(event) = self.news.pop() {
                return Some(event);
            }
            self.ticks.tick().await;
            self.look(wanted);
        }
    }

    fn look(&mut self, wanted: &Wanted) {
        let snapshot = self.live.current();
        let known: HashSet<&str> = snapshot.config.bots.iter().map(|bot| bot.name.as_str()).collect();
        for (name, _) in self.told.extract_if(|name, _| !known.contains(name.as_str())) {
            self.news.extend(Event::default().event("gone").json_data(Gone { bot: name }));
        }
        let names = snapshot.config.bots.iter().map(|bot| bot.name.as_str()).enumerate();
        for (index, name) in names.filter(|(_, name)| wanted.has(name)) {
            let Ok(document) = serde_json::to_string(&document::bot(&snapshot, index)) else { continue };
            if self.told.get(name) != Some(&document) {
                self.news.push(Event::default().event("status").data(&document));
                self.told.insert(name.to_owned(), document);
            }
        }
    }
}
