//! A simulated world of workspaces, with everyday troubles and with good and bad releases. It shows how rollouts would be judged:
//! by serin's own rule, by those of other tools, and by an oracle that knows the truth.
//!
//! Both tracks' answers are drawn from the same random numbers, so that each rule can go through the same world with its own
//! weights. A request counts as *made bad* if stable would have answered it well.

pub mod study;
pub mod run;
pub mod scenario;
mod reading;
mod values;
pub mod volume;
pub mod world;
mod tenants;
mod moods;
mod requests;
mod latency;
mod counts;
pub(crate) mod dice;
pub mod rule;
mod ours;
mod incumbents;
mod kayenta;

pub use counts::Counts;
pub use latency::Latency;
pub use ours::{Operator, Settings};
