//! A message as each platform wants it. What comes from outside (versions, reasons, names) is text and stays text: it can
//! call nobody, link nowhere and format nothing.

mod discord;
mod document;
mod slack;
mod teams;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::message::Message;
use crate::config::NotifierKind;

/// The body to send.
pub fn shape(kind: &NotifierKind, message: &Message) -> Value {
    match kind {
        NotifierKind::Slack => slack::body(message),
        NotifierKind::Discord => discord::body(message),
        NotifierKind::Teams => teams::body(message),
        NotifierKind::Webhook { .. } => document::body(message),
    }
}

/// At most so many characters, with a mark where something is missing.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.chars().nth(most).is_some() => format!("{}…", &text[..at]),
        Some(_) | None => text.to_owned(),
    }
}
