//! What a right file means.

use std::time::Duration;

use super::*;
use crate::core::{Pins, Salt, Weight};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn weight(text: &str) -> Weight {
    text.parse().unwrap()
}

#[test]
fn two_versions_behind_a_header_are_a_dozen_lines() {
    let config = parse(
        r#"
[proxy]
listen = "127.0.0.1:8081"
workers = 2
[admin]
listen = "127.0.0.1:9401"
[[bot]]
name = "bench"
workspace = ["header:X-Workspace-Id"]
upstreams = { blue = "http://127.0.0.1:9001", green = "http://127.0.0.1:9002" }
stable = "blue"
canary = "green"
weight = "5%"
"#,
    )
    .unwrap();
    assert_eq!((config.proxy.workers, config.bots.len()), (2, 1));
    assert_eq!(config.warnings, [""; 0]);
    let bot = &config.bots[0];
    assert_eq!((bot.stable, bot.canary, bot.weight, bot.max_weight), (0, Some(1), weight("5%"), Weight::FULL));
    assert_eq!((&*bot.upstreams[1].name, bot.upstreams[1].url.host.as_str(), bot.upstreams[1].url.port), ("green", "127.0.0.1", 9002));
    assert_eq!((bot.rules.deadline, bot.timeout, bot.connect_timeout), (None, millis(10_000), millis(1_000)));
}

#[test]
fn what_is_left_out_has_a_default() {
    let config = parse(&bot_with("")).unwrap();
    let Proxy { listen, workers, salt, limits, lame_duck, drain } = config.proxy;
    assert_eq!((listen.to_string().as_str(), salt, lame_duck, drain), ("0.0.0.0:8080", Salt::new("serin"), millis(0), millis(25_000)));
    assert!(workers >= 1);
    assert_eq!((limits.max_connections, limits.max_inflight, limits.max_head_bytes), (20_000, 10_000, 65_536));
    assert_eq!((limits.head_timeout, limits.body_timeout), (millis(10_000), millis(10_000)));
    assert_eq!((limits.write_timeout, limits.idle_timeout), (millis(30_000), millis(75_000)));
    assert_eq!(
        (config.admin.listen.to_string().as_str(), config.admin.tokens.len(), config.admin.metrics_open),
        ("127.0.0.1:9400", 0, false)
    );
    let bot = &config.bots[0];
    assert_eq!((bot.canary, bot.weight, bot.max_weight, bot.body_cap), (Some(1), Weight::ZERO, Weight::FULL, 1 << 20));
    assert_eq!((bot.over_cap, bot.retries, bot.host, bot.rescue), (OverCap::Stable, Retries::Assigned, HostHeader::Preserve, true));
    assert_eq!((bot.upstream_idle, bot.pins == Pins::default(), bot.tester.is_none()), (millis(1_500), true, true));
}

