//! A worker that gets more than its core can do. Its tasks then wait for their turn, and each new connection makes all of them wait
//! longer: soon every answer is late. The cheapest refusal is the kernel's: it drops what its queue has no room for, and costs the worker
//! nothing. So a worker that is late itself takes few new connections, and serves those that it has.

use std::cell::Cell;
use std::time::Duration;

/// A worker is late if its clock ticks so much after its time. That is how long a connection waits from one turn to the next: a
/// twelfth of the shortest deadline of a platform, and more than a container without CPU time left waits for its next share.
const LATE: Duration = Duration::from_millis(250);
/// The same for a worker that was late: so that it does not change back and forth.
const STILL_LATE: Duration = Duration::from_millis(125);
/// The connections that a worker takes between two ticks while it is late: so that clients that open a connection for each request are
/// not shut out by those that keep theirs.
const FEW: u32 = 8;

#[derive(Debug, Default)]
pub struct Lag {
    late: Cell<bool>,
    /// The tick in which `taken` were taken.
    tick: Cell<u32>,
    taken: Cell<u32>,
}

impl Lag {
    /// Whether the worker is late, if its clock ticks this much after its time. The second is whether this has changed.
    pub fn is(&self, behind: Duration) -> (bool, bool) {
        let late = behind > if self.late.get() { STILL_LATE } else { LATE };
        (late, self.late.replace(late) != late)
    }

    /// Whether a late worker takes one more connection in this tick.
    pub fn takes_one(&self, tick: u32) -> bool {
        if self.tick.replace(tick) != tick {
            self.taken.set(0);
        }
        self.taken.set(self.taken.get() + 1);
        self.taken.get() <= FEW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_worker_is_late_until_it_is_clearly_in_time_and_takes_few_connections() {
        let lag = Lag::default();
        let of = |millis| lag.is(Duration::from_millis(millis));
        assert_eq!(
            [of(200), of(300), of(200), of(100), of(200)],
            [(false, false), (true, true), (true, false), (false, true), (false, false)]
        );
        let takes = |tick| (0..20).filter(|_| lag.takes_one(tick)).count();
        assert_eq!((takes(1), takes(2)), (FEW as usize, FEW as usize));
    }
}
