//! What both comparisons with hyper need: `codec_differential` compares what becomes of answers, `request_differential` of requests.

use std::time::Duration;

use proptest::sample::Index;
use proptest::test_runner::Config;

/// Between two pieces of a message, so that serin reads each by itself.
pub const BETWEEN_PIECES: Duration = Duration::from_micros(200);

/// Fields of one hop, and `Date`, which serin adds to an answer.
pub const OF_THE_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "te",
    "transfer-encoding",
    "upgrade",
    "content-length",
    "trailer",
    "date",
];

/// `PROPTEST_CASES` cases. A failure prints its message, so there is no file of seeds.
pub fn cases() -> Config {
    Config { failure_persistence: None, ..Config::default() }
}

/// Removes, changes or inserts one byte, or cuts off the rest, or changes nothing, by `how`.
pub fn mutate(mut wire: Vec<u8>, how: u8, at: Index, byte: u8) -> Vec<u8> {
    let at = at.index(wire.len());
    match how {
        0 => drop(wire.remove(at)),
        1 => wire[at] = byte,
        2 => wire.insert(at, byte),
        3 => wire.truncate(at),
        _ => {}
    }
    wire
}

/// The names that the values of `Connection` list, in lower case.
pub fn named_by_connection(headers: &http::HeaderMap) -> Vec<String> {
    let values = headers.get_all("connection").iter().map(|value| String::from_utf8_lossy(value.as_bytes()).to_lowercase());
    values.collect::<Vec<_>>().join(",").split(',').map(|name| name.trim().to_owned()).collect()
}

/// The fields whose names, in lower case, `passes` accepts. They are sorted by name; values of one name keep their order.
pub fn comparable<'f>(fields: impl Iterator<Item = (&'f str, String)>, passes: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let fields = fields.map(|(name, value)| (name.to_lowercase(), value));
    let mut fields: Vec<_> = fields.filter(|(name, _)| passes(name)).collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}
