//! Which workspace a webhook belongs to: pure functions from a request's head and body to an id. The bot must read the
//! same tenant as we do, so the rules are those of the bots' own parsers (docs/identify.md).

mod json;
mod plan;
mod preset;
mod source;

pub use plan::{Found, Head, Mixed, Plan, Reading, Retry};
pub use preset::{Preset, find, names};
pub use source::{Source, SourceError};
