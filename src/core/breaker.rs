//! The breaker for connections. A canary that takes no connections goes to 0 % within a second or two, without statistics, unless
//! stable fails as well.

use std::collections::VecDeque;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Connections in a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Connections {
    /// The requests that needed a connection.
    pub wanted: u32,
    /// Those whose connection was refused or reset.
    pub broken: u32,
}

#[derive(Clone, Debug, Default)]
pub struct Breaker {
    /// The time, the canary's connections, stable's.
    seen: VecDeque<(Duration, Connections, Connections)>,
}

/// Why the breaker tripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trip {
    pub canary: Connections,
}

const WINDOW: Duration = Duration::from_secs(15);
const BROKEN_LEAST: u32 = 8;
const BROKEN_SHARE: f64 = 0.5;
/// Stable works if less than this share of its connections is broken.
const STABLE_WELL: f64 = 0.1;

impl Breaker {
    /// Adds the connections since the last call. Returns a trip if, over any time up to `now` within the last 15 s, at least eight
    /// of the canary's connections and half of all were broken, and stable works.
    pub fn observe(&mut self, now: Duration, canary: Connections, stable: Connections) -> Option<Trip> {
        while self.seen.pop_front_if(|(then, _, _)| *then + WINDOW <= now).is_some() {}
        if canary.wanted + canary.broken + stable.wanted + stable.broken > 0 {
            self.seen.push_back((now, canary, stable));
        }
        // Backwards from now: connections from before the canary broke must not hide that it is broken.
        let (mut canary, mut stable) = (Connections::default(), Connections::default());
        self.seen.iter().rev().find_map(|(_, of_canary, of_stable)| {
            canary += *of_canary;
            stable += *of_stable;
            let tripped = canary.broken >= BROKEN_LEAST && canary.share() >= BROKEN_SHARE && stable.share() < STABLE_WELL;
            tripped.then_some(Trip { canary })
        })
    }

    /// Called when the canary has changed: forgets the connections of the old one.
    pub fn reset(&mut self) {
        self.seen.clear();
    }
}

impl Connections {
    /// The share of broken connections.
    pub fn share(self) -> f64 {
        f64::from(self.broken) / f64::from(self.wanted.max(self.broken).max(1))
    }
}

impl AddAssign for Connections {
    fn add_assign(&mut self, other: Connections) {
        self.wanted += other.wanted;
        self.broken += other.broken;
    }
}

impl fmt::Display for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of the canary's last {} connections were refused or reset", self.canary.broken, self.canary.wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Duration {
        Duration::from_secs(second)
    }

    fn of(wanted: u32, broken: u32) -> Connections {
        Connections { wanted, broken }
    }

    #[test]
    fn the_eighth_refusal_trips_it() {
        let mut breaker = Breaker::default();
        for second in 0..7 {
            assert_eq!(breaker.observe(at(second), of(1, 1), of(50, 0)), None);
        }
        assert_eq!(breaker.observe(at(7), of(1, 1), of(50, 0)), Some(Trip { canary: of(8, 8) }));
    }

    #[test]
    fn what_went_well_before_does_not_outweigh_it() {
        let mut breaker = Breaker::default();
        for second in 0..14 {
            assert_eq!(breaker.observe(at(second), of(100, 0), of(500, 0)), None);
        }
        assert_eq!(breaker.observe(at(14), of(9, 8), of(500, 0)), Some(Trip { canary: of(9, 8) }));
    }

    #[test]
    fn slow_refusals_and_a_minority_do_not() {
        let mut breaker = Breaker::default();
        for second in 0..100 {
            assert_eq!(breaker.observe(at(second * 3), of(1, 1), of(50, 0)), None);
        }
        let mut breaker = Breaker::default();
        assert_eq!(breaker.observe(at(0), of(100, 49), of(50, 0)), None);
    }

    #[test]
    fn when_stable_breaks_too_the_canary_is_not_blamed() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.observe(at(0), of(20, 20), of(50, 20)), None);
        assert_eq!(breaker.observe(at(1), of(0, 0), of(50, 10)), None);
        assert!(breaker.observe(at(2), of(20, 20), of(400, 0)).is_some());
        breaker.reset();
        assert_eq!(breaker.observe(at(3), of(1, 1), of(0, 0)), None);
    }
}
