//! The upstream's side of the proxy: `send(pool, request) -> answer`. This is serin's own HTTP/1.1 client. The request's own task
//! polls it, so a connection needs no task, channel or wake-up (docs/adr/0006). In reading order: `request`, `send`, `pool` has the
//! idle connections, `call` is one request on one connection, `answer_body` is the answer's body; `connect`, `resolve` and `tls`
//! make a connection, `descriptors` bounds their number, and `probe` asks an upstream whether it works.

mod answer_body;
mod call;
mod connect;
mod descriptors;
mod pool;
mod probe;
mod request;
mod resolve;
mod send;
mod tls;

pub use answer_body::AnswerStream;
pub use connect::{ConnectError, Endpoint};
pub use descriptors::{Descriptors, most_connections};
pub use pool::{Connection, Pool};
pub use probe::Probe;
pub use request::{Host, Interim, Request, SendError};
pub use resolve::Resolver;
pub use send::{Answer, AnswerBody, send};
pub use tls::{TlsClients, TlsError};
