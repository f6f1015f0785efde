//! The task that decides what to send. It gets each change from the controller, and reads each bot's status once a second; it makes the
//! messages and puts them into the queues.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::clock::{now, unix_now};
use super::delivery::Delivery;
use super::link::{Act, LINK_SECS, Stands, Ticket};
use super::marks::{CHANGE, Marks};
use super::message::{self, Link, Message};
use super::notifications::Notifications;
use super::occasions;
use super::queue::{Job, Queue};
use super::retry::NEWS;
use crate::config::{Bot, Config, Notifier, Occasion};
use crate::core::{Release, Waits};
use crate::live::Status;
use crate::meters;
use crate::store::{Mark, Row};

const CHECK_EVERY: Duration = Duration::from_secs(1);
/// A hold must last this long before people are told, because a shorter one may be a flicker.
const HELD_FOR: Duration = Duration::from_secs(3);
/// A release that the config has just named may fail its preflight for this long before people are told; it is tried again every 10 s.
const CONFIG_WAITS_FOR: Duration = Duration::from_secs(60);
/// The most changes of one bot that are caught up at once.
const MISSED_MOST: usize = 256;
/// The time limit for a read of the history, so that a disk that hangs does not stop the task.
const PATIENCE: Duration = Duration::from_secs(5);
/// The attempts to read the marks at the start, and the pause between them. After that, notifications are sent without marks.
const ASKED_MOST: u32 = 60;
const ASK_AGAIN: Duration = Duration::from_secs(1);

pub struct Dispatcher {
    all: Arc<Notifications>,
    changes: Receiver<Arc<Row>>,
    /// By bot, the revision of the last change that this task has handled. A new notifier is told of later changes only. It may be
    /// behind the revision that serves, because a change is announced a little after it serves.
    handled: HashMap<String, u64>,
    config: Arc<Config>,
    /// The marks that were stored before the start; empty after the first catch-up.
    marks: Vec<Mark>,
    /// Whether marks are stored. If the old ones could not be read, none are: a restart may be able to read them.
    stores_marks: bool,
    recipients: Vec<Recipient>,
    /// By bot: the revision and the hold's code for which it waits for a human, and since when.
    waiting: HashMap<String, (u64, &'static str, Instant)>,
    /// By bot: the release that the config names and that cannot be started, and since when.
    config_waits: HashMap<String, (Release, Instant)>,
}

/// A notifier with its queue and its marks.
struct Recipient {
    notifier: Arc<Notifier>,
    queue: Arc<Queue>,
    marks: Marks,
}

enum Event {
    Change(Arc<Row>),
    Missed,
    Time,
    End,
}

impl Dispatcher {
    /// Subscribes to the changes from now on. The caller must run the task.
    pub fn new(all: Arc<Notifications>) -> Dispatcher {
        let changes = all.controller.changes();
        let snapshot = all.live.current();
        let config = snapshot.config.clone();
        let bots = snapshot.config.bots.iter().zip(&snapshot.epochs);
        let handled = bots.map(|(bot, epoch)| (bot.name.to_string(), epoch.revision)).collect();
        Dispatcher {
            all,
            changes,
            handled,
            config,
            marks: Vec::new(),
            stores_marks: false,
            recipients: Vec::new(),
            waiting: HashMap::new(),
            config_waits: HashMap::new(),
        }
    }

    /// Runs until the controller ends.
    pub async fn run(mut self) {
        let marks = self.read_marks().await;
        self.stores_marks = marks.is_some();
        self.marks = marks.unwrap_or_default();
        self.set_recipients();
        self.catch_up(NEWS).await;
        self.marks = Vec::new();
        let mut checks = tokio::time::interval(CHECK_EVERY);
        checks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let event = tokio::select! {
                change = self.changes.recv() => match change {
                    Ok(row) => Event::Change(row),
                    Err(RecvError::Lagged(_)) => Event::Missed,
                    Err(RecvError::Closed) => Event::End,
                },
                _ = checks.tick() => Event::Time,
            };
            match event {
                Event::Change(row) => {
                    self.open_marks(&row);
                    self.follow_config();
                    self.announce(&row);
                }
                Event::Missed => {
                    self.follow_config();
                    self.catch_up(NEWS).await;
                }
                Event::Time => self.check_statuses(),
                Event::End => return,
            }
        }
    }

