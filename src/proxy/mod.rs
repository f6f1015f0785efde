//! The hot path: one worker thread for each core. Workers share only the snapshot. In reading order: `listen` accepts connections, `serve`
//! drives one, `client` is the connection as its requests see it, `handle` answers one request, `route` finds the bot, `exchange` is one
//! webhook from assignment to record, `forward` sends it through the pools of `upstream`. `reply`, `headers`, `body` and `problem` are the
//! contents of messages, `wire` writes and reads them, and `access_log` logs webhooks if the config wants that.
//!
//! A webhook takes no lock that another thread could hold, with four exceptions: a worker passes on some 8 KiB of the access log; a
//! new connection goes to an upstream that has a host name; the addresses of such a name have changed (once for each pool); and
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
