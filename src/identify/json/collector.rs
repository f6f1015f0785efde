//! The values that a walk has found so far. A later duplicate of a key removes the earlier key's values.

use std::borrow::Cow;

use super::super::trie::State;
use super::value::{Unreadable, Value, Values};

/// A batch with more values than this has no id. Meta's batches are the largest, with up to 1,000 updates.
const VALUES_MAX: usize = 1_024;

/// An object in which a wildcard finds values under more keys than this has no id. Every further key is compared with these, and a
/// hostile body of 1 MiB has some 100,000 keys.
const WILD_KEYS_MAX: usize = 16;

#[derive(Default)]
pub(super) struct Collector<'a> {
    values: Values<'a>,
    /// For each object around the walk's place: which values came from which key. They are removed if the key comes again.
    spans: Vec<Span<'a>>,
}

/// The index at which the spans of an object begin. The walk is inside that object.
#[derive(Clone, Copy)]
pub(super) struct Frame(usize);

struct Span<'a> {
    key: Key<'a>,
    from: usize,
    to: usize,
}

/// A key of an object, as the current state knows it.
#[derive(PartialEq)]
pub(super) enum Key<'a> {
    /// The index of an edge.
    Named(usize),
    /// A key that only a wildcard matches.
    Wild(Cow<'a, [u8]>),
}

impl<'a> Collector<'a> {
    /// Adds a value for every pointer that ends in `state`.
    pub(super) fn found(&mut self, state: &State, value: Value<'a>) -> Result<(), Unreadable> {
        let Some((last, others)) = state.ends.split_last() else { return Ok(()) };
        for pointer in others {
            self.values.found.push((*pointer, Some(value.clone())));
        }
        self.values.found.push((*last, Some(value)));
        if self.values.found.len() > VALUES_MAX { Err(Unreadable) } else { Ok(()) }
    }

    pub(super) fn enter(&self) -> Frame {
        Frame(self.spans.len())
    }

    pub(super) fn leave(&mut self, frame: Frame) {
        self.spans.truncate(frame.0);
    }

    /// Called when `key` begins. Removes the values of an earlier equal key in this object. Returns the number of values so far.
    pub(super) fn begin(&mut self, frame: Frame, key: &Key<'a>) -> usize {
        if let Some(at) = self.spans[frame.0..].iter().position(|span| span.key == *key) {
            let span = self.spans.swap_remove(frame.0 + at);
            for (_, value) in &mut self.values.found[span.from..span.to] {
                *value = None;
            }
        }
        self.values.found.len()
    }

    /// Called when `key` ends: all values since index `from` are its own.
    pub(super) fn end(&mut self, frame: Frame, state: &State, key: Key<'a>, from: usize) -> Result<(), Unreadable> {
        let to = self.values.found.len();
        if to > from {
            self.spans.push(Span { key, from, to });
        }
        if self.spans.len() - frame.0 > WILD_KEYS_MAX + state.edges.len() { Err(Unreadable) } else { Ok(()) }
    }

    pub(super) fn into_values(self) -> Values<'a> {
        self.values
    }
}
