//! Skips JSON: white space, literals, numbers, whole values. Arguments and results are indices into the body, so that they stay in
//! registers: this loop reads every token that no pointer needs.
//!
//! **Invariant:** nothing here recurses. Nesting takes one bit per level, so a body cannot make the stack deep.

use super::string;
use super::token::{byte, skip_word, token};
use super::value::Unreadable;

/// Skips the value that begins with the token `first`. Returns the index behind it.
pub(super) fn skip_value(body: &[u8], first: (u8, usize)) -> Result<usize, Unreadable> {
    let mut inside = Nesting::default();
    let (mut byte, mut at) = first;
    loop {
        if byte == b'"' {
            at = string::skip(body, at + 1)?;
        } else if let open @ (b'{' | b'[') = byte {
            (byte, at) = token(body, at + 1);
            // In ASCII a closing bracket is its opening bracket plus 2.
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
                return Err(Unreadable);
            }
            inside.leave();
        }
    }
}

/// Skips a key and its colon. Returns the value's first token.
#[inline(always)]
fn skip_key(body: &[u8], (first, at): (u8, usize)) -> Result<(u8, usize), Unreadable> {
    if first != b'"' {
        return Err(Unreadable);
    }
    skip_colon(body, string::skip(body, at + 1)?)
}

#[inline(always)]
pub(super) fn skip_colon(body: &[u8], at: usize) -> Result<(u8, usize), Unreadable> {
    match token(body, at) {
        (b':', at) => Ok(token(body, at + 1)),
        _ => Err(Unreadable),
    }
}

/// Skips a number or a literal.
fn skip_scalar(body: &[u8], at: usize) -> Result<usize, Unreadable> {
    match byte(body, at) {
        b'n' => skip_word(body, at, b"null"),
        b't' => skip_word(body, at, b"true"),
        b'f' => skip_word(body, at, b"false"),
        _ => skip_number(body, at),
    }
}

pub(super) fn skip_number(body: &[u8], mut at: usize) -> Result<usize, Unreadable> {
    at += usize::from(byte(body, at) == b'-');
    // No digit may follow a leading zero: of `01` only the `0` is skipped, and then the caller finds a digit and fails.
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

/// Skips digits. Errors if there is none.
#[inline]
fn skip_digits(body: &[u8], from: usize) -> Result<usize, Unreadable> {
    let mut at = from;
    while byte(body, at).is_ascii_digit() {
        at += 1;
    }
    if at > from { Ok(at) } else { Err(Unreadable) }
}

/// The containers around a value, one bit for each and the innermost lowest: 1 for an object. Above them is a 1.
struct Nesting {
    bits: u64,
    /// The outer containers, 63 in each number.
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

    /// Whether the innermost container is an object. `None` if there is none.
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
