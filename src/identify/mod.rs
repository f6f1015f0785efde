//! Which workspace a webhook belongs to: pure functions from a request's head and body to an id. The bot must read the same tenant
//! as serin, so the rules are those of the bots' own parsers (docs/identify.md). If those disagree, serin finds no id.
//!
//! Begin with `extractor`. An extractor asks `source`s, compiled to `lookup`s, in their order; `head` answers for a request's head, `body`
//! selects the parser of a body, `form` and `json` are the parsers, and `candidate` reduces what they find to at most one id. `preset`
//! has tables of what is known of each platform; `marks` finds its handshakes and retries.

mod candidate;
mod error;
mod body;
mod form;
mod head;
mod json;
mod lookup;
mod marks;
mod namespace;
mod extractor;
mod pointer;
mod preset;
mod reading;
mod source;
mod trie;

#[cfg(test)]
mod agreement;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
#[cfg(test)]
mod example;

pub use error::SourceError;
pub use extractor::{Extractor, Mixed};
pub use head::Head;
pub use namespace::check_namespaces;
pub use preset::{Preset, all, find, names};
pub use reading::{Found, Reading, Retry};
pub use source::Source;

/// No platform's id is nearly as long as this. A longer text is not an id, and is neither hashed nor compared.
const ID_BYTES_MAX: usize = 256;

/// The namespace of sources without a prefix.
const DEFAULT_NAMESPACE: &str = "ws";
