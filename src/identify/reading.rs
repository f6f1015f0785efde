//! What an extractor finds in one request.

use crate::core::Workspace;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found<'a> {
    Workspace {
        workspace: Workspace<'a>,
        /// The index in the extractor's sources.
        source: usize,
    },
    Missing,
    /// There is a value, but it cannot be an id (an object, a boolean, broken JSON).
    Invalid,
    /// Several different tenants.
    Mixed,
}

/// The platform marks this webhook as sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// One of a closed set of words, which may be a metric's label.
    pub reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<'a> {
    pub found: Found<'a>,
    pub handshake: bool,
    pub retry: Option<Retry>,
}
