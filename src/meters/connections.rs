//! What one worker counts of its client connections.

use super::cells::{Count, Level};
use super::labels::Closed;

/// One worker's cells.
#[derive(Debug, Default)]
pub struct ConnectionShard {
    /// The open connections.
    pub open: Level,
    /// The memory that is charged to `max_memory`, in bytes, twice a second.
    pub memory: Level,
    pub memory_limit: Level,
    /// How much after its time the worker does something, in microseconds, twice a second.
    pub behind_micros: Level,
    closed: [Count; Closed::ALL.len()],
}

impl ConnectionShard {
    /// Counts a connection that serin closed for this reason.
    pub fn closed(&self, reason: Closed) {
        self.closed[reason as usize].add(1);
    }

    pub fn closed_for(&self, reason: Closed) -> u64 {
        self.closed[reason as usize].load()
    }
}
