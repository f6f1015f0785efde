//! The values of a scenario's keys: `"+5%"`, `"x1.2"`, `"+50ms"`, `"1-10"`.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::effect::RateChange;
use crate::config::{Value, Wrong, parse_duration};

/// A share above 0 % and up to 100 %.
pub struct Percent(pub f64);

/// `"x1.2"`.
pub struct Factor(pub f64);

pub enum FasterOrLater {
    Factor(f64),
    Added(Duration),
}

/// `"5"` or `"1-10"`, from 1 on.
pub struct Ranks(pub RangeInclusive<u32>);

/// The greatest factor. A greater one is most likely a mistake.
const FACTOR_MAX: f64 = 1_000.0;
const RANK_MAX: u32 = 1_000_000;

impl Value for Percent {
    const WHAT: &'static str = "a share";
    fn read(value: &DeValue<'_>) -> Result<Percent, Wrong> {
        let share = value.as_str().and_then(percent).filter(|share| *share > 0.0);
        share.map(Percent).ok_or_else(|| instead("write a percentage above 0% and up to 100%, such as \"2%\""))
    }
}

impl Value for Factor {
    const WHAT: &'static str = "a factor";
    fn read(value: &DeValue<'_>) -> Result<Factor, Wrong> {
        let factor = value.as_str().and_then(factor);
        factor.map(Factor).ok_or_else(|| instead("write a factor above 0 and up to 1000, such as \"x1.5\""))
    }
}

impl Value for FasterOrLater {
    const WHAT: &'static str = "a change of the latency";
    fn read(value: &DeValue<'_>) -> Result<FasterOrLater, Wrong> {
        let text = value.as_str().unwrap_or("");
        let added = text.strip_prefix('+').and_then(|text| parse_duration(text).ok());
        let read = factor(text).map(FasterOrLater::Factor).or(added.map(FasterOrLater::Added));
        read.ok_or_else(|| instead("write a factor such as \"x1.2\", or what is added, such as \"+50ms\""))
    }
}

impl Value for RateChange {
    const WHAT: &'static str = "a change of a rate";
    fn read(value: &DeValue<'_>) -> Result<RateChange, Wrong> {
        let text = value.as_str().unwrap_or("");
        let read = match text.strip_prefix('+') {
            Some(added) => percent(added).map(RateChange::Add),
            None => percent(text).map(RateChange::AtLeast).or(factor(text).map(RateChange::Times)),
        };
        read.ok_or_else(|| instead("write \"+5%\" (so many more), \"80%\" (at least so many) or \"x0.5\" (times)"))
    }
}

impl Value for Ranks {
    const WHAT: &'static str = "a place by size";
    fn read(value: &DeValue<'_>) -> Result<Ranks, Wrong> {
        let rank = |text: &str| text.parse::<u32>().ok().filter(|rank| (1..=RANK_MAX).contains(rank));
        let text = value.as_str().unwrap_or("");
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (rank(first), rank(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Ranks(first..=last)),
            _ => Err(instead("write \"1\" for the largest workspace, or \"1-10\"")),
        }
    }
}

fn instead(text: &str) -> Wrong {
    Wrong { instead: text.to_owned(), at: None }
}

/// Reads `"12.5%"` as .125, up to 1.
fn percent(text: &str) -> Option<f64> {
    let share = decimal(text.strip_suffix('%')?)? / 100.0;
    (share <= 1.0).then_some(share)
}

fn factor(text: &str) -> Option<f64> {
    decimal(text.strip_prefix('x')?).filter(|factor| *factor > 0.0 && *factor <= FACTOR_MAX)
}

/// Reads digits and a dot: no sign, no exponent, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    plain.then(|| text.parse().ok()).flatten()
}
