//! One worker's share of `max_memory`. What takes memory because of a client is charged here before it is buffered: heads and bodies
//! that are not whole, bodies that are held, and long pieces in transit. When the share is used up, the clients that have held the most
//! memory for the longest time give theirs back.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use tokio::sync::Notify;

use super::READ_MAX;
use super::clock::Alarms;
use super::living::Living;

/// What a request in flight takes, beside what is charged for it: its head, buffers for short messages on both sides, and its state.
const REQUEST_BYTES: usize = 24 * 1024;
/// A piece of this length or less needs no more memory than a request has anyway.
const SHORT_PIECE: usize = 8 * 1024;
/// What a body takes that comes in long pieces: one piece that is read, and one that is written.
const IN_PIECES: usize = 2 * READ_MAX;
/// The memory that is freed before it is worth to return it to the system.
const FREED_MANY: usize = 8 << 20;

#[derive(Debug, Default)]
pub struct Budget {
    limit: Cell<usize>,
    charged: Cell<usize>,
    requests: Cell<usize>,
    /// How many charges were given back so far.
    given_back: Cell<u64>,
    /// The most that was charged since `fell_much` was last true.
    peak: Cell<usize>,
    /// The bytes that clients have given back for others since `shed_much` last returned.
    shed: Cell<usize>,
    much: Notify,
    /// The charges of requests that have not arrived whole: they can be given back, because nothing was passed on.
    arriving: RefCell<Living<Charge>>,
}

/// Memory that is charged for one client, until it is dropped.
#[derive(Debug)]
pub struct Charge {
    budget: Rc<Budget>,
    bytes: Cell<usize>,
    alarms: Rc<Alarms>,
    /// In ticks of the clock.
    since: u32,
    arriving: Cell<bool>,
    /// Another client needs the memory.
    shed: Cell<bool>,
}

/// There is no memory, also not after others gave theirs back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl Budget {
    pub fn set_limit(&self, bytes: usize) {
        self.limit.set(bytes);
    }

    pub fn used(&self) -> usize {
        self.charged.get() + self.requests.get() * REQUEST_BYTES
    }

    /// Counts one more request in flight.
    pub fn add_request(&self) -> Result<(), NoMemory> {
        if !self.has_room(REQUEST_BYTES) && !self.make_room(REQUEST_BYTES, 0) {
            return Err(NoMemory);
        }
        self.requests.set(self.requests.get() + 1);
        Ok(())
    }

    pub fn remove_request(&self) {
        self.requests.set(self.requests.get() - 1);
    }

    /// Returns when clients gave back so much for others that the system should have it before the others use as much: the allocator
    /// cannot give each of them what another one has freed.
    pub async fn shed_much(&self) {
        while self.shed.get() < FREED_MANY {
            self.much.notified().await;
        }
        self.shed.set(0);
    }

    /// Whether so much less is charged than before that it is worth to return it to the system. What comes and goes all the time is
    /// not: the next one would only ask the system for it again.
    pub fn fell_much(&self) -> bool {
        let fell = self.peak.get() - self.charged.get() >= FREED_MANY;
        if fell {
            self.peak.set(self.charged.get());
        }
        fell
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.used().saturating_add(bytes) <= self.limit.get()
    }

    /// Lets clients that are still sending give back their memory, until there is room for `bytes`: first those with the highest product
    /// of memory and time, as long as it is above `weight`.
    fn make_room(&self, bytes: usize, weight: u64) -> bool {
        let arriving = self.arriving.borrow();
        let mut others: Vec<(u64, Rc<Charge>)> = arriving
            .iter()
            .filter(|charge| charge.arriving.get() && !charge.shed.get())
            .map(|charge| (charge.weight(), charge))
            .filter(|(theirs, _)| *theirs > weight)
            .collect();
        others.sort_unstable_by_key(|(theirs, _)| std::cmp::Reverse(*theirs));
        for (_, charge) in others {
            charge.give_back();
            if self.has_room(bytes) {
                return true;
            }
        }
        self.has_room(bytes)
    }
}

impl Charge {
    /// For what a client sends. Nothing is charged yet.
    pub fn begin(budget: &Rc<Budget>, alarms: &Rc<Alarms>) -> Rc<Charge> {
        let charge = Rc::new(Charge::new(budget, alarms, true));
        budget.arriving.borrow_mut().add(&charge);
        charge
    }

    /// Charges memory that no client can be asked to give back: a piece in transit.
    pub fn in_transit(budget: &Rc<Budget>, alarms: &Rc<Alarms>, bytes: usize) -> Result<Charge, NoMemory> {
        let charge = Charge::new(budget, alarms, false);
        charge.raise_to(bytes).map(|()| charge)
    }

    fn new(budget: &Rc<Budget>, alarms: &Rc<Alarms>, arriving: bool) -> Charge {
        let (bytes, shed, arriving) = (Cell::new(0), Cell::new(false), Cell::new(arriving));
        Charge { budget: budget.clone(), bytes, alarms: alarms.clone(), since: alarms.now(), arriving, shed }
    }

