//! The hot path: a worker thread for each core, and nothing shared between them but the snapshot. In reading order:
//! `listen` takes connections, `serve` drives one, `client` is what its requests see of it, `handle` answers one of them,
//! `route` finds the bot, `exchange` is one webhook from arrival to its record, `forward` talks to upstreams through
//! `upstream`'s pools; `reply`, `headers`, `body`, `problem` are what they say, and `wire` is how they say it.
//! `access_log` tells of them, if it is wanted.
//!
//! A webhook takes no lock that another thread could hold, with four exceptions: a worker hands over some 8 KiB of the access log;
//! a new connection goes to an upstream that has a host name; the addresses of such a name have changed (once for each pool); and
//! `[admin] show_workspaces` is set, where the lock is only tried.

mod access_log;
mod assign;
mod body;
mod chance;
mod client;
mod clock;
mod exchange;
mod forward;
mod handle;
mod headers;
mod listen;
pub mod memory;
mod probe;
mod problem;
mod reply;
mod resolve;
mod route;
mod serve;
mod stream;
mod upstream;
mod view;
mod wire;

pub use assign::{Decision, Looked, decide};
pub use listen::{Proxy, StartError};
pub use probe::Probe;
pub use problem::Problem;
pub use resolve::Resolver;
pub use route::find as find_bot;
pub use upstream::{TlsClients, TlsError};
pub use view::Shared;
