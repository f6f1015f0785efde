//! The rules that judge a simulated rollout. `rule` says what each may see and do; `serin` is the real one, `tools` has models of
//! other tools, `oracle` knows the truth. `judge` has them by name.

mod judge;
mod oracle;
mod ramp;
mod rule;
mod serin;
mod tools;

pub use judge::Judge;
pub use ramp::{RAMP, RAMP_STEP};
pub use rule::{Rule, Ruling, TickResults};
pub use serin::{Operator, SerinSettings};
