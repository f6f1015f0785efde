//! The config: the file as written (`raw`) becomes the file as meant (`resolved`), completely or not at all. Every error names the
//! file, the line and what to write instead.

#![forbid(unsafe_code)]

mod acme;
mod certificate;
mod freeze;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod memory;
mod networks;
mod suggest;
mod notifier;
mod parse;
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

pub use acme::{Acme, ChallengeKind, ExternalAccount};
pub use certificate::Certificate;
pub use freeze::FreezeWindows;
pub use networks::{Networks, network_of};
pub use notifier::{Hidden, Notifier, NotifierKind, Occasion};
pub(crate) use raw::Table;
pub use report::ConfigError;
pub(crate) use report::{Problem, Reported};
pub use resolved::{
    Admin, Bot, BotName, Config, History, HostHeader, Http2, Log, LogFormat, LogLevel, Match, OverCap, Preflight, Proxy, ProxyLimits,
    ProxyTls, Retries, Scope, ServedCertificate, TesterOverride, Tls, Token, Underscores, Upstream, UpstreamUrl,
};
pub use secret::{SecretHash, read_again};
pub use units::{show_bytes, show_duration};

pub(crate) use value::{OneOrMany, Value, Wrong};

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The documented defaults. Tests compare them with the code.
pub const DOCUMENTED: &str = include_str!("../../config/serin.toml");

/// The smallest config that serves. `serin run` prints it if there is no config file.
pub const MINIMAL: &str = include_str!("../../config/examples/slack.toml");

/// Reads, parses and resolves the file.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
    parse(&text, path)
}

/// Parses and resolves a text. `path` is the name in errors, and relative paths in the text start from its folder.
pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    resolve::resolve(text, path)
}

/// The admin listener of a running serin, and whether it speaks TLS. Works also if the file is invalid now.
pub fn admin_listener(path: &Path) -> Result<(SocketAddr, bool), ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|source| ConfigError::unreadable(path, &source))?;
    Ok(resolve::admin_listener(&text))
}

/// Reads another file of serin, such as scenarios, with the same rules and the same form of errors.
pub(crate) fn read_tables<T>(text: &str, path: &Path, read: impl FnOnce(&mut Table<'_>) -> Result<T, Reported>) -> Result<T, ConfigError> {
    parse::read_tables(text, path, read).map(|(read, _)| read)
}

/// Reads a duration such as `"1.5s"`. The error says what to write instead.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    units::duration(text).map_err(|units::UnitError(instead)| instead)
}

/// The name that is nearest to a misspelt one, if it is near enough.
pub(crate) fn nearest<'a>(written: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    suggest::nearest(written, names)
}

#[cfg(test)]
mod tests;
