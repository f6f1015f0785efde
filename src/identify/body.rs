//! Selects the parser for a body. Bots are lenient about the content type, so serin is too: a body that is neither a form nor
//! multipart is parsed as JSON, and a body that is not JSON has no id.

use http::Method;

use super::form::Form;
use super::head::Head;
use super::json::Values;
use crate::http1::Known;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    Form,
    /// Never parsed: the request cannot have a body, or the body is multipart.
    Opaque,
}

/// A body, as far as it was parsed.
#[derive(Debug)]
pub(super) enum Body<'a> {
    /// Missing, not needed, larger than the cap, or not to be parsed.
    Unread,
    Broken,
    Json(Values<'a>),
    Form(Form<'a>),
}

impl Kind {
    pub(super) fn of(head: Head<'_>) -> Kind {
        if *head.method == Method::GET || *head.method == Method::HEAD {
            return Kind::Opaque;
        }
        let content_type = head.fields.get(Known::ContentType).unwrap_or_default();
        let essence = content_type[..memchr::memchr(b';', content_type).unwrap_or(content_type.len())].trim_ascii();
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
    use crate::http1::Fields;
    use http::uri::PathAndQuery;

    fn kind_of(method: Method, content_type: Option<&str>) -> Kind {
        let mut fields = Fields::default();
        if let Some(content_type) = content_type {
            fields.push("Content-Type", content_type.as_bytes()).unwrap();
        }
        Kind::of(Head { method: &method, target: &PathAndQuery::from_static("/"), fields: &fields })
    }

    fn kind(content_type: &str) -> Kind {
        kind_of(Method::POST, Some(content_type))
    }

    #[test]
    fn what_is_neither_a_form_nor_multipart_is_tried_as_json() {
        assert_eq!(kind("application/json; charset=utf-8"), Kind::Json);
        assert_eq!(kind("application/cloudevents+json"), Kind::Json);
        assert_eq!(kind("text/plain"), Kind::Json);
        assert_eq!(kind_of(Method::POST, None), Kind::Json);
        assert_eq!(kind("Application/X-WWW-Form-Urlencoded ;charset=UTF-8"), Kind::Form);
        assert_eq!(kind("multipart/form-data; boundary=x"), Kind::Opaque);
        assert_eq!(kind("Multipart/mixed"), Kind::Opaque);
    }

    #[test]
    fn a_get_has_no_body() {
        assert_eq!(kind_of(Method::GET, None), Kind::Opaque);
        assert_eq!(kind_of(Method::HEAD, None), Kind::Opaque);
        assert_eq!(kind_of(Method::PUT, None), Kind::Json);
    }
}
