//! Each bot's document for the streams of events. Documents are made once a second for all streams together, and not at all without a
//! stream. Each stream gets what has changed since it last asked, in shared bytes.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use crate::admin::document;
use crate::config::Config;
use crate::live::{Epoch, Live, Snapshot, Status};

/// As often as the controller's ticks.
const EVERY: Duration = Duration::from_secs(1);

pub struct Statuses {
    live: Arc<Live>,
    /// All streams ask at the same moments: whole multiples of [`EVERY`] after this one.
    began: Instant,
    documents: Mutex<Documents>,
}

#[derive(Default)]
struct Documents {
    /// The multiple of [`EVERY`] in which the documents were last made.
    tick: Option<u128>,
    /// Rises each time that the documents are made.
    version: u64,
    /// The config whose bots are in `bots`.
    config: Weak<Config>,
    bots: BTreeMap<String, LastEvent>,
    /// All events that were new in this version.
    latest: Bytes,
}

/// The last event about a bot, and the version in which it was new.
struct LastEvent {
    event: Bytes,
    version: u64,
    what: What,
}

enum What {
    Status(Inputs),
    /// The bot has left the config. It is kept, for streams that were sent it.
    Gone,
}

/// What a document was made from: if it is the same, so is the document. Weak pointers keep nothing alive, but no address is used
/// twice.
struct Inputs {
    config: Weak<Config>,
    epoch: Weak<Epoch>,
    status: Weak<Status>,
    changes: u32,
}

#[derive(Serialize)]
struct Gone<'a> {
    bot: &'a str,
}

/// The version up to which a stream has been sent the events.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position(Option<u64>);

impl Statuses {
    pub fn new(live: Arc<Live>) -> Statuses {
        Statuses { live, began: Instant::now(), documents: Mutex::default() }
    }

    /// When to ask again.
    pub fn next(&self) -> Instant {
        let ticks = self.began.elapsed().as_nanos() / EVERY.as_nanos() + 1;
        self.began + EVERY * ticks as u32
    }

    /// The events since `position`, for all bots or for those that `wanted` accepts; updates `position`. A new stream gets every bot.
    pub fn events_since(&self, position: &mut Position, wanted: Option<&dyn Fn(&str) -> bool>) -> Bytes {
        let mut documents = self.documents.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = self.began.elapsed().as_nanos() / EVERY.as_nanos();
        if documents.tick != Some(tick) {
            documents.tick = Some(tick);
            documents.refresh(&self.live.current());
        }
        let before = position.0.replace(documents.version);
        documents.since(before, wanted)
    }
}

impl Documents {
    fn refresh(&mut self, snapshot: &Arc<Snapshot>) {
        self.version += 1;
        let mut latest = Vec::new();
        let config = Arc::downgrade(&snapshot.config);
        if !self.config.ptr_eq(&config) {
            self.config = config;
            self.add_gone(snapshot, &mut latest);
        }
        for (index, bot) in snapshot.config.bots.iter().enumerate() {
            let last = self.bots.get_mut(bot.name.as_str());
            let inputs = Inputs::now(snapshot, index);
            if last.as_ref().is_some_and(|last| matches!(&last.what, What::Status(before) if before.is_the_same(&inputs))) {
                continue;
            }
            let Ok(document) = serde_json::to_string(&document::bot(snapshot, index)) else { continue };
            let event = event("status", None, &document);
            match last {
                Some(last) if last.event == event => last.what = What::Status(inputs),
                _ => {
                    latest.extend_from_slice(&event);
                    self.bots.insert(bot.name.to_string(), LastEvent { event, version: self.version, what: What::Status(inputs) });
                }
            }
        }
        self.latest = latest.into();
    }

    /// Adds an event for each bot that has left the config.
    fn add_gone(&mut self, snapshot: &Snapshot, latest: &mut Vec<u8>) {
        let known: HashSet<&str> = snapshot.config.bots.iter().map(|bot| bot.name.as_str()).collect();
        for (name, last) in self.bots.iter_mut().filter(|(name, last)| !matches!(last.what, What::Gone) && !known.contains(name.as_str())) {
            let Ok(gone) = serde_json::to_string(&Gone { bot: name }) else { continue };
            *last = LastEvent { event: event("gone", None, &gone), version: self.version, what: What::Gone };
            latest.extend_from_slice(&last.event);
        }
    }

    fn since(&self, position: Option<u64>, wanted: Option<&dyn Fn(&str) -> bool>) -> Bytes {
        if wanted.is_none() && position == Some(self.version - 1) {
            return self.latest.clone();
        }
        let is_news = |last: &LastEvent| match (&last.what, position) {
            (What::Status(_), None) => true,
            (What::Gone, None) => false,
            (_, Some(position)) => last.version > position,
        };
        let mut news = Vec::new();
        for (_, last) in self.bots.iter().filter(|(name, last)| wanted.is_none_or(|wanted| wanted(name.as_str())) && is_news(last)) {
            news.extend_from_slice(&last.event);
        }
        news.into()
    }
}

impl Inputs {
    fn now(snapshot: &Snapshot, index: usize) -> Inputs {
        let epoch = &snapshot.epochs[index];
        Inputs {
            config: Arc::downgrade(&snapshot.config),
            epoch: Arc::downgrade(epoch),
            status: Arc::downgrade(&epoch.status()),
            changes: epoch.ledger.changes(),
        }
    }

    fn is_the_same(&self, other: &Inputs) -> bool {
        let same = self.config.ptr_eq(&other.config) && self.epoch.ptr_eq(&other.epoch) && self.status.ptr_eq(&other.status);
        same && self.changes == other.changes
    }
}

/// A server-sent event. `data` must be one line.
pub(super) fn event(kind: &str, id: Option<&str>, data: &str) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {kind}\n{id}data: {data}\n\n").into()
}
