//! How much of a bot's traffic a weight reaches.

use crate::core::Weight;

/// The usual traffic of the buckets below a weight.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    pub weight: Weight,
    pub active_buckets: usize,
    /// The share of all the bot's requests, 0 to 1.
    pub requests_share: f64,
}
