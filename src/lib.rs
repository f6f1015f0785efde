//! serin: a canary traffic-splitting reverse proxy for bot webhooks.
//!
//! The modules stand in the order in which a newcomer should read them. A floor uses only the floors below it, and
//! `tests/it/tidy` holds that: `core`, `http1` and `identify` are pure, `proxy` and `controller` meet only in `live`.

pub mod core; // floor 0: what a split is, what an answer means; no clock, no I/O
pub mod http1; // floor 0: HTTP/1.1 as bytes, for both sides of the proxy; no clock, no I/O
pub mod identify; // floor 1: which workspace a webhook belongs to, as pure as core
pub mod config; // floor 2: the file as written, the file as meant
pub mod sim; // floor 3: a world to try a rollout in, and what others would do there; for `serin simulate` and tests alone
pub mod live; // floor 3: what serves now; one atomic swap publishes it
pub mod store; // floor 3: the history, and what outlives a process
pub mod meters; // floor 3: what is counted, in cells that each have one writer
pub mod logs; // floor 3: log lines, and the one thread that writes them
pub mod outbound; // floor 3: what requests of serin's own to others have in common
pub mod summary; // floor 4: what a status means, in sentences
pub mod proxy; // floor 5: the hot path
pub mod controller; // floor 5: the one writer of what serves
pub mod telemetry; // floor 6: every metric, as Prometheus reads it
pub mod acme; // floor 6: orders certificates for the webhook listener
pub mod notify; // floor 6: telling people, and the links by which they answer
pub mod admin; // floor 7: the HTTP API for operators
pub mod app; // floor 8: builds the parts, runs them, takes them down
pub mod cli; // floor 9: one file per command
#[cfg(any(test, fuzzing))]
pub mod fuzzing; // floor 10: what the fuzz targets and the replay of their corpora run
