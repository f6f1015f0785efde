//! The config: the file as written (`raw`) becomes the file as meant (`resolved`), whole or not at all, and every error
//! names the file, the line and what to write instead.

mod near;
mod raw;
mod redact;
mod report;
mod resolve;
mod resolved;
mod units;
mod value;

pub use report::ConfigError;
pub use resolved::{
    Admin, Bot, BotName, Config, HostHeader, Limits, Match, OverCap, Proxy, Retries, Scope, TesterOverride, Token, Upstream, UpstreamUrl,
};
pub use units::show_duration;

use std::path::Path;

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

#[cfg(test)]
mod tests;
