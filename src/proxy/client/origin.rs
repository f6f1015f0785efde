//! Whom a connection comes from: what serin knows of the client before it reads a request.

use std::net::IpAddr;

/// The client of a connection.
#[derive(Debug)]
pub struct Origin {
    pub address: IpAddr,
    /// The address in the form of `X-Forwarded-For`, formatted once per connection.
    pub text: Box<str>,
    pub scheme: Scheme,
    /// Whether the client is a proxy of the operator's own, so that its `Forwarded` and `X-Forwarded-*` are believed.
    pub trusted: bool,
}

/// How the client's bytes came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
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
    pub fn new(address: IpAddr, scheme: Scheme, trusted: bool) -> Origin {
        let address = address.to_canonical();
        Origin { address, text: address.to_string().into(), scheme, trusted }
    }
}
