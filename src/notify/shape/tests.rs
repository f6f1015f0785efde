//! The exact body that each platform gets for the same message.

use serde_json::{Value, json};

use super::*;
use crate::config::{Hidden, Occasion};
use crate::notify::link::Act;
use crate::notify::message::{self, Link};
use crate::store::Row;

fn row() -> Row {
    let counts = |requests: u64, errors: u64| json!({ "requests": requests, "errors": errors, "late": 1, "rejected": 2, "buckets": 9 });
    Row {
        bot: "support".to_owned(),
        revision: 42,
        at: "2026-11-23T05:00:00.000Z".to_owned(),
        actor_kind: "ratchet".to_owned(),
        actor: "ratchet".to_owned(),
        decision: "abort".to_owned(),
        phase: "aborted".to_owned(),
        from_percent: 12.5,
        to_percent: 0.0,
        stable: "v1 on blue".to_owned(),
        canary: None,
        release: Some("v2 on green".to_owned()),
        why: Some("3.1 % errors against 0.11 % (37 of 1,204, 12 of 10,803), E = 153".to_owned()),
        reason: None,
        evidence: Some(json!({
            "e_value": 153.4, "verdict": "fail", "leading": "errors", "harm_could_be_percent": 4.125,
            "stable": counts(10_803, 12), "canary": counts(1_204, 37),
        })),
        abort_at: Some(150.0),
        rehearsal: false,
    }
}

fn links() -> Vec<Link> {
    vec![Link {
        act: Act::Abort,
        label: "Abort".to_owned(),
        url: "https://serin.example.com/act/abc.def".to_owned(),
        expires: 1_800_000_000,
    }]
}

fn message(row: &Row) -> Message {
    message::of_change("c0ffee", row, message::occasion(row).unwrap(), links(), Some("https://serin.example.com/#/bots/support".to_owned()))
}

fn webhook() -> NotifierKind {
    NotifierKind::Webhook { signing: Hidden::new("x") }
}

#[test]
fn slack_is_sent_a_section_and_its_links() {
    let text = "*support: v2 is taken back from 12.5 %; everybody is on v1*\n\
                Why: 3.1 % errors against 0.11 % (37 of 1,204, 12 of 10,803), E = 153\n\
                By: serin itself\n\
                To do: Nothing to do.";
    let expected = json!({
        "text": "support: v2 is taken back from 12.5 %; everybody is on v1",
        "blocks": [
            { "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": true } },
            { "type": "section", "text": { "type": "mrkdwn", "text": "<https://serin.example.com/act/abc.def|Abort>   <https://serin.example.com/#/bots/support|Open the page>", "verbatim": true } },
        ],
        "unfurl_links": false,
        "unfurl_media": false,
    });
    assert_eq!(shape(&NotifierKind::Slack, &message(&row())), expected);
}

#[test]
fn a_discord_message_is_an_embed_without_mentions() {
    let body = shape(&NotifierKind::Discord, &message(&row()));
    assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
    let embed = &body["embeds"][0];
    assert_eq!(embed["title"], "support\\: v2 is taken back from 12.5 %; everybody is on v1");
    assert_eq!((&embed["color"], &embed["timestamp"]), (&0x00d9_534f.into(), &"2026-11-23T05:00:00.000Z".into()));
    let description = embed["description"].as_str().unwrap();
    assert!(
        description.starts_with("**Why**: 3.1 % errors against 0.11 % \\(37 of 1,204, 12 of 10,803\\), E = 153\n**By**: serin itself\n"),
        "{description}"
    );
    let links = "\n[Abort](https://serin.example.com/act/abc.def)\n[Open the page](https://serin.example.com/#/bots/support)";
    assert!(description.ends_with(links), "{description}");
}

#[test]
fn teams_is_sent_an_adaptive_card_in_a_message() {
    let body = shape(&NotifierKind::Teams, &message(&row()));
    let attachment = &body["attachments"][0];
    assert_eq!((&body["type"], &attachment["contentType"]), (&"message".into(), &"application/vnd.microsoft.card.adaptive".into()));
    let card = &attachment["content"];
    assert_eq!((&card["type"], &card["version"]), (&"AdaptiveCard".into(), &"1.4".into()));
    let runs = &card["body"][1]["inlines"];
    assert_eq!(
        (&runs[0]["text"], &runs[1]["text"]),
        (&"Why: ".into(), &"3.1 % errors against 0.11 % (37 of 1,204, 12 of 10,803), E = 153".into())
    );
    assert_eq!(card["body"][0]["inlines"][0]["color"], "Attention");
    let open = |title: &str, url: &str| json!({ "type": "Action.OpenUrl", "title": title, "url": url });
    let actions =
        [open("Abort", "https://serin.example.com/act/abc.def"), open("Open the page", "https://serin.example.com/#/bots/support")];
    assert_eq!(card["actions"], json!(actions));
}

#[test]
fn a_program_is_sent_the_change_itself() {
    let body = shape(&webhook(), &message(&row()));
    assert_eq!((&body["id"], &body["type"], &body["bot"]), (&"c0ffee.support.42".into(), &"abort".into(), &"support".into()));
    assert_eq!((&body["change"]["revision"], &body["change"]["release"]), (&42.into(), &"v2 on green".into()));
    assert_eq!(body["evidence"]["canary"], json!({ "requests": 1204, "errors": 37, "late": 1, "rejected": 2 }));
    assert_eq!(body["links"], json!([{ "action": "abort", "url": "https://serin.example.com/act/abc.def", "expires_at": 1_800_000_000 }]));
    let keys: Vec<&String> = body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["bot", "change", "dropped", "evidence", "hold", "id", "links", "page", "text", "time", "type"]);
}

