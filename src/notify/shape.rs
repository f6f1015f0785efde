//! Turns a message into each platform's format. Text from outside (versions, reasons, names) is escaped: it cannot mention anybody,
//! make a link or set a format.

mod discord;
mod document;
mod slack;
mod teams;
#[cfg(test)]
mod tests;

use serde_json::Value;

use super::message::Message;
use crate::config::NotifierKind;

/// The JSON body to send.
pub fn shape(kind: &NotifierKind, message: &Message) -> Value {
    match kind {
        NotifierKind::Slack => slack::body(message),
        NotifierKind::Discord => discord::body(message),
        NotifierKind::Teams => teams::body(message),
        NotifierKind::Webhook { .. } => document::body(message),
    }
}

/// Cuts a text to at most `most` characters and marks the cut with `…`.
fn cut(text: &str, most: usize) -> String {
    match text.char_indices().nth(most.saturating_sub(1)) {
        Some((at, _)) if text.chars().nth(most).is_some() => format!("{}…", &text[..at]),
        Some(_) | None => text.to_owned(),
    }
}
