//! `/`: the dashboard, a page and a few scripts that are compiled into the binary. They load nothing from elsewhere and use the same
//! API as every client, with the user's token. They contain no data, so they are open to all.
//! The page shows what the API returns as text, never as markup.

use std::future::ready;

use axum::Router;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use xxhash_rust::xxh3::xxh3_64;

use super::context::Context;

struct Part {
    path: &'static str,
    kind: &'static str,
    text: &'static str,
}

macro_rules! part {
    ($path:literal, $kind:literal, $file:literal) => {
        Part { path: $path, kind: $kind, text: include_str!($file) }
    };
}

static PARTS: [Part; 24] = [
    part!("/", "text/html; charset=utf-8", "index.html"),
    part!("/page/style.css", "text/css; charset=utf-8", "style.css"),
    part!("/page/parts.css", "text/css; charset=utf-8", "parts.css"),
    part!("/page/icon.svg", "image/svg+xml", "icon.svg"),
    part!("/page/main.js", "text/javascript; charset=utf-8", "main.js"),
    part!("/page/api.js", "text/javascript; charset=utf-8", "api.js"),
    part!("/page/fresh.js", "text/javascript; charset=utf-8", "fresh.js"),
    part!("/page/me.js", "text/javascript; charset=utf-8", "me.js"),
    part!("/page/words.js", "text/javascript; charset=utf-8", "words.js"),
    part!("/page/dom.js", "text/javascript; charset=utf-8", "dom.js"),
    part!("/page/bot.js", "text/javascript; charset=utf-8", "bot.js"),
    part!("/page/banner.js", "text/javascript; charset=utf-8", "banner.js"),
    part!("/page/actions.js", "text/javascript; charset=utf-8", "actions.js"),
    part!("/page/confirm.js", "text/javascript; charset=utf-8", "confirm.js"),
    part!("/page/inputs.js", "text/javascript; charset=utf-8", "inputs.js"),
    part!("/page/tiles.js", "text/javascript; charset=utf-8", "tiles.js"),
    part!("/page/chart.js", "text/javascript; charset=utf-8", "chart.js"),
    part!("/page/scale.js", "text/javascript; charset=utf-8", "scale.js"),
    part!("/page/series.js", "text/javascript; charset=utf-8", "series.js"),
    part!("/page/interval.js", "text/javascript; charset=utf-8", "interval.js"),
    part!("/page/workspaces.js", "text/javascript; charset=utf-8", "workspaces.js"),
    part!("/page/past.js", "text/javascript; charset=utf-8", "past.js"),
    part!("/page/overview.js", "text/javascript; charset=utf-8", "overview.js"),
    part!("/page/signin.js", "text/javascript; charset=utf-8", "signin.js"),
];

/// Only our own scripts and styles, no frames and no forms, so that a name of a bot, an upstream or a customer can do no harm.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

pub(super) fn routes() -> Router<Context> {
    PARTS.iter().fold(Router::new(), |router, part| {
        let answer = |headers: HeaderMap| ready(show(part, &headers));
        router.route(part.path, get(answer))
    })
}

/// Whether the path is a part of the page, which is open to all.
pub(super) fn is_part(path: &str) -> bool {
    PARTS.iter().any(|part| part.path == path)
}

fn show(part: &Part, headers: &HeaderMap) -> Response {
    let tag = format!("\"{:016x}\"", xxh3_64(part.text.as_bytes()));
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let mut answer = if known { StatusCode::NOT_MODIFIED.into_response() } else { part.text.into_response() };
    let fields = answer.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(part.kind));
    // The parts of different versions do not fit together, so browsers must ask whether they have changed.
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        fields.insert(header::ETAG, tag);
    }
    answer
}
