//! Any bytes as a client's request, cut anywhere: nothing panics, no more waits in memory than a head may have, a body
//! has the length that was said, and where the bytes were cut changes nothing.
//!
//! `cargo +nightly fuzz run request -- -max_total_time=60 -max_len=70000`

#![no_main]

use libfuzzer_sys::fuzz_target;
use serin::http1::fuzzing::{End, read_request};

fuzz_target!(|input: (Vec<u16>, &[u8])| {
    let (sizes, wire) = input;
    let whole = read_request([wire]);
    let cut = read_request(pieces(&sizes, wire));
    assert_eq!(whole, cut);
    if let (End::Whole, Some(length)) = (whole.end, whole.length) {
        assert_eq!(whole.body.len() as u64, length);
    }
    assert!(whole.body.len() + whole.left.len() <= wire.len());
    assert!(wire.ends_with(&whole.left), "what is behind the request is untouched");
});

/// Pieces of these sizes, then the rest byte by byte, up to a number that ends soon.
fn pieces<'a>(sizes: &'a [u16], mut wire: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut sizes = sizes.iter().map(|size| usize::from(*size)).chain(std::iter::repeat_n(1, 300)).chain(std::iter::once(usize::MAX));
    std::iter::from_fn(move || {
        let (piece, rest) = wire.split_at(sizes.next()?.min(wire.len()));
        wire = rest;
        Some(piece)
    })
}
