//! The meaning of valid files.

use std::time::Duration;

use super::*;
use crate::core::{AtDeadline, Guard, Limit, Most, OnTrouble, Pins, Plan, Policy, Quantile, Salt, Weight};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
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
    let Proxy { listen, workers, salt, limits, lame_duck, drain, trace, trace_sampled_bp, .. } = config.proxy;
    assert!(trace && trace_sampled_bp == 10_000);
    let Proxy { trusted_proxies, proxy_protocol, underscores, http2, tls, .. } = config.proxy;
    assert_eq!((trusted_proxies.is_empty(), proxy_protocol, underscores, http2), (true, false, Underscores::Refuse, Http2::Tls));
    assert!(tls.is_none());
    assert_eq!((listen.to_string().as_str(), salt, lame_duck, drain), ("0.0.0.0:8080", Salt::new("serin"), millis(0), millis(25_000)));
    assert!(workers >= 1);
    assert_eq!((limits.max_connections, limits.max_inflight, limits.max_head_bytes), (20_000, 10_000, 65_536));
    assert_eq!((limits.head_timeout, limits.body_timeout), (millis(10_000), millis(10_000)));
    assert_eq!((limits.write_timeout, limits.idle_timeout), (millis(30_000), millis(75_000)));
    assert_eq!(
        (config.admin.listen.to_string().as_str(), config.admin.tokens.len(), config.admin.metrics_open),
        ("127.0.0.1:9400", 0, false)
    );
    assert!(!config.admin.show_workspaces);
    let bot = &config.bots[0];
    assert_eq!((bot.canary, bot.weight, bot.max_weight, bot.body_cap), (Some(1), Weight::ZERO, Weight::FULL, 1 << 20));
    assert_eq!((bot.over_cap, bot.retries, bot.host, bot.rescue), (OverCap::Stable, Retries::Assigned, HostHeader::Preserve, true));
    assert_eq!((bot.upstream_idle, bot.pins == Pins::default(), bot.tester.is_none()), (millis(1_500), true, true));
}

#[test]
fn the_canary_is_the_other_one_of_two_upstreams_and_none_of_three() {
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
    assert!(plain.extractor.sources().len() > 1);
    let own = bot(&format!("{slack}workspace = \"header:X-Team\"\ndeadline = \"2s\"\nbody_cap = \"64KiB\"\n"));
    assert_eq!((own.preset.map(|preset| preset.name), own.rules.deadline, own.body_cap), (Some("slack"), Some(millis(2_000)), 65_536));
    assert_eq!(own.extractor.sources().iter().map(ToString::to_string).collect::<Vec<_>>(), ["header:X-Team"]);
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
    assert_eq!((config.admin.tokens[0].secret, config.admin.tokens[0].scope), (SecretHash::of("a-token-of-more-than-16"), Scope::Operate));
    let tester = config.bots[0].tester.as_ref().unwrap();
    assert_eq!((tester.header.as_str(), tester.secret.as_str()), ("serin-override", env!("CARGO_PKG_NAME")));
    let debug = format!("{config:?}");
    assert!(!debug.contains("a-token"), "{debug}");
}

