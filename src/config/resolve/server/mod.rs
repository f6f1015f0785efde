//! The tables of serin itself: `[proxy]`, `[admin]`, `[history]`, `[log]` and `[[notify]]`.

mod acme;
mod admin;
mod history;
mod limits;
mod log;
mod notify;
mod proxy;
mod proxy_tls;
mod tls;

pub(crate) use admin::admin;
pub(crate) use admin::listener as admin_listener;
pub(crate) use history::history;
pub(crate) use log::log;
pub(crate) use notify::notifiers;
pub(crate) use proxy::proxy;
