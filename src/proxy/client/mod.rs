//! The client's side of the proxy: the connection as its requests see it, and their bodies.

mod body;
mod session;

pub use body::{Buffered, RequestBody, buffer};
pub use session::{ConnectionPhase, Heard, Session, Upload};
