//! The client's side of the proxy: its connection, its requests' state and their bodies.

mod body;
mod connection;
mod inbound;
mod origin;
mod pace;
mod session;

pub use body::{Buffered, RequestBody, buffer};
pub use connection::{Connection, ConnectionPhase, Heard};
pub use inbound::{Http2, Inbound, map};
pub use origin::{Origin, Protocol, Scheme};
pub use session::{Session, Upload};
