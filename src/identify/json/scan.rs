//! Passing over JSON: white space, literals, numbers, whole values. Places in the body go in and out as numbers, so that
//! they stay in registers: this loop sees every token that no pointer asks for.
//!
//! **Invariant:** nothing here recurses; of nesting a bit a level is kept, so no body decides how deep the stack grows.

use super::{Broken, string};

/// The byte there, or at the body's end one that JSON allows nowhere.
#[inline(always)]
pub(super) fn byte(body: &[u8], at: usize) -> u8 {
    body.get(at).copied().unwrap_or(0)
}

/// The next byte that is no white space, and its place.
#[inline(always)]
pub(super) fn token(body: &[u8], at: usize) -> (u8, usize) {
    match byte(body, at) {
        byte @ b'!'.. => (byte, at),
        _ => token_behind_space(body, at),
    }
}

#[inline(never)]
fn token_behind_space(body: &[u8], mut at: usize) -> (u8, usize) {
    while matches!(byte(body, at), b' ' | b'\n' | b'\r' | b'\t') {
        at += 1;
    }
    (byte(body, at), at)
}

/// Passes over the value that begins with the token `first`.
pub(super) fn skip_value(body: &[u8], first: (u8, usize)) -> Result<usize, Broken> {
    let mut inside = Nesting::default();
    let (mut byte, mut at) = first;
    loop {
        if byte == b'"' {
            at = string::skip(body, at + 1)?;
        } else if let open @ (b'{' | b'[') = byte {
            (byte, at) = token(body, at + 1);
            // In ASCII the closing bracket is the second after the opening one.
            if byte != open + 2 {
                inside.enter(open == b'{');
                if open == b'{' {
                    (byte, at) = skip_key(body, (byte, at))?;
                }
                continue;
            }
            at += 1;
        } else {
            at = skip_scalar(body, at)?;
        }
        loop {
            let Some(in_object) = inside.innermost() else { return Ok(at) };
            (byte, at) = token(body, at);
            at += 1;
            if byte == b',' {
                (byte, at) = token(body, at);
                if in_object {
                    (byte, at) = skip_key(body, (byte, at))?;
                }
                break;
            }
            if byte != if in_object { b'}' } else { b']' } {
                return Err(Broken);
            }
            inside.leave();
        }
    }
}

/// Passes over a key and its colon, to the value.
#[inline(always)]
fn skip_key(body: &[u8], (first, at): (u8, usize)) -> Result<(u8, usize), Broken> {
    if first != b'"' {
        return Err(Broken);
    }
    skip_colon(body, string::skip(body, at + 1)?)
}

#[inline(always)]
pub(super) fn skip_colon(body: &[u8], at: usize) -> Result<(u8, usize), Broken> {
    match token(body, at) {
        (b':', at) => Ok(token(body, at + 1)),
        _ => Err(Broken),
    }
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

/// The containers that a value is in, a bit for each and the innermost lowest: 1 for an object. Above them a 1.
struct Nesting {
    bits: u64,
    /// Further out, 63 at a time.
    outer: Vec<u64>,
}

impl Default for Nesting {
    fn default() -> Nesting {
        Nesting { bits: 1, outer: Vec::new() }
    }
}

impl Nesting {
    #[inline(always)]
    fn enter(&mut self, object: bool) {
        if self.bits >> 63 == 1 {
            self.outer.push(self.bits);
            self.bits = 1;
        }
        self.bits = self.bits << 1 | u64::from(object);
    }

    /// Is it an object?
    #[inline(always)]
    fn innermost(&self) -> Option<bool> {
        (self.bits != 1).then_some(self.bits & 1 == 1)
    }

    #[inline(always)]
    fn leave(&mut self) {
        self.bits >>= 1;
        if self.bits == 1 {
            self.bits = self.outer.pop().unwrap_or(1);
        }
    }
}
