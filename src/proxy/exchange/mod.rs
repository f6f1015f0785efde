//! One webhook. In reading order: `handle` answers one request, `route` finds its bot, `assign` its track, `record` is the exchange
//! from its assignment to its record, `forward` sends it, and `reply` is what the client gets.

mod assign;
mod forward;
mod handle;
mod record;
mod reply;
mod reply_body;
mod route;
mod tunnel;

pub use assign::{BodyState, Routing, decide};
pub use handle::handle;
pub use reply::{Reply, Then};
pub use reply_body::ReplyBody;
pub use route::find as find_bot;
pub use tunnel::Tunnel;
