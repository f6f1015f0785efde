//! The admin listener and the listener for probes: their connections, and the limits of these.

mod listen;
mod peer;
mod places;

pub use listen::{serve, serve_probes};
pub use peer::Peer;
pub use places::Kind;
