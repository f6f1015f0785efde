//! Each bot's document as it is, for whoever listens: made once a second for all of them together, and not at all while nobody
//! listens. Who asks gets what has changed since it last asked, in bytes that are shared.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use axum::body::Bytes;
use serde::Serialize;
use tokio::time::Instant;

use super::document;
use crate::config::Config;
use crate::live::{Epoch, Live, Snapshot, Status};

/// The controller looks at everything as often.
const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Statuses {
    live: Arc<Live>,
    /// All who listen ask at the same moments: whole multiples of [`EVERY`] since then.
    began: Instant,
    made: Mutex<Made>,
}

#[derive(Default)]
struct Made {
    /// In which multiple.
    tick: Option<u128>,
    /// Rises each time.
    version: u64,
    /// The config whose bots are known.
    config: Weak<Config>,
    bots: BTreeMap<String, Told>,
    /// All that was new in this version.
    latest: Bytes,
}

/// What was last said of a bot, as an event, and in which version.
struct Told {
    event: Bytes,
    version: u64,
    what: What,
}

enum What {
    Status(MadeOf),
    /// The config has it no more. Its name stays known, for those who listen now and have been told of the bot.
    Gone,
}

/// What a document was made of: from the same comes the same. Nothing is kept alive by it, and no address is used twice.
struct MadeOf {
    config: Weak<Config>,
    epoch: Weak<Epoch>,
    status: Weak<Status>,
    changes: u32,
}

#[derive(Serialize)]
struct Gone<'a> {
    bot: &'a str,
}

/// How much of it somebody has been told.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Heard(Option<u64>);

impl Statuses {
    pub fn new(live: Arc<Live>) -> Statuses {
        Statuses { live, began: Instant::now(), made: Mutex::default() }
    }

    /// When to ask again.
    pub fn next(&self) -> Instant {
        let ticks = self.began.elapsed().as_nanos() / EVERY.as_nanos() + 1;
        self.began + EVERY * ticks as u32
    }

    /// What is new since then, of all bots or of those that are wanted, as events; `heard` is brought up to date. Who has heard nothing is told
    /// of every bot.
    pub fn news(&self, heard: &mut Heard, wanted: Option<&dyn Fn(&str) -> bool>) -> Bytes {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let tick = self.began.elapsed().as_nanos() / EVERY.as_nanos();
        if made.tick != Some(tick) {
            made.tick = Some(tick);
            made.make(&self.live.current());
        }
        let before = heard.0.replace(made.version);
        made.since(before, wanted)
    }
}

impl Made {
    fn make(&mut self, snapshot: &Arc<Snapshot>) {
        self.version += 1;
        let mut latest = Vec::new();
        let config = Arc::downgrade(&snapshot.config);
        if !self.config.ptr_eq(&config) {
            self.config = config;
            self.part(snapshot, &mut latest);
        }
        for (index, bot) in snapshot.config.bots.iter().enumerate() {
            let told = self.bots.get_mut(bot.name.as_str());
            let made_of = MadeOf::now(snapshot, index);
            if told.as_ref().is_some_and(|told| matches!(&told.what, What::Status(before) if before.is_the_same(&made_of))) {
                continue;
            }
            let Ok(document) = serde_json::to_string(&document::bot(snapshot, index)) else { continue };
            let event = event("status", None, &document);
            match told {
                Some(told) if told.event == event => told.what = What::Status(made_of),
                _ => {
                    latest.extend_from_slice(&event);
                    self.bots.insert(bot.name.to_string(), Told { event, version: self.version, what: What::Status(made_of) });
                }
            }
        }
        self.latest = latest.into();
    }

    /// With those that the config has no more.
    fn part(&mut self, snapshot: &Snapshot, latest: &mut Vec<u8>) {
        let known: HashSet<&str> = snapshot.config.bots.iter().map(|bot| bot.name.as_str()).collect();
        for (name, told) in self.bots.iter_mut().filter(|(name, told)| !matches!(told.what, What::Gone) && !known.contains(name.as_str())) {
            let Ok(gone) = serde_json::to_string(&Gone { bot: name }) else { continue };
            *told = Told { event: event("gone", None, &gone), version: self.version, what: What::Gone };
            latest.extend_from_slice(&told.event);
        }
    }

    fn since(&self, heard: Option<u64>, wanted: Option<&dyn Fn(&str) -> bool>) -> Bytes {
        if wanted.is_none() && heard == Some(self.version - 1) {
            return self.latest.clone();
        }
        let is_news = |told: &Told| match (&told.what, heard) {
            (What::Status(_), None) => true,
            (What::Gone, None) => false,
            (_, Some(heard)) => told.version > heard,
        };
        let mut news = Vec::new();
        for (_, told) in self.bots.iter().filter(|(name, told)| wanted.is_none_or(|wanted| wanted(name.as_str())) && is_news(told)) {
            news.extend_from_slice(&told.event);
        }
        news.into()
    }
}

impl MadeOf {
    fn now(snapshot: &Snapshot, index: usize) -> MadeOf {
        let epoch = &snapshot.epochs[index];
        MadeOf {
            config: Arc::downgrade(&snapshot.config),
            epoch: Arc::downgrade(epoch),
            status: Arc::downgrade(&epoch.status()),
            changes: epoch.ledger.changes(),
        }
    }

    fn is_the_same(&self, other: &MadeOf) -> bool {
        let same = self.config.ptr_eq(&other.config) && self.epoch.ptr_eq(&other.epoch) && self.status.ptr_eq(&other.status);
        same && self.changes == other.changes
    }
}

/// An event of a stream. `data` is of one line.
pub(super) fn event(kind: &str, id: Option<&str>, data: &str) -> Bytes {
    let id = id.map_or_else(String::new, |id| format!("id: {id}\n"));
    format!("event: {kind}\n{id}data: {data}\n\n").into()
}
