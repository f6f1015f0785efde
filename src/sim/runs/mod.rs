//! Rollouts of the simulator: `run` leads rules through one world, `study` sums up many runs.

mod run;
mod study;

pub use run::{Moment, Record, RunSetting, run};
pub use study::{RuleSummary, Study, upper_bound};
