//! Where a request's body comes from, and where its interim answers go.

mod http1;
mod http2;

use std::cell::RefCell;
use std::rc::Rc;

pub use http1::Http1;
pub use http2::{Http2, map};

/// The client's side of a request, by protocol.
#[derive(Debug)]
pub enum Inbound {
    /// The connection's own bytes, which its task reads and writes too.
    Http1(Rc<RefCell<Http1>>),
    /// The stream of one request.
    Http2(Rc<RefCell<Http2>>),
}
