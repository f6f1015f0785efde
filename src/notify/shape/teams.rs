//! Teams' incoming webhook (Workflows): a message with an Adaptive Card. Text is in text runs, which have no markdown, so nothing needs
//! to be escaped.

use serde_json::{Value, json};

use super::cut::cut;
use crate::notify::message::{Message, Mood, OPEN};

/// A message has at most 28 KB.
const FACT_MOST: usize = 500;

pub fn body(message: &Message) -> Value {
    let headline =
        run(&cut(&message.headline, FACT_MOST), json!({ "weight": "Bolder", "size": "Medium", "color": color(message.about.mood()) }));
    let mut lines = vec![paragraph(&[headline])];
    for fact in message.lines() {
        let label = run(&format!("{}: ", fact.label), json!({ "weight": "Bolder" }));
        lines.push(paragraph(&[label, run(&cut(&fact.text, FACT_MOST), json!({}))]));
    }
    let acts = message.links.iter().map(|link| (cut(&link.label, 80), &link.url));
    let links = acts.chain(message.page.iter().map(|page| (OPEN.to_owned(), page)));
    let actions: Vec<Value> = links.map(|(title, url)| json!({ "type": "Action.OpenUrl", "title": title, "url": url })).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "fallbackText": message.headline,
                "body": lines,
                "actions": actions,
                "msteams": { "width": "Full" },
            },
        }],
    })
}

fn paragraph(runs: &[Value]) -> Value {
    json!({ "type": "RichTextBlock", "inlines": runs })
}

fn run(text: &str, mut style: Value) -> Value {
    style["type"] = json!("TextRun");
    style["text"] = json!(text);
    style
}

fn color(mood: Mood) -> &'static str {
    match mood {
        Mood::Asks => "Warning",
        Mood::Bad => "Attention",
        Mood::Good => "Good",
        Mood::Plain => "Default",
    }
}
