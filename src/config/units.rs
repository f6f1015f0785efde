//! Durations, sizes and shares, written with their unit: `"10s"`, `"1.5s"`, `"64KiB"`, `"0.5%"`. A bare number is an error, because
//! a reader could not tell seconds from milliseconds. All arithmetic is in whole nanoseconds and bytes, so that a printed value
//! reads back exactly.

use std::fmt;
use std::time::Duration;

use crate::core::{Weight, WeightError};

/// The longest duration that can be written: a year. Sums of such durations cannot overflow.
pub(super) const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bytes(pub usize);

/// A share in steps of 0.01 %, 0 to 10,000 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Share(pub u16);

/// What to write instead of a text that is not such a quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnitError(pub String);

const NANOS: [(&str, u64); 5] =
    [("ms", 1_000_000), ("s", 1_000_000_000), ("m", 60 * 1_000_000_000), ("h", 3_600 * 1_000_000_000), ("d", 86_400 * 1_000_000_000)];

const BYTES: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// `"300ms"`, `"1.5s"`, `"10m"`, `"24h"`, `"7d"`.
pub(super) fn duration(text: &str) -> Result<Duration, UnitError> {
    let nanos = quantity(text, &NANOS, "10s")?;
    let duration = Duration::from_nanos(nanos);
    if duration > LONGEST {
        return Err(UnitError("at most \"365d\"".to_owned()));
    }
    Ok(duration)
}

/// `"512B"`, `"64KiB"`, `"1MiB"`, `"4MB"`.
pub(super) fn bytes(text: &str) -> Result<Bytes, UnitError> {
    let bytes = quantity(text, &BYTES, "1MiB")?;
    usize::try_from(bytes).map(Bytes).map_err(|_| UnitError("more than this machine can address".to_owned()))
}

/// `"5%"`, `"0.5%"`: the form of a weight.
pub(super) fn share(text: &str) -> Result<Share, UnitError> {
    let no_percentage = || UnitError("write a percentage such as \"5%\" or \"0.5%\"".to_owned());
    if !text.trim_end().ends_with('%') {
        return Err(no_percentage());
    }
    match text.parse::<Weight>() {
        Ok(share) => Ok(Share(share.bp())),
        Err(WeightError::NotAPercentage) => Err(no_percentage()),
        Err(WeightError::OutOfRange) => Err(UnitError("between 0% and 100%".to_owned())),
        Err(WeightError::TooPrecise) => Err(UnitError("at most two decimals (steps of 0.01%)".to_owned())),
    }
}

/// In the form that `duration` reads, in the unit that a person would choose.
pub fn show_duration(duration: Duration) -> String {
    const MINUTE: u64 = 60;
    const HOUR: u64 = 60 * MINUTE;
    let (secs, nanos) = (duration.as_secs(), duration.subsec_nanos());
    if nanos == 0 && secs > 0 {
        return match secs {
            s if s % HOUR == 0 => format!("{}h", s / HOUR),
            s if s % MINUTE == 0 => format!("{}m", s / MINUTE),
            s => format!("{s}s"),
        };
    }
    match secs {
        0 if nanos == 0 => "0s".to_owned(),
        0 => decimal(u64::from(nanos / 1_000_000), nanos % 1_000_000, 6) + "ms",
        _ => decimal(secs, nanos, 9) + "s",
    }
}

impl fmt::Display for Bytes {
    /// In the form that `bytes` reads, in the largest unit without decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0 as u64;
        for (unit, size) in BYTES {
            if bytes >= size && bytes.is_multiple_of(size) {
                return write!(f, "{}{unit}", bytes / size);
            }
        }
        write!(f, "{bytes}B")
    }
}

/// A size for people, with one decimal at most.
pub fn show_bytes(bytes: usize) -> String {
    let (unit, size) =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)].into_iter().find(|(_, size)| bytes >= *size).unwrap_or(("B", 1));
    let tenths = bytes.saturating_mul(10) / size;
    match tenths % 10 {
        0 => format!("{} {unit}", tenths / 10),
        tenth => format!("{}.{tenth} {unit}", tenths / 10),
    }
}

impl Share {
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }
}

impl fmt::Display for Share {
    /// In the form that `share` reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", decimal(u64::from(self.0 / 100), u32::from(self.0 % 100), 2))
    }
}

/// Reads `number[.decimals]unit`. Returns the value in the smallest unit.
fn quantity(text: &str, units: &[(&str, u64)], example: &str) -> Result<u64, UnitError> {
    let names = || units.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || decimals.contains('.') || number.ends_with('.') {
        return Err(UnitError(format!("write a number and a unit, such as \"{example}\"")));
    }
    if unit.is_empty() {
        let (_, usual) = example.split_at(example.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(0));
        return Err(UnitError(format!("add a unit, as in \"{number}{usual}\" (one of {})", names())));
    }
    let Some((_, size)) = units.iter().find(|(name, _)| *name == unit) else {
        return Err(UnitError(format!("the unit is one of {}, as in \"{example}\"", names())));
    };
    let too_much = || UnitError("too large a number".to_owned());
    let whole = whole.parse::<u64>().ok().and_then(|n| n.checked_mul(*size)).ok_or_else(too_much)?;
    let part = fraction(decimals, *size).ok_or_else(|| UnitError("too many decimals".to_owned()))?;
    whole.checked_add(part).ok_or_else(too_much)
}

