//! Messengers other than Slack and Discord.

use super::entry::{MIB, PLAIN, Preset, secs};
use super::mark::{Literal, Mark, RetryMark};

/// An update has one named part besides its number, so the wildcard matches once. Channel posts have no `from`, inline queries no
/// chat, polls neither.
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

/// One signed body may contain the entries of several accounts.
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

#[cfg(test)]
mod tests {
    use crate::identify::example::{Request, get, json, preset};

    fn telegram(body: &str) -> String {
        json(body).to(&preset("telegram"))
    }

    fn meta(body: &str) -> String {
        json(body).to(&preset("meta"))
    }

    fn line(request: Request) -> String {
        request.to(&preset("line"))
    }

    #[test]
    fn a_telegram_update_belongs_to_its_chat() {
        let message = r#"{"update_id":10000,"message":{"message_id":1365,"from":{"id":1111111,"is_bot":false,"first_name":"T"},
            "chat":{"id":-1001234567890,"title":"G","type":"supergroup"},"date":1441645532,"text":"/start"}}"#;
        assert_eq!(telegram(message), "chat:-1001234567890");
        let button = r#"{"update_id":10000,"callback_query":{"id":"4382bfdwdsb323b2d9","from":{"id":1111111},"message":
            {"message_id":1,"chat":{"id":42,"type":"private"}},"data":"Data from button callback"}}"#;
        assert_eq!(telegram(button), "chat:42");
        assert_eq!(telegram(r#"{"update_id":1,"channel_post":{"chat":{"id":-100},"text":"x"}}"#), "chat:-100");
        assert_eq!(telegram(r#"{"update_id":1,"my_chat_member":{"chat":{"id":9},"from":{"id":8}}}"#), "chat:9");
        assert_eq!(telegram(r#"{"update_id":1,"message_reaction":{"chat":{"id":9},"user":{"id":8}}}"#), "chat:9");
    }

    #[test]
    fn where_telegram_names_no_chat_the_user_is_the_tenant() {
        let inline = r#"{"update_id":1,"inline_query":{"id":"134567890097","from":{"id":1111111},"query":"inline","offset":""}}"#;
        assert_eq!(telegram(inline), "user:1111111");
        assert_eq!(telegram(r#"{"update_id":1,"poll_answer":{"poll_id":"5","user":{"id":8},"option_ids":[0]}}"#), "user:8");
        assert_eq!(telegram(r#"{"update_id":1,"callback_query":{"from":{"id":8},"inline_message_id":"x"}}"#), "user:8");
        assert_eq!(telegram(r#"{"update_id":1,"poll":{"id":"5","question":"?","options":[]}}"#), "missing");
    }

    #[test]
    fn a_teams_activity_belongs_to_its_tenant() {
        let teams = |body: &str| json(body).to(&preset("teams"));
        let message = r#"{"type":"message","id":"1485983408511","serviceUrl":"https://smba.trafficmanager.net/amer/",
            "channelId":"msteams","from":{"id":"29:1XJKJMvc5GBtc2JwZq0oj8tHZmzrQgFmB39ATiQWA85gQtHieVkKilBZ9XHoq9j7Zaqt7CZ-NJWi7me2kHTL3Bw"},
            "conversation":{"conversationType":"channel","id":"19:253b1f341670408fb6fe51050b6e5ceb@thread.skype;messageid=1485983194839",
            "tenantId":"72f988bf-86f1-41af-91ab-2d7cd011db47"},"channelData":{"tenant":{"id":"72f988bf-86f1-41af-91ab-2d7cd011db47"}}}"#;
        assert_eq!(teams(message), "tenant:72f988bf-86f1-41af-91ab-2d7cd011db47");
        assert_eq!(teams(r#"{"type":"invoke","conversation":{"id":"c","tenantId":"t"},"channelData":{}}"#), "tenant:t");
        assert_eq!(teams(r#"{"type":"message","channelId":"webchat","conversation":{"id":"c"}}"#), "conversation:c");
    }

    #[test]
    fn a_meta_body_with_several_accounts_has_no_workspace() {
        let entry = |id: &str| {
            format!(
                r#"{{"id":{id},"changes":[{{"value":{{"messaging_product":"whatsapp","metadata":{{"phone_number_id":"1"}},
                "messages":[{{"from":"16505551234","id":"wamid.x","text":{{"body":"hi"}}}}]}},"field":"messages"}}]}}"#
            )
        };
        let body = |entries: &[&str]| {
            let entries: Vec<String> = entries.iter().map(|id| entry(id)).collect();
            format!(r#"{{"object":"whatsapp_business_account","entry":[{}]}}"#, entries.join(","))
        };
        assert_eq!(meta(&body(&[r#""102290129340398""#])), "acct:102290129340398");
        assert_eq!(meta(&body(&[r#""1""#, r#""1""#])), "acct:1");
        assert_eq!(meta(&body(&[r#""1""#, "1"])), "acct:1");
        assert_eq!(meta(&body(&[r#""1""#, r#""2""#])), "mixed");
        assert_eq!(meta(&body(&[])), "missing");
        assert_eq!(get("/meta?hub.mode=subscribe&hub.verify_token=x&hub.challenge=115").to(&preset("meta")), "missing handshake");
        assert_eq!(get("/meta?hub.mode=subscribe").to(&preset("meta")), "missing");
    }

    #[test]
    fn line_verifies_with_no_events_and_marks_what_it_sends_again() {
        let event = |again: bool| {
            format!(
                r#"{{"destination":"U8e742f61d673b39c7fff3cecb7536ef0","events":[{{"replyToken":"x","type":"message","mode":"active",
                "source":{{"type":"user","userId":"U1"}},"webhookEventId":"01FZ","deliveryContext":{{"isRedelivery":{again}}}}}]}}"#
            )
        };
        assert_eq!(line(json(event(false))), "bot:U8e742f61d673b39c7fff3cecb7536ef0");
        assert_eq!(line(json(event(true))), "bot:U8e742f61d673b39c7fff3cecb7536ef0 retry=redelivery");
        assert_eq!(line(json(r#"{"destination":"U8","events":[]}"#)), "bot:U8 handshake");
    }
}
