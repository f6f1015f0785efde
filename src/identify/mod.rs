//! Which workspace a webhook belongs to: pure functions from a request's head and body to an id. The bot must read the
//! same tenant as we do, so the rules are those of the bots' own parsers (docs/identify.md), and where those disagree
//! among themselves the answer is that there is no id.
//!
//! The story begins in `plan`. A plan asks `source`s, compiled to `look`s, in their order; `head` answers for a request's
//! head, `body` says which parser a body gets, `form` and `json` are the parsers, and `answer` makes at most one id of
//! what they find. `preset` is what is known of each platform, as tables; `marks` finds its handshakes and retries.

mod answer;
mod body;
mod form;
mod head;
mod json;
mod look;
mod marks;
mod namespace;
mod plan;
mod pointer;
mod preset;
mod source;
mod trie;

#[cfg(test)]
mod agreement;
#[cfg(test)]
mod example;

#[cfg(fuzzing)]
pub use json::readers_agree;
pub use namespace::check_namespaces;
pub use plan::{Found, Head, Mixed, Plan, Reading, Retry};
pub use preset::{Preset, all, find, names};
pub use source::{Source, SourceError};

/// No platform's id is near this many bytes; what is longer is no id, and is neither hashed nor compared.
const ID_BYTES_MAX: usize = 256;

/// Where sources without a prefix put what they find.
const DEFAULT_NAMESPACE: &str = "ws";
