//! Which parser a body gets. Bots are lenient about the content type, so we are: what is neither a form nor multipart is
//! tried as JSON, and what is no JSON has no id.

use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method};

use super::form::Form;
use super::json::Seen;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Form,
    /// Never looked into: the request can't have a body, or it is multipart.
    Opaque,
}

/// A body, as far as it was read.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// Not there, not wanted, over the cap, or not to be looked into.
    Unread,
    Broken,
    Json(Seen<'a>),
    Form(Form<'a>),
}

impl Kind {
    pub(super) fn of(method: &Method, headers: &HeaderMap) -> Kind {
        if *method == Method::GET || *method == Method::HEAD {
            return Kind::Opaque;
        }
        let content_type = headers.get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
        if essence.eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
            Kind::Form
        } else if essence.get(..10).is_some_and(|start| start.eq_ignore_ascii_case(b"multipart/")) {
            Kind::Opaque
        } else {
            Kind::Json
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn kind(content_type: &'static str) -> Kind {
        Kind::of(&Method::POST, &HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]))
    }

    #[test]
    fn what_is_neither_a_form_nor_multipart_is_tried_as_json() {
        assert_eq!(kind("application/json; charset=utf-8"), Kind::Json);
        assert_eq!(kind("application/cloudevents+json"), Kind::Json);
        assert_eq!(kind("text/plain"), Kind::Json);
        assert_eq!(Kind::of(&Method::POST, &HeaderMap::new()), Kind::Json);
        assert_eq!(kind("Application/X-WWW-Form-Urlencoded ;charset=UTF-8"), Kind::Form);
        assert_eq!(kind("multipart/form-data; boundary=x"), Kind::Opaque);
        assert_eq!(kind("Multipart/mixed"), Kind::Opaque);
    }

    #[test]
    fn a_get_has_no_body() {
        assert_eq!(Kind::of(&Method::GET, &HeaderMap::new()), Kind::Opaque);
        assert_eq!(Kind::of(&Method::HEAD, &HeaderMap::new()), Kind::Opaque);
        assert_eq!(Kind::of(&Method::PUT, &HeaderMap::new()), Kind::Json);
    }
}
