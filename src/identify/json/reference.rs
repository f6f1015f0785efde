//! For tests and the fuzz target: the same walk on serde_json, which decides what is JSON. serin used it until the cost of skipping
//! was measured (docs/adr/0005-own-json-reader.md).

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::ID_BYTES_MAX;
use super::super::trie::{State, StateId, Trie};
use super::collector::{Collector, Key};
use super::{Unreadable, Value, Values};

pub(super) fn walk<'a>(trie: &Trie, body: &'a [u8]) -> Result<Values<'a>, Unreadable> {
    let text = std::str::from_utf8(body).map_err(|_| Unreadable)?;
    let mut collector = Collector::default();
    let mut json = serde_json::Deserializer::from_str(text);
    At { trie, state: Trie::START, collector: &mut collector }.deserialize(&mut json).map_err(|_| Unreadable)?;
    json.end().map_err(|_| Unreadable)?;
    Ok(collector.into_values())
}

/// The walk at one value.
struct At<'t, 'l, 'a> {
    trie: &'t Trie,
    state: StateId,
    collector: &'l mut Collector<'a>,
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
        self.collector.found(self.trie.state(self.state), value).map_err(|Unreadable| E::custom("too many values"))
    }

    fn below(&mut self, state: StateId) -> At<'_, '_, 'a> {
        At { trie: self.trie, state, collector: self.collector }
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
        let frame = self.collector.enter();
        while let Some(asked_for) = map.next_key_seed(KeyIn(self.trie.state(self.state)))? {
            let Some((key, state)) = asked_for else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            let from = self.collector.begin(frame, &key);
            map.next_value_seed(self.below(state))?;
            let state = self.trie.state(self.state);
            self.collector.end(frame, state, key, from).map_err(|Unreadable| M::Error::custom("too many keys with an id"))?;
        }
        self.collector.leave(frame);
        Ok(())
    }
}

/// Reads a key. Returns the state behind it, if a pointer needs it.
struct KeyIn<'t>(&'t State);

impl<'a> DeserializeSeed<'a> for KeyIn<'_> {
    type Value = Option<(Key<'a>, StateId)>;

    fn deserialize<D: Deserializer<'a>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl KeyIn<'_> {
    fn find<'a>(&self, key: &str, wild: impl FnOnce() -> Cow<'a, [u8]>) -> Option<(Key<'a>, StateId)> {
        match self.0.edge_of_key(key.as_bytes()) {
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
        Ok(self.find(key, || Cow::Borrowed(key.as_bytes())))
    }

    fn visit_str<E: serde::de::Error>(self, key: &str) -> Result<Self::Value, E> {
        Ok(self.find(key, || Cow::Owned(key.as_bytes().to_owned())))
    }
}