#[test]
fn foreign_text_makes_no_mentions_and_no_links() {
    let mut row = row();
    row.release = Some("<!channel>&[x](http://evil)@everyone on green".to_owned());
    row.reason = Some("**<@U1>** `x` ~y~ _z_ v1_2".to_owned());
    let message = message(&row);
    let slack = shape(&NotifierKind::Slack, &message).to_string();
    assert!(slack.contains("&lt;!channel&gt;&amp;[x](http://evil)") && !slack.contains("<!") && !slack.contains("<@"), "{slack}");
    assert!(slack.contains("Reason: ∗∗&lt;@U1&gt;∗∗ ˋxˋ ∼y∼ ＿z＿ v1_2"), "{slack}");
    // Without `verbatim` a URL or a name would become a link.
    let shaped = shape(&NotifierKind::Slack, &message);
    assert!(shaped["blocks"].as_array().unwrap().iter().all(|block| block["text"]["verbatim"] == true), "{shaped}");
    let discord = shape(&NotifierKind::Discord, &message);
    let title = discord["embeds"][0]["title"].as_str().unwrap();
    assert!(title.contains("\\<!channel\\>&\\[x\\]\\(http\\://evil\\)\\@everyone"), "{title}");
    assert!(discord["embeds"][0]["description"].as_str().unwrap().contains("\\*\\*\\<\\@U1\\>\\*\\* \\`x\\`"));
}

#[test]
fn long_texts_are_cut_to_the_platforms_limits() {
    let mut row = row();
    let long = "ü<".repeat(5_000);
    (row.release, row.why, row.reason) = (Some(long.clone()), Some(long.clone()), Some(long.clone()));
    row.evidence.as_mut().unwrap()["leading"] = Value::from(long);
    let message = message(&row);
    let slack = shape(&NotifierKind::Slack, &message);
    // Slack's limit includes entities.
    assert!(slack["blocks"][0]["text"]["text"].as_str().unwrap().chars().count() <= 3_000);
    let discord = &shape(&NotifierKind::Discord, &message)["embeds"][0];
    assert!(discord["title"].as_str().unwrap().chars().count() <= 256);
    assert!(discord["description"].as_str().unwrap().chars().count() <= 4_096);
    assert!(shape(&NotifierKind::Teams, &message).to_string().len() < 28_000);
    assert_eq!((cut::cut("abc", 3), cut::cut("abcd", 3)), ("abc".to_owned(), "ab…".to_owned()));
}

#[test]
fn every_change_that_can_be_sent_has_its_own_text() {
    let of = |decision: &str, phase: &str, from: f64, to: f64| {
        let row = Row { decision: decision.to_owned(), phase: phase.to_owned(), from_percent: from, to_percent: to, ..row() };
        let told = message::occasion(&row).map(|occasion| (occasion, message::of_change("i", &row, occasion, Vec::new(), None).headline));
        (told, message::offers(&row))
    };
    let expect = |decision: &str, phase: &str, from, to, occasion: Occasion, headline: &str, offers: &[Act]| {
        let headline = format!("support: {headline}");
        assert_eq!(of(decision, phase, from, to), (Some((occasion, headline)), offers), "{decision}");
    };
    use Occasion::{Abort, Promote, Start, Step};
    expect("start", "progressing", 0.0, 5.0, Start, "v2 starts at 5 %", &[Act::Abort]);
    expect("advance", "progressing", 5.0, 10.0, Step, "v2 goes from 5 % to 10 %", &[Act::Abort]);
    expect("set_weight", "manual", 5.0, 0.01, Step, "v2 is set from 5 % to 0.01 %", &[Act::Abort]);
    expect("resume", "progressing", 0.0, 5.0, Step, "v2 goes on, from 0 % to 5 %", &[Act::Abort]);
    expect("retreat", "progressing", 10.0, 5.0, Abort, "v2 goes back from 10 % to 5 %", &[Act::Abort]);
    expect("retreat", "paused", 5.0, 0.0, Abort, "v2 goes back from 5 % to 0 %", &[Act::Resume, Act::Abort]);
    let trip = "v2 takes no connections and goes from 5 % to 0 %; everybody is on v1";
    expect("trip", "paused", 5.0, 0.0, Abort, trip, &[Act::Resume, Act::Abort]);
    expect("undo", "aborted", 0.0, 0.0, Abort, "v2 is undone; everybody is on v1 again", &[]);
    expect("withdraw", "idle", 5.0, 0.0, Abort, "v2 is withdrawn at 5 %; everybody is on v1", &[]);
    expect("promote", "promoted", 98.0, 0.0, Promote, "v2 is promoted; everybody is on it", &[Act::Undo]);
    expect("switch", "promoted", 0.0, 0.0, Promote, "everybody is switched to v2", &[Act::Undo]);
    for silent in ["begin", "pause", "freeze", "thaw", "desire", "reassign", "adopt", "drill", "drilled"] {
        assert_eq!(of(silent, "idle", 0.0, 0.0).0, None, "{silent}");
    }
    assert_eq!(of("resume", "progressing", 5.0, 5.0).0, None, "a pause that changed nothing");
    assert_eq!(message::occasion(&Row { decision: "withdraw".to_owned(), rehearsal: true, ..row() }), None, "a drill's end");
}

#[test]
fn a_test_message_differs_from_other_messages() {
    let message = message::test("i", "ops", "2026-11-23T05:00:00.000Z".to_owned(), "7");
    let body = shape(&webhook(), &message);
    assert_eq!((&body["type"], &body["bot"], &body["id"]), (&"test".into(), &Value::Null, &"i.test.7".into()));
}