    /// Reads the stored marks; `None` if all attempts fail.
    async fn read_marks(&self) -> Option<Vec<Mark>> {
        for asked in 0..ASKED_MOST {
            let why = match tokio::time::timeout(PATIENCE, self.all.controller.store().marks()).await {
                Ok(Ok(marks)) => return Some(marks),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer from the disk within {PATIENCE:?}"),
            };
            if asked == 0 {
                tracing::warn!(why, "who was told what cannot be read: no notification is sent before it can be");
            }
            tokio::time::sleep(ASK_AGAIN).await;
        }
        tracing::error!("who was told what still cannot be read: new notifications are sent, and a restart may repeat them");
        None
    }

    /// Opens, updates and closes the recipients so that they match the config. A new notifier is told only of changes that are handled from
    /// now on.
    fn set_recipients(&mut self) {
        let (mut old, mut marks) = (std::mem::take(&mut self.recipients), Vec::new());
        for notifier in &self.config.notifiers {
            let known = old.iter().position(|recipient| recipient.notifier.name == notifier.name).map(|at| old.swap_remove(at));
            let mut recipient = known.unwrap_or_else(|| self.open_recipient(notifier));
            if *recipient.notifier != *notifier {
                recipient.notifier = Arc::new(notifier.clone());
                recipient.queue.set_notifier(recipient.notifier.clone());
            }
            for bot in self.config.bots.iter().map(|bot| bot.name.as_str()) {
                // A bot without an entry has just come with the config: all its changes are news.
                let Some(handled) = self.handled.get(bot).map(|revision| mark_value(*revision)) else { continue };
                // A mark beyond the last revision is lowered: the row of a change may have been lost after people were told of it.
                if recipient.marks.at(bot, CHANGE).is_none_or(|marked| marked > handled) {
                    recipient.marks.set(bot, CHANGE, handled);
                    marks.push(mark(notifier, bot, CHANGE, handled));
                }
            }
            self.recipients.push(recipient);
        }
        old.iter().for_each(|recipient| recipient.queue.close());
        self.store_marks(marks);
        *self.all.queues.lock().unwrap_or_else(PoisonError::into_inner) =
            self.recipients.iter().map(|recipient| recipient.queue.clone()).collect();
    }

    fn open_recipient(&self, notifier: &Notifier) -> Recipient {
        let notifier = Arc::new(notifier.clone());
        let queue = Arc::new(Queue::new(notifier.clone()));
        let (controller, metrics) = (Arc::downgrade(&self.all.controller), self.all.metrics.clone());
        self.all.metrics.notified(&notifier.name, meters::Told::Sent, 0);
        Delivery { queue: queue.clone(), controller, metrics }.start();
        Recipient { marks: Marks::of(&self.marks, &notifier.name), notifier, queue }
    }

    /// Reads from the history the changes that no notifier was told of, and handles those that are younger than `news`.
    async fn catch_up(&mut self, news: Duration) {
        let oldest = jiff::Timestamp::now() - news;
        for bot in self.config.bots.iter().map(|bot| bot.name.to_string()).collect::<Vec<_>>() {
            let Some(marked) = self.recipients.iter().filter_map(|recipient| recipient.marks.at(&bot, CHANGE)).min() else { continue };
            let read = self.all.controller.store().history(&bot, None, MISSED_MOST);
            let Ok(Ok(mut rows)) = tokio::time::timeout(PATIENCE, read).await else {
                tracing::warn!(bot, "cannot read the missed changes: no notifications about them");
                continue;
            };
            rows.retain(|row| row.revision > u64::try_from(marked).unwrap_or(0));
            rows.retain(|row| row.at.parse::<jiff::Timestamp>().is_ok_and(|at| at >= oldest));
            rows.iter().rev().for_each(|row| self.announce(row));
        }
    }

