//! `GET /v1/events`: the live stream, and the documents in it.

mod events;
mod statuses;

pub use events::stream;
pub use statuses::Statuses;
