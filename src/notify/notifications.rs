//! The handle to the notifications: test messages, the key of the links, and the end.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::clock::{now, unix_now};
use super::link;
use super::message::{self, Message};
use super::queue::Queue;
use super::send::Sender;
use crate::config::Notifier;
use crate::controller::Controller;
use crate::live::Live;
use crate::meters::Metrics;
use crate::store::InstallationKey;

/// The handle to the notifications for `app` and `admin`.
#[derive(Debug)]
pub struct Notifications {
    pub(super) live: Arc<Live>,
    pub(super) controller: Arc<Controller>,
    pub(super) metrics: Arc<Metrics>,
    /// The installation's name in the ids of its events.
    pub(super) instance: String,
    pub(super) queues: Mutex<Vec<Arc<Queue>>>,
}

/// The outcome of a test message.
#[derive(Clone, Debug)]
pub struct Tested {
    pub notifier: String,
    pub sent: bool,
    /// The outcome in words.
    pub outcome: String,
    /// The beginning of the receiver's answer.
    pub answer: String,
}

/// The length to which a receiver's answer is cut, in characters.
const ANSWER_SHOWN: usize = 200;
/// How often a shutdown checks whether everything is sent.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Notifications {
    pub fn new(live: Arc<Live>, controller: Arc<Controller>, metrics: Arc<Metrics>) -> Notifications {
        let instance = link::instance(&controller.store().key());
        Notifications { live, controller, metrics, instance, queues: Mutex::default() }
    }

    /// The key that links are sealed with.
    pub fn key(&self) -> InstallationKey {
        self.controller.store().key()
    }

    /// Sends one test message to the notifier of this name, or to all, and does not retry. Returns `None` if there is no notifier of
    /// this name.
    pub async fn test(&self, name: Option<&str>) -> Option<Vec<Tested>> {
        let config = self.live.current().config.clone();
        let wanted: Vec<Notifier> =
            config.notifiers.iter().filter(|notifier| name.is_none_or(|name| notifier.name == name)).cloned().collect();
        if wanted.is_empty() && name.is_some() {
            return None;
        }
        let (instance, unique) = (self.instance.clone(), unix_now().as_millis().to_string());
        let tests = wanted.into_iter().map(|notifier| {
            let message = message::test(&instance, &notifier.name, now(), &unique);
            tokio::task::spawn_blocking(move || test(&notifier, &message))
        });
        let tested = futures_util::future::join_all(tests).await;
        Some(tested.into_iter().flatten().collect())
    }

    /// Waits for at most `within` until the queues are empty, then stops sending. What is left is sent after a restart.
    pub async fn finish(&self, within: Duration) {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let empty = async {
            while queues.iter().any(|queue| !queue.rests()) {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let _ = tokio::time::timeout(within, empty).await;
        queues.iter().for_each(|queue| queue.close());
    }
}

/// Without this the threads of the notifiers would wait on their queues for ever.
impl Drop for Notifications {
    fn drop(&mut self) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|queue| queue.close());
    }
}

fn test(notifier: &Notifier, message: &Message) -> Tested {
    let answer = Sender::new().send(notifier, message);
    let shown: String = answer.body.chars().filter(|c| !c.is_control()).take(ANSWER_SHOWN).collect();
    Tested { notifier: notifier.name.clone(), sent: answer.result.is_success(), outcome: answer.result.to_string(), answer: shown }
}
