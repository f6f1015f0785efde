//! A request to an upstream, and why there may be no answer.

use std::rc::Rc;

use http::uri::PathAndQuery;

use super::connect::ConnectError;
use crate::http1::{RequestHead, Trace};
use crate::proxy::client::{RequestBody, Session};

/// A request to an upstream.
pub struct Request {
    /// The client's head. `write_request` omits the fields that must not pass on.
    pub head: Box<RequestHead>,
    pub path: PathAndQuery,
    pub host: Host,
    pub body: RequestBody,
    pub interim: Interim,
    pub trace: Trace,
    /// The protocol that the client wants to change to.
    pub upgrade: Option<Box<[u8]>>,
    /// The client's connection.
    pub session: Rc<Session>,
}

/// The Host header that the upstream receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    OfClient,
    /// The upstream's own name: it routes by that name, or the client sent no Host.
    OfUpstream,
}

/// Whether interim answers are passed to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interim {
    Passes,
    /// For clients of HTTP/1.0, which do not know interim answers.
    Dropped,
}

/// Why there is no answer.
pub enum SendError {
    /// serin could not connect. Nothing was sent, and `request` is unchanged.
    Connect { reason: ConnectError, request: Box<Request> },
    /// The connection ended without an answer.
    Broken,
    /// The answer is not valid HTTP.
    Invalid,
}
