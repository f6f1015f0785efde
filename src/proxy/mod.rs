//! The hot path: a worker thread for each core, and nothing shared between them but the snapshot. In reading order:
//! `listen` takes connections, `serve` drives one, `route` finds the bot, `exchange` is one webhook from arrival to
//! its record, `forward` talks to upstreams through `upstream`'s pools; `headers`, `body`, `problem` are what they say.

mod assign;
mod body;
mod client;
mod clock;
mod exchange;
mod forward;
mod handle;
mod headers;
mod interim;
mod io;
mod listen;
pub mod memory;
mod problem;
mod resolve;
mod route;
mod serve;
mod upstream;
mod view;

pub use assign::{Decision, Looked, decide};
pub use listen::{Proxy, StartError};
pub use resolve::Resolver;
pub use route::find as find_bot;
#[cfg(fuzzing)]
pub use upstream::fuzzing;
pub use upstream::{TlsClients, TlsError};
pub use view::Shared;
