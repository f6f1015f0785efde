//! W3C Trace Context, level 2: whether a request has a trace that may pass on, and a new trace if not. Pure: the caller brings the random
//! numbers. An invalid trace is not repaired: a new trace begins, and `tracestate`, which belongs to the old one, is dropped.

use std::fmt;

use super::{Fields, Known};

/// `00-` trace id `-` parent id `-` flags.
const LENGTH: usize = 55;

/// The id that all requests of one trace share; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceId(u128);

/// A `traceparent` that serin has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    trace: TraceId,
    parent: u64,
    sampled: bool,
}

/// What happens to the two fields on the way to the upstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// They pass unchanged. The id is `None` if the config switches traces off and the request has none.
    Passes(Option<TraceId>),
    Begins(TraceParent),
}

impl Trace {
    pub fn id(self) -> Option<TraceId> {
        match self {
            Trace::Passes(id) => id,
            Trace::Begins(begun) => Some(begun.trace),
        }
    }
}

/// The trace of a head, if it has exactly one and that is valid.
pub fn brought(fields: &Fields) -> Option<TraceId> {
    let mut all = fields.all(Known::Traceparent);
    match (all.next(), all.next()) {
        (Some(value), None) => TraceId::read(value),
        // With two of them, it is not clear which one counts.
        (None | Some(_), _) => None,
    }
}

impl TraceId {
    /// Reads the value of a `traceparent`. Of an unknown version, serin reads the part that it shares with version 00; more may
    /// follow after a `-`.
    fn read(value: &[u8]) -> Option<TraceId> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let fields = [&known[..2], &known[3..35], &known[36..52], &known[53..]];
        let dashes = [known[2], known[35], known[52]] == *b"---";
        if !dashes || !fields.iter().all(|field| field.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))) {
            return None;
        }
        let ends_well = match fields[0] {
            b"ff" => false,
            b"00" => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let is_zero = |field: &[u8]| field.iter().all(|byte| *byte == b'0');
        if !ends_well || is_zero(fields[1]) || is_zero(fields[2]) {
            return None;
        }
        let digit = |byte: u8| u128::from(if byte <= b'9' { byte - b'0' } else { byte - b'a' + 10 });
        Some(TraceId(fields[1].iter().fold(0, |number, byte| number << 4 | digit(*byte))))
    }

    /// 32 hexadecimal digits.
    pub fn text(self) -> [u8; 32] {
        let mut text = [0; 32];
        write_hex(&self.0.to_be_bytes(), &mut text);
        text
    }
}

impl TraceParent {
    /// Makes a `traceparent` from 192 random bits. An id must not be 0, so a 0 becomes 1.
    pub fn from_random(trace: u128, parent: u64, sampled: bool) -> TraceParent {
        TraceParent { trace: TraceId(trace.max(1)), parent: parent.max(1), sampled }
    }

    /// The field's value. The flags state that the id is random (level 2), and whether the trace is sampled. There is no flag for
    /// 'undecided': a bot whose sampler follows the parent records nothing without the flag. It does not use `fmt`, because it is
    /// written for most webhooks.
    pub fn text(self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-02";
        text[54] += u8::from(self.sampled);
        write_hex(&self.trace.0.to_be_bytes(), &mut text[3..35]);
        write_hex(&self.parent.to_be_bytes(), &mut text[36..52]);
        text
    }
}

/// Writes the digits of some bytes to a place that is twice as long.
fn write_hex(bytes: &[u8], into: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(into.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 0xf)];
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("a traceparent is ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOOD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const ID: &str = "0af7651916cd43dd8448eb211c80319c";

    fn of(values: &[&str]) -> Option<String> {
        let mut fields = Fields::default();
        values.iter().for_each(|value| fields.push("TraceParent", value.as_bytes()).unwrap());
        brought(&fields).map(|id| id.to_string())
    }

    #[test]
    fn a_valid_one_is_read() {
        assert_eq!(of(&[GOOD]).as_deref(), Some(ID));
        for flags in ["00", "02", "ff"] {
            assert_eq!(of(&[&format!("{}{flags}", &GOOD[..53])]).as_deref(), Some(ID), "{flags}");
        }
    }

    #[test]
    fn a_version_of_the_future_may_say_more() {
        let future = GOOD.replacen("00", "cc", 1);
        for value in [future.clone(), format!("{future}-what-the-future-will-be"), format!("{future}-")] {
            assert_eq!(of(&[&value]).as_deref(), Some(ID), "{value}");
        }
        assert_eq!(of(&[&format!("{future}.x")]), None);
    }

    #[test]
    fn what_is_no_trace_is_none() {
        let zeros = |n: usize| "0".repeat(n);
        let wrong = [
            String::new(),
            GOOD[..54].to_owned(),
            format!("{GOOD}0"),
            format!("{GOOD}-more"),
            GOOD.to_uppercase(),
            GOOD.replacen("00", "ff", 1),
            GOOD.replacen("00", "0", 1),
            GOOD.replacen("00", "0G", 1),
            GOOD.replace(ID, &zeros(32)),
            GOOD.replace("b7ad6b7169203331", &zeros(16)),
            GOOD.replace('-', "_"),
            GOOD.replace("-01", "-0x"),
            GOOD.replace("-01", "-.1"),
        ];
        for value in wrong {
            assert_eq!(of(&[&value]), None, "{value:?}");
        }
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[GOOD, GOOD]), None, "two of them");
    }

    proptest! {
        #[test]
        fn what_serin_makes_it_can_read(trace: u128, parent: u64, sampled: bool) {
            let made = TraceParent::from_random(trace, parent, sampled);
            let text = made.to_string();
            prop_assert_eq!(&text[53..], if sampled { "03" } else { "02" });
            prop_assert_eq!(TraceId::read(text.as_bytes()), Some(made.trace));
        }

        #[test]
        fn no_value_panics(value in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = TraceId::read(&value);
        }
    }

    #[test]
    fn zeros_are_never_made() {
        let made = TraceParent::from_random(0, 0, true).to_string();
        assert_eq!(of(&[&made]).as_deref(), Some("00000000000000000000000000000001"));
    }
}
