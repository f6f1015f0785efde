//! For tests: a request to a preset's bot, and what the bot's extractor finds in it, as one line of text.

use http::Method;
use http::uri::PathAndQuery;

use super::{Extractor, Found, Head, Mixed, Source, find};
use crate::http1::Fields;

pub(super) struct Request {
    method: Method,
    target: PathAndQuery,
    fields: Fields,
    body: Vec<u8>,
}

pub(super) fn get(target: &str) -> Request {
    Request { method: Method::GET, target: target.parse().unwrap(), fields: Fields::default(), body: Vec::new() }
}

pub(super) fn post(content_type: &'static str, body: impl Into<Vec<u8>>) -> Request {
    let request =
        Request { method: Method::POST, target: PathAndQuery::from_static("/hook"), fields: Fields::default(), body: body.into() };
    request.header("Content-Type", content_type)
}

pub(super) fn json(body: impl Into<Vec<u8>>) -> Request {
    post("application/json", body)
}

pub(super) fn form(body: impl Into<Vec<u8>>) -> Request {
    post("application/x-www-form-urlencoded", body)
}

/// A form whose field `payload` is this JSON.
pub(super) fn payload(json: &str) -> Request {
    form(form_urlencoded::Serializer::new(String::new()).append_pair("payload", json).finish())
}

pub(super) fn preset(name: &str) -> Extractor {
    Extractor::new(Vec::new(), Some(find(name).unwrap()), Mixed::Stable).unwrap()
}

pub(super) fn extractor(sources: &[&str]) -> Extractor {
    Extractor::new(sources.iter().map(|text| Source::parse(text).unwrap()).collect(), None, Mixed::Stable).unwrap()
}

impl Request {
    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Request {
        self.fields.push(name, value.as_bytes()).unwrap();
        self
    }

    pub(super) fn head(&self) -> Head<'_> {
        Head { method: &self.method, target: &self.target, fields: &self.fields }
    }

    /// `team:T1`, `missing`, `invalid` or `mixed`; then ` handshake`, ` retry=<reason>`.
    pub(super) fn to(&self, extractor: &Extractor) -> String {
        self.told(extractor, extractor.wants_body(self.head()).then_some(&self.body))
    }

    /// Like `to`, for a request whose body is not available.
    pub(super) fn bodiless_to(&self, extractor: &Extractor) -> String {
        self.told(extractor, None)
    }

    fn told(&self, extractor: &Extractor, body: Option<&Vec<u8>>) -> String {
        let reading = extractor.read(self.head(), body.map(Vec::as_slice));
        let mut said = match reading.found {
            Found::Workspace { workspace, .. } => workspace.to_string(),
            Found::Missing => "missing".to_owned(),
            Found::Invalid => "invalid".to_owned(),
            Found::Mixed => "mixed".to_owned(),
        };
        if reading.handshake {
            said += " handshake";
        }
        if let Some(retry) = reading.retry {
            said = format!("{said} retry={}", retry.reason);
        }
        said
    }
}
