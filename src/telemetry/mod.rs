//! Metrics and logs.

mod families;
mod lines;
pub mod logs;
mod meters;
mod metrics;

pub use lines::{Log, Piece, Style};
pub use meters::{BotMeters, BotShard, CodeClass, Count, Histogram, IdentifyResult, RescueReason, RetryMeter, SourceMeter};
pub use metrics::{Metrics, Told};