    /// If this is the first change of a bot that the config has added, opens its marks.
    fn open_marks(&mut self, row: &Row) {
        if !self.handled.contains_key(&row.bot) {
            self.handled.insert(row.bot.clone(), row.revision.saturating_sub(1));
            self.set_recipients();
        }
    }

    fn announce(&mut self, row: &Row) {
        let (occasion, revision) = (message::occasion(row), mark_value(row.revision));
        let handled = self.handled.entry(row.bot.clone()).or_default();
        *handled = row.revision.max(*handled);
        let mut skipped = Vec::new();
        for recipient in &mut self.recipients {
            if !recipient.marks.advance(&row.bot, CHANGE, revision) {
                continue;
            }
            let mut marks = vec![mark(&recipient.notifier, &row.bot, CHANGE, revision)];
            let Some(occasion) = occasion.filter(|occasion| recipient.notifier.tells_of(&row.bot, *occasion)) else {
                // The change is marked as handled, so that another config after a restart does not send it.
                if recipient.queue.is_done() {
                    skipped.append(&mut marks);
                }
                continue;
            };
            if let Some(topic) = occasions::covered_hold_topic(row) {
                recipient.marks.set(&row.bot, &topic, revision);
                marks.push(mark(&recipient.notifier, &row.bot, &topic, revision));
            }
            let links = links(&self.all, &self.config, recipient, &row.bot, row.revision, &Stands::after(row), message::offers(row), "");
            let page = page(&self.config, &row.bot);
            let message = message::of_change(&self.all.instance, row, occasion, links, page);
            enqueue(&self.all, self.stores_marks, recipient, message, marks);
        }
        self.store_marks(skipped);
    }

    fn store_marks(&self, marks: Vec<Mark>) {
        if self.stores_marks {
            self.all.controller.store().mark(marks);
        }
    }

    fn follow_config(&mut self) {
        let snapshot = self.all.live.current();
        if !Arc::ptr_eq(&snapshot.config, &self.config) {
            self.config = snapshot.config.clone();
            self.set_recipients();
        }
    }

    /// Handles what is no change: holds that last, and what is due.
    fn check_statuses(&mut self) {
        self.follow_config();
        let snapshot = self.all.live.current();
        for (bot, epoch) in snapshot.config.bots.iter().zip(&snapshot.epochs) {
            let status = epoch.status();
            if let Some(waits) = self.lasting_hold(bot, &status) {
                self.announce_hold(bot, &status, &waits);
            }
            self.check_config_release(bot, &status);
            if let Some(last) = occasions::drill_due(&status, bot, unix_now()) {
                self.announce_due(bot, Occasion::DrillDue, last, |instance| message::drill_due(instance, bot, last, now()));
            }
            if let Some(since) = occasions::free_to_tear_down(&status) {
                self.announce_due(bot, Occasion::Teardown, since, |instance| message::teardown(instance, bot, &status, since, now()));
            }
        }
    }

