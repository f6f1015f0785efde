//! Checks sixteen bytes of a string at once. Every x86-64 has SSE2, so there is no choice at run time; elsewhere the compiler
//! optimises the plain loop.

#[cfg(target_feature = "sse2")]
use std::arch::x86_64::{__m128i, _mm_cmpeq_epi8, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set_epi64x, _mm_set1_epi8};

pub(super) const LEN: usize = 16;

/// Bit `i` is set if byte `i` cannot be skipped inside a string: `"`, `\`, control characters.
#[inline]
pub(super) fn stops(block: &[u8; LEN]) -> u32 {
    #[cfg(target_feature = "sse2")]
    #[allow(unsafe_code, reason = "a function with `target_feature` is called from one without")]
    // SAFETY: the function needs only SSE2, and this is compiled only if all code may use SSE2.
    return unsafe { stops_sse2(block) };
    #[cfg(not(target_feature = "sse2"))]
    stops_one_by_one(block)
}

/// Whether four blocks contain such a byte. A long text mostly has none, so one check of all four is enough.
#[inline]
pub(super) fn any_stops(blocks: &[u8; 4 * LEN]) -> bool {
    #[cfg(target_feature = "sse2")]
    #[allow(unsafe_code, reason = "as above")]
    // SAFETY: as above.
    return unsafe { any_stops_sse2(blocks) };
    #[cfg(not(target_feature = "sse2"))]
    blocks.iter().any(|byte| is_stop(*byte))
}

#[cfg(target_feature = "sse2")]
#[target_feature(enable = "sse2")]
#[inline]
fn stops_sse2(block: &[u8; LEN]) -> u32 {
    _mm_movemask_epi8(marks_sse2(block)) as u32
}

#[cfg(target_feature = "sse2")]
#[target_feature(enable = "sse2")]
#[inline]
fn any_stops_sse2(blocks: &[u8; 4 * LEN]) -> bool {
    let (blocks, _) = blocks.as_chunks();
    let marks = blocks.iter().fold(_mm_set1_epi8(0), |marks, block| _mm_or_si128(marks, marks_sse2(block)));
    _mm_movemask_epi8(marks) != 0
}

/// All bits of each byte that cannot be skipped, and no others.
#[cfg(target_feature = "sse2")]
#[target_feature(enable = "sse2")]
#[inline]
fn marks_sse2(block: &[u8; LEN]) -> __m128i {
    let block = u128::from_le_bytes(*block);
    let bytes = _mm_set_epi64x((block >> 64) as i64, block as i64);
    let quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'"' as i8));
    let backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(b'\\' as i8));
    let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    _mm_or_si128(_mm_or_si128(quote, backslash), control)
}

#[cfg(any(test, not(target_feature = "sse2")))]
fn stops_one_by_one(block: &[u8; LEN]) -> u32 {
    block.iter().enumerate().fold(0, |bits, (i, byte)| bits | u32::from(is_stop(*byte)) << i)
}

pub(super) fn is_stop(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | ..0x20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_stops_at_every_place_as_it_does_alone() {
        for place in 0..LEN {
            for byte in 0..=u8::MAX {
                let mut block = [b'a'; LEN];
                block[place] = byte;
                block[LEN - 1 - place / 2] |= 0x80;
                assert_eq!(stops(&block), stops_one_by_one(&block), "{block:?}");
                let mut blocks = [b'a'; 4 * LEN];
                blocks[place * 4 + place % 4] = byte;
                assert_eq!(any_stops(&blocks), is_stop(byte), "{blocks:?}");
            }
        }
        assert_eq!(stops(b"a\"b\\c\x1fd\x20e\x7ff\xffg\0hi"), 0b0010_0000_0010_1010);
    }
}
