//! One walk over a JSON body that collects the values at some pointers. It reads what the bots' parsers read: the last
//! of duplicate keys wins, with all that hung on the earlier ones gone; a body that is cut off or followed by anything
//! has no values. Nothing is built for the rest of the body, and strings are borrowed from it where they can be.
//!
//! **Invariant:** the walk recurses only along the plan's pointers, so no body decides how deep; what lies beside them
//! is skipped by serde_json's `ignore_value`, which is a loop.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::ID_BYTES_MAX;
use super::trie::{Slot, State, StateId, Trie};

/// A batch that names more tenants than this has no id. Meta's batches are the largest, with up to 1,000 updates.
const VALUES_MAX: usize = 1_024;

/// An object in which a wildcard finds something under more than this many keys has no id: every further key is compared
/// with these, and a hostile body of 1 MiB has some 100,000 keys.
const WILD_KEYS_MAX: usize = 16;

/// What stands at a pointer, as far as anybody asks. `null` and `""` are as good as absent and not collected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Text(Cow<'a, str>),
    Unsigned(u64),
    Negative(i64),
    Bool(bool),
    EmptyArray,
    /// A float, an integer beyond 64 bits, too long a string, an object or an array into which no pointer looks.
    Unfit,
}

/// The body is not JSON, or has more values than anyone may want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken;

/// The values of one body, in its order.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen<'a> {
    /// `None` for a value that a later duplicate of a key replaced.
    values: Vec<(Slot, Option<Value<'a>>)>,
}

/// The whole body must be UTF-8: Python and serde_json refuse it otherwise, and one check is cheaper than one a string.
pub(super) fn walk<'a>(trie: &Trie, body: &'a [u8]) -> Result<Seen<'a>, Broken> {
    let text = std::str::from_utf8(body).map_err(|_| Broken)?;
    let mut log = Log::default();
    let mut json = serde_json::Deserializer::from_str(text);
    At { trie, state: Trie::START, log: &mut log }.deserialize(&mut json).map_err(|_| Broken)?;
    json.end().map_err(|_| Broken)?;
    Ok(log.seen)
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

#[derive(Default)]
struct Log<'a> {
    seen: Seen<'a>,
    /// For the objects that the walk is in: which values came from which key, to be struck out if the key comes again.
    spans: Vec<Span<'a>>,
}

struct Span<'a> {
    key: Key<'a>,
    from: usize,
    to: usize,
}

/// A key of an object, as the state there knows it.
#[derive(PartialEq)]
enum Key<'a> {
    /// Index of an edge.
    Named(usize),
    /// Only a wildcard matches it.
    Wild(Cow<'a, str>),
}

impl<'a> Log<'a> {
    fn push(&mut self, state: &State, value: Value<'a>) {
        let Some((last, others)) = state.slots.split_last() else { return };
        for slot in others {
            self.seen.values.push((*slot, Some(value.clone())));
        }
        self.seen.values.push((*last, Some(value)));
    }

    /// `key` comes again in the object whose spans begin at `frame`: what it gave before is gone.
    fn forget(&mut self, frame: usize, key: &Key<'a>) {
        if let Some(at) = self.spans[frame..].iter().position(|span| span.key == *key) {
            let span = self.spans.swap_remove(frame + at);
            for (_, value) in &mut self.seen.values[span.from..span.to] {
                *value = None;
            }
        }
    }
}

/// The walk, at a value.
struct At<'t, 'l, 'a> {
    trie: &'t Trie,
    state: StateId,
    log: &'l mut Log<'a>,
}

impl<'a> DeserializeSeed<'a> for At<'_, '_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'a> At<'_, '_, 'a> {
    fn state(&self) -> &State {
        self.trie.state(self.state)
    }

    fn found<E: serde::de::Error>(self, value: Value<'a>) -> Result<(), E> {
        self.log.push(self.trie.state(self.state), value);
        if self.log.seen.values.len() > VALUES_MAX { Err(E::custom("too many values")) } else { Ok(()) }
    }

    fn below(&mut self, state: StateId) -> At<'_, '_, 'a> {
        At { trie: self.trie, state, log: self.log }
    }
}

impl<'a> Visitor<'a> for At<'_, '_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<(), E> {
        self.found(Value::Bool(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<(), E> {
        self.found(Value::Unsigned(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<(), E> {
        self.found(Value::Negative(value))
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.found(Value::Unfit)
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'a str) -> Result<(), E> {
        match text.len() {
            0 => Ok(()),
            1..=ID_BYTES_MAX => self.found(Value::Text(Cow::Borrowed(text))),
            _ => self.found(Value::Unfit),
        }
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        match text.len() {
            0 => Ok(()),
            1..=ID_BYTES_MAX => self.found(Value::Text(Cow::Owned(text.to_owned()))),
            _ => self.found(Value::Unfit),
        }
    }

    fn visit_seq<S: SeqAccess<'a>>(mut self, mut seq: S) -> Result<(), S::Error> {
        let looks_inside = self.state().looks_inside();
        let mut index = 0;
        loop {
            let more = match self.state().at_index(index) {
                Some(to) => seq.next_element_seed(self.below(to))?.is_some(),
                None => seq.next_element::<IgnoredAny>()?.is_some(),
            };
            match more {
                true => index += 1,
                false if index == 0 => return self.found(Value::EmptyArray),
                false if looks_inside => return Ok(()),
                false => return self.found(Value::Unfit),
            }
        }
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        if !self.state().looks_inside() {
            IgnoredAny.visit_map(map)?;
            return self.found(Value::Unfit);
        }
        let frame = self.log.spans.len();
        while let Some(asked_for) = map.next_key_seed(KeyIn(self.trie.state(self.state)))? {
            let Some((key, state)) = asked_for else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            self.log.forget(frame, &key);
            let from = self.log.seen.values.len();
            map.next_value_seed(self.below(state))?;
            let to = self.log.seen.values.len();
            if to > from {
                self.log.spans.push(Span { key, from, to });
            }
            if self.log.spans.len() - frame > WILD_KEYS_MAX + self.state().edges.len() {
                return Err(M::Error::custom("too many keys with an id"));
            }
        }
        self.log.spans.truncate(frame);
        Ok(())
    }
}

/// Reads a key and says where it leads, if a pointer asks for it.
struct KeyIn<'t>(&'t State);

impl<'a> DeserializeSeed<'a> for KeyIn<'_> {
    type Value = Option<(Key<'a>, StateId)>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl KeyIn<'_> {
    fn find<'a>(&self, key: &str, wild: impl FnOnce() -> Cow<'a, str>) -> Option<(Key<'a>, StateId)> {
        match self.0.edge_of_key(key) {
            Some(edge) => Some((Key::Named(edge), self.0.edges[edge].to)),
            None => self.0.other.map(|to| (Key::Wild(wild()), to)),
        }
    }
}

impl<'a> Visitor<'a> for KeyIn<'_> {
    type Value = Option<(Key<'a>, StateId)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, key: &'a str) -> Result<Self::Value, E> {
        Ok(self.find(key, || Cow::Borrowed(key)))
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.find(key, || Cow::Owned(key.to_owned())))
    }
}
