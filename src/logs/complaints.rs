//! Errors about files that are read again and again: each is logged once, until it changes or is gone.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The last error by topic.
#[derive(Debug, Default)]
pub struct Complaints(Mutex<HashMap<String, String>>);

impl Complaints {
    /// Logs an error, unless it is the last one about this topic.
    pub fn report(&self, topic: &str, reason: &str) {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.to_owned(), reason.to_owned());
        if last.is_none_or(|last| last != reason) {
            tracing::error!("{reason}; what was read before serves on");
        }
    }

    pub fn clear(&self, topic: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(topic);
    }

    pub fn clear_all(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