/// `0.decimals · size`, if that is a whole number.
fn fraction(decimals: &str, size: u64) -> Option<u64> {
    let decimals = decimals.trim_end_matches('0');
    if decimals.is_empty() {
        return Some(0);
    }
    let scale = 10u128.checked_pow(u32::try_from(decimals.len()).ok()?)?;
    let product = decimals.parse::<u128>().ok()?.checked_mul(u128::from(size))?;
    (product % scale == 0).then(|| u64::try_from(product / scale).ok()).flatten()
}

fn decimal(whole: u64, part: u32, digits: usize) -> String {
    match part {
        0 => whole.to_string(),
        _ => format!("{whole}.{}", format!("{part:0digits$}").trim_end_matches('0')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_reads_as_people_write_it() {
        for (text, millis) in [("300ms", 300), ("1.5s", 1_500), ("90s", 90_000), ("10m", 600_000), ("24h", 86_400_000), ("7d", 604_800_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        assert_eq!(duration("0.000001ms"), Ok(Duration::from_nanos(1)));
    }

    #[test]
    fn a_size_reads_as_people_write_it() {
        for (text, size) in [("0B", 0), ("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("4MB", 4_000_000), ("1.5kB", 1_500)] {
            assert_eq!(bytes(text), Ok(Bytes(size)), "{text}");
        }
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_the_way_to_write_it() {
        for (text, instead) in [
            ("5", "add a unit, as in \"5s\" (one of ms, s, m, h, d)"),
            ("", "write a number and a unit, such as \"10s\""),
            ("-5s", "write a number and a unit, such as \"10s\""),
            ("5.s", "write a number and a unit, such as \"10s\""),
            ("1.2.3s", "write a number and a unit, such as \"10s\""),
            ("5 s", "the unit is one of ms, s, m, h, d, as in \"10s\""),
            ("5sec", "the unit is one of ms, s, m, h, d, as in \"10s\""),
            ("366d", "at most \"365d\""),
            ("99999999999999999999s", "too large a number"),
            ("0.0000001ms", "too many decimals"),
        ] {
            assert_eq!(duration(text), Err(UnitError(instead.to_owned())), "{text}");
        }
        assert_eq!(bytes("0.5B"), Err(UnitError("too many decimals".to_owned())));
        assert_eq!(bytes("5"), Err(UnitError("add a unit, as in \"5MiB\" (one of GiB, GB, MiB, MB, KiB, kB, KB, B)".to_owned())));
    }

    #[test]
    fn a_share_is_a_percentage_and_nothing_else() {
        for (text, bp) in [("0%", 0), ("0.01%", 1), ("0.5%", 50), ("12.25%", 1_225), ("100%", 10_000)] {
            assert_eq!(share(text), Ok(Share(bp)), "{text}");
            assert_eq!(Share(bp).to_string(), text);
        }
        for (text, instead) in [
            ("0.5", "write a percentage such as \"5%\" or \"0.5%\""),
            ("half%", "write a percentage such as \"5%\" or \"0.5%\""),
            ("100.01%", "between 0% and 100%"),
            ("0.005%", "at most two decimals (steps of 0.01%)"),
        ] {
            assert_eq!(share(text), Err(UnitError(instead.to_owned())), "{text}");
        }
        assert_eq!(Share(50).ratio(), 0.005);
    }

    #[test]
    fn a_duration_prints_in_the_unit_a_person_would_take() {
        for text in ["0s", "900ms", "1.5s", "90s", "10m", "24h", "90m", "0.5ms"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        for text in ["0B", "1000B", "64KiB", "1MiB", "4MB", "3GiB"] {
            assert_eq!(bytes(text).unwrap().to_string(), if text == "1000B" { "1kB" } else { text });
        }
    }

    proptest! {
        #[test]
        fn every_duration_reads_back_what_it_prints(secs in 0u64..=31_535_999, nanos in 0u32..1_000_000_000) {
            for duration in [Duration::new(secs, nanos), Duration::from_secs(secs), Duration::from_millis(secs)] {
                prop_assert_eq!(super::duration(&show_duration(duration)), Ok(duration));
            }
        }

        #[test]
        fn every_size_reads_back_what_it_prints(size in 0usize..=1 << 40, shift in 0u32..30) {
            let size = Bytes(size >> shift);
            prop_assert_eq!(bytes(&size.to_string()), Ok(size));
        }

        #[test]
        fn no_text_panics(text in ".{0,30}") {
            let _ = (duration(&text), bytes(&text), share(&text));
        }
    }
}
