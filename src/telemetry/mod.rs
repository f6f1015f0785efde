//! Metrics.

mod families;
mod meters;
mod metrics;

pub use meters::{BotMeters, BotShard, CodeClass, Count, Histogram, IdentifyResult, RescueReason, RetryMeter, SourceMeter};
pub use metrics::{Metrics, Told};
