//! Sends notifications to people. The history is the outbox: each change has a revision, and the history also stores for each notifier
//! up to which revision it was told, so that after a restart missed changes are sent and none is sent twice. A task on the control
//! thread subscribes to the changes, makes the messages and puts them into bounded queues; each notifier has a thread that sends.
//! Neither the proxy nor the controller ever waits for a notification.

#![forbid(unsafe_code)]

mod clock;
mod delivery;
mod dispatch;
pub mod evidence;
pub mod link;
mod marks;
pub mod message;
mod notifications;
pub mod occasions;
mod queue;
mod retry;
mod send;
mod shape;
mod sign;

pub use clock::unix_now;
pub use dispatch::Dispatcher;
pub use notifications::{Notifications, Tested};
