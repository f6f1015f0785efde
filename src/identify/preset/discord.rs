//! Discord's two kinds of webhook. They use different numbers: `type: 1` is PING in interactions, and an event in events.

use super::entry::{PLAIN, Preset, secs};
use super::mark::{Literal, Mark};

/// A direct message has no guild, and its tenant is the user. 401 is not in `also_ok`, although Discord itself provokes it with bad
/// signatures: a canary with a wrong key answers 401 to every request, and only the rate shows that.
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
    // Discord writes this guild in a direct message with the bot.
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

#[cfg(test)]
mod tests {
    use crate::identify::example::{json, preset};

    fn interaction(body: &str) -> String {
        json(body).to(&preset("discord_interactions"))
    }

    fn event(body: &str) -> String {
        json(body).to(&preset("discord_events"))
    }

    #[test]
    fn in_a_guild_the_guild_is_the_tenant() {
        let command = r#"{"app_permissions":"442368","application_id":"845027738276462632","authorizing_integration_owners":
            {"0":"290926798626357999"},"channel":{"guild_id":"290926798626357999","id":"645027906669510667"},"context":0,
            "data":{"id":"771825006014889984","name":"cardsearch","type":1},"guild":{"id":"290926798626357999"},
            "guild_id":"290926798626357999","id":"786008729715212338","member":{"permissions":"2147483647","user":{"id":
            "53908232506183680","username":"Mason"}},"token":"A_UNIQUE_TOKEN","type":2,"version":1}"#;
        assert_eq!(interaction(command), "guild:290926798626357999");
        // An app that a user has installed for one account, used in a guild.
        let user_install = r#"{"authorizing_integration_owners":{"1":"53908232506183680"},"context":0,"guild_id":"41771983423143937",
            "member":{"user":{"id":"53908232506183680"}},"type":2}"#;
        assert_eq!(interaction(user_install), "guild:41771983423143937");
    }

    #[test]
    fn in_a_direct_message_the_user_is_the_tenant() {
        let with_the_bot = r#"{"authorizing_integration_owners":{"0":"0"},"context":1,"guild_id":null,
            "user":{"id":"53908232506183680","username":"Mason"},"type":3}"#;
        assert_eq!(interaction(with_the_bot), "user:53908232506183680");
        let installed_by_the_user = r#"{"authorizing_integration_owners":{"1":"53908232506183680"},"context":2,"type":2}"#;
        assert_eq!(interaction(installed_by_the_user), "user:53908232506183680");
    }

    #[test]
    fn a_ping_is_one_to_interactions_and_zero_to_events() {
        assert_eq!(interaction(r#"{"application_id":"1","id":"2","token":"x","type":1,"version":1}"#), "missing handshake");
        assert_eq!(interaction(r#"{"guild_id":"7","type":2,"data":{"type":1}}"#), "guild:7");
        assert_eq!(event(r#"{"version":1,"application_id":"1234560123453231555","type":0}"#), "missing handshake");
        let authorised = r#"{"version":1,"application_id":"1","type":1,"event":{"type":"APPLICATION_AUTHORIZED","timestamp":
            "2024-10-18T14:42:53.064834","data":{"integration_type":1,"scopes":["applications.commands"],"user":{"id":"99"}}}}"#;
        assert_eq!(event(authorised), "user:99");
        assert_eq!(event(&authorised.replace(r#""user""#, r#""guild":{"id":"55"},"user""#)), "guild:55");
    }
}
