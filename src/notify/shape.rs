//! Turns a message into each platform's format. Text from outside (versions, reasons, names) is escaped: it cannot mention anybody,
//! make a link or set a format.

mod cut;
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
