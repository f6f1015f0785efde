//! Metrics.

mod families;
mod metrics;

pub use metrics::{Metrics, Told};
