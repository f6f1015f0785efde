//! Timeouts that are cheap to set. Each worker ticks ten times a second and checks the due times of all its connections. Arming or
//! clearing a timeout is a store to a `Cell`; a timer of the runtime would need an insertion and a removal for each request. The
//! price: a timeout is up to two tenths of a second late, which no platform notices.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

pub const TICK: Duration = Duration::from_millis(100);
/// A connection that is idle for this long frees what it can do without (8 kB and more). Most connections of a platform are idle most of the
/// time; a busy connection never reaches this limit.
pub const REST_AFTER: Duration = Duration::from_millis(100);

/// One worker's clock.
#[derive(Debug, Default)]
pub struct Clock {
    now: Cell<u32>,
    /// When the next tick is due, and how much after its time the last one came.
    next: Cell<Option<Instant>>,
    behind: Cell<Duration>,
    /// The date in HTTP's form, and the tick at which it was formatted. It is formatted once per tick at most.
    date: RefCell<(u32, String)>,
    alarms: RefCell<Vec<Weak<Alarms>>>,
}

/// What a connection may wait for. Each has its own due time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// The client sends the next request, or the rest of its head.
    Client,
    /// The client takes what was written.
    Write,
    /// The upstream answers, or the request's body moves on to it.
    Exchange,
    /// The next check whether the client is still connected.
    Presence,
    /// The time from which on an idle connection may rest.
    Rest,
    /// The end of the answer.
    Total,
}

const WAITS: usize = 6;
const NEVER: u32 = u32::MAX;

/// The due times of one connection. They wake the task that polls the connection.
#[derive(Debug)]
pub struct Alarms {
    clock: Rc<Clock>,
    due: [Cell<u32>; WAITS],
    waker: RefCell<Option<Waker>>,
}

impl Clock {
    /// Ticks for ever. The worker runs this as a task.
    pub async fn run(self: Rc<Clock>) {
        let mut interval = tokio::time::interval(TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let started = Instant::now();
        loop {
            let at = interval.tick().await;
            // Computed from the time, not counted: after a minute's suspension the alarms must not ring a minute late.
            self.now.set((at.duration_since(started).as_millis() / TICK.as_millis()) as u32);
            self.next.set(Some(at + TICK));
            self.behind.set(at.elapsed());
            self.ring();
        }
    }

    /// How much after its time the worker does something: as long did its tasks wait for their turns.
    pub fn behind(&self) -> Duration {
        let missing = self.next.get().map_or(Duration::ZERO, |next| next.elapsed());
        self.behind.get().max(missing)
    }

    /// The current tick.
    pub fn now(&self) -> u32 {
        self.now.get()
    }

    pub fn alarms(self: &Rc<Clock>) -> Rc<Alarms> {
        let alarms = Rc::new(Alarms { clock: self.clone(), due: std::array::from_fn(|_| Cell::new(NEVER)), waker: RefCell::default() });
        self.alarms.borrow_mut().push(Rc::downgrade(&alarms));
        alarms
    }

    /// Wakes the task of every connection, after a change that concerns all of them.
    pub fn wake_all(&self) {
        self.alarms.borrow().iter().filter_map(Weak::upgrade).for_each(|alarms| alarms.wake());
    }

    fn ring(&self) {
        let now = self.now.get();
        self.alarms.borrow_mut().retain(|alarms| {
            let Some(alarms) = alarms.upgrade() else { return false };
            if alarms.due.iter().any(|due| due.get() <= now)
                && let Some(waker) = alarms.waker.borrow().as_ref()
            {
                waker.wake_by_ref();
            }
            true
        });
    }
}

impl Alarms {
    /// Calls `read` with the date in HTTP's form. The date is at most one tick old.
    pub fn with_date<T>(&self, read: impl FnOnce(&str) -> T) -> T {
        let mut date = self.clock.date.borrow_mut();
        if date.0 != self.clock.now.get() || date.1.is_empty() {
            *date = (self.clock.now.get(), httpdate::fmt_http_date(SystemTime::now()));
        }
        read(&date.1)
    }

    pub fn arm(&self, wait: Wait, after: Duration) {
        // One tick more than the time needs, so that no alarm rings early.
        let ticks = after.as_millis().div_ceil(TICK.as_millis()) as u32 + 1;
        self.due[wait as usize].set(self.clock.now.get().saturating_add(ticks));
    }

    /// Arms a timeout, unless it is armed.
    pub fn arm_once(&self, wait: Wait, after: Duration) {
        if !self.armed(wait) {
            self.arm(wait, after);
        }
    }

    /// The current tick of the worker's clock.
    pub fn now(&self) -> u32 {
        self.clock.now.get()
    }

    /// How long so many ticks take.
    pub fn time(ticks: u32) -> Duration {
        TICK * ticks
    }

    pub fn clear(&self, wait: Wait) {
        self.due[wait as usize].set(NEVER);
    }

    pub fn armed(&self, wait: Wait) -> bool {
        self.due[wait as usize].get() != NEVER
    }

    pub fn rang(&self, wait: Wait) -> bool {
        self.due[wait as usize].get() <= self.clock.now.get()
    }

    /// Stores the waker of the task that polls the connection: an alarm that rings wakes it.
    pub fn watch(&self, cx: &Context<'_>) {
        let mut waker = self.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
    }

    pub fn wake(&self) {
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn an_alarm_rings_after_its_time_and_not_before() {
        let local = tokio::task::LocalSet::new();
        local
            .run_until(async {
                let clock = Rc::new(Clock::default());
                tokio::task::spawn_local(clock.clone().run());
                tokio::task::yield_now().await;
                let alarms = clock.alarms();
                alarms.arm(Wait::Client, Duration::from_secs(1));
                alarms.arm(Wait::Write, Duration::from_secs(2));
                tokio::time::sleep(Duration::from_millis(990)).await;
                assert!(!alarms.rang(Wait::Client));
                tokio::time::sleep(Duration::from_millis(220)).await;
                assert!(alarms.rang(Wait::Client) && !alarms.rang(Wait::Write));
                alarms.clear(Wait::Client);
                assert!(!alarms.rang(Wait::Client) && !alarms.armed(Wait::Client));
            })
            .await;
    }
}
