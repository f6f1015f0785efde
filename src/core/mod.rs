//! The pure heart: what is decided, given what is known. No clock, no I/O, no async, no randomness, no globals; time
//! and evidence come in as arguments and answers go out as values, so that everything here can be tested by calling it.

mod bucket;
pub mod evidence;
mod outcome;
mod split;
mod tally;
mod weight;

pub use bucket::{BUCKETS, Bucket, Salt, Workspace};
pub use outcome::{Ended, Outcome, Rules, Said, classify};
pub use split::{Assignment, Pins, Reason, Split, Track};
pub use tally::{LOG_UNIT, LatencyMarks, Sample, Tally};
pub use weight::{Weight, WeightError};
