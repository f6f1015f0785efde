//! Strings of a JSON body: skipped, or read. All functions take the index behind the opening quote and return the index behind the
//! closing one.
//!
//! As in serde_json, escapes are checked more strictly in a string that is read: half a surrogate pair is not a character, so such
//! a string is refused. In a string that is skipped, any four hexadecimal digits are accepted.

use std::borrow::Cow;

use super::block;
use super::token::byte;
use super::value::Unreadable;

/// Skips a string. Most strings end within sixteen bytes, so this part is inlined into its callers.
#[inline(always)]
pub(super) fn skip(body: &[u8], at: usize) -> Result<usize, Unreadable> {
    match stop_nearby(body, at) {
        Some((b'"', stop)) => Ok(stop + 1),
        _ => skip_slowly(body, at),
    }
}

#[inline(never)]
fn skip_slowly(body: &[u8], mut at: usize) -> Result<usize, Unreadable> {
    loop {
        at = stop(body, at);
        match byte(body, at) {
            b'"' => return Ok(at + 1),
            b'\\' => at = skip_escape(body, at + 1)?,
            _ => return Err(Unreadable),
        }
    }
}

/// Reads a string. It is borrowed from the body if it has no escape.
#[inline]
pub(super) fn read(body: &[u8], from: usize) -> Result<(Cow<'_, [u8]>, usize), Unreadable> {
    let (byte, at) = stop_nearby(body, from).unwrap_or_else(|| {
        let at = stop(body, from);
        (byte(body, at), at)
    });
    match byte {
        b'"' => Ok((Cow::Borrowed(&body[from..at]), at + 1)),
        b'\\' => unescape(body, from).map(|(text, end)| (Cow::Owned(text), end)),
        _ => Err(Unreadable),
    }
}

/// The first byte of the next block that cannot be skipped, and its index.
#[inline(always)]
fn stop_nearby(body: &[u8], at: usize) -> Option<(u8, usize)> {
    let block = body.get(at..)?.first_chunk()?;
    let stop = block::stops(block).trailing_zeros() as usize;
    Some((*block.get(stop)?, at + stop))
}

/// The index of the next byte that ends the string, begins an escape or is not allowed; the body's end if there is none.
#[inline]
fn stop(body: &[u8], mut at: usize) -> usize {
    while body.get(at..).and_then(|rest| rest.first_chunk()).is_some_and(|blocks| !block::any_stops(blocks)) {
        at += 4 * block::LEN;
    }
    while let Some(block) = body.get(at..).and_then(|rest| rest.first_chunk()) {
        match block::stops(block) {
            0 => at += block::LEN,
            stops => return at + stops.trailing_zeros() as usize,
        }
    }
    while body.get(at).is_some_and(|byte| !block::is_stop(*byte)) {
        at += 1;
    }
    at
}

/// `at` is behind the backslash.
#[inline]
fn skip_escape(body: &[u8], at: usize) -> Result<usize, Unreadable> {
    match byte(body, at) {
        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(at + 1),
        b'u' => hex(body, at + 1).map(|_| at + 5),
        _ => Err(Unreadable),
    }
}

#[cold]
fn unescape(body: &[u8], mut at: usize) -> Result<(Vec<u8>, usize), Unreadable> {
    let mut text = Vec::new();
    loop {
        let from = at;
        at = stop(body, at);
        text.extend_from_slice(&body[from..at]);
        match byte(body, at) {
            b'"' => return Ok((text, at + 1)),
            b'\\' => {
                let (character, end) = escaped(body, at + 1)?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                at = end;
            }
            _ => return Err(Unreadable),
        }
    }
}

/// `at` is behind the backslash.
fn escaped(body: &[u8], at: usize) -> Result<(char, usize), Unreadable> {
    let character = match byte(body, at) {
        plain @ (b'"' | b'\\' | b'/') => char::from(plain),
        b'b' => '\x08',
        b'f' => '\x0c',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode(body, at + 1),
        _ => return Err(Unreadable),
    };
    Ok((character, at + 1))
}

/// `at` is behind the `u`. A character beyond 16 bits is written as a pair of surrogates, each an escape.
fn unicode(body: &[u8], at: usize) -> Result<(char, usize), Unreadable> {
    let first = hex(body, at)?;
    if let Some(character) = char::from_u32(first) {
        return Ok((character, at + 4));
    }
    if byte(body, at + 4) != b'\\' || byte(body, at + 5) != b'u' {
        return Err(Unreadable);
    }
    let second = hex(body, at + 6)?;
    match (first, second) {
        (0xd800..=0xdbff, 0xdc00..=0xdfff) => {
            let character = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            char::from_u32(character).map(|character| (character, at + 10)).ok_or(Unreadable)
        }
        _ => Err(Unreadable),
    }
}

fn hex(body: &[u8], at: usize) -> Result<u32, Unreadable> {
    let digits = body.get(at..).and_then(|rest| rest.first_chunk::<4>()).ok_or(Unreadable)?;
    digits.iter().try_fold(0, |n, digit| Some(n << 4 | char::from(*digit).to_digit(16)?)).ok_or(Unreadable)
}
