//! The config: the file as written (`raw`) becomes the file as meant (`resolved`), whole or not at all, and every error
//! names the file, the line and what to write instead.

mod certificate;
mod freeze;
mod near;
mod notifier;
mod raw;
mod redact;
mod report;
mod resolve;
mod resolved;
mod secret;
pub mod smoke;
pub mod tls;
mod units;
mod value;

pub use certificate::Certificate;
pub use freeze::Freeze;
pub use notifier::{Hidden, Notifier, NotifierKind, Occasion};
pub(crate) use raw::Table;
pub use report::ConfigError;
pub(crate) use report::{Problem, Reported};
pub use resolved::{
    Admin, Bot, BotName, Config, History, HostHeader, Limits, Log, LogFormat, LogLevel, Match, OverCap, Preflight, Proxy, Retries, Scope,
    TesterOverride, Token, Upstream, UpstreamUrl,
};
pub use secret::{SecretHash, read_again};
pub use tls::Tls;
pub use units::show_duration;

pub(crate) use value::{OneOrMany, Value, Wrong};

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The documented defaults; `serin run` without a config file explains itself with it.
pub const DOCUMENTED: &str = include_str!("../../config/serin.toml");

/// The least that serves.
pub const MINIMAL: &str = include_str!("../../config/examples/slack.toml");

/// Reads, parses and resolves the file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
    parse(&text, path)
}

/// The same for a text; `path` is the name used in errors, and relative secret files are looked for beside it.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    resolve::resolve(text, path)
}

/// Where a running serin's admin listener is and whether it speaks TLS, though the file may be broken by now.
pub fn admin_listener(path: &Path) -> Result<(SocketAddr, bool), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
    Ok(resolve::admin_listener(&text))
}

/// Another file of the house, such as scenarios, read by the same rules and told the same way what is wrong with it.
pub(crate) fn read_tables<T>(text: &str, path: &Path, read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>) -> Result<T, ConfigError> {
    resolve::read_tables(text, path, read).map(|(read, _)| read)
}

/// `"1.5s"`; the error says what to write instead.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|units::UnitError(instead)| instead)
}

/// The name that a misspelt one is nearest to, if it is near enough to be meant.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    near::nearest(written, names)
}

#[cfg(test)]
mod tests;
