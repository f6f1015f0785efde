//! The task that listens: to changes as they are made, and each second to what the controller says of each bot. It makes
//! the messages and puts them into the queues.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::held;
use super::link::{Act, LINK_SECS, Stands, Ticket};
use super::message::{self, Link, Message};
use super::queue::{Job, Queue};
use super::retry::NEWS;
use super::teller::Teller;
use super::told::{CHANGE, Told};
use super::{Notifications, now, unix_now};
use crate::config::{Bot, Config, Notifier, Occasion};
use crate::live::{Snapshot, Status, Waits};
use crate::store::{Mark, Row};
use crate::telemetry;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What holds for less than this may be a flicker.
const HELD_FOR: Duration = Duration::from_secs(3);
/// More changes of one bot than this, missed at once, are not told.
const MISSED_MOST: usize = 256;
/// A disk that hangs does not stop the listening.
const PATIENCE: Duration = Duration::from_secs(5);

pub struct Watch {
    all: Arc<Notifications>,
    changes: Receiver<Arc<Row>>,
    /// Each bot's revision as of when the listening began: what comes after it is heard.
    began: HashMap<String, u64>,
    config: Arc<Config>,
    /// What the history knew at the start.
    marks: Vec<Mark>,
    desks: Vec<Desk>,
    /// By bot, since when it waits for a human, and what for.
    waiting: HashMap<String, (u64, &'static str, Instant)>,
}

/// One notifier, as this task sees it.
struct Desk {
    notifier: Arc<Notifier>,
    queue: Arc<Queue>,
    told: Told,
}

enum Cause {
    Change(Arc<Row>),
    Missed,
    Time,
    End,
}

impl Watch {
    pub(super) fn new(all: Arc<Notifications>) -> Watch {
        let changes = all.controller.changes();
        let snapshot = all.live.current();
        let config = snapshot.config.clone();
        let (began, desks, waiting) = (revisions(&snapshot), Vec::new(), HashMap::new());
        Watch { all, changes, began, config, marks: Vec::new(), desks, waiting }
    }

    /// Listens for ever.
    pub async fn run(mut self) {
        let marks = tokio::time::timeout(PATIENCE, self.all.controller.store().marks()).await;
        self.marks = marks.ok().and_then(Result::ok).unwrap_or_default();
        let began = std::mem::take(&mut self.began);
        self.set_desks(&began);
        self.catch_up(NEWS).await;
        self.marks = Vec::new();
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let cause = tokio::select! {
                change = self.changes.recv() => match change {
                    Ok(row) => Cause::Change(row),
                    Err(RecvError::Lagged(_)) => Cause::Missed,
                    Err(RecvError::Closed) => Cause::End,
                },
                _ = looks.tick() => Cause::Time,
            };
            match cause {
                Cause::Change(row) => {
                    self.follow_config();
                    self.hear(&row);
                }
                Cause::Missed => self.catch_up(NEWS).await,
                Cause::Time => self.look(),
                Cause::End => return,
            }
        }
    }

    /// The desks that the config wants; one that is new begins with what is now.
    fn set_desks(&mut self, revisions: &HashMap<String, u64>) {
        let mut old = std::mem::take(&mut self.desks);
        for notifier in &self.config.notifiers {
            let known = old.iter().position(|desk| desk.notifier.name == notifier.name).map(|at| old.swap_remove(at));
            let mut desk = known.unwrap_or_else(|| self.open(notifier));
            if *desk.notifier != *notifier {
                desk.notifier = Arc::new(notifier.clone());
                desk.queue.is_now(desk.notifier.clone());
            }
            for (bot, revision) in revisions {
                let revision = i64::try_from(*revision).unwrap_or(i64::MAX);
                // Nor beyond what is: a row may have been lost after it was told.
                if desk.told.at(bot, CHANGE).is_none_or(|told| told > revision) {
                    desk.told.is(bot, CHANGE, revision);
                    self.all.controller.store().mark(mark(notifier, bot, CHANGE, revision));
                }
            }
            self.desks.push(desk);
        }
        old.iter().for_each(|desk| desk.queue.close());
        *self.all.queues.lock().unwrap_or_else(PoisonError::into_inner) = self.desks.iter().map(|desk| desk.queue.clone()).collect();
    }

