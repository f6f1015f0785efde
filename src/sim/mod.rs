//! A simulated world of workspaces, with everyday troubles and with good and bad releases. It shows how rollouts would be judged:
//! by serin's own rule, by those of other tools, and by an oracle that knows the truth. Only `serin simulate` and tests use it.
//!
//! Both tracks' answers are drawn from the same random numbers, so that each rule can go through the same world with its own
//! weights. A request counts as *made bad* if stable would have answered it well.

#![forbid(unsafe_code)]

pub mod scenario; // which release is tried, and what it does to whom
pub mod world; // workspaces and their requests, made from scenario, volume and seed
pub mod rules; // serin's rule, the models of other tools, the oracle
pub mod runs; // the rules' ways through worlds, and their sums
pub(crate) mod dice;
