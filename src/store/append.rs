//! An order to the writing thread, and its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::entry::Entry;

/// The number of an order, unique in the process. The answer has the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Rows to be written, all or none.
#[derive(Debug)]
pub struct Append {
    pub ticket: Ticket,
    pub entries: Vec<Entry>,
    pub unwritten: Unwritten,
}

/// What to do with rows that cannot be written.
#[derive(Clone, Debug)]
pub enum Unwritten {
    /// Drop them: the change is not in force yet, and will be only if it is stored. The order is always answered, and the claim can
    /// withdraw it.
    Drop(Claim),
    /// Keep them: the change is in force already. The rows wait, in order, until they can be written; then the order is answered.
    Keep,
}

/// The answer to an order.
#[derive(Debug)]
pub struct Written {
    pub ticket: Ticket,
    pub result: Result<(), NotDurable>,
}

/// The error of a change that is not on the disk.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the history cannot be written: {0}")]
pub struct NotDurable(pub String);

/// Decides the race between the disk, which has stored the rows of an order, and the owner, which stops waiting for them. Exactly one
/// of the two wins, and the outcome never changes.
#[derive(Clone, Debug, Default)]
pub struct Claim(Arc<AtomicU8>);

const OPEN: u8 = 0;
const WRITTEN: u8 = 1;
const GIVEN_UP: u8 = 2;

impl Claim {
    /// Called by the owner when it stops waiting. Returns `true` if the rows are dropped, and `false` if they are stored already.
    pub fn give_up(&self) -> bool {
        self.end_as(GIVEN_UP)
    }

    /// Called by the writing thread when the rows are stored. Returns `true` if they stay, and `false` if the owner has stopped
    /// waiting: then they must be deleted.
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
    fn only_one_of_the_disk_and_the_owner_wins() {
        let (written, given_up) = (Claim::default(), Claim::default());
        assert!(written.written() && !written.give_up() && !written.is_given_up());
        assert!(given_up.give_up() && !given_up.written() && given_up.is_given_up());
    }
}
