//! The walk along the extractor's pointers. It skips what no pointer needs.
//!
//! **Invariant:** it recurses only where a pointer goes on, and a pointer has at most 32 steps, so a body does not decide how deep.
//! serde_json's own limit of 127 nested containers is never reached on that way.

use std::borrow::Cow;

use super::super::ID_BYTES_MAX;
use super::super::trie::{State, StateId, Trie};
use super::collector::{Collector, Key};
use super::scan::{skip_colon, skip_number, skip_value};
use super::string;
use super::token::{skip_word, token};
use super::value::{Unreadable, Value, Values};

/// Walks the body. The whole body must be UTF-8, because Python and serde_json refuse it otherwise. Most bodies are ASCII, and a
/// check for ASCII is several times cheaper than decoding.
pub(in crate::identify) fn walk<'a>(trie: &Trie, body: &'a [u8]) -> Result<Values<'a>, Unreadable> {
    if !body.is_ascii() && std::str::from_utf8(body).is_err() {
        return Err(Unreadable);
    }
    let mut walk = Walk { trie, body, collector: Collector::default() };
    let end = walk.value(token(body, 0), Trie::START)?;
    if token(body, end).1 == body.len() { Ok(walk.collector.into_values()) } else { Err(Unreadable) }
}

struct Walk<'t, 'a> {
    trie: &'t Trie,
    body: &'a [u8],
    collector: Collector<'a>,
}

/// Each function takes the first token of its part of the body and returns the index behind that part.
impl<'a> Walk<'_, 'a> {
    fn value(&mut self, (first, at): (u8, usize), state: StateId) -> Result<usize, Unreadable> {
        let state = self.trie.state(state);
        let (found, end) = match first {
            b'{' => {
                let end = self.object(at, state)?;
                ((!state.looks_inside()).then_some(Value::Unfit), end)
            }
            b'[' => match token(self.body, at + 1) {
                (b']', end) => (Some(Value::EmptyArray), end + 1),
                element => {
                    let end = self.array(element, state)?;
                    ((!state.looks_inside()).then_some(Value::Unfit), end)
                }
            },
            b'"' => text(self.body, at)?,
            b'n' => (None, skip_word(self.body, at, b"null")?),
            b't' => (Some(Value::Bool(true)), skip_word(self.body, at, b"true")?),
            b'f' => (Some(Value::Bool(false)), skip_word(self.body, at, b"false")?),
            _ => number(self.body, at)?,
        };
        if let Some(value) = found {
            self.collector.found(state, value)?;
        }
        Ok(end)
    }

    /// Reads all keys, even those that no pointer needs, so half a surrogate pair in a key is refused.
    fn object(&mut self, at: usize, state: &State) -> Result<usize, Unreadable> {
        let frame = self.collector.enter();
        let mut next = token(self.body, at + 1);
        if let (b'}', end) = next {
            return Ok(end + 1);
        }
        loop {
            let (b'"', at) = next else { return Err(Unreadable) };
            let (key, end) = string::read(self.body, at + 1)?;
            let value = skip_colon(self.body, end)?;
            let end = match leads_to(state, key) {
                Some((key, to)) => {
                    let from = self.collector.begin(frame, &key);
                    let end = self.value(value, to)?;
                    self.collector.end(frame, state, key, from)?;
                    end
                }
                None => skip_value(self.body, value)?,
            };
            match token(self.body, end) {
                (b',', at) => next = token(self.body, at + 1),
                (b'}', at) => {
                    self.collector.leave(frame);
                    return Ok(at + 1);
                }
                _ => return Err(Unreadable),
            }
        }
    }

    /// `element` is the first element's token: the array is not empty.
    fn array(&mut self, mut element: (u8, usize), state: &State) -> Result<usize, Unreadable> {
        let mut index = 0;
        loop {
            let end = match state.at_index(index) {
                Some(to) => self.value(element, to)?,
                None => skip_value(self.body, element)?,
            };
            match token(self.body, end) {
                (b',', at) => element = token(self.body, at + 1),
                (b']', at) => return Ok(at + 1),
                _ => return Err(Unreadable),
            }
            index += 1;
        }
    }
}

/// The state behind a key, if a pointer needs it.
fn leads_to<'a>(state: &State, key: Cow<'a, [u8]>) -> Option<(Key<'a>, StateId)> {
    match state.edge_of_key(&key) {
        Some(edge) => Some((Key::Named(edge), state.edges[edge].to)),
        None => state.other.map(|to| (Key::Wild(key), to)),
    }
}

fn text(body: &[u8], at: usize) -> Result<(Option<Value<'_>>, usize), Unreadable> {
    let (text, end) = string::read(body, at + 1)?;
    let value = match text.len() {
        0 => None,
        1..=ID_BYTES_MAX => Some(Value::Text(as_str(text)?)),
        _ => Some(Value::Unfit),
    };
    Ok((value, end))
}

fn as_str(text: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Unreadable> {
    match text {
        Cow::Borrowed(text) => std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| Unreadable),
        Cow::Owned(text) => String::from_utf8(text).map(Cow::Owned).map_err(|_| Unreadable),
    }
}

fn number(body: &[u8], at: usize) -> Result<(Option<Value<'_>>, usize), Unreadable> {
    let end = skip_number(body, at)?;
    let text = std::str::from_utf8(&body[at..end]).map_err(|_| Unreadable)?;
    let value = match (text.parse(), text.parse()) {
        (Ok(n), _) => Value::Unsigned(n),
        (Err(_), Ok(n @ ..0)) => Value::Negative(n),
        (Err(_), _) => fraction(text)?,
    };
    Ok((Some(value), end))
}

/// Not an id. Errors for a number beyond a float, as serde_json does where it reads a value.
#[cold]
fn fraction(text: &str) -> Result<Value<'static>, Unreadable> {
    serde_json::from_str::<f64>(text).map(|_| Value::Unfit).map_err(|_| Unreadable)
}
