//! Scenarios: what a release does to a simulated bot, and what goes on besides. `effect` has their form, `reading` their keys in
//! TOML, `values` the keys' values, `library` the scenarios that serin brings.

mod effect;
mod library;
mod reading;
mod values;

pub use effect::{Change, Effect, On, Scenario, SlowFrom, Slowness, When, Who};
pub use library::{library, load};
