//! A newer serin takes over from a running one without a lost webhook: it gets all listening sockets, then the history, and serves once
//! the older one says that it accepts no more. At any time at most one of the two has the history.
//! docs/adr/0014-take-over.md gives the reasons.
//!
//! Reading order: `message` is the protocol, [`Line`] carries it, [`place`] says where the older serin listens. [`Older`] and [`Newer`] are
//! the two sides. `upgrade` starts a newer serin on SIGUSR2.

mod line;
mod message;
mod newer;
mod older;
pub mod place;
mod upgrade;

pub use line::{DESCRIPTORS_MOST, Line, Lost};
pub use message::{Message, PROTOCOL};
pub use newer::Newer;
pub use older::{Older, Successor};
