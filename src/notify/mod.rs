//! Telling people. The history is the outbox: each change has a revision, and who was told up to which one is kept beside
//! it, so that a restart tells what was missed and nothing twice. A task on the control thread listens, makes the messages
//! and puts them into bounded queues; each notifier has a thread of its own that sends. Neither the proxy nor the
//! controller ever waits for any of it.

pub mod held;
pub mod known;
pub mod link;
pub mod message;
mod queue;
mod retry;
mod send;
mod shape;
mod sign;
mod teller;
mod told;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use crate::config::Notifier;
use crate::controller::Controller;
use crate::live::Live;
use crate::store::InstallationKey;
use crate::telemetry::Metrics;

use message::Message;
use queue::Queue;
use send::Sender;
use watch::Watch;

/// The part of it that others hold.
#[derive(Debug)]
pub struct Notifications {
    live: Arc<Live>,
    controller: Arc<Controller>,
    metrics: Arc<Metrics>,
    /// A name for this installation, in the ids of its events.
    instance: String,
    queues: Mutex<Vec<Arc<Queue>>>,
}

/// What came of a test.
#[derive(Clone, Debug)]
pub struct Tested {
    pub notifier: String,
    pub sent: bool,
    /// What happened, in words.
    pub outcome: String,
    /// The beginning of what the receiver said.
    pub answer: String,
}

/// What a receiver's answer may take of a screen.
const ANSWER_SHOWN: usize = 200;
/// How often a shutdown looks whether all is sent.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Notifications {
    pub fn new(live: Arc<Live>, controller: Arc<Controller>, metrics: Arc<Metrics>) -> Notifications {
        let instance = link::instance(&controller.store().key());
        Notifications { live, controller, metrics, instance, queues: Mutex::default() }
    }

    /// Listens from this moment on; whoever gets it has to run it.
    pub fn watch(self: &Arc<Self>) -> Watch {
        Watch::new(self.clone())
    }

    /// What links are sealed with.
    pub fn key(&self) -> InstallationKey {
        self.controller.store().key()
    }

    /// Sends a test to one notifier, or to all, now and once; `None` if there is none of that name.
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

    /// Lets what is under way end, for at most so long, and sends nothing more. What is not out is told after a restart.
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

/// Threads that nobody can reach any more must not wait for ever.
impl Drop for Notifications {
    fn drop(&mut self) {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).iter().for_each(|queue| queue.close());
    }
}

fn test(notifier: &Notifier, message: &Message) -> Tested {
    let answer = Sender::new().send(notifier, message);
    let shown: String = answer.body.chars().filter(|c| !c.is_control()).take(ANSWER_SHOWN).collect();
    Tested { notifier: notifier.name.clone(), sent: answer.heard.is_good(), outcome: answer.heard.to_string(), answer: shown }
}

/// RFC 3339 in UTC, to the millisecond, like the times of the history.
fn now() -> String {
    jiff::Timestamp::try_from(SystemTime::now()).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
