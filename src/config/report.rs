//! Errors with file, line and caret.

use std::path::Path;

/// Already rendered for a person: file, line, a caret, and what to write instead.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{rendered}")]
pub struct ConfigError {
    rendered: String,
}

impl ConfigError {
    pub(super) fn unreadable(path: &Path, source: &std::io::Error) -> ConfigError {
        ConfigError { rendered: format!("cannot read {}: {source}", path.display()) }
    }
}
