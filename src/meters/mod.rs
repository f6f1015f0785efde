//! What is counted, and nothing of how it is shown: the cells of the hot path. `telemetry` reads them.

mod bot;
mod cells;
mod labels;

pub use bot::{BotMeters, BotShard, RetryMeter, SourceMeter};
pub use cells::{Count, Histogram, Level};
pub use labels::{CodeClass, IdentifyResult, RescueReason};
