//! A small HTML page for a person with a link. It has no scripts and loads nothing. Its headers forbid caches, frames and referrers, so
//! that the address stays secret.

use std::sync::LazyLock;
use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:3rem auto;padding:0 1rem;color:#222;background:#fff}\
h1{font-size:1.4rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1rem}dt{color:#666}dd{margin:0}\
button{font:inherit;padding:.6rem 1.6rem;margin-top:1rem;cursor:pointer}\
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}dt{color:#999}}";

/// Allows only this style and the page's own form.
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
});

pub struct Page {
    status: StatusCode,
    title: String,
    said: Option<String>,
    items: Vec<Item>,
    button: Option<Button>,
    retry_after: Option<Duration>,
}

struct Button {
    label: String,
    /// The form's target beside this page; empty for the page itself.
    to: String,
}

pub struct Item {
    label: &'static str,
    text: String,
}

impl Item {
    pub fn new(label: &'static str, text: impl Into<String>) -> Item {
        Item { label, text: text.into() }
    }
}

impl Page {
    pub fn new(status: StatusCode, title: &str) -> Page {
        Page { status, title: title.to_owned(), said: None, items: Vec::new(), button: None, retry_after: None }
    }

    pub fn say(self, said: impl Into<String>) -> Page {
        Page { said: Some(said.into()), ..self }
    }

    pub fn items(self, items: Vec<Item>) -> Page {
        Page { items, ..self }
    }

    /// Adds a form with this button, which posts to the page's own address.
    pub fn button(self, label: &str) -> Page {
        self.button_to(label, String::new())
    }

    /// Adds a form with this button for another link, whose token is `to`.
    pub fn button_to(self, label: &str, to: String) -> Page {
        Page { button: Some(Button { label: label.to_owned(), to }), ..self }
    }

    pub fn retry_after(self, wait: Duration) -> Page {
        Page { retry_after: Some(wait), ..self }
    }

    pub fn into_response(self) -> Response {
        let mut answer = (self.status, self.html()).into_response();
        let headers = answer.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CACHE_CONTROL, "no-store"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::X_FRAME_OPTIONS, "DENY"),
            (HeaderName::from_static("x-robots-tag"), "noindex, nofollow"),
            (header::CONTENT_SECURITY_POLICY, POLICY.as_str()),
        ] {
            headers.insert(name, HeaderValue::from_str(value).expect("a constant that is visible ASCII"));
        }
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs_f64().ceil() as u64));
        }
        answer
    }

    pub(super) fn html(&self) -> String {
        let title = escape(&self.title);
        let mut body = format!("<h1>{title}</h1>\n");
        if let Some(said) = &self.said {
            body += &format!("<p>{}</p>\n", escape(said));
        }
        if !self.items.is_empty() {
            let items: String =
                self.items.iter().map(|item| format!("<dt>{}</dt><dd>{}</dd>\n", escape(item.label), escape(&item.text))).collect();
            body += &format!("<dl>\n{items}</dl>\n");
        }
        if let Some(Button { label, to }) = &self.button {
            let action = if to.is_empty() { String::new() } else { format!(" action=\"{}\"", escape(to)) };
            body += &format!("<form method=\"post\"{action}><button type=\"submit\">{}</button></form>\n", escape(label));
        }
        let head =
            "<meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\">";
        format!(
            "<!doctype html>\n<html lang=\"en\"><head>{head}<title>{title}</title><style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n"
        )
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_stays_text() {
        let page = Page::new(StatusCode::OK, "<b>").say("\"&'").items(vec![Item::new("Stable", "<script>alert(1)</script>")]);
        let html = page.html();
        assert!(html.contains("<h1>&lt;b&gt;</h1>") && html.contains("&quot;&amp;&#39;") && !html.contains("<script"), "{html}");
    }

    #[test]
    fn the_page_fetches_nothing_and_keeps_its_address_secret() {
        let answer = Page::new(StatusCode::GONE, "gone").button("Abort").into_response();
        let field = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(
            (answer.status(), field("referrer-policy"), field("cache-control")),
            (StatusCode::GONE, "no-referrer".into(), "no-store".into())
        );
        assert!(field("content-security-policy").starts_with("default-src 'none'; style-src 'sha256-"));
        let html = Page::new(StatusCode::OK, "t").button("Abort").html();
        assert!(!html.contains("src=") && !html.contains("href=") && html.matches("<form method=\"post\">").count() == 1, "{html}");
    }
}
