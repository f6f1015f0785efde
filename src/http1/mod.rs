//! HTTP/1.1 as bytes, for both sides of the proxy: reads heads, finds where bodies end, writes messages. Pure: bytes in, values or
//! bytes out, so that it can be tested and fuzzed without a socket.
//!
//! `request` and `answer` read heads into `fields`, `framing` decides how their bodies end, `decode` finds that end, and `write`
//! makes bytes again. httparse reads the syntax; serin adds checks where two readers could differ.
//!
//! The result does not depend on how the network cuts the bytes into pieces.

mod answer;
mod decode;
mod fields;
mod framing;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod known;
mod request;
mod target;
mod trace;
pub mod upgrade;
pub mod websocket;
pub mod write;

pub use answer::AnswerHead;
pub use decode::{Decoded, Decoder};
pub use fields::{BadField, Field, Fields};
pub use framing::BadFraming;
pub use known::Known;
pub use request::{RefusedHead, RequestHead};
pub use target::{BadTarget, Target};
pub use trace::{Trace, TraceId, TraceParent, brought as brought_trace};

/// Not HTTP, or HTTP that cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    Http11,
}

/// The most fields of a head. More are an attack or an error.
pub const FIELDS_MAX: usize = 100;
/// The limit of an answer's head, and of trailers. No bot needs more.
const HEAD_BYTES_MAX: usize = 64 * 1024;
