//! What the fuzz target checks of the search for the workspace: any bytes as the body of a webhook to every preset's bot.

use std::sync::LazyLock;

use http::Method;
use http::uri::PathAndQuery;
use serde::de::IgnoredAny;

use super::json::readers_agree;
use super::{Extractor, Found, Head, ID_BYTES_MAX, Mixed, all, form};
use crate::http1::Fields;

static EXTRACTORS: LazyLock<Vec<Extractor>> = LazyLock::new(|| {
    let extractor = |preset| Extractor::new(Vec::new(), Some(preset), Mixed::Stable).expect("every preset makes an extractor");
    all().map(extractor).collect()
});

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// From nearly all passed over to nearly all read.
const POINTERS: &[&[&str]] = &[&["/nothing"], &["/team_id", "/team/id"], &["/entry/*/id", "/0/a"], &["/*", "/*/*", "/*/*/*"]];

/// Fields of the presets' forms, and short names that a mutation finds.
const FORM_FIELDS: &[&str] = &["team_id", "payload", "AccountSid", "a", "a b"];

/// What is no JSON has no id, serin's reader of JSON and serde_json's agree, and so do serin's reader of forms and `form_urlencoded`'s.
/// A workspace that is found has an id, and is the same one when people write it.
pub fn identify(body: &[u8]) {
    for pointers in POINTERS {
        assert!(readers_agree(pointers, body), "{pointers:?}");
    }
    for name in FORM_FIELDS {
        let ours = form::values(body, name).map(|value| String::from_utf8_lossy(&value).into_owned());
        let theirs = form_urlencoded::parse(body).filter(|(field, _)| field == name).map(|(_, value)| value.into_owned());
        assert!(ours.eq(theirs), "{name}");
    }
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    for content_type in [JSON, FORM] {
        let mut fields = Fields::default();
        fields.push("Content-Type", content_type.as_bytes()).expect("a content type");
        let head = Head { method: &Method::POST, target: &PathAndQuery::from_static("/hook"), fields: &fields };
        for extractor in EXTRACTORS.iter() {
            let reading = extractor.read(head, Some(body));
            if !extractor.wants_body(head) {
                assert_eq!(reading, extractor.read(head, None), "a body that is not wanted says nothing");
            }
            match &reading.found {
                Found::Workspace { workspace, source } => {
                    assert!(content_type == FORM || is_json, "{reading:?}");
                    assert!((1..=ID_BYTES_MAX).contains(&workspace.id.len()) && *source < extractor.sources().len(), "{reading:?}");
                    assert_eq!(extractor.workspace(&workspace.to_string()), *workspace);
                }
                Found::Mixed => assert!(content_type == FORM || is_json, "{reading:?}"),
                Found::Missing | Found::Invalid => {}
            }
        }
    }
}