    fn open(&self, notifier: &Notifier) -> Desk {
        let notifier = Arc::new(notifier.clone());
        let queue = Arc::new(Queue::new(notifier.clone()));
        let (controller, metrics) = (Arc::downgrade(&self.all.controller), self.all.metrics.clone());
        self.all.metrics.notified(&notifier.name, telemetry::Told::Sent, 0);
        Teller { queue: queue.clone(), controller, metrics }.start();
        Desk { told: Told::of(&self.marks, &notifier.name), notifier, queue }
    }

    /// What the history has and nobody was told, if it is news.
    async fn catch_up(&mut self, news: Duration) {
        let oldest = jiff::Timestamp::now() - news;
        for bot in self.config.bots.iter().map(|bot| bot.name.to_string()).collect::<Vec<_>>() {
            let Some(told) = self.desks.iter().filter_map(|desk| desk.told.at(&bot, CHANGE)).min() else { continue };
            let read = self.all.controller.store().history(&bot, None, MISSED_MOST);
            let Ok(Ok(mut rows)) = tokio::time::timeout(PATIENCE, read).await else {
                tracing::warn!(bot, "what was missed cannot be read: nobody is told of it");
                continue;
            };
            rows.retain(|row| row.revision > u64::try_from(told).unwrap_or(0));
            rows.retain(|row| row.at.parse::<jiff::Timestamp>().is_ok_and(|at| at >= oldest));
            rows.iter().rev().for_each(|row| self.hear(row));
        }
    }

    fn hear(&mut self, row: &Row) {
        let occasion = message::occasion(row);
        for desk in &mut self.desks {
            let revision = i64::try_from(row.revision).unwrap_or(i64::MAX);
            if !desk.told.is_news(&row.bot, CHANGE, revision) {
                continue;
            }
            let mark = mark(&desk.notifier, &row.bot, CHANGE, revision);
            let Some(occasion) = occasion.filter(|occasion| desk.notifier.tells_of(&row.bot, *occasion)) else {
                // Passed over for good, whatever the config wants after a restart.
                if desk.queue.is_done() {
                    self.all.controller.store().mark(mark);
                }
                continue;
            };
            let links = links(&self.all, &self.config, desk, &row.bot, row.revision, &Stands::after(row), message::offers(row), None);
            let message = message::of_change(&self.all.instance, row, occasion, links);
            put(&self.all, desk, message, mark);
        }
    }

    fn follow_config(&mut self) {
        let snapshot = self.all.live.current();
        if !Arc::ptr_eq(&snapshot.config, &self.config) {
            self.config = snapshot.config.clone();
            self.set_desks(&revisions(&snapshot));
        }
    }

    /// What is no change: a hold that lasts, and what has become due.
    fn look(&mut self) {
        self.follow_config();
        let snapshot = self.all.live.current();
        for (bot, epoch) in snapshot.config.bots.iter().zip(&snapshot.epochs) {
            let status = epoch.status();
            if let Some(waits) = self.lasting(bot, &status) {
                self.tell_hold(bot, &status, &waits);
            }
            if let Some(last) = held::drill_due(&status, bot, unix_now()) {
                self.tell(bot, Occasion::DrillDue, last, |instance| message::drill_due(instance, bot, last, now()));
            }
            if let Some(since) = held::free_to_tear_down(&status) {
                self.tell(bot, Occasion::Teardown, since, |instance| message::teardown(instance, bot, &status, since, now()));
            }
        }
    }

