//! The next byte, token or word of a JSON body.

use super::value::Unreadable;

/// The byte at `at`, or at the body's end a byte that JSON allows nowhere.
#[inline(always)]
pub(super) fn byte(body: &[u8], at: usize) -> u8 {
    body.get(at).copied().unwrap_or(0)
}

/// The next byte that is not white space, and its index.
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

/// Skips this word. Errors if something else stands there.
pub(super) fn skip_word(body: &[u8], at: usize, word: &[u8]) -> Result<usize, Unreadable> {
    if body[at..].starts_with(word) { Ok(at + word.len()) } else { Err(Unreadable) }
}
