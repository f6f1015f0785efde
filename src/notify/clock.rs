//! The wall clock, as messages and links state it.

use std::time::{Duration, SystemTime};

/// RFC 3339 in UTC, in milliseconds, like the times in the history.
pub(super) fn now() -> String {
    jiff::Timestamp::try_from(SystemTime::now()).map_or_else(|_| String::new(), |at| format!("{at:.3}"))
}

pub fn unix_now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
