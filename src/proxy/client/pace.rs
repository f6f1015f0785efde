//! How fast a client sends its request or takes its answer. A client that is slower than the least rate is given up, once it has used
//! up the time that every client has.

use std::cell::Cell;
use std::time::Duration;

use crate::proxy::wire::clock::Alarms;

/// The time that serin has waited for a client, and the bytes that passed.
#[derive(Debug, Default)]
pub struct Pace {
    bytes: Cell<u64>,
    /// In ticks of the clock, without the wait that goes on.
    waited: Cell<u32>,
    /// When the wait that goes on began.
    since: Cell<Option<u32>>,
}

impl Pace {
    pub fn begins_anew(&self) {
        self.bytes.set(0);
        self.waited.set(0);
        self.since.set(None);
    }

    pub fn waits(&self, now: u32) {
        if self.since.get().is_none() {
            self.since.set(Some(now));
        }
    }

    pub fn passed(&self, now: u32, bytes: u64) {
        self.bytes.set(self.bytes.get() + bytes);
        if let Some(since) = self.since.take() {
            self.waited.set(self.waited.get() + now.saturating_sub(since));
        }
    }

    /// How long serin may wait on: `first` at most, and less if the client is slower than `least_rate` bytes a second.
    pub fn patience(&self, first: Duration, least_rate: u64) -> Duration {
        let earned = Duration::from_millis(self.bytes.get().saturating_mul(1_000) / least_rate.max(1));
        first.saturating_add(earned).saturating_sub(Alarms::time(self.waited.get())).min(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(10);

    #[test]
    fn a_client_that_keeps_the_rate_is_waited_for() {
        let pace = Pace::default();
        for second in 0..100 {
            pace.waits(second * 10);
            assert_eq!(pace.patience(FIRST, 500), FIRST, "second {second}");
            pace.passed((second + 1) * 10, 600);
        }
    }

    #[test]
    fn a_slower_one_has_the_first_time_and_what_its_bytes_earn() {
        let pace = Pace::default();
        let mut now = 0;
        while !pace.patience(FIRST, 500).is_zero() {
            pace.waits(now);
            now += 10;
            pace.passed(now, 50);
        }
        assert_eq!(now, 120, "10 s, and 0.1 s for each second's 50 bytes");
        pace.begins_anew();
        assert_eq!(pace.patience(FIRST, 500), FIRST);
    }

    #[test]
    fn time_that_is_not_waited_for_the_client_does_not_count() {
        let pace = Pace::default();
        pace.waits(0);
        pace.passed(10, 1);
        assert_eq!(pace.patience(FIRST, 1), FIRST);
        pace.waits(100_000);
        pace.passed(100_010, 0);
        assert_eq!(pace.patience(FIRST, 1_000_000), Duration::from_secs(8));
    }
}
