//! Discord's two kinds of webhook, which count differently: `type: 1` is PING to interactions, and an event to events.

use super::{PLAIN, Preset, secs};
use crate::identify::marks::{Literal, Mark};

/// In a direct message there is no guild, and the user is the tenant. 401 is not in `also_ok`, though Discord itself
/// provokes it with bad signatures: a canary with a wrong key answers 401 to everybody, and only the rate tells.
pub(super) static INTERACTIONS: Preset = Preset {
    name: "discord_interactions",
    about: "Discord interactions (commands, buttons, modals); by guild, in direct messages by user",
    sources: &[
        "guild:json:/guild_id",
        "guild:json:/authorizing_integration_owners/0",
        "user:json:/member/user/id",
        "user:json:/user/id",
        "user:json:/authorizing_integration_owners/1",
    ],
    deadline: secs(3),
    // The guild of a direct message with the bot.
    never: &["0"],
    handshakes: &[Mark::Json("/type", Literal::Number(1))],
    ..PLAIN
};

pub(super) static EVENTS: Preset = Preset {
    name: "discord_events",
    about: "Discord webhook events (app authorised, entitlements); by guild, else by user",
    experimental: true,
    sources: &["guild:json:/event/data/guild/id", "user:json:/event/data/user/id"],
    deadline: secs(3),
    only_ok: &[204],
    handshakes: &[Mark::Json("/type", Literal::Number(0))],
    ..PLAIN
};
