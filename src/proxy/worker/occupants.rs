//! The open client connections of a worker, and which of them end when there is no room for another: those that have waited for
//! their clients for longest. A connection that waits for an upstream stays.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::sources::Source;
use crate::meters::Closed;
use crate::proxy::wire::clock::Alarms;
use crate::proxy::wire::living::Living;

/// A connection that has waited for less than this does not make room: its client may be about to send its request.
const LEAST_WAIT: Duration = Duration::from_secs(1);
/// Of so many connections one is told to end, at least one in all, so that a crowd of clients does not cause a search each.
const PART: usize = 64;

/// One open connection.
#[derive(Debug)]
pub struct Occupant {
    pub alarms: Rc<Alarms>,
    /// `None` for a trusted proxy, and until the client is known.
    source: RefCell<Option<Rc<Source>>>,
    /// Since when the connection waits for its client, in ticks of the clock. `NOT_WAITING`: it does not.
    waits_since: Cell<u32>,
    /// Why it has to end.
    leaves: Cell<Option<Closed>>,
}

const NOT_WAITING: u32 = u32::MAX;

#[derive(Debug, Default)]
pub struct Occupants(RefCell<Living<Occupant>>);

impl Occupant {
    pub fn new(alarms: Rc<Alarms>) -> Rc<Occupant> {
        let waits_since = Cell::new(alarms.now());
        Rc::new(Occupant { alarms, source: RefCell::default(), waits_since, leaves: Cell::new(None) })
    }

    /// Counts the connection for this source, until the connection ends.
    pub fn belongs_to(&self, source: Rc<Source>) {
        source.connections.set(source.connections.get() + 1);
        *self.source.borrow_mut() = Some(source);
    }

    pub fn source(&self) -> Option<Rc<Source>> {
        self.source.borrow().clone()
    }

    /// Called when the connection begins to wait for its client. If it waits already, that goes on.
    pub fn waits(&self) {
        if self.waits_since.get() == NOT_WAITING {
            self.waits_since.set(self.alarms.now());
        }
    }

    /// Called when the connection waits for its client for another reason than before.
    pub fn waits_anew(&self) {
        self.waits_since.set(self.alarms.now());
    }

    pub fn works(&self) {
        self.waits_since.set(NOT_WAITING);
    }

    fn has_waited_long(&self) -> bool {
        let since = self.waits_since.get();
        since != NOT_WAITING && Alarms::time(self.alarms.now().saturating_sub(since)) >= LEAST_WAIT
    }

    /// The reason for which the connection has to end now.
    pub fn must_leave(&self) -> Option<Closed> {
        self.leaves.get()
    }

    /// Waits until the connection has to end.
    pub async fn told_to_leave(&self) -> Closed {
        std::future::poll_fn(|cx| {
            self.alarms.watch(cx);
            self.must_leave().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn leave(&self, reason: Closed) {
        self.leaves.set(Some(reason));
        self.alarms.wake();
    }
}

impl Drop for Occupant {
    fn drop(&mut self) {
        if let Some(source) = self.source.get_mut() {
            source.connections.set(source.connections.get() - 1);
        }
    }
}

impl Occupants {
    pub fn add(&self, occupant: &Rc<Occupant>) {
        self.0.borrow_mut().add(occupant);
    }

    /// Tells those connections to end that have waited for their clients for longest. Returns how many.
    pub fn make_room(&self, reason: Closed) -> usize {
        self.shed(reason, |_| true, |candidates| candidates.div_ceil(PART))
    }

    /// The same for one connection of this source.
    pub fn make_room_of(&self, source: &Rc<Source>, reason: Closed) -> usize {
        self.shed(reason, |occupant| occupant.source.borrow().as_ref().is_some_and(|own| Rc::ptr_eq(own, source)), |_| 1)
    }

    fn shed(&self, reason: Closed, may: impl Fn(&Occupant) -> bool, how_many: impl Fn(usize) -> usize) -> usize {
        let all = self.0.borrow();
        let waiting = all.iter().filter(|occupant| occupant.has_waited_long() && occupant.must_leave().is_none() && may(occupant));
        let mut candidates: Vec<(u32, Rc<Occupant>)> = waiting.map(|occupant| (occupant.waits_since.get(), occupant)).collect();
        let wanted = how_many(candidates.len()).min(candidates.len());
        if wanted == 0 {
            return 0;
        }
        candidates.select_nth_unstable_by_key(wanted - 1, |(since, _)| *since);
        candidates[..wanted].iter().for_each(|(_, occupant)| occupant.leave(reason));
        wanted
    }
}
