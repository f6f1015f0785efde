//! Slack's incoming webhook: one section of mrkdwn. Links stand in the text: a button would be answered to an app's
//! interactivity URL, which an incoming webhook does not have.

use serde_json::{Value, json};

use crate::notify::message::{Message, OPEN};

/// A section's text has at most 3,000 characters, entities and all; a message has at most eight facts.
const FACT_MOST: usize = 280;
const HEADLINE_MOST: usize = 400;
const LABEL_MOST: usize = 80;

pub fn body(message: &Message) -> Value {
    let headline = escape(&message.headline, HEADLINE_MOST);
    let mut text = format!("*{headline}*");
    for fact in message.lines() {
        text += &format!("\n{}: {}", fact.label, escape(&fact.text, FACT_MOST));
    }
    let mut blocks = vec![section(&text)];
    let acts = message.links.iter().map(|link| format!("<{}|{}>", link.url, escape(&link.label, LABEL_MOST)));
    let links: Vec<String> = acts.chain(message.page.iter().map(|page| format!("<{page}|{OPEN}>"))).collect();
    if !links.is_empty() {
        blocks.push(section(&links.join("   ")));
    }
    json!({ "text": headline, "blocks": blocks, "unfurl_links": false, "unfurl_media": false })
}

fn section(text: &str) -> Value {
    // Verbatim: a name or an address in what comes from outside becomes no link.
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

/// The three characters that Slack asks for; `<` is what begins a mention. And those that format: mrkdwn knows no escape, so
/// that they are shown by others that look like them. At most so many characters then, and no half of an entity.
fn escape(text: &str, most: usize) -> String {
    let (mut escaped, mut count, mut before) = (String::new(), 0, None);
    let mut left = text.chars().peekable();
    while let Some(c) = left.next() {
        let within = |side: Option<char>| side.is_some_and(char::is_alphanumeric);
        let piece = match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '*' => "∗".to_owned(),
            '~' => "∼".to_owned(),
            '`' => "ˋ".to_owned(),
            // Within a word it formats nothing, and versions have it there.
            '_' if !(within(before) && within(left.peek().copied())) => "＿".to_owned(),
            other => other.to_string(),
        };
        before = Some(c);
        count += piece.chars().count();
        if count >= most {
            return escaped + "…";
        }
        escaped += &piece;
    }
    escaped
}
