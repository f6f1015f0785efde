//! The generic webhook's JSON document, for programs. Fields may be added, but never renamed or removed: receivers depend on them.

use serde_json::{Value, json};

use crate::notify::message::{Link, Message};

pub fn body(message: &Message) -> Value {
    let link = |link: &Link| json!({ "action": link.act.name(), "url": link.url, "expires_at": link.expires });
    json!({
        "id": message.id,
        "type": message.about.name(),
        "time": message.at,
        "bot": Some(&message.bot).filter(|bot| !bot.is_empty()),
        "text": message.text(),
        "change": message.change,
        "hold": message.hold.as_ref().map(|(code, text)| json!({ "code": code, "text": text })),
        "evidence": message.evidence,
        "page": message.page,
        "links": message.links.iter().map(link).collect::<Vec<_>>(),
        "dropped": message.dropped,
    })
}
