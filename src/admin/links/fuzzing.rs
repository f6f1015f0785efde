//! What the fuzz target checks of the page behind a link: any text in each of its places.

use axum::http::StatusCode;

use super::page::{Item, Page};

/// Text from outside is text on the page: it has the same tags and attributes as a page with a harmless word, and the text can be read
/// back from it.
pub fn page(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if text.is_empty() {
        // A form without a target has no attribute for it.
        return;
    }
    let (html, harmless) = (filled(&text), filled("word"));
    for mark in ['<', '>', '"', '\''] {
        assert_eq!(html.matches(mark).count(), harmless.matches(mark).count(), "{mark} in {html}");
    }
    let said = html.split_once("<p>").and_then(|(_, rest)| rest.split_once("</p>")).expect("the page says something").0;
    assert_eq!(unescaped(said), text);
}

fn filled(text: &str) -> String {
    let items = vec![Item::new("Bot", text), Item::new("Now", text)];
    Page::new(StatusCode::OK, text).say(text).items(items).button_to(text, text.to_owned()).html()
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
}