#[test]
fn a_rollout_and_a_guard_are_the_usual_ones_where_nothing_is_said() {
    for lines in ["", "[bot.rollout]", "[bot.guard]", "[bot.rollout]\n[bot.guard]"] {
        let bot = bot(&bot_with(lines));
        assert_eq!((bot.rollout, bot.guard), (Plan::usual(), Guard::default()), "{lines}");
    }
    // A release may also be a new version on the only upstream.
    assert_eq!(bot(&upstreams(r#"{ only = "http://a" }"#, "[bot.rollout]")).rollout, Plan::usual());
}

#[test]
fn a_step_has_its_own_bake_or_that_of_all() {
    let way = |lines: &str| {
        let steps = bot(&bot_with(&format!("[bot.rollout]\n{lines}"))).rollout.steps;
        steps.iter().map(|step| (step.weight.to_string(), step.bake.as_secs())).collect::<Vec<_>>()
    };
    let expect = |steps: &[(&str, u64)]| steps.iter().map(|(weight, secs)| ((*weight).to_owned(), *secs)).collect::<Vec<_>>();
    assert_eq!(way(r#"steps = ["1%", "5 %  for  24h", "100%"]"#), expect(&[("1%", 600), ("5%", 86_400), ("100%", 0)]));
    assert_eq!(way("bake = \"30s\"\nsteps = [\"0.01%\", \"100% for 0s\"]"), expect(&[("0.01%", 30), ("100%", 0)]));
    let usual = expect(&[("1%", 60), ("5%", 60), ("10%", 60), ("25%", 60), ("50%", 60), ("98%", 240), ("100%", 0)]);
    assert_eq!(way("bake = \"1m\""), usual);
    let hundred: Vec<String> = (1..=100).map(|percent| format!("\"{percent}%\"")).collect();
    assert_eq!(way(&format!("steps = [{}]", hundred.join(", "))).len(), 100);
}

#[test]
fn a_deadline_is_no_shorter_than_the_bake_of_all() {
    let deadline = |lines: &str| bot(&bot_with(&format!("[bot.rollout]\n{lines}"))).rollout.deadline;
    assert_eq!(deadline("deadline = \"10m\""), minutes(10));
    assert_eq!(deadline("bake = \"1h\""), minutes(60));
    assert_eq!(deadline("bake = \"1h\"\ndeadline = \"2h\""), minutes(120));
    // No step has the common bake: each deadline is at that step's own bake's end or later.
    assert_eq!(deadline("steps = [\"1% for 24h\", \"100%\"]\ndeadline = \"1m\""), minutes(1));
    assert_eq!(deadline("steps = [\"1% for 24h\", \"100%\"]\nbake = \"1h\""), minutes(15));
}

#[test]
fn a_rollout_says_who_acts_and_what_on_trouble() {
    let rollout = |line: &str| bot(&bot_with(&format!("[bot.rollout]\n{line}")));
    for (word, policy) in [("automatic", Policy::Automatic), ("guarded", Policy::Guarded), ("manual", Policy::Manual)] {
        let bot = rollout(&format!("policy = \"{word}\""));
        assert_eq!((bot.rollout.policy, bot.guard.by_hand, policy.name()), (policy, policy, word));
    }
    for (word, chosen) in
        [("proceed", AtDeadline::Proceed), ("wait", AtDeadline::Wait), ("ask", AtDeadline::Ask), ("by_traffic", AtDeadline::ByTraffic)]
    {
        assert_eq!(rollout(&format!("at_deadline = \"{word}\"")).rollout.at_deadline, chosen);
    }
    for (word, chosen) in [("hold", OnTrouble::Usual), ("retreat", OnTrouble::Retreat)] {
        assert_eq!(rollout(&format!("on_marginal = \"{word}\"")).rollout.on_marginal, chosen);
    }
    for (word, chosen) in [("abort", OnTrouble::Usual), ("retreat", OnTrouble::Retreat)] {
        assert_eq!(rollout(&format!("on_limit = \"{word}\"")).rollout.on_limit, chosen);
    }
}

#[test]
fn a_guard_is_what_is_tolerated() {
    let guard = |lines: &str| bot(&bot_with(&format!("deadline = \"3s\"\nmax = \"50%\"\n[bot.guard]\n{lines}"))).guard;
    let plain = guard("abort_at = 100\nharm = \"0.25%\"\nexamine = false\nbrake = false");
    assert_eq!((plain.abort_at, plain.tolerated_harm, plain.examine, plain.brake), (100.0, 0.0025, false, false));
    assert_eq!((plain.max, plain.limits.0.len()), (weight("50%"), 0));
    assert_eq!((guard("abort_at = 20.5").abort_at, guard("abort_at = 1e6").abort_at), (20.5, 1e6));
    let limits = |lines: &str| guard(lines).limits.0;
    let limit = |most: Most, least_requests: u32| Limit { most, least_requests };
    assert_eq!(
        limits("p99 = \"2.5s\"\nlate = \"1%\"\nerror_rate = \"5%\"\np50 = \"300ms\"\np90 = \"1s\""),
        [
            limit(Most::ErrorRate(0.05), 50),
            limit(Most::Late(0.01), 50),
            limit(Most::Latency(Quantile::P50, millis(300)), 50),
            limit(Most::Latency(Quantile::P90, millis(1_000)), 50),
            limit(Most::Latency(Quantile::P99, millis(2_500)), 50),
        ]
    );
    assert_eq!(
        limits("least_requests = 100\nerror_rate = { most = \"5%\", least_requests = 200 }\np99 = { most = \"2s\" }"),
        [limit(Most::ErrorRate(0.05), 200), limit(Most::Latency(Quantile::P99, millis(2_000)), 100)]
    );
}

#[test]
fn a_rollout_or_a_limit_that_does_nothing_is_a_warning() {
    let warnings = |lines: &str| parse(&bot_with(lines)).unwrap().warnings;
    for (lines, warning) in [
        ("max = \"25%\"\n[bot.rollout]", "serin.toml:6: a rollout holds before its step of 50%, and promote is refused: `max` is 25%"),
        ("max = \"0.5%\"\n[bot.rollout]", "serin.toml:6: no rollout can start: its first step is 1%, and `max` is 0.5%"),
        ("[bot.rollout]\nsteps = [\"1%\", \"100% for 10m\"]", "serin.toml:7: nothing bakes at 100%: the rollout has ended there"),
        (
            "[bot.rollout]\nsteps = [\"100%\"]",
            "serin.toml:7: a rollout that begins at 100% leaves nobody to compare the canary with: it goes on only by hand",
        ),
        ("[bot.guard]\nlate = \"1%\"", "serin.toml:7: nothing can ever be late: the bot has no `deadline`"),
        (
            "[bot.guard]\np50 = \"300ms\"\np99 = \"200ms\"",
            "serin.toml:8: `p99` (200ms) is below `p50` (300ms): what crosses `p50` has crossed `p99` before",
        ),
    ] {
        assert_eq!(warnings(lines), [warning]);
    }
    for lines in ["max = \"25%\"", "max = \"100%\"\n[bot.rollout]", "deadline = \"3s\"\n[bot.guard]\nlate = \"1%\""] {
        assert_eq!(warnings(lines), [""; 0], "{lines}");
    }
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
