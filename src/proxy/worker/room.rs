//! How far room was made for new connections, among all connections of a worker or those of one source. Connections that come by the
//! thousand must not cost a search each.

use std::cell::Cell;
use std::rc::Rc;

#[derive(Debug, Default)]
pub struct Room {
    /// How many connections were told to end, and are still there.
    leaving: Cell<usize>,
    /// In which tick of the clock the last search was.
    searched_at: Cell<Option<u32>>,
    /// Whether that search has told all connections that may be told. Until the next tick there are no others: the clock counts how long
    /// they wait.
    exhausted: Cell<bool>,
}

/// A connection that was told to end. Counted until it is dropped.
#[derive(Debug)]
pub struct Leaving(Rc<Room>);

impl Room {
    pub fn leaving(&self) -> usize {
        self.leaving.get()
    }

    /// Whether connections that were told in this tick have still to end.
    pub fn is_made(&self, now: u32) -> bool {
        self.leaving() > 0 && self.searched_at.get() == Some(now)
    }

    pub fn is_exhausted(&self, now: u32) -> bool {
        self.exhausted.get() && self.searched_at.get() == Some(now)
    }

    pub fn searched(&self, now: u32, exhausted: bool) {
        self.searched_at.set(Some(now));
        self.exhausted.set(exhausted);
    }
}

impl Leaving {
    pub fn count(room: &Rc<Room>) -> Leaving {
        room.leaving.set(room.leaving() + 1);
        Leaving(room.clone())
    }
}

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leaving.set(self.0.leaving() - 1);
    }
}
