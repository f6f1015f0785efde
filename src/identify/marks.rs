//! Marks of a platform in a request: of a handshake (the platform verifies the URL) and of a retry (the platform sends this again).
//! A preset lists the marks. Here they are compiled into the extractor's one walk, and searched for.

use http::{HeaderName, Method};

use super::body::{Body, Kind};
use super::head::Head;
use super::json::Value;
use super::pointer::Pointer;
use super::preset::{Literal, Mark, RetryMark};
use super::reading::Retry;
use super::trie::{PointerIndex, Pointers};
use super::{Preset, SourceError, form};

/// The compiled marks of one preset.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    headers: Vec<(HeaderName, &'static str)>,
    queries: Vec<&'static str>,
    forms: Vec<(&'static str, &'static str)>,
    json: Vec<(PointerIndex, Literal)>,
    retry: Option<RetryLookup>,
}

#[derive(Clone, Debug)]
enum RetryLookup {
    Header { mark: HeaderName, reason: HeaderName, reasons: &'static [&'static str] },
    Json { pointer: PointerIndex, is: Literal, reason: &'static str },
}

impl Marks {
    pub(super) fn new(preset: &'static Preset, pointers: &mut Pointers) -> Result<Marks, SourceError> {
        let mut marks = Marks::default();
        for mark in preset.handshakes {
            match mark {
                Mark::Header(name, value) => marks.headers.push((HeaderName::from_static(name), value)),
                Mark::Query(name) => marks.queries.push(name),
                Mark::Form(field, value) => marks.forms.push((field, value)),
                Mark::Json(pointer, is) => marks.json.push((pointers.index_of(&Pointer::parse(pointer)?), *is)),
            }
        }
        marks.retry = match &preset.retry {
            Some(RetryMark::Header { mark, reason, reasons }) => {
                Some(RetryLookup::Header { mark: HeaderName::from_static(mark), reason: HeaderName::from_static(reason), reasons })
            }
            Some(RetryMark::Json { pointer, is, reason }) => {
                Some(RetryLookup::Json { pointer: pointers.index_of(&Pointer::parse(pointer)?), is: *is, reason })
            }
            None => None,
        };
        Ok(marks)
    }

    /// Whether a body of this kind may contain a mark.
    pub(super) fn need(&self, kind: Kind) -> bool {
        match kind {
            Kind::Json => !self.json.is_empty() || matches!(self.retry, Some(RetryLookup::Json { .. })),
            Kind::Form => !self.forms.is_empty(),
            Kind::Opaque => false,
        }
    }

    pub(super) fn handshake(&self, head: Head<'_>, body: &Body<'_>) -> bool {
        let in_head =
            self.headers.iter().any(|(name, value)| head.fields.named(name.as_str()).next().is_some_and(|v| v == value.as_bytes()))
                || (*head.method == Method::GET && self.queries.iter().any(|name| has_parameter(head, name)));
        in_head
            || match body {
                Body::Json(values) => self.json.iter().any(|(pointer, is)| values.at(*pointer).any(|value| is.equals(value))),
                Body::Form(form) => self.forms.iter().any(|(field, value)| form.has(field, value)),
                Body::Unread | Body::Broken => false,
            }
    }

    /// All reasons that `retry` may return.
    pub(super) fn retry_reasons(&self) -> Vec<&'static str> {
        match &self.retry {
            Some(RetryLookup::Header { reasons, .. }) => reasons.iter().copied().chain(["other"]).collect(),
            Some(RetryLookup::Json { reason, .. }) => vec![reason],
            None => Vec::new(),
        }
    }

    pub(super) fn retry(&self, head: Head<'_>, body: &Body<'_>) -> Option<Retry> {
        match (self.retry.as_ref()?, body) {
            (RetryLookup::Header { mark, reason, reasons }, _) => {
                head.fields.named(mark.as_str()).next()?;
                let said = head.fields.named(reason.as_str()).next().unwrap_or_default();
                Some(Retry { reason: reasons.iter().find(|r| r.as_bytes() == said).copied().unwrap_or("other") })
            }
            (RetryLookup::Json { pointer, is, reason }, Body::Json(values)) => {
                values.at(*pointer).any(|value| is.equals(value)).then_some(Retry { reason })
            }
            (RetryLookup::Json { .. }, Body::Unread | Body::Broken | Body::Form(_)) => None,
        }
    }
}

impl Literal {
    fn equals(self, value: &Value<'_>) -> bool {
        match (self, value) {
            (Literal::Text(a), Value::Text(b)) => a == *b,
            (Literal::Number(a), Value::Unsigned(b)) => a == *b,
            (Literal::True, Value::Bool(b)) => *b,
            (Literal::EmptyArray, Value::EmptyArray) => true,
            (Literal::Text(_) | Literal::Number(_) | Literal::True | Literal::EmptyArray, _) => false,
        }
    }
}

fn has_parameter(head: Head<'_>, name: &str) -> bool {
    head.target.query().is_some_and(|query| form::values(query.as_bytes(), name).next().is_some())
}
