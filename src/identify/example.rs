//! For tests: a request to a preset's bot, and what its plan says of it as one line of text.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};

use super::{Found, Head, Mixed, Plan, Source, find};

pub(super) struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Vec<u8>,
}

pub(super) fn get(uri: &str) -> Request {
    Request { method: Method::GET, uri: uri.parse().unwrap(), headers: HeaderMap::new(), body: Vec::new() }
}

pub(super) fn post(content_type: &'static str, body: impl Into<Vec<u8>>) -> Request {
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    Request { method: Method::POST, uri: Uri::from_static("/hook"), headers, body: body.into() }
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

pub(super) fn preset(name: &str) -> Plan {
    Plan::new(Vec::new(), Some(find(name).unwrap()), Mixed::Stable).unwrap()
}

pub(super) fn plan(sources: &[&str]) -> Plan {
    Plan::new(sources.iter().map(|text| Source::parse(text).unwrap()).collect(), None, Mixed::Stable).unwrap()
}

impl Request {
    pub(super) fn header(mut self, name: &'static str, value: &'static str) -> Request {
        self.headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
    }

    pub(super) fn head(&self) -> Head<'_> {
        Head { method: &self.method, uri: &self.uri, headers: &self.headers }
    }

    /// `team:T1`, `missing`, `invalid` or `mixed`; then ` handshake`, ` retry=<reason>`.
    pub(super) fn to(&self, plan: &Plan) -> String {
        self.told(plan, plan.wants_body(self.head()).then_some(&self.body))
    }

    /// The same, where the body could not be had.
    pub(super) fn bodiless_to(&self, plan: &Plan) -> String {
        self.told(plan, None)
    }

    fn told(&self, plan: &Plan, body: Option<&Vec<u8>>) -> String {
        let reading = plan.read(self.head(), body.map(Vec::as_slice));
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
