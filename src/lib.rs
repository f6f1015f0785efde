//! serin: a canary traffic-splitting reverse proxy for bot webhooks.
//!
//! The modules stand in the order in which a newcomer should read them. A floor uses only the floors below it, and
//! `tests/it/tidy.rs` holds that: `core` and `identify` are pure, `proxy` and `controller` meet only in `live`.

pub mod admin; // floor 4: the HTTP API for operators
pub mod app;
pub mod cli; // floor 4: one file per command
pub mod config; // floor 1: the file as written, the file as meant
pub mod controller; // floor 3: the one writer of what serves
pub mod core; // floor 0: what a split is, what an answer means; no clock, no I/O
pub mod identify; // floor 0: which workspace a webhook belongs to
pub mod live; // floor 1: what serves now; one atomic swap publishes it
pub mod proxy; // floor 3: the hot path
pub mod telemetry; // floor 2: every metric, the logs // floor 5: the only place that knows everything
