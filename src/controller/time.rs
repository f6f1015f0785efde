//! The time, as the owner is told it with each event. It has no clock of its own, so that a simulated one is as good.

use std::time::{Duration, Instant, SystemTime};

/// One moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Since this process began, by a clock that never goes back. All that is decided goes by it.
    pub running: Duration,
    /// For windows of time in the config, and for people.
    pub wall: SystemTime,
}

impl Now {
    pub fn since(start: Instant) -> Now {
        Now { running: start.elapsed(), wall: SystemTime::now() }
    }

    pub fn timestamp(self) -> jiff::Timestamp {
        jiff::Timestamp::try_from(self.wall).unwrap_or_default()
    }

    pub fn unix_secs(self) -> f64 {
        self.timestamp().as_millisecond() as f64 / 1000.0
    }
}