    /// Does it wait for a human, and for long enough?
    fn lasting<'s>(&mut self, bot: &Bot, status: &'s Status) -> Option<Waits<'s>> {
        let Some(waits) = status.waits_for_human() else {
            self.waiting.remove(bot.name.as_str());
            return None;
        };
        let (revision, now) = (status.state.revision, Instant::now());
        let since = self.waiting.entry(bot.name.to_string()).or_insert((revision, waits.code(), now));
        if (since.0, since.1) != (revision, waits.code()) {
            *since = (revision, waits.code(), now);
        }
        (now.duration_since(since.2) >= HELD_FOR).then_some(waits)
    }

    fn tell_hold(&mut self, bot: &Bot, status: &Status, waits: &Waits<'_>) {
        let (name, revision) = (bot.name.as_str(), status.state.revision);
        let at = i64::try_from(revision).unwrap_or(i64::MAX);
        let topic = format!("held:{}", waits.code());
        for desk in &mut self.desks {
            let tells = |occasion| desk.notifier.tells_of(name, occasion);
            if !tells(Occasion::Held) || (held::told_as_change(waits) && tells(Occasion::Abort)) || !desk.told.is_news(name, &topic, at) {
                continue;
            }
            let next = status.state.under_way().and_then(|rollout| rollout.next()).map(|step| step.weight.to_string());
            let stands = Stands::of(&status.state);
            let links = links(&self.all, &self.config, desk, name, revision, &stands, &held::offers(status, waits), next.as_deref());
            let message = message::of_hold(&self.all.instance, name, status, waits, now(), links);
            put(&self.all, desk, message, mark(&desk.notifier, name, &topic, at));
        }
    }

    fn tell(&mut self, bot: &Bot, occasion: Occasion, at: i64, message: impl Fn(&str) -> Message) {
        for desk in &mut self.desks {
            let tells = desk.notifier.tells_of(bot.name.as_str(), occasion);
            if tells && desk.told.is_news(bot.name.as_str(), occasion.name(), at) {
                put(&self.all, desk, message(&self.all.instance), mark(&desk.notifier, bot.name.as_str(), occasion.name(), at));
            }
        }
    }
}

fn revisions(snapshot: &Snapshot) -> HashMap<String, u64> {
    let bots = snapshot.config.bots.iter().zip(&snapshot.epochs);
    bots.map(|(bot, epoch)| (bot.name.to_string(), epoch.revision)).collect()
}

fn mark(notifier: &Notifier, bot: &str, topic: &str, at: i64) -> Mark {
    Mark { notifier: notifier.name.clone(), bot: bot.to_owned(), topic: topic.to_owned(), at }
}

fn put(all: &Notifications, desk: &Desk, message: Message, mark: Mark) {
    let gone = desk.queue.put(Job { message, mark, since: Instant::now() });
    if gone > 0 {
        all.metrics.notified(&desk.notifier.name, telemetry::Told::Dropped, gone);
        tracing::warn!(notifier = desk.notifier.name, "too many notifications wait: the oldest is dropped");
    }
}

/// One link for each thing that may be done; none where nobody could reach them.
#[expect(clippy::too_many_arguments, reason = "they are what a link is made of")]
fn links(
    all: &Notifications,
    config: &Config,
    desk: &Desk,
    bot: &str,
    revision: u64,
    stands: &Stands,
    acts: &[Act],
    next: Option<&str>,
) -> Vec<Link> {
    let Some(base) = &config.admin.public_url else { return Vec::new() };
    let expires = unix_now().as_secs() + LINK_SECS;
    let acts = acts.iter().copied().filter(|act| act.takes_back() || !config.admin.read_only);
    let link = |act: Act| {
        let ticket = Ticket { act, bot: bot.to_owned(), revision, stands: stands.clone(), notifier: desk.notifier.name.clone(), expires };
        let label = match act {
            Act::Advance => next.map_or("Approve".to_owned(), |next| format!("Approve: on to {next}")),
            Act::Resume => "Resume".to_owned(),
            Act::Abort => "Abort".to_owned(),
            Act::Undo => "Undo".to_owned(),
        };
        Link { act, label, url: format!("{base}/act/{}", ticket.seal(&all.key())), expires }
    };
    acts.map(link).collect()
}