    /// Returns why the bot waits for a human, if it has waited for `HELD_FOR`.
    fn lasting_hold<'s>(&mut self, bot: &Bot, status: &'s Status) -> Option<Waits<'s>> {
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

    fn announce_hold(&mut self, bot: &Bot, status: &Status, waits: &Waits<'_>) {
        let (name, revision) = (bot.name.as_str(), status.state.revision);
        let (topic, at) = (occasions::hold_topic(waits), mark_value(revision));
        for recipient in &mut self.recipients {
            if !recipient.notifier.tells_of(name, Occasion::Held) || !recipient.marks.advance(name, &topic, at) {
                continue;
            }
            let (stands, next) = (Stands::of(&status.state), occasions::approval_text(&status.state));
            let acts = occasions::hold_actions(&self.config, bot, status, waits);
            let links = links(&self.all, &self.config, recipient, name, revision, &stands, &acts, &next);
            let page = page(&self.config, name);
            let message = message::of_hold(&self.all.instance, name, status, waits, now(), links, page);
            enqueue(&self.all, self.stores_marks, recipient, message, vec![mark(&recipient.notifier, name, &topic, at)]);
        }
    }

    /// Tells of the config's release if it has waited for `CONFIG_WAITS_FOR`.
    fn check_config_release(&mut self, bot: &Bot, status: &Status) {
        let Some((wanted, why)) = occasions::unstartable_release(status) else {
            self.config_waits.remove(bot.name.as_str());
            return;
        };
        let now = Instant::now();
        let (release, since) = self.config_waits.entry(bot.name.to_string()).or_insert_with(|| (wanted.clone(), now));
        if release != wanted {
            (*release, *since) = (wanted.clone(), now);
        }
        if now.duration_since(*since) >= CONFIG_WAITS_FOR {
            self.announce_config_release(bot, status, wanted, why);
        }
    }

    /// Sends this once for each release that the config names and each revision.
    fn announce_config_release(&mut self, bot: &Bot, status: &Status, wanted: &Release, why: &str) {
        let (name, topic, at) = (bot.name.as_str(), format!("config:{wanted}"), mark_value(status.state.revision));
        for recipient in &mut self.recipients {
            if recipient.notifier.tells_of(name, Occasion::Held) && recipient.marks.advance(name, &topic, at) {
                let page = page(&self.config, name);
                let message = message::config_waits(&self.all.instance, bot, status, wanted, why, now(), page);
                enqueue(&self.all, self.stores_marks, recipient, message, vec![mark(&recipient.notifier, name, &topic, at)]);
            }
        }
    }

    fn announce_due(&mut self, bot: &Bot, occasion: Occasion, at: i64, message: impl Fn(&str) -> Message) {
        let (name, topic) = (bot.name.as_str(), occasion.name());
        for recipient in &mut self.recipients {
            if recipient.notifier.tells_of(name, occasion) && recipient.marks.advance(name, topic, at) {
                enqueue(
                    &self.all,
                    self.stores_marks,
                    recipient,
                    message(&self.all.instance),
                    vec![mark(&recipient.notifier, name, topic, at)],
                );
            }
        }
    }
}

/// A revision as the value of a mark.
fn mark_value(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn mark(notifier: &Notifier, bot: &str, topic: &str, at: i64) -> Mark {
    Mark { notifier: notifier.name.clone(), bot: bot.to_owned(), topic: topic.to_owned(), at }
}

fn enqueue(all: &Notifications, stores_marks: bool, recipient: &Recipient, message: Message, marks: Vec<Mark>) {
    let gone = recipient.queue.put(Job::new(message, if stores_marks { marks } else { Vec::new() }));
    if gone > 0 {
        all.metrics.notified(&recipient.notifier.name, meters::Told::Dropped, gone);
        tracing::warn!(notifier = recipient.notifier.name, "too many notifications wait: the oldest is dropped");
    }
}

/// The bot's address on the dashboard; `None` without a `public_url`.
fn page(config: &Config, bot: &str) -> Option<String> {
    Some(format!("{}/#/bots/{bot}", config.admin.public_url.as_ref()?))
}

/// One link for each action; none without a `public_url`, because nobody could open them.
#[expect(clippy::too_many_arguments, reason = "they are what a link is made of")]
fn links(
    all: &Notifications,
    config: &Config,
    recipient: &Recipient,
    bot: &str,
    revision: u64,
    stands: &Stands,
    acts: &[Act],
    approval: &str,
) -> Vec<Link> {
    let Some(base) = &config.admin.public_url else { return Vec::new() };
    let expires = unix_now().as_secs() + LINK_SECS;
    let acts = acts.iter().copied().filter(|act| act.takes_back() || !config.admin.read_only);
    let link = |act: Act| {
        let ticket =
            Ticket { act, bot: bot.to_owned(), revision, stands: stands.clone(), notifier: recipient.notifier.name.clone(), expires };
        let label = match act {
            Act::Advance => format!("Approve: {approval}"),
            Act::Resume => "Resume".to_owned(),
            Act::Abort => "Abort".to_owned(),
            Act::Undo => "Undo".to_owned(),
        };
        Link { act, label, url: format!("{base}/act/{}", ticket.seal(&all.key())), expires }
    };
    acts.map(link).collect()
}
