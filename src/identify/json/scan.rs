//! Passing over JSON: white space, literals, numbers, whole values. Places in the body go in and out as numbers, so that
//! they stay in registers: this loop sees every token that no pointer asks for.
//!
//! **Invariant:** nothing here recurses; of nesting a bit a level is kept, so no body decides how deep the stack grows.

use super::{Broken, string};

/// The byte there, or at the body's end one that JSON allows nowhere.
#[inline]
pub(super) fn byte(body: &[u8], at: usize) -> u8 {
    body.get(at).copied().unwrap_or(0)
}

#[inline]
pub(super) fn skip_space(body: &[u8], mut at: usize) -> usize {
    while matches!(byte(body, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    at
}

/// Passes over the value that begins at or after `at`.
pub(super) fn skip_value(body: &[u8], mut at: usize) -> Result<usize, Broken> {
    let mut inside = Nesting::default();
    loop {
        at = skip_space(body, at);
        at = match byte(body, at) {
            b'"' => string::skip(body, at + 1)?,
            b'{' => {
                at = skip_space(body, at + 1);
                if byte(body, at) != b'}' {
                    inside.enter(Container::Object);
                    at = skip_key(body, at)?;
                    continue;
                }
                at + 1
            }
            b'[' => {
                at = skip_space(body, at + 1);
                if byte(body, at) != b']' {
                    inside.enter(Container::Array);
                    continue;
                }
                at + 1
            }
            _ => skip_scalar(body, at)?,
        };
        loop {
            let Some(container) = inside.innermost() else { return Ok(at) };
            at = skip_space(body, at);
            match (byte(body, at), container) {
                (b',', Container::Array) => {
                    at += 1;
                    break;
                }
                (b',', Container::Object) => {
                    at = skip_key(body, skip_space(body, at + 1))?;
                    break;
                }
                (b']', Container::Array) | (b'}', Container::Object) => {
                    inside.leave();
                    at += 1;
                }
                _ => return Err(Broken),
            }
        }
    }
}

/// Passes over a key and its colon.
#[inline]
fn skip_key(body: &[u8], at: usize) -> Result<usize, Broken> {
    if byte(body, at) != b'"' {
        return Err(Broken);
    }
    skip_byte(body, string::skip(body, at + 1)?, b':')
}

/// Passes over `expected`, with white space before it.
#[inline]
pub(super) fn skip_byte(body: &[u8], at: usize, expected: u8) -> Result<usize, Broken> {
    let at = skip_space(body, at);
    if byte(body, at) == expected { Ok(at + 1) } else { Err(Broken) }
}

/// Passes over a number or a literal.
fn skip_scalar(body: &[u8], at: usize) -> Result<usize, Broken> {
    match byte(body, at) {
        b'n' => skip_word(body, at, b"null"),
        b't' => skip_word(body, at, b"true"),
        b'f' => skip_word(body, at, b"false"),
        _ => skip_number(body, at),
    }
}

pub(super) fn skip_word(body: &[u8], at: usize, word: &[u8]) -> Result<usize, Broken> {
    if body[at..].starts_with(word) { Ok(at + word.len()) } else { Err(Broken) }
}

pub(super) fn skip_number(body: &[u8], mut at: usize) -> Result<usize, Broken> {
    at += usize::from(byte(body, at) == b'-');
    // A zero stands alone: of `01` only the `0` is passed over, and no digit may follow a value.
    at = if byte(body, at) == b'0' { at + 1 } else { skip_digits(body, at)? };
    if byte(body, at) == b'.' {
        at = skip_digits(body, at + 1)?;
    }
    if matches!(byte(body, at), b'e' | b'E') {
        at += 1 + usize::from(matches!(byte(body, at + 1), b'+' | b'-'));
        at = skip_digits(body, at)?;
    }
    Ok(at)
}

/// One at least.
#[inline]
fn skip_digits(body: &[u8], from: usize) -> Result<usize, Broken> {
    let mut at = from;
    while byte(body, at).is_ascii_digit() {
        at += 1;
    }
    if at > from { Ok(at) } else { Err(Broken) }
}

#[derive(Clone, Copy)]
enum Container {
    Array,
    Object,
}

/// The containers that a value is in, as bits: 1 for an object. The 64 innermost or fewer are in `bits`, lowest first.
#[derive(Default)]
struct Nesting {
    bits: u64,
    depth: usize,
    outer: Vec<u64>,
}

impl Nesting {
    #[inline]
    fn enter(&mut self, container: Container) {
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.outer.push(self.bits);
        }
        self.bits = self.bits << 1 | u64::from(matches!(container, Container::Object));
        self.depth += 1;
    }

    #[inline]
    fn innermost(&self) -> Option<Container> {
        match (self.depth, self.bits & 1) {
            (0, _) => None,
            (_, 0) => Some(Container::Array),
            (_, _) => Some(Container::Object),
        }
    }

    #[inline]
    fn leave(&mut self) {
        self.depth -= 1;
        self.bits >>= 1;
        if self.depth > 0 && self.depth.is_multiple_of(64) {
            self.bits = self.outer.pop().unwrap_or_default();
        }
    }
}
