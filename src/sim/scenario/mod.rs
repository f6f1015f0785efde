//! Scenarios: what a release does to a simulated bot, and what goes on besides. `effect` has their form, `reading` their keys in
//! TOML, `values` the keys' values, `library` the scenarios that serin brings.

mod effect;
mod library;
mod reading;
mod values;

pub use effect::{AffectedWorkspaces, On, RateChange, Scenario, ScenarioEffect, SlowFrom, Slowness, When};
pub use library::{library, load};
