//! The client's side of the proxy: the connection as its requests see it, and their bodies.

mod body;
mod session;

pub use body::{Hold, RequestBody, hold};
pub use session::{Heard, Phase, Session, Upload};
