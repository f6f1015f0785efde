//! One notifier's thread: it sends the jobs of the queue in order, and retries each until it is sent or too old.

use std::sync::{Arc, Weak};

use super::queue::{Job, Pause, Queue};
use super::retry::{NEWS, Next, next};
use super::send::Sender;
use crate::controller::Controller;
use crate::meters::{self, Metrics};
use crate::outbound::chance;

pub struct Delivery {
    pub queue: Arc<Queue>,
    /// Stores the marks of what was sent. Weak, so that a waiting thread does not keep the history open.
    pub controller: Weak<Controller>,
    pub metrics: Arc<Metrics>,
}

impl Delivery {
    /// Starts the thread. It ends once its queue is closed, and nobody waits for that: an attempt may have 10 s left, and what is not
    /// sent is sent after a restart.
    pub fn start(self) {
        let name = self.queue.notifier().name.clone();
        let thread = std::thread::Builder::new().name("serin-notify".to_owned()).spawn(move || self.run());
        if let Err(error) = thread {
            tracing::error!(notifier = name, %error, "cannot start a notifier's thread: it sends no notifications");
        }
    }

    fn run(self) {
        let mut sender = Sender::new();
        while let Some(job) = self.queue.take() {
            let Some(result) = self.deliver(&mut sender, &job) else { return };
            // A message that was given up is too old to be sent after a restart, so its marks are stored too.
            if let Some(controller) = self.controller.upgrade() {
                controller.store().mark(job.marks);
            }
            self.metrics.notified(&self.queue.notifier().name, result, 1);
            // Only a message that was sent has told its reader about the dropped ones.
            if result == meters::Told::Sent {
                self.queue.reported_dropped(job.message.dropped);
            }
        }
    }

    /// Sends a job with retries. Returns `None` if serin ends first; then the message is sent after a restart.
    fn deliver(&self, sender: &mut Sender, job: &Job) -> Option<meters::Told> {
        for attempt in 0.. {
            let notifier = self.queue.notifier();
            // The job may have waited long in the queue.
            if job.age() >= NEWS {
                tracing::warn!(notifier = notifier.name, event = job.message.id, "a notification is too old to be sent: it is given up");
                return Some(meters::Told::Failed);
            }
            let attempted = sender.send(&notifier, &job.message).result;
            let log = |what: &str| tracing::warn!(notifier = notifier.name, event = job.message.id, attempt = attempt + 1, why = %attempted, "{what}");
            match next(&attempted, attempt, job.age(), chance()) {
                Next::Sent => {
                    tracing::debug!(notifier = notifier.name, event = job.message.id, "notification sent");
                    return Some(meters::Told::Sent);
                }
                Next::GiveUp => {
                    log("a notification is given up");
                    return Some(meters::Told::Failed);
                }
                Next::Again(wait) => {
                    if attempt == 0 {
                        log("a notification could not be sent: it is tried again");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Hidden, Notifier, NotifierKind};
    use crate::notify::message;

    #[test]
    fn a_message_older_than_an_hour_is_not_tried() {
        let receiver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        receiver.set_nonblocking(true).unwrap();
        let url = Hidden::new(format!("http://{}/", receiver.local_addr().unwrap()));
        let notifier = Notifier { name: "ops".to_owned(), kind: NotifierKind::Slack, url, on: Vec::new(), bots: None };
        let queue = Arc::new(Queue::new(Arc::new(notifier)));
        let delivery = Delivery { queue, controller: Weak::new(), metrics: Arc::new(Metrics::new(1, Vec::new())) };
        let at = (jiff::Timestamp::now() - NEWS).to_string();
        let result = delivery.deliver(&mut Sender::new(), &Job::new(message::test("i", "ops", at, "1"), Vec::new()));
        assert_eq!(result, Some(meters::Told::Failed));
        assert!(receiver.accept().is_err());
    }
}
