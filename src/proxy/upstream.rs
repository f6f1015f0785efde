//! One worker's connections to one upstream: `send(request) -> answer`, pooled. This is our own HTTP/1.1 client, polled
//! inside the request's own task: no task, channel or wake-up for each connection (docs/adr/0006). `call` is one request
//! on one connection, `answer` its body.

mod answer;
mod call;
mod connect;
mod pool;
mod tls;

pub use answer::AnswerStream;
pub use connect::{ConnectError, Target};
pub use pool::{Answer, Pool};
pub use tls::{TlsClients, TlsError};

use std::rc::Rc;

use http::uri::PathAndQuery;

use super::body::RequestBody;
use super::client::Session;
use crate::http1::{RequestHead, Trace};

/// A request that goes to an upstream.
pub struct Request {
    /// As the client said it: what does not pass on is left out when it is written.
    pub head: Box<RequestHead>,
    pub path: PathAndQuery,
    pub host: Host,
    pub body: RequestBody,
    pub interim: Interim,
    pub trace: Trace,
    /// Whose request it is.
    pub session: Rc<Session>,
}

/// The Host that the upstream sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    OfClient,
    /// Its own, by which it routes; or the client has none.
    OfUpstream,
}

/// What becomes of interim answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interim {
    Passes,
    /// Clients of HTTP/1.0 know none.
    Dropped,
}

/// Why there is no answer.
pub enum SendError {
    /// No connection: nothing was sent, the request is whole.
    Connect { reason: ConnectError, request: Box<Request> },
    /// The connection ended without an answer.
    Broken,
    /// What came is not valid HTTP.
    Invalid,
}
