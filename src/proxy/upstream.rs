//! One worker's connections to one upstream: `send(request) -> answer`, pooled. HTTP is hyper's client behind this one
//! interface, so that another codec could take its place for plain HTTP/1.

mod connect;
mod pool;

pub use connect::{ConnectError, Target, TlsClients, TlsError};
pub use pool::{Lease, Pool};

use http::{Request, Response};
use hyper::body::Incoming;

use super::body::RequestBody;

/// An upstream's answer, and the connection to give back when its body has ended.
pub struct Answer {
    pub response: Response<Incoming>,
    pub lease: Lease,
}

/// Why there is no answer.
pub enum SendError {
    /// No connection: nothing was sent, the request is whole.
    Connect { reason: ConnectError, request: Box<Request<RequestBody>> },
    /// The connection ended without an answer.
    Broken,
    /// What came is not valid HTTP.
    Invalid,
}

/// What hyper's errors mean here.
fn meaning(error: &hyper::Error) -> SendError {
    if error.is_parse() { SendError::Invalid } else { SendError::Broken }
}
