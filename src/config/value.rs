//! The types of the file's values, and what to write instead of another type.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;
use toml::de::{DeInteger, DeValue};

use super::units::{self, Bytes, Share, UnitError};
use crate::core::Weight;

/// A type of value that a key can have.
pub(crate) trait Value: Sized {
    /// For `` `key` is not … ``.
    const WHAT: &'static str;
    fn read(value: &DeValue<'_>) -> Result<Self, Wrong>;
}

/// A value with an order, for which the file's keys have bounds.
pub(crate) trait Measure: Value + PartialOrd + Copy {
    /// In the form of the file.
    fn show(self) -> String;
}

/// What to write instead, and where, if not in place of the whole value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub instead: String,
    pub at: Option<Range<usize>>,
}

fn instead(instead: impl Into<String>) -> Wrong {
    Wrong { instead: instead.into(), at: None }
}

impl Value for String {
    const WHAT: &'static str = "a text";
    fn read(value: &DeValue<'_>) -> Result<String, Wrong> {
        match value {
            DeValue::String(text) => Ok(text.to_string()),
            DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => Err(instead("write it in quotes")),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Err(instead("write one text in quotes")),
        }
    }
}

impl Value for bool {
    const WHAT: &'static str = "`true` or `false`";
    fn read(value: &DeValue<'_>) -> Result<bool, Wrong> {
        value.as_bool().ok_or_else(|| instead("write true or false, without quotes"))
    }
}

impl Value for usize {
    const WHAT: &'static str = "a whole number";
    fn read(value: &DeValue<'_>) -> Result<usize, Wrong> {
        whole(value).ok_or_else(|| instead("write a whole number, without quotes"))
    }
}

impl Measure for usize {
    fn show(self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const WHAT: &'static str = "a whole number";
    fn read(value: &DeValue<'_>) -> Result<u32, Wrong> {
        whole(value).ok_or_else(|| instead("write a whole number, without quotes"))
    }
}

impl Measure for u32 {
    fn show(self) -> String {
        self.to_string()
    }
}

impl Value for f64 {
    const WHAT: &'static str = "a number";
    fn read(value: &DeValue<'_>) -> Result<f64, Wrong> {
        let number = match value {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|number| number as f64),
            DeValue::Float(float) => float.as_str().parse().ok().filter(|number: &f64| number.is_finite()),
            DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
        };
        number.ok_or_else(|| instead("write a number, without quotes"))
    }
}

impl Value for Duration {
    const WHAT: &'static str = "a duration";
    fn read(value: &DeValue<'_>) -> Result<Duration, Wrong> {
        match (value.as_str(), whole::<u64>(value)) {
            (Some(text), _) => units::duration(text).map_err(|UnitError(message)| instead(message)),
            (None, Some(number)) => Err(instead(format!("write it with a unit: \"{number}s\" or \"{number}ms\""))),
            (None, None) => Err(instead("write a number and a unit, such as \"10s\"")),
        }
    }
}

impl Measure for Duration {
    fn show(self) -> String {
        format!("\"{}\"", units::show_duration(self))
    }
}

impl Value for Bytes {
    const WHAT: &'static str = "a size";
    fn read(value: &DeValue<'_>) -> Result<Bytes, Wrong> {
        match (value.as_str(), whole::<usize>(value)) {
            (Some(text), _) => units::bytes(text).map_err(|UnitError(message)| instead(message)),
            (None, Some(number)) => Err(instead(format!("write it with a unit: \"{}\"", Bytes(number)))),
            (None, None) => Err(instead("write a number and a unit, such as \"1MiB\"")),
        }
    }
}

impl Measure for Bytes {
    fn show(self) -> String {
        format!("\"{self}\"")
    }
}

impl Value for Weight {
    const WHAT: &'static str = "a share from 0% to 100%";
    fn read(value: &DeValue<'_>) -> Result<Weight, Wrong> {
        match (value.as_str(), number(value)) {
            (Some(text), _) if !text.trim_end().ends_with('%') => Err(instead("a weight is a percentage such as \"5%\" or \"12.5%\"")),
            (Some(text), _) => text.parse().map_err(|error: crate::core::WeightError| instead(error.to_string())),
            (None, Some(number)) => Err(instead(format!("write it as a percentage: \"{number}%\""))),
            (None, None) => Err(instead("write a percentage such as \"5%\" or \"12.5%\"")),
        }
    }
}

