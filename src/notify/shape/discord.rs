//! Discord's webhook: one embed, without mentions.

use serde_json::{Value, json};

use super::cut::cut;
use crate::notify::message::{Message, Mood, OPEN};

/// An embed's title has at most 256 characters and its description 4,096. Escaping may double both.
const TITLE_MOST: usize = 120;
const FACT_MOST: usize = 180;

pub fn body(message: &Message) -> Value {
    let mut lines: Vec<String> =
        message.lines().iter().map(|fact| format!("**{}**: {}", fact.label, escape(&cut(&fact.text, FACT_MOST)))).collect();
    lines.extend(message.links.iter().map(|link| format!("[{}]({})", escape(&cut(&link.label, 80)), link.url)));
    lines.extend(message.page.iter().map(|page| format!("[{OPEN}]({page})")));
    json!({
        "username": "serin",
        "allowed_mentions": { "parse": [] },
        "embeds": [{
            "title": escape(&cut(&message.headline, TITLE_MOST)),
            "description": lines.join("\n"),
            "color": color(message.about.mood()),
            "timestamp": message.at,
        }],
    })
}

fn color(mood: Mood) -> u32 {
    match mood {
        Mood::Asks => 0x00f0_ad4e,
        Mood::Bad => 0x00d9_534f,
        Mood::Good => 0x005c_b85c,
        Mood::Plain => 0x0099_aab5,
    }
}

/// Escapes the characters of Discord's markdown.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\*_~`|<>[]()#@:".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
