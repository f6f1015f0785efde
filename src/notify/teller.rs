//! One notifier's thread: it sends what is in the queue, in order, and again until it is through or no news any more.
//! Nobody waits for it.

use std::sync::{Arc, Weak};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::queue::{Job, Pause, Queue};
use super::retry::{Heard, Next, next};
use super::send::Sender;
use crate::controller::Controller;
use crate::telemetry::{Metrics, Told};

pub struct Teller {
    pub queue: Arc<Queue>,
    /// Where what was told is remembered; it does not keep the history open.
    pub controller: Weak<Controller>,
    pub metrics: Arc<Metrics>,
}

impl Teller {
    /// It ends once its queue is closed, and nobody waits for that: an attempt may have 10 s left, and a restart tells what
    /// is not out.
    pub fn start(self) {
        let name = self.queue.notifier().name.clone();
        let thread = std::thread::Builder::new().name("serin-notify".to_owned()).spawn(move || self.run());
        if let Err(error) = thread {
            tracing::error!(notifier = name, %error, "no thread for a notifier: nothing is told by it");
        }
    }

    fn run(self) {
        let mut sender = Sender::new();
        while let Some(job) = self.queue.take() {
            let Some(told) = self.tell(&mut sender, &job) else { return };
            // What was given up is no news any more, so it is remembered too.
            if let Some(controller) = self.controller.upgrade() {
                controller.store().mark(job.mark);
            }
            self.metrics.notified(&self.queue.notifier().name, told, 1);
            // Nobody has read in it what was dropped if it did not get through.
            if told == Told::Sent {
                self.queue.said(job.message.dropped);
            }
        }
    }

    /// `None` when serin ends before it is known: a restart tells it.
    fn tell(&self, sender: &mut Sender, job: &Job) -> Option<Told> {
        for attempt in 0.. {
            let notifier = self.queue.notifier();
            let heard = sender.send(&notifier, &job.message).heard;
            let log = |what: &str| tracing::warn!(notifier = notifier.name, event = job.message.id, attempt = attempt + 1, why = %heard, "{what}");
            match next(&heard, attempt, job.since.elapsed(), chance()) {
                Next::Sent => {
                    tracing::debug!(notifier = notifier.name, event = job.message.id, "told");
                    return Some(Told::Sent);
                }
                Next::GiveUp => {
                    log("a notification is given up");
                    return Some(Told::Failed);
                }
                Next::Again(wait) => {
                    if attempt == 0 {
                        log("a notification is not through: it is tried again");
                    }
                    if self.queue.pause(wait, &notifier) == Pause::Closed {
                        return None;
                    }
                }
            }
        }
        None
    }
}

/// 0 to 1.
fn chance() -> f64 {
    let mut byte = [128];
    // Without randomness all wait alike, which harms little.
    let _ = SystemRandom::new().fill(&mut byte);
    f64::from(byte[0]) / 255.0
}

impl Heard {
    pub fn is_good(&self) -> bool {
        matches!(self, Heard::Status { code: 200..=299, .. })
    }
}