#[test]
fn the_canary_is_the_other_of_two_and_nobody_among_three() {
    assert_eq!(bot(&upstreams(r#"{ only = "http://a" }"#, "")).canary, None);
    let two = bot(&upstreams(r#"{ zeta = "http://a", alpha = "http://b" }"#, "stable = \"alpha\""));
    assert_eq!((&*two.upstreams[0].name, two.stable, two.canary), ("zeta", 1, Some(0)));
    let three = r#"{ a = "http://a", b = "http://b", c = "http://c" }"#;
    assert_eq!(bot(&upstreams(three, "stable = \"b\"")).canary, None);
    assert_eq!(bot(&upstreams(three, "stable = \"b\"\ncanary = \"c\"")).canary, Some(2));
}

#[test]
fn an_upstream_has_a_host_and_a_port() {
    let url = |url: &str| bot(&upstreams(&format!("{{ a = \"{url}\" }}"), "")).upstreams.remove(0).url;
    for (written, tls, host, port, authority) in [
        ("http://bot", false, "bot", 80, "bot"),
        ("https://bot/", true, "bot", 443, "bot"),
        ("HTTP://Bot.example.com:3001", false, "Bot.example.com", 3001, "Bot.example.com:3001"),
        ("http://[::1]:3001", false, "::1", 3001, "[::1]:3001"),
        ("http://[2001:db8::1]", false, "2001:db8::1", 80, "[2001:db8::1]"),
        ("http://bot_1:3001", false, "bot_1", 3001, "bot_1:3001"),
    ] {
        let url = url(written);
        assert_eq!((url.tls, url.host.as_str(), url.port, url.authority.as_str()), (tls, host, port, authority), "{written}");
    }
    let long = bot(&upstreams(r#"{ a = { url = "http://a", version = "v41" } }"#, "")).upstreams.remove(0);
    assert_eq!(long.version.as_deref(), Some("v41"));
}

#[test]
fn a_preset_gives_what_the_bot_does_not_say() {
    let slack = "[[bot]]\nname = \"a\"\npreset = \"slack\"\nupstreams = { a = \"http://a\" }\n";
    let plain = bot(slack);
    assert_eq!((plain.preset.map(|preset| preset.name), plain.rules.deadline), (Some("slack"), Some(millis(3_000))));
    assert_eq!((plain.connect_timeout, plain.timeout), (millis(900), millis(10_000)));
    assert!(plain.plan.sources().len() > 1);
    let own = bot(&format!("{slack}workspace = \"header:X-Team\"\ndeadline = \"2s\"\nbody_cap = \"64KiB\"\n"));
    assert_eq!((own.preset.map(|preset| preset.name), own.rules.deadline, own.body_cap), (Some("slack"), Some(millis(2_000)), 65_536));
    assert_eq!(own.plan.sources().iter().map(ToString::to_string).collect::<Vec<_>>(), ["header:X-Team"]);
    assert_eq!(own.connect_timeout, millis(600));
}

#[test]
fn a_success_is_what_the_preset_says_and_more() {
    let rules = |preset: &str, lines: &str| {
        bot(&format!("[[bot]]\nname = \"a\"\npreset = \"{preset}\"\nupstreams = {{ a = \"http://a\" }}\n{lines}\n")).rules
    };
    assert_eq!(rules("slack", "also_ok = [404]").also_ok, [404]);
    assert_eq!((rules("slack", "only_ok = [200]").also_ok, rules("slack", "only_ok = [200]").only_ok), (vec![], vec![200]));
    assert_eq!(rules("meta", "").only_ok, [200]);
    assert_eq!((rules("meta", "also_ok = [204]").only_ok, rules("meta", "also_ok = [204]").also_ok), (vec![200, 204], vec![]));
    assert_eq!(rules("meta", "only_ok = [202]").only_ok, [202]);
}

#[test]
fn the_narrowest_match_comes_first() {
    let matched = |name: &str, matches: &str| bot_with(matches).replace("\"a\"", &format!("\"{name}\""));
    let text = [
        matched("rest", ""),
        matched("slack", r#"match = { path_prefix = "/slack/" }"#),
        matched("host", r#"match = { host = "Bots.Example.com" }"#),
        matched("slack-events", r#"match = { path_prefix = "/slack/events" }"#),
        matched("host-slack", r#"match = { host = "bots.example.com", path_prefix = "/slack" }"#),
        matched("v6", r#"match = { host = "[::1]", path_prefix = "/" }"#),
    ]
    .concat();
    let bots = parse(&text).unwrap().bots;
    let names: Vec<&str> = bots.iter().map(|bot| bot.name.as_str()).collect();
    assert_eq!(names, ["host-slack", "host", "v6", "slack-events", "slack", "rest"]);
    assert_eq!(bots[1].matches, Match { host: Some("bots.example.com".to_owned()), path_prefix: None });
    assert_eq!(bots[2].matches, Match { host: Some("[::1]".to_owned()), path_prefix: None });
    assert_eq!(bots[4].matches, Match { host: None, path_prefix: Some("/slack".to_owned()) });
}

#[test]
fn a_secret_comes_from_a_file_or_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ci.token"), "a-token-of-more-than-16\r\n").unwrap();
    let text = bot_with(
        "[bot.tester]\nenv = \"CARGO_PKG_NAME\"\n[[admin.token]]\nname = \"ci\"\nscope = \"operate\"\nfile = \"ci.token\"\n[admin]\nlisten = \"0.0.0.0:9400\"",
    );
    let path = folder.path().join("serin.toml");
    std::fs::write(&path, &text).unwrap();
    let config = load(&path).unwrap();
    assert_eq!((config.admin.tokens[0].secret.as_str(), config.admin.tokens[0].scope), ("a-token-of-more-than-16", Scope::Operate));
    let tester = config.bots[0].tester.as_ref().unwrap();
    assert_eq!((tester.header.as_str(), tester.secret.as_str()), ("serin-override", env!("CARGO_PKG_NAME")));
    let debug = format!("{config:?}");
    assert!(!debug.contains("a-token"), "{debug}");
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let warnings = |text: &str| parse(text).unwrap().warnings;
    assert_eq!(
        warnings(&bot_with("deadline = \"5s\"\ntimeout = \"1s\"")),
        ["serin.toml:7: nothing can ever be late: `timeout` (1s) ends before the deadline (5s)"]
    );
    assert_eq!(
        warnings(&bot_with("tester = { secret = \"hunter2\" }")),
        [
            "serin.toml:6: the secret of the tester of bot `a` stands in the config; name a `file` or an `env` variable instead",
            "serin.toml:6: the secret of the tester of bot `a` has fewer than 16 characters; make one: openssl rand -hex 32",
        ]
    );
    assert_eq!(
        warnings("[[bot]]\nname = \"a\"\npreset = \"discord_events\"\nupstreams = { a = \"http://a\" }\n"),
        ["serin.toml:3: the preset \"discord_events\" is experimental: where it finds the workspace is not checked against its vendor"]
    );
}

#[test]
fn the_hash_is_of_the_text() {
    let text = bot_with("");
    assert_eq!(parse(&text).unwrap().hash, xxhash_rust::xxh3::xxh3_64(text.as_bytes()));
    assert_ne!(parse(&text).unwrap().hash, parse(&bot_with("#")).unwrap().hash);
}
