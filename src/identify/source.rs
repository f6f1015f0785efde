//! A place in a request where a workspace's id may stand, as written in the config.

use std::fmt;
use std::ops::Range;

/// One source, parsed: `[namespace:]kind:rest`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// The bytes of the source's text that are wrong.
    pub at: Range<usize>,
}

impl Source {
    pub fn parse(text: &str) -> Result<Source, SourceError> {
        Ok(Source { text: text.to_owned() })
    }

    /// The namespace given before the kind, if one is.
    pub fn namespace(&self) -> Option<&str> {
        None
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