impl Value for Share {
    const WHAT: &'static str = "a share";
    fn read(value: &DeValue<'_>) -> Result<Share, Wrong> {
        match (value.as_str(), whole::<u64>(value)) {
            (Some(text), _) => units::share(text).map_err(|UnitError(message)| instead(message)),
            (None, Some(number)) => Err(instead(format!("write it as a percentage: \"{number}%\""))),
            // A bare fraction could be one of 1 or one of 100.
            (None, None) => Err(instead("write a percentage such as \"5%\" or \"0.5%\"")),
        }
    }
}

impl Measure for Share {
    fn show(self) -> String {
        format!("\"{self}\"")
    }
}

impl Value for SocketAddr {
    const WHAT: &'static str = "an address to listen on";
    fn read(value: &DeValue<'_>) -> Result<SocketAddr, Wrong> {
        let text = match (value.as_str(), whole::<u16>(value)) {
            (Some(text), _) => text,
            (None, Some(port)) => return Err(instead(format!("write \"0.0.0.0:{port}\", or \"127.0.0.1:{port}\" for this machine only"))),
            (None, None) => return Err(instead("write an IP address and a port, such as \"0.0.0.0:8080\"")),
        };
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        text.parse().map_err(|_| match (text.split_once(':').map_or("", |(host, _)| host), port) {
            ("localhost", Some(port)) => instead(format!("write the IP address: \"127.0.0.1:{port}\"")),
            ("" | "*", Some(port)) => instead(format!("write \"0.0.0.0:{port}\", or \"127.0.0.1:{port}\" for this machine only")),
            (_, Some(_)) => instead("write an IP address and a port, such as \"0.0.0.0:8080\" or \"[::]:8080\""),
            (_, None) => instead("write an IP address and a port, such as \"0.0.0.0:8080\""),
        })
    }
}

/// A list of texts, or one text.
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<Spanned<String>>),
}

impl Value for OneOrMany {
    const WHAT: &'static str = "a text or a list of texts";
    fn read(value: &DeValue<'_>) -> Result<OneOrMany, Wrong> {
        match value {
            DeValue::Array(_) => Vec::read(value).map(OneOrMany::Many),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => String::read(value).map(OneOrMany::One),
        }
    }
}

/// A list of texts.
impl Value for Vec<Spanned<String>> {
    const WHAT: &'static str = "a list of texts";
    fn read(value: &DeValue<'_>) -> Result<Vec<Spanned<String>>, Wrong> {
        let DeValue::Array(items) = value else { return Err(instead("write it in brackets: [\"…\"]")) };
        let text = |item: &Spanned<DeValue<'_>>| match String::read(item.get_ref()) {
            Ok(text) => Ok(Spanned::new(item.span(), text)),
            Err(wrong) => Err(Wrong { at: Some(item.span()), ..wrong }),
        };
        items.iter().map(text).collect()
    }
}

/// A list of numbers that fit a status.
impl Value for Vec<Spanned<u16>> {
    const WHAT: &'static str = "a list of statuses";
    fn read(value: &DeValue<'_>) -> Result<Vec<Spanned<u16>>, Wrong> {
        let DeValue::Array(items) = value else { return Err(instead("write it in brackets: [401]")) };
        let status = |item: &Spanned<DeValue<'_>>| match whole(item.get_ref()) {
            Some(status) => Ok(Spanned::new(item.span(), status)),
            None => Err(Wrong { instead: "write a number, such as 401".to_owned(), at: Some(item.span()) }),
        };
        items.iter().map(status).collect()
    }
}

fn whole<T: TryFrom<u64>>(value: &DeValue<'_>) -> Option<T> {
    let integer: &DeInteger<'_> = value.as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()?.try_into().ok()
}

fn number(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::Integer(_) => whole::<u64>(value).map(|number| number.to_string()),
        DeValue::Float(float) => float.as_str().parse::<f64>().ok().filter(|f| f.is_finite() && *f >= 0.0).map(|f| f.to_string()),
        DeValue::String(_) | DeValue::Boolean(_) | DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}
