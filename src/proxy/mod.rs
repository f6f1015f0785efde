//! The hot path: one worker thread for each core. Workers share only the snapshot. In reading order: `listen` accepts connections,
//! `arrive` is what comes before the first request (PROXY header, TLS with the certificates of `front_tls`), `serve` drives a connection, `exchange` is one webhook from
//! its head to its record. `client` is the client's connection as its requests see it, `upstream` the way to an answer, `worker` what
//! one thread's requests share, and `wire` one connection's bytes and timeouts. `headers` and `forwarded` decide what passes on,
//! `problem` has serin's own errors.
//!
//! A webhook takes no lock that another thread could hold, with two exceptions: a worker passes on some 8 KiB of the access log; and
//! `[admin] show_workspaces` is set, where the lock is only tried.

mod arrive;
mod backlog;
mod client;
mod exchange;
mod forwarded;
mod front_tls;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod listen;
pub mod memory;
mod problem;
mod serve;
mod upstream;
mod wire;
mod worker;

pub use arrive::Door;
pub use exchange::{BodyState, Routing, decide, find_bot};
pub use front_tls::{Challenges, FrontTls, OrderedCertificate, PendingChallenge};
pub use listen::{Proxy, StartError, listen};
pub use problem::Problem;
pub use upstream::{Probe, Resolver, TlsClients, TlsError, most_connections};
pub use worker::{Queue, Shared};
