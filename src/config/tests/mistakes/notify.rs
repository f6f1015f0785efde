//! `[[notify]]`, `public_url` and `drill_every`.

use super::*;

#[test]
fn a_notifier_has_a_name_a_kind_and_a_url() {
    let url = "url = \"https://hooks.example.com/T1/B2/xyz\"";
    let with = |lines: &str| bot_with(&format!("[[notify]]\n{lines}"));
    assert_told(&[
        (with(&format!("kind = \"slack\"\n{url}")), "6:1 a notifier has no name: add `name = \"ops\"`: it stands in logs and metrics"),
        (
            with(&format!("name = \"ops\"\n{url}")),
            "6:1 notifier \"ops\" has no kind: add `kind = \"slack\"`, \"discord\", \"teams\" or \"webhook\"",
        ),
        (with(&format!("name = \"ops\"\nkind = \"slak\"\n{url}")), "8:8 `kind` cannot be \"slak\": did you mean \"slack\"?"),
        (with("name = \"ops\"\nkind = \"slack\""), "6:1 notifier \"ops\" has no URL: add `file = \"…\"` or `env = \"…\"`"),
        (
            with("name = \"ops\"\nkind = \"slack\"\nurl = \"hooks.example.com/T1/B2/xyz\""),
            "9:7 the URL of notifier \"ops\" is no URL: write one that begins with https://",
        ),
        (
            with(&format!("name = \"ops\"\nkind = \"webhook\"\n{url}")),
            "6:1 notifier \"ops\" has no secret: add `secret_file = \"…\"` or `secret_env = \"…\"`",
        ),
        (
            with(&format!("name = \"ops\"\nkind = \"slack\"\n{url}\nsecret = \"0123456789abcdef\"")),
            "10:1 notifier \"ops\" signs nothing: only kind = \"webhook\" does: take it out",
        ),
    ]);
}

#[test]
fn unknown_occasions_and_bots_of_a_notifier_are_reported() {
    let with = |line: &str| bot_with(&format!("[[notify]]\nname = \"ops\"\nkind = \"slack\"\nenv = \"PATH\"\n{line}"));
    let url = |text: String| text.replace("env = \"PATH\"", "url = \"https://hooks.example.com/T1\"");
    assert_told(&[
        (url(with("on = [\"hold\"]")), "10:7 nobody can be told of \"hold\": did you mean \"held\"?"),
        (url(with("bots = [\"b\"]")), "10:9 there is no bot `b`: write \"a\""),
        (url(with("every = 1")), "10:1 unknown key `every`: not a key of [[notify]]"),
    ]);
    let twice = url(with("[[notify]]\nname = \"ops\"\nkind = \"discord\"\nenv = \"PATH\""));
    assert_eq!(
        told(&twice.replace("env = \"PATH\"", "url = \"https://d.example.com/2\"")),
        ["11:8 two notifiers are named \"ops\": write another name"]
    );
}

#[test]
fn a_url_is_never_quoted() {
    let text = bot_with("[[notify]]\nname = \"ops\"\nkind = \"slack\"\nurl = \"ftp://hooks.example.com/T1/B2/xyz\"");
    let shown = shown(&text);
    assert!(!shown.contains("xyz") && shown.contains("is no URL"), "{shown}");
}

#[test]
fn links_need_a_url_and_drills_a_time() {
    assert_told(&bots(&[
        ("[admin]\npublic_url = \"serin.example.com\"", "7:14 `public_url` is no URL: write one such as \"https://serin.example.com\""),
        (
            "[admin]\npublic_url = \"https://serin.example.com\"",
            "7:14 [admin] is open to others: `public_url` leads to it from outside, and it has no token: add an [[admin.token]] or a `client_ca_file` in [admin.tls], or take this out",
        ),
        ("drill_every = \"1m\"", "6:15 `drill_every` is too little: write \"1h\" or more, up to \"8760h\""),
    ]));
}
