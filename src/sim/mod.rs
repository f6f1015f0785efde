//! A world of workspaces, with the troubles of every day and releases that are bad in one way or another, to try out how
//! a rollout would be judged: serin's own rule, what others do, and an oracle that knows the truth.
//!
//! Both tracks' answers are drawn from the same chance at once, so that each rule can be led through the very same world
//! with its own weights, and a request counts as *made bad* when stable would have answered it well.

pub mod counts;
pub mod dice;
pub mod latency;
pub mod moods;
mod reading;
pub mod requests;
pub mod scenario;
pub mod tenants;
mod values;
pub mod volume;
pub mod world;
