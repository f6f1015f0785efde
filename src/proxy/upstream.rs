//! One worker's connections to one upstream: `send(request) -> answer`, pooled. This is our own HTTP/1.1 client, polled
//! inside the request's own task: no task, channel or wake-up for each connection, which is a third of the cost of a
//! webhook (docs/adr/0006). `call` is one request on one connection, `head` and `decode` are what it says and hears.

mod answer;
mod call;
mod connect;
mod decode;
#[cfg(fuzzing)]
pub mod fuzzing;
mod head;
mod pool;
mod stream;
mod tls;

pub use answer::AnswerStream;
pub use connect::{ConnectError, Target};
pub use head::Head;
pub use pool::{Answer, Pool};
pub use tls::{TlsClients, TlsError};

use http::Request;

use super::body::RequestBody;
use super::headers::Minded;

/// Why there is no answer.
pub enum SendError {
    /// No connection: nothing was sent, the request is whole.
    Connect { reason: ConnectError, request: Box<Request<RequestBody>> },
    /// The connection ended without an answer.
    Broken,
    /// What came is not valid HTTP.
    Invalid,
}
