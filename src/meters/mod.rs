//! What is counted, and nothing of how it is shown: `telemetry` reads it. The hot path counts in cells of its own worker.

#![forbid(unsafe_code)]

mod bot;
mod cells;
mod connections;
mod labels;
mod process;

pub use bot::{BotMeters, BotShard, RetryMeter, SourceMeter};
pub use cells::{Count, Histogram, Level};
pub use connections::ConnectionShard;
pub use labels::{Closed, CodeClass, IdentifyResult, NotIssued, Ordered, RescueReason, Told};
pub use process::Metrics;
