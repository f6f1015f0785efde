//! The bounded queue of one notifier. Putting a message in never blocks: if the queue is full, the oldest message is dropped, and the
//! next message that is sent says how many were dropped.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::message::Message;
use crate::config::Notifier;
use crate::store::Mark;

/// More messages than this in one burst are more than anybody reads.
const PLACES: usize = 64;

/// A message, and the marks to store once it is sent.
#[derive(Clone, Debug)]
pub struct Job {
    pub message: Message,
    pub marks: Vec<Mark>,
    /// The event's age when the job was made, and when that was.
    was: Duration,
    since: Instant,
}

impl Job {
    pub fn new(message: Message, marks: Vec<Mark>) -> Job {
        let at = message.at.parse::<jiff::Timestamp>().map_or_else(|_| SystemTime::now(), SystemTime::from);
        // The wall clock is read only here, because the event may be older than this process. Later changes of the clock make no
        // message older.
        let was = SystemTime::now().duration_since(at).unwrap_or_default();
        Job { message, marks, was, since: Instant::now() }
    }

    /// The time since the event, not since the first attempt to send.
    pub fn age(&self) -> Duration {
        self.was + self.since.elapsed()
    }
}

#[derive(Debug)]
pub struct Queue {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug)]
struct Inner {
    /// The notifier in the current config: a retry goes to where the current config says.
    notifier: Arc<Notifier>,
    waiting: VecDeque<Job>,
    /// Dropped since the last message that was sent.
    dropped: u64,
    sending: bool,
    /// The message being sent waits for its next attempt.
    pausing: bool,
    closed: bool,
}

impl Inner {
    fn is_done(&self) -> bool {
        self.waiting.is_empty() && !self.sending
    }
}

/// How a pause ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    Over,
    Closed,
}

impl Queue {
    pub fn new(notifier: Arc<Notifier>) -> Queue {
        let inner = Inner { notifier, waiting: VecDeque::new(), dropped: 0, sending: false, pausing: false, closed: false };
        Queue { inner: Mutex::new(inner), changed: Condvar::new() }
    }

    /// Appends a job. Returns how many jobs were dropped to make room.
    pub fn put(&self, job: Job) -> u64 {
        let mut inner = self.lock();
        let mut gone = 0;
        while inner.waiting.len() >= PLACES {
            inner.waiting.pop_front();
            gone += 1;
        }
        inner.dropped += gone;
        inner.waiting.push_back(job);
        self.changed.notify_all();
        gone
    }

    /// Waits for the next job. Returns `None` once the queue is closed.
    pub fn take(&self) -> Option<Job> {
        let mut inner = self.lock();
        inner.sending = false;
        self.changed.notify_all();
        loop {
            if inner.closed {
                return None;
            }
            if let Some(mut job) = inner.waiting.pop_front() {
                job.message.dropped = inner.dropped;
                inner.sending = true;
                return Some(job);
            }
            inner = self.changed.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A message that said how many were dropped was sent: takes them off the count.
    pub fn reported_dropped(&self, dropped: u64) {
        let mut inner = self.lock();
        inner.dropped = inner.dropped.saturating_sub(dropped);
    }

    pub fn notifier(&self) -> Arc<Notifier> {
        self.lock().notifier.clone()
    }

    pub fn set_notifier(&self, notifier: Arc<Notifier>) {
        self.lock().notifier = notifier;
        self.changed.notify_all();
    }

    /// Waits for `wait`. Ends early if the queue is closed, or if the notifier is not `tried`, the one of the last attempt.
    pub fn pause(&self, wait: Duration, tried: &Arc<Notifier>) -> Pause {
        let (began, mut inner) = (Instant::now(), self.lock());
        inner.pausing = true;
        loop {
            let left = wait.saturating_sub(began.elapsed());
            if inner.closed {
                return Pause::Closed;
            }
            if left.is_zero() || !Arc::ptr_eq(tried, &inner.notifier) {
                inner.pausing = false;
                return Pause::Over;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Stops the sending: `take` returns `None` from now on.
    pub fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    /// Whether a shutdown need not wait: everything is sent, or the receiver fails and the next attempt is later.
    pub fn rests(&self) -> bool {
        let inner = self.lock();
        inner.pausing || inner.is_done()
    }

    /// Whether everything that was put in is sent or dropped.
    pub fn is_done(&self) -> bool {
        self.lock().is_done()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Hidden, NotifierKind};
    use crate::notify::message;

    fn notifier() -> Arc<Notifier> {
        Arc::new(Notifier { name: "ops".to_owned(), kind: NotifierKind::Slack, url: Hidden::new("http://h"), on: Vec::new(), bots: None })
    }

    fn job(number: usize) -> Job {
        let mark = Mark { notifier: "ops".to_owned(), bot: "b".to_owned(), topic: "change".to_owned(), at: 1 };
        Job::new(message::test("i", "ops", String::new(), &number.to_string()), vec![mark])
    }

    #[test]
    fn a_full_queue_forgets_the_oldest_and_the_next_message_says_how_many() {
        let queue = Queue::new(notifier());
        let gone: u64 = (0..PLACES + 3).map(|number| queue.put(job(number))).sum();
        assert_eq!(gone, 3);
        let first = queue.take().unwrap();
        assert_eq!((first.message.id.as_str(), first.message.dropped), ("i.test.3", 3));
        assert!(first.message.text().contains("3 earlier messages were dropped"));
        queue.reported_dropped(3);
        assert_eq!(queue.take().unwrap().message.dropped, 0);
    }

    #[test]
    fn a_queue_rests_only_once_the_taken_message_is_done() {
        let queue = Queue::new(notifier());
        queue.put(job(0));
        assert!(!queue.rests() && !queue.is_done());
        let taken = queue.take();
        assert!(taken.is_some() && !queue.rests());
        queue.close();
        assert!(queue.take().is_none() && queue.rests());
        assert_eq!(queue.pause(Duration::from_secs(60), &queue.notifier()), Pause::Closed);
    }

    #[test]
    fn a_new_config_ends_a_wait() {
        let queue = Arc::new(Queue::new(notifier()));
        let waiting = std::thread::spawn({
            let queue = queue.clone();
            move || queue.pause(Duration::from_secs(60), &queue.notifier())
        });
        while !waiting.is_finished() {
            queue.set_notifier(notifier());
            std::thread::yield_now();
        }
        assert_eq!(waiting.join().unwrap(), Pause::Over);
    }

    #[test]
    fn a_config_that_changed_during_the_attempt_ends_the_pause() {
        let queue = Queue::new(notifier());
        let tried = queue.notifier();
        queue.set_notifier(notifier());
        assert_eq!(queue.pause(Duration::from_secs(60), &tried), Pause::Over);
    }

    #[test]
    fn the_age_of_a_message_is_that_of_its_event() {
        let of = |at: jiff::Timestamp| Job::new(message::test("i", "ops", at.to_string(), "1"), Vec::new()).age();
        let (now, quarter) = (jiff::Timestamp::now(), Duration::from_secs(900));
        assert!((quarter..2 * quarter).contains(&of(now - quarter)), "of before a restart");
        assert!(of(now + quarter) < quarter && job(1).age() < quarter, "a clock that was set back, and none");
    }
}
