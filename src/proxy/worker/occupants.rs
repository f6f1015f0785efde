//! The open client connections of a worker, and which of them end when there is no room for another: those that have waited for
//! their clients for longest. A connection that waits for an upstream stays.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::room::{Leaving, Room};
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
    /// Where it then makes room.
    room: RefCell<Option<Leaving>>,
}

const NOT_WAITING: u32 = u32::MAX;

#[derive(Debug, Default)]
pub struct Occupants {
    all: RefCell<Living<Occupant>>,
    room: Rc<Room>,
}

impl Occupant {
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

    fn has_waited_long(&self, now: u32) -> bool {
        let since = self.waits_since.get();
        since != NOT_WAITING && Alarms::time(now.saturating_sub(since)) >= LEAST_WAIT
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

    fn leave(&self, reason: Closed, room: &Rc<Room>) {
        self.leaves.set(Some(reason));
        *self.room.borrow_mut() = Some(Leaving::count(room));
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
    pub fn add(&self, alarms: Rc<Alarms>) -> Rc<Occupant> {
        let waits_since = Cell::new(alarms.now());
        let occupant = Occupant { alarms, source: RefCell::default(), waits_since, leaves: Cell::new(None), room: RefCell::default() };
        let occupant = Rc::new(occupant);
        self.all.borrow_mut().add(&occupant);
        occupant
    }

    /// Tells those connections to end that have waited for their clients for longest, unless some were told in this tick and are still
    /// there.
    pub fn make_room(&self, now: u32) {
        if !self.room.is_made(now) {
            self.shed(Closed::Full, now, &self.room, |_| true);
        }
    }

    /// The same for connections of this source. Returns how many were told.
    pub fn make_room_of(&self, source: &Rc<Source>, now: u32) -> usize {
        let is_of = |occupant: &Occupant| occupant.source.borrow().as_ref().is_some_and(|own| Rc::ptr_eq(own, source));
        self.shed(Closed::Source, now, &source.room, is_of)
    }

    fn shed(&self, reason: Closed, now: u32, room: &Rc<Room>, may: impl Fn(&Occupant) -> bool) -> usize {
        if room.is_exhausted(now) {
            return 0;
        }
        let (all, mut count) = (self.all.borrow(), 0_usize);
        let among = all.iter().filter(|occupant| may(occupant)).inspect(|_| count += 1);
        let waiting = among.filter(|occupant| occupant.has_waited_long(now) && occupant.must_leave().is_none());
        let mut candidates: Vec<(u32, Rc<Occupant>)> = waiting.map(|occupant| (occupant.waits_since.get(), occupant)).collect();
        let wanted = count.div_ceil(PART).min(candidates.len());
        room.searched(now, wanted == candidates.len());
        if wanted == 0 {
            return 0;
        }
        candidates.select_nth_unstable_by_key(wanted - 1, |(since, _)| *since);
        candidates[..wanted].iter().for_each(|(_, occupant)| occupant.leave(reason, room));
        wanted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::wire::clock::Clock;

    /// Adds `count` connections, which wait since tick 0. The clock stays at tick 0.
    fn crowd(occupants: &Occupants, clock: &Rc<Clock>, count: usize) -> Vec<Rc<Occupant>> {
        (0..count).map(|_| occupants.add(clock.alarms())).collect()
    }

    fn leave(all: &mut Vec<Rc<Occupant>>) -> usize {
        let before = all.len();
        all.retain(|occupant| occupant.must_leave().is_none());
        before - all.len()
    }

    #[test]
    fn one_of_64_leaves_and_the_others_stay_until_they_have_left() {
        let (occupants, clock) = (Occupants::default(), Rc::<Clock>::default());
        let mut all = crowd(&occupants, &clock, 200);
        occupants.make_room(9);
        assert_eq!(leave(&mut all), 0, "none has waited for a second");
        (0..9).for_each(|_| occupants.make_room(10));
        assert_eq!(leave(&mut all), 4);
        occupants.make_room(10);
        assert_eq!(leave(&mut all), 4, "there are more of them in the same tick");
        occupants.make_room(10);
        occupants.make_room(11);
        assert_eq!(leave(&mut all), 6, "those that do not leave in time keep no others");
    }

    #[test]
    fn when_all_have_been_told_there_is_no_other_search_within_the_tick() {
        let (occupants, clock) = (Occupants::default(), Rc::<Clock>::default());
        let mut all = crowd(&occupants, &clock, 200);
        all[3..].iter().for_each(|occupant| occupant.works());
        occupants.make_room(10);
        assert_eq!((leave(&mut all), occupants.room.is_exhausted(10)), (3, true));
        all.iter().for_each(|occupant| occupant.waits());
        occupants.make_room(10);
        assert_eq!(leave(&mut all), 0);
        occupants.make_room(11);
        assert_eq!(leave(&mut all), 4);
    }

    #[test]
    fn those_of_a_source_that_leave_give_their_places_to_others() {
        let (occupants, clock, source) = (Occupants::default(), Rc::<Clock>::default(), Rc::<Source>::default());
        let mut others = crowd(&occupants, &clock, 100);
        let mut own = crowd(&occupants, &clock, 100);
        own.iter().for_each(|occupant| occupant.belongs_to(source.clone()));
        assert_eq!((occupants.make_room_of(&source, 10), source.room.leaving(), source.connections.get()), (2, 2, 100));
        assert_eq!((leave(&mut own), leave(&mut others)), (2, 0));
        assert_eq!((source.room.leaving(), source.connections.get()), (0, 98));
    }
}
