//! What is added to the evidence at a time.

use crate::core::bucket::Bucket;
use crate::core::split::Turn;
use crate::core::tally::Tally;

/// What one bucket had since the last observation.
#[derive(Clone, Copy, Debug)]
pub struct BucketTally {
    pub bucket: Bucket,
    /// Answered by stable although the bucket's rank makes it canary: it is under examination, or was refuted.
    pub set_aside: bool,
    pub tally: Tally,
}

/// The requests of one bucket that were routed under examination, in one block.
#[derive(Clone, Copy, Debug)]
pub struct Examined {
    pub bucket: Bucket,
    /// The block that routed them.
    pub turn: Turn,
    /// Those that have ended since the last observation.
    pub tally: Tally,
    /// Those that have not ended.
    pub under_way: u32,
}
