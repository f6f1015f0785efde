//! Rollouts of the simulator: `run` leads rules through one world, `study` sums up many runs.

mod run;
mod study;

pub use run::{Moment, Record, Setting, run};
pub use study::{Study, Summary, upper_bound};
