//! HTTP/1.1 as bytes, for both sides of the proxy: heads and what they say of their messages, where bodies end, how a
//! message is written. Pure: bytes in, values or bytes out, so that it can be tested and fuzzed without a socket.
//!
//! `request` and `answer` read heads into `fields`, `framing` says how their bodies end, `decode` finds that end, `write`
//! is the way back to bytes. httparse reads the syntax; the strictness where two readers could differ is ours.
//!
//! What is read of a message does not depend on where the network cut its bytes.

mod answer;
mod decode;
mod fields;
mod framing;
#[cfg(fuzzing)]
pub mod fuzzing;
mod known;
mod request;
mod target;
mod trace;
pub mod write;

pub use answer::AnswerHead;
pub use decode::{Decoded, Decoder};
pub use fields::{BadField, Field, Fields};
pub use framing::BadFraming;
pub use known::Known;
pub use request::{RefusedHead, RequestHead};
pub use target::{BadTarget, Target};
pub use trace::{Trace, TraceId, TraceParent, brought as brought_trace};

/// What is not HTTP, or not HTTP that can be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    Http10,
    Http11,
}

/// More fields than this are an attack, or an accident.
const FIELDS_MAX: usize = 100;
/// No bot's answer has a larger head, and no message larger trailers.
const HEAD_BYTES_MAX: usize = 64 * 1024;
