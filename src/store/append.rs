//! One order to the thread that writes, and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::{Entry, NotDurable};

/// The number of an order; its answer bears the same one. No two orders of a process have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Rows to write, all of them or none.
#[derive(Debug)]
pub struct Append {
    pub ticket: Ticket,
    pub entries: Vec<Entry>,
    pub unwritten: Unwritten,
}

/// What becomes of rows that cannot be written.
#[derive(Clone, Debug)]
pub enum Unwritten {
    /// What they say was not done, and is done only once they are durable. The order is always answered. It may be
    /// withdrawn by its claim.
    Drop(Claim),
    /// What they say serves already: they wait, in order, and are written when they can be. Only then is the order answered.
    Keep,
}

/// The answer to an order.
#[derive(Debug)]
pub struct Written {
    pub ticket: Ticket,
    pub result: Result<(), NotDurable>,
}

/// Who decides whether rows that are dropped if they cannot be written are written: the disk, by having them, or whoever
/// ordered them, by giving up first. Only one of the two wins.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicU8>);

const OPEN: u8 = 0;
const WRITTEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Claim {
    /// For whoever ordered the rows: are they to be forgotten? `false` if they are durable already.
    pub fn give_up(&self) -> bool {
        self.end_as(GIVEN_UP)
    }

    /// For the thread that writes: do the rows stay? `false` if whoever ordered them has given up; then they must go again.
    pub fn written(&self) -> bool {
        self.end_as(WRITTEN)
    }

    pub fn is_given_up(&self) -> bool {
        self.0.load(Ordering::Acquire) == GIVEN_UP
    }

    fn end_as(&self, end: u8) -> bool {
        match self.0.compare_exchange(OPEN, end, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(ended) => ended == end,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_of_the_disk_and_whoever_gave_up_wins() {
        let (written, given_up) = (Claim::default(), Claim::default());
        assert!(written.written() && !written.give_up() && !written.is_given_up());
        assert!(given_up.give_up() && !given_up.written() && given_up.is_given_up());
    }
}
