//! The walk along the plan's pointers. What no pointer asks for is passed over.
//!
//! **Invariant:** it recurses only where a pointer goes on, and a pointer has at most 32 steps, so no body decides how
//! deep. serde_json's own bound of 127 containers within each other was never reached on this way.

use std::borrow::Cow;

use super::super::ID_BYTES_MAX;
use super::super::trie::{State, StateId, Trie};
use super::log::{Key, Log};
use super::scan::{byte, skip_byte, skip_number, skip_space, skip_value, skip_word};
use super::{Broken, Seen, Value, string};

/// `body` must be UTF-8.
pub(super) fn walk<'a>(trie: &Trie, body: &'a [u8]) -> Result<Seen<'a>, Broken> {
    let mut walk = Walk { trie, body, log: Log::default() };
    let end = walk.value(0, Trie::START)?;
    if skip_space(body, end) == body.len() { Ok(walk.log.into_seen()) } else { Err(Broken) }
}

struct Walk<'t, 'a> {
    trie: &'t Trie,
    body: &'a [u8],
    log: Log<'a>,
}

/// Each takes the place where its part of the body begins and returns the place behind it.
impl<'a> Walk<'_, 'a> {
    fn value(&mut self, at: usize, state: StateId) -> Result<usize, Broken> {
        let state = self.trie.state(state);
        let at = skip_space(self.body, at);
        let (found, end) = match byte(self.body, at) {
            b'{' => {
                let end = self.object(at, state)?;
                ((!state.looks_inside()).then_some(Value::Unfit), end)
            }
            b'[' if byte(self.body, skip_space(self.body, at + 1)) == b']' => (Some(Value::EmptyArray), skip_value(self.body, at)?),
            b'[' if state.looks_inside() => return self.array(at, state),
            b'[' => (Some(Value::Unfit), skip_value(self.body, at)?),
            b'"' => text(self.body, at)?,
            b'n' => (None, skip_word(self.body, at, b"null")?),
            b't' => (Some(Value::Bool(true)), skip_word(self.body, at, b"true")?),
            b'f' => (Some(Value::Bool(false)), skip_word(self.body, at, b"false")?),
            _ => number(self.body, at)?,
        };
        if let Some(value) = found {
            self.log.found(state, value)?;
        }
        Ok(end)
    }

    /// Its keys are read even where no pointer goes on below it, so half a surrogate pair in one is refused.
    fn object(&mut self, at: usize, state: &State) -> Result<usize, Broken> {
        let frame = self.log.enter();
        let mut at = skip_space(self.body, at + 1);
        if byte(self.body, at) == b'}' {
            return Ok(at + 1);
        }
        loop {
            if byte(self.body, at) != b'"' {
                return Err(Broken);
            }
            let (key, end) = string::read(self.body, at + 1)?;
            at = skip_byte(self.body, end, b':')?;
            at = match leads_to(state, key) {
                Some((key, to)) => {
                    let from = self.log.begin(frame, &key);
                    let end = self.value(at, to)?;
                    self.log.end(frame, state, key, from)?;
                    end
                }
                None => skip_value(self.body, at)?,
            };
            at = skip_space(self.body, at);
            match byte(self.body, at) {
                b',' => at = skip_space(self.body, at + 1),
                b'}' => break,
                _ => return Err(Broken),
            }
        }
        self.log.leave(frame);
        Ok(at + 1)
    }

    /// It is not empty.
    fn array(&mut self, mut at: usize, state: &State) -> Result<usize, Broken> {
        for index in 0.. {
            at = match state.at_index(index) {
                Some(to) => self.value(at + 1, to)?,
                None => skip_value(self.body, at + 1)?,
            };
            at = skip_space(self.body, at);
            match byte(self.body, at) {
                b',' => {}
                b']' => break,
                _ => return Err(Broken),
            }
        }
        Ok(at + 1)
    }
}

/// Where a key leads, if a pointer asks for it.
fn leads_to<'a>(state: &State, key: Cow<'a, [u8]>) -> Option<(Key<'a>, StateId)> {
    match state.edge_of_key(&key) {
        Some(edge) => Some((Key::Named(edge), state.edges[edge].to)),
        None => state.other.map(|to| (Key::Wild(key), to)),
    }
}

fn text(body: &[u8], at: usize) -> Result<(Option<Value<'_>>, usize), Broken> {
    let (text, end) = string::read(body, at + 1)?;
    let value = match text.len() {
        0 => None,
        1..=ID_BYTES_MAX => Some(Value::Text(as_str(text)?)),
        _ => Some(Value::Unfit),
    };
    Ok((value, end))
}

fn as_str(text: Cow<'_, [u8]>) -> Result<Cow<'_, str>, Broken> {
    match text {
        Cow::Borrowed(text) => std::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| Broken),
        Cow::Owned(text) => String::from_utf8(text).map(Cow::Owned).map_err(|_| Broken),
    }
}

fn number(body: &[u8], at: usize) -> Result<(Option<Value<'_>>, usize), Broken> {
    let end = skip_number(body, at)?;
    let text = std::str::from_utf8(&body[at..end]).map_err(|_| Broken)?;
    let value = match (text.parse(), text.parse()) {
        (Ok(n), _) => Value::Unsigned(n),
        (Err(_), Ok(n @ ..0)) => Value::Negative(n),
        (Err(_), _) => fraction(text)?,
    };
    Ok((Some(value), end))
}

/// No id, but serde_json refuses one that is beyond a float where a value is asked for, and so do we.
#[cold]
fn fraction(text: &str) -> Result<Value<'static>, Broken> {
    serde_json::from_str::<f64>(text).map(|_| Value::Unfit).map_err(|_| Broken)
}
