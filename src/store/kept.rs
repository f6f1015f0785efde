//! What is kept of a bot beside its changes.

use std::time::Duration;

use crate::core::{Landmarks, State};

/// What is kept of one bot.
#[derive(Clone, Debug)]
pub struct Kept {
    pub state: State,
    /// By the bot's clock.
    pub at: Duration,
    /// The evidence about the split of `state`, as it was last stored.
    pub evidence: Option<Vec<u8>>,
    pub past: Option<Vec<u8>>,
    pub landmarks: Landmarks,
}

/// A bot's data as of some moment after its last change.
#[derive(Debug)]
pub struct Checkpoint {
    pub bot: String,
    pub state: State,
    pub at: Duration,
    pub evidence: Option<Vec<u8>>,
    pub past: Option<Vec<u8>>,
}
