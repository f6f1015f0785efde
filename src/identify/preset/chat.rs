//! Messengers other than Slack and Discord.

use super::{MIB, PLAIN, Preset, secs};
use crate::identify::marks::{Literal, Mark, RetryMark};

/// An update has one named part besides its number, so the wildcard matches once. Channel posts have no `from`, inline
/// queries no chat, polls neither.
pub(super) static TELEGRAM: Preset = Preset {
    name: "telegram",
    about: "Telegram bot updates; by chat, else by user",
    sources: &["chat:json:/*/chat/id", "chat:json:/callback_query/message/chat/id", "user:json:/*/from/id", "user:json:/*/user/id"],
    ..PLAIN
};

pub(super) static TEAMS: Preset = Preset {
    name: "teams",
    about: "Microsoft Teams and Bot Framework activities; by tenant, else by conversation",
    sources: &["tenant:json:/channelData/tenant/id", "tenant:json:/conversation/tenantId", "conversation:json:/conversation/id"],
    deadline: secs(15),
    only_ok: &[200, 202],
    ..PLAIN
};

/// One signed body may carry the entries of several accounts.
pub(super) static META: Preset = Preset {
    name: "meta",
    about: "WhatsApp, Messenger, Instagram; by business account or page",
    sources: &["acct:json:/entry/*/id"],
    deadline: secs(5),
    body_cap: 4 * MIB, // Meta sends up to 3 MB.
    only_ok: &[200],
    handshakes: &[Mark::Query("hub.challenge")],
    ..PLAIN
};

pub(super) static LINE: Preset = Preset {
    name: "line",
    about: "LINE Messaging API; by the channel's bot user",
    sources: &["bot:json:/destination"],
    deadline: secs(2),
    handshakes: &[Mark::Json("/events", Literal::EmptyArray)],
    retry: Some(RetryMark::Json { pointer: "/events/*/deliveryContext/isRedelivery", is: Literal::True, reason: "redelivery" }),
    ..PLAIN
};
