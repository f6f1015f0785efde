//! Why a source's text cannot be used.

use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What is wrong and what to write instead.
    pub message: String,
    /// The bytes of the source's text that are wrong.
    pub at: Range<usize>,
}

impl SourceError {
    pub(super) fn new(message: impl Into<String>, at: Range<usize>) -> SourceError {
        SourceError { message: message.into(), at }
    }

    /// The same error about a text that begins `by` bytes earlier.
    pub(super) fn shifted(self, by: usize) -> SourceError {
        SourceError { at: self.at.start + by..self.at.end + by, ..self }
    }
}
