//! Slack's incoming webhook: one section of mrkdwn. Links are in the text, because a button needs an app's interactivity URL, which an
//! incoming webhook does not have.

use serde_json::{Value, json};

use crate::notify::message::{Message, OPEN};

/// A section's text has at most 3,000 characters, entities included; a message has at most eight facts.
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
    // `verbatim`: Slack makes no links of names and addresses in the text.
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } })
}

/// Escapes the three characters that Slack demands; `<` would begin a mention. mrkdwn has no escape for its format characters, so they
/// are replaced by similar ones. The result has at most `most` characters and no cut entity.
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
            // Within a word it sets no format, and versions contain it.
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
