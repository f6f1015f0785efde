//! The time that the owner is given with each event. The owner has no clock, so that the simulator can give it a simulated time.

use std::time::{Duration, Instant, SystemTime};

/// The interval between two ticks of the ratchet.
pub const TICK: Duration = Duration::from_secs(1);

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Time since the process began, monotonic. All decisions use it.
    pub running: Duration,
    /// Wall time, for the config's freeze windows and for people.
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
