//! Whom a connection comes from: what serin knows of the client before it reads a request.

use std::net::IpAddr;
use std::rc::Rc;

use crate::proxy::worker::Source;

/// The client of a connection.
#[derive(Debug)]
pub struct Origin {
    pub address: IpAddr,
    /// The address in the form of `X-Forwarded-For`, formatted once per connection.
    pub text: Box<str>,
    pub scheme: Scheme,
    /// Whether the client is a proxy of the operator's own, so that its `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted: bool,
    /// `None` for a trusted proxy: each request of it has a source of its own.
    pub source: Option<Rc<Source>>,
}

/// How the client's bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// What the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    /// HTTP/1, or HTTP/2 if the first bytes say so.
    Either,
    Http2,
}

impl Scheme {
    pub fn name(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

impl Origin {
    /// `source` is `None` for a trusted proxy.
    pub fn new(address: IpAddr, scheme: Scheme, source: Option<Rc<Source>>) -> Origin {
        let address = address.to_canonical();
        Origin { address, text: address.to_string().into(), scheme, trusted: source.is_none(), source }
    }
}
