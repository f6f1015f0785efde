//! One walk over a JSON body that collects the values at some pointers. It reads what the bots' parsers read: the last of duplicate
//! keys counts, without any value of the earlier ones; a body that is cut off or followed by other bytes has no values. Nothing is
//! built for the rest of the body, and strings are borrowed from it where possible.
//!
//! serin has its own reader, because most of the work is skipping what no pointer needs, and serde_json cannot be made faster from
//! outside (docs/adr/0005-own-json-reader.md). serde_json still decides what is JSON: `reference`, the same walk on serde_json,
//! must agree about every body, in the tests and in the fuzz target.
//!
//! `walk` follows the pointers; `scan` skips values, `string` strings, `block` checks 16 bytes at once; `collector` keeps the values found.

mod block;
mod collector;
mod scan;
mod string;
mod token;
mod value;
mod walk;

#[cfg(test)]
mod differential;
#[cfg(any(test, fuzzing))]
mod reference;

pub(super) use value::{Unreadable, Value, Values};
pub(super) use walk::walk;

/// Whether serin's reader and serde_json's find the same at `pointers`.
#[cfg(any(test, fuzzing))]
pub(super) fn readers_agree(pointers: &[&str], body: &[u8]) -> bool {
    let mut all = super::trie::Pointers::default();
    for pointer in pointers {
        all.index_of(&super::pointer::Pointer::parse(pointer).expect("a pointer"));
    }
    let trie = all.compile().expect("few pointers");
    walk(&trie, body) == reference::walk(&trie, body)
}
