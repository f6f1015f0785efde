//! One walk over a JSON body that collects the values at some pointers. It reads what the bots' parsers read: the last of duplicate
//! keys counts, without any value of the earlier ones; a body that is cut off or followed by other bytes has no values. Nothing is
//! built for the rest of the body, and strings are borrowed from it where possible.
//!
//! serin has its own reader, because most of the work is skipping what no pointer needs, and serde_json cannot be made faster from
//! outside (docs/adr/0005-own-json-reader.md). serde_json still decides what is JSON: `reference`, the same walk on serde_json,
//! must agree about every body, in the tests and in the fuzz target.
//!
//! `walk` follows the pointers; `scan` skips values, `string` strings, `block` checks 16 bytes at once; `log` keeps the values found.

mod block;
mod log;
mod scan;
mod string;
mod walk;

#[cfg(test)]
mod differential;
#[cfg(any(test, fuzzing))]
mod reference;

use std::borrow::Cow;

use super::trie::{Slot, Trie};

/// The value at a pointer, in the detail that sources and marks need. `null` and `""` count as absent and are not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Unsigned(u64),
    Negative(i64),
    Bool(bool),
    EmptyArray,
    /// A float, an integer beyond 64 bits, too long a string, or an object or an array into which no pointer leads.
    Unfit,
}

/// The body is not JSON, or has more values than the limits allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The values of one body, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen<'a> {
    /// `None` if a later duplicate of a key replaced the value.
    values: Vec<(Slot, Option<Value<'a>>)>,
}

/// Walks the body. The whole body must be UTF-8, because Python and serde_json refuse it otherwise. Most bodies are ASCII, and a
/// check for ASCII is several times cheaper than decoding.
pub(super) fn walk<'a>(trie: &Trie, body: &'a [u8]) -> Result<Seen<'a>, Broken> {
    if !body.is_ascii() && std::str::from_utf8(body).is_err() {
        return Err(Broken);
    }
    walk::walk(trie, body)
}

impl<'a> Seen<'a> {
    pub(super) fn at(&self, slot: Slot) -> impl Iterator<Item = &Value<'a>> {
        self.values.iter().filter(move |(s, _)| *s == slot).filter_map(|(_, value)| value.as_ref())
    }

    pub(super) fn into_owned(self) -> Seen<'static> {
        Seen { values: self.values.into_iter().map(|(slot, value)| (slot, value.map(Value::into_owned))).collect() }
    }
}

impl Value<'_> {
    fn into_owned(self) -> Value<'static> {
        match self {
            Value::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Value::Unsigned(n) => Value::Unsigned(n),
            Value::Negative(n) => Value::Negative(n),
            Value::Bool(b) => Value::Bool(b),
            Value::EmptyArray => Value::EmptyArray,
            Value::Unfit => Value::Unfit,
        }
    }
}

/// For the fuzz target: whether serin's reader and serde_json's find the same at `pointers`.
#[cfg(fuzzing)]
pub fn readers_agree(pointers: &[&str], body: &[u8]) -> bool {
    let mut all = super::trie::Pointers::default();
    for pointer in pointers {
        all.slot(&super::pointer::Pointer::parse(pointer).expect("a pointer"));
    }
    let trie = all.compile().expect("few pointers");
    walk(&trie, body) == reference::walk(&trie, body)
}
