//! What serin says of itself: every metric in one file, the logs in another.

pub mod logs;
mod meters;
mod metrics;

pub use meters::{BotMeters, BotShard, CodeClass, Count, Histogram, IdentifyResult, RescueReason, SourceMeter};
pub use metrics::{Metrics, Told};