    /// The same, and waits until the clients that made room have freed their memory.
    pub async fn raise_when_free(&self, bytes: usize) -> Result<(), NoMemory> {
        let before = self.budget.given_back.get();
        self.raise_to(bytes)?;
        if self.budget.given_back.get() != before {
            // Their tasks were woken before this one, so they run first.
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Charges so many bytes in all. Fails if other clients cannot make room, or if this one has to.
    pub fn raise_to(&self, bytes: usize) -> Result<(), NoMemory> {
        if self.shed.get() {
            return Err(NoMemory);
        }
        let more = bytes.saturating_sub(self.bytes.get());
        if more > 0 && !self.budget.has_room(more) && !self.budget.make_room(more, self.weight()) {
            return Err(NoMemory);
        }
        self.budget.charged.set(self.budget.charged.get() + more);
        self.budget.peak.set(self.budget.peak.get().max(self.budget.charged.get()));
        self.bytes.set(self.bytes.get() + more);
        Ok(())
    }

    /// Called when the request has arrived whole: it is not shed any more.
    pub fn arrived(&self) {
        self.arriving.set(false);
    }

    pub fn is_shed(&self) -> bool {
        self.shed.get()
    }

    /// How much memory was held for how long.
    fn weight(&self) -> u64 {
        let ticks = self.alarms.now().saturating_sub(self.since) + 1;
        self.bytes.get() as u64 * u64::from(ticks)
    }

    /// The client's task frees the memory itself as soon as it runs, which is before the next event of the worker.
    fn give_back(&self) {
        self.shed.set(true);
        self.budget.given_back.set(self.budget.given_back.get() + 1);
        let bytes = self.discharge();
        self.budget.shed.set(self.budget.shed.get() + bytes);
        if self.budget.shed.get() >= FREED_MANY {
            self.budget.much.notify_one();
        }
        self.alarms.wake();
    }

    fn discharge(&self) -> usize {
        let bytes = self.bytes.take();
        self.budget.charged.set(self.budget.charged.get() - bytes);
        bytes
    }
}

/// The memory of a body whose pieces may be long.
#[derive(Debug, Default)]
pub struct LongPieces(Option<Charge>);

impl LongPieces {
    /// Called for each piece. Fails if there is no memory for long ones: then the rest must be read in short ones.
    pub fn passes(&mut self, piece: &[u8], budget: &Rc<Budget>, alarms: &Rc<Alarms>) -> Result<(), NoMemory> {
        if piece.len() > SHORT_PIECE && self.0.is_none() {
            self.0 = Some(Charge::in_transit(budget, alarms, IN_PIECES)?);
        }
        Ok(())
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.discharge();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::wire::clock::Clock;

    const KIB: usize = 1024;

    fn budget(kib: usize) -> (Rc<Budget>, Rc<Clock>) {
        let budget = Rc::new(Budget::default());
        budget.set_limit(kib * KIB);
        (budget, Rc::default())
    }

    #[test]
    fn memory_is_charged_until_it_is_dropped() {
        let (budget, clock) = budget(100);
        let one = Charge::begin(&budget, &clock.alarms());
        assert_eq!((one.raise_to(60 * KIB), one.raise_to(10 * KIB), budget.used()), (Ok(()), Ok(()), 60 * KIB));
        assert_eq!((budget.add_request(), budget.used()), (Ok(()), 84 * KIB));
        assert_eq!(one.raise_to(80 * KIB), Err(NoMemory), "it cannot give way to itself");
        budget.remove_request();
        drop(one);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn the_largest_gives_way_to_a_smaller_one_and_not_the_other_way_round() {
        let (budget, clock) = budget(100);
        let (large, small) = (Charge::begin(&budget, &clock.alarms()), Charge::begin(&budget, &clock.alarms()));
        large.raise_to(70 * KIB).unwrap();
        small.raise_to(20 * KIB).unwrap();
        assert_eq!((large.raise_to(90 * KIB), small.is_shed()), (Err(NoMemory), false));
        assert_eq!(small.raise_to(40 * KIB), Ok(()));
        assert_eq!((large.is_shed(), small.is_shed(), budget.used()), (true, false, 40 * KIB));
        assert_eq!(large.raise_to(KIB), Err(NoMemory), "it has to end");
    }

    #[test]
    fn what_has_arrived_stays_and_a_request_makes_room_for_itself() {
        let (budget, clock) = budget(100);
        let (whole, slow) = (Charge::begin(&budget, &clock.alarms()), Charge::begin(&budget, &clock.alarms()));
        whole.raise_to(50 * KIB).unwrap();
        whole.arrived();
        slow.raise_to(40 * KIB).unwrap();
        assert_eq!((budget.add_request(), slow.is_shed(), whole.is_shed()), (Ok(()), true, false));
        assert_eq!((budget.add_request(), budget.add_request()), (Ok(()), Err(NoMemory)));
        assert!(Charge::in_transit(&budget, &clock.alarms(), KIB).is_ok_and(|piece| !piece.is_shed()));
        assert_eq!(Charge::in_transit(&budget, &clock.alarms(), 3 * KIB).unwrap_err(), NoMemory);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_given_back_for_others_is_returned_at_once() {
        let (budget, clock) = budget(10 * KIB);
        let returned = || tokio::time::timeout(std::time::Duration::from_secs(1), budget.shed_much());
        let large = Charge::begin(&budget, &clock.alarms());
        large.raise_to(FREED_MANY).unwrap();
        assert!(returned().await.is_err());
        let _other = Charge::in_transit(&budget, &clock.alarms(), 3 << 20).unwrap();
        assert!(large.is_shed() && returned().await.is_ok());
        assert!(returned().await.is_err());
    }

    #[test]
    fn what_comes_and_goes_is_kept_until_less_is_in_use() {
        let (budget, clock) = budget(100 * KIB);
        let charge = |bytes| Charge::in_transit(&budget, &clock.alarms(), bytes).unwrap();
        (0..1_000).for_each(|_| drop(charge(256 * KIB)));
        assert!(!budget.fell_much());
        let many: Vec<Charge> = (0..40).map(|_| charge(256 * KIB)).collect();
        assert!(!budget.fell_much());
        drop(many);
        assert!(budget.fell_much() && !budget.fell_much());
    }
}
