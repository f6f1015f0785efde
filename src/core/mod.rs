//! The pure part: what is decided, given what is known. No clock, no I/O, no async, no randomness, no globals. Time and evidence
//! are arguments and answers are values, so tests call it directly.

mod admission;
mod breaker;
mod bucket;
pub mod evidence;
mod guard;
mod hold;
mod landmarks;
mod latency;
mod outcome;
mod plan;
pub mod ratchet;
mod rollout;
mod sparse;
mod split;
mod tally;
mod waits;
mod weight;

pub use admission::{Admission, Admitted, Event as AdmissionEvent};
pub use breaker::{Breaker, Connections, Trip};
pub use bucket::{BUCKETS, Bucket, Salt, Workspace};
pub use guard::{
    Crossed, Doubt, Fail, Frozen, Guard, Limit, Limits, MARGINAL, Most, Observed, Quantile, RAISE_BELOW, REQUESTS_LEAST, Verdict,
};
pub use hold::{AbortReason, Hold, Worth};
pub use landmarks::{Landmark, Landmarks};
pub use latency::{LATENCY_BINS, Latencies, latency_bin};
pub use outcome::{Ended, Outcome, OutcomeRules, Said, classify};
pub use plan::{AtDeadline, OnTrouble, Plan, Policy, Release, Step};
pub use rollout::{Former, Freeze, HeldBy, LastConfig, Phase, Quarantined, Rollout, State, Undone};
pub use split::{Apart, Assignment, Pins, Reason, Split, Track, Turn};
pub use tally::{LOG_UNIT, LatencyMarks, Sample, Tally, UNNOTICED_MICROS, typical_micros};
pub use waits::Waits;
pub use weight::{Weight, WeightError};
