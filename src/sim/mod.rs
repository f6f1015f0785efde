//! A world of workspaces, with the troubles of every day and releases that are bad in one way or another, to try out how
//! a rollout would be judged: serin's own rule, what others do, and an oracle that knows the truth.
//!
//! Both tracks' answers are drawn from the same chance at once, so that each rule can be led through the very same world
//! with its own weights, and a request counts as *made bad* when stable would have answered it well.

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
