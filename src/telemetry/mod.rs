//! What serin says of itself: every metric in one file, the logs in others.

mod families;
mod lines;
pub mod logs;
mod meters;
mod metrics;

pub use lines::{Log, Piece, Style};
pub use meters::{BotMeters, BotShard, CodeClass, Count, Histogram, IdentifyResult, RescueReason, RetryMeter, SourceMeter};
pub use metrics::{Metrics, Told};
