//! Any bytes as the body of a webhook to every preset's bot: nothing panics, and what is no JSON has no id. Our reader of
//! JSON and the one on serde_json see the same values in it, or both see that it is no JSON.
//!
//! `cargo +nightly fuzz run identify -- -max_total_time=60`

#![no_main]

use std::sync::LazyLock;

use http::Method;
use http::uri::PathAndQuery;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;
use serin::http1::Fields;
use serin::identify::{Found, Head, Mixed, Extractor, all, readers_agree};

static PLANS: LazyLock<Vec<Extractor>> = LazyLock::new(|| {
    let extractor = |preset| Extractor::new(Vec::new(), Some(preset), Mixed::Stable).expect("every preset makes a extractor");
    all().map(extractor).collect()
});

/// From nearly all passed over to nearly all read.
const POINTERS: &[&[&str]] = &[&["/nothing"], &["/team_id", "/team/id"], &["/entry/*/id", "/0/a"], &["/*", "/*/*", "/*/*/*"]];

fuzz_target!(|body: &[u8]| {
    let target = PathAndQuery::from_static("/hook");
    let is_json = serde_json::from_slice::<IgnoredAny>(body).is_ok();
    for pointers in POINTERS {
        assert!(readers_agree(pointers, body), "{pointers:?}");
    }
    for content_type in ["application/json", "application/x-www-form-urlencoded"] {
        let mut fields = Fields::default();
        fields.push("Content-Type", content_type.as_bytes()).expect("a content type");
        let head = Head { method: &Method::POST, target: &target, fields: &fields };
        for extractor in PLANS.iter() {
            let found = extractor.read(head, Some(body)).found;
            if content_type == "application/json" && !is_json {
                assert!(!matches!(found, Found::Workspace { .. } | Found::Mixed), "{found:?}");
            }
        }
    }
});
