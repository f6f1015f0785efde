//! Error messages of invalid files: one test for each kind of mistake, with the whole text for the likeliest ones.

mod acme;
mod log;
mod notify;
mod release;
mod rollout;
mod tls;
mod token;

use super::*;

/// The whole text.
fn shown(text: &str) -> String {
    parse(text).expect_err(text).to_string()
}

/// One line for each error: place, what is wrong, what to write instead.
fn told(text: &str) -> Vec<String> {
    let error = parse(text).expect_err(text);
    let rendered = error.to_string();
    let told: Vec<String> = rendered.split("\n\nerror: ").map(in_one_line).collect();
    assert_eq!(told.len(), error.count(), "{rendered}");
    told
}

fn in_one_line(report: &str) -> String {
    let mut lines = report.lines();
    let title = lines.next().unwrap_or("").trim_start_matches("error: ");
    let place = lines.next().and_then(|line| line.split_once("serin.toml:")).map_or("", |(_, place)| place);
    let label = lines
        .find_map(|line| line.split_once('|')?.1.trim_start_matches([' ', '-']).strip_prefix('^'))
        .unwrap_or("")
        .trim_start_matches('^')
        .trim();
    format!("{place} {title}: {label}").trim_end_matches([':', ' ']).to_owned()
}

fn assert_told<T: AsRef<str>>(cases: &[(T, &str)]) {
    for (text, one_line) in cases {
        assert_eq!(told(text.as_ref()), [*one_line], "{}", text.as_ref());
    }
}

fn bots(lines: &[(&'static str, &'static str)]) -> Vec<(String, &'static str)> {
    lines.iter().map(|(line, told)| (bot_with(line), *told)).collect()
}

fn urls(urls: &[(&'static str, &'static str)]) -> Vec<(String, &'static str)> {
    urls.iter().map(|(url, told)| (upstreams(&format!("{{ blue = \"{url}\" }}"), ""), *told)).collect()
}

#[test]
fn a_deadline_beyond_the_platforms_is_shown_with_the_platforms() {
    let text = "[[bot]]\nname = \"support\"\npreset = \"slack\"\nupstreams = { blue = \"http://b\" }\ndeadline = \"5s\"\n";
    assert_eq!(
        shown(text),
        r#"error: `deadline` is longer than slack's: 5s, but slack gives up after 3s
 --> serin.toml:5:12
  |
5 | deadline = "5s"
  |            ^^^^ write "3s" or less, or leave it out"#
    );
}

#[test]
fn an_unknown_key_is_shown_with_the_one_that_was_meant() {
    assert_eq!(
        shown(&bot_with("stabel = \"blue\"")),
        r#"error: unknown key `stabel`; did you mean `stable`?
 --> serin.toml:6:1
  |
6 | stabel = "blue"
  | ^^^^^^ not a key of [[bot]]"#
    );
    assert_eq!(
        shown("[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = { a = \"http://a\" }\nmatch = { colour = 1 }\n"),
        r#"error: unknown key `colour`
 --> serin.toml:5:11
  |
5 | match = { colour = 1 }
  |           ^^^^^^ not a key of match = { … }
  |
  = note: match = { … } takes host, path_prefix"#
    );
}

#[test]
fn everything_that_is_wrong_is_shown_at_once() {
    assert_eq!(
        shown(&(bot_with("weight = 5\ncanary = \"gren\"") + "[proxy]\nlisten = 8080\n")),
        r#"error: `weight` is not a share from 0% to 100%
 --> serin.toml:6:10
  |
6 | weight = 5
  |          ^ write it as a percentage: "5%"

error: `canary` names no upstream: "gren"
 --> serin.toml:7:10
  |
7 | canary = "gren"
  |          ^^^^^^ did you mean "green"?

error: `listen` is not an address to listen on
 --> serin.toml:9:10
  |
9 | listen = 8080
  |          ^^^^ write "0.0.0.0:8080", or "127.0.0.1:8080" for this machine only"#
    );
}

#[test]
fn bots_that_overlap_are_both_shown() {
    let slack = r#"match = { path_prefix = "/slack/" }"#;
    let other = bot_with(r#"match = { path_prefix = "/slack" }"#).replace("\"a\"", "\"b\"");
    assert_eq!(
        shown(&(bot_with(slack) + &other)),
        r#"error: `a` and `b` match the same requests
  --> serin.toml:12:9
   |
 6 | match = { path_prefix = "/slack/" }
   |         --------------------------- `a`
...
12 | match = { path_prefix = "/slack" }
   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^ write another host or path_prefix"#
    );
    let rest = bot_with("").replace("\"a\"", "\"b\"");
    assert_told(&[(
        bot_with("") + &rest,
        "7:1 `a` and `b` both take every request: write match = { path_prefix = \"/…\" } or { host = \"…\" }",
    )]);
}

#[test]
fn unprefixed_sources_of_different_namespaces_are_shown() {
    let text = "[[bot]]\nname = \"a\"\nworkspace = [\"json:/team/id\", \"json:/user/id\"]\nupstreams = { a = \"http://a\" }\n";
    assert_eq!(
        shown(text),
        r#"error: these sources may name different kinds of workspaces
 --> serin.toml:3:32
  |
3 | workspace = ["json:/team/id", "json:/user/id"]
  |                                ^^^^^^^^^^^^^
  |
  = note: `json:/team/id` finds a team and `json:/user/id` a user, and their ids must not be mixed: write `team:json:/team/id` and `user:json:/user/id`, or leave one out"#
    );
}

#[test]
fn a_bot_without_a_workspace_is_shown_every_preset() {
    let text = shown("[[bot]]\nname = \"a\"\nupstreams = { a = \"http://a\" }\n");
    let begin = r#"error: bot `a` has no way to find a workspace
 --> serin.toml:1:1
  |
1 | [[bot]]
  | ^^^^^^^ add a `preset`, or a `workspace`
  |
  = note: for example workspace = ["header:X-Workspace-Id", "json:/team_id"]
          presets: slack, "#;
    assert!(text.starts_with(begin), "{text}");
    for preset in crate::identify::names() {
        assert!(text.contains(preset), "{text}");
    }
}

#[test]
fn broken_syntax_is_reported_alone() {
    assert_told(&[
        ("weight = 5%", "1:10 a text stands in quotes: write \"5%\""),
        ("[proxy]\ndrain = 25s\nlistne = 1", "2:9 a text stands in quotes: write \"25s\""),
        ("x =", "1:4 a key without a value: write a value behind the `=`"),
        ("[proxy", "1:7 unclosed table: expected `]`"),
        ("[proxy]\nlisten = \"a\"\nlisten = \"b\"", "3:1 the same key twice: take this one out, or the one before"),
        ("x = [1", "1:7 unclosed array: expected `]`"),
        ("[bot]\nname = \"a", "2:10 invalid basic string: expected `\"`"),
    ]);
}

#[test]
fn the_error_of_a_file_without_a_bot_shows_how_to_add_one() {
    let text = "error: there is no bot\n--> serin.toml\n = note: add [[bot]] with a name, a preset or a workspace, and upstreams";
    assert_eq!((shown(""), shown("[proxy]\n")), (text.to_owned(), text.to_owned()));
    assert_told(&[
        ("[[bots]]\n", "1:3 unknown key `bots`; did you mean `bot`?: not a key of the file"),
        ("[bot]\n", "1:1 `bot` is a list of tables: write [[bot]]: twice in brackets, once for each"),
    ]);
}

#[test]
fn the_error_of_a_wrong_type_names_the_right_one() {
    assert_told(&bots(&[
        ("deadline = 5", "6:12 `deadline` is not a duration: write it with a unit: \"5s\" or \"5ms\""),
        ("deadline = \"5\"", "6:12 `deadline` is not a duration: add a unit, as in \"5s\" (one of ms, s, m, h, d)"),
        ("deadline = \"0s\"", "6:12 `deadline` is too little: write \"1ms\" or more, up to \"1h\""),
        ("timeout = \"25h\"", "6:11 `timeout` is too much: write \"24h\" or less, down to \"1ms\""),
        ("deadline = [1]", "6:12 `deadline` is not a duration: write a number and a unit, such as \"10s\""),
        ("body_cap = 1048576", "6:12 `body_cap` is not a size: write it with a unit: \"1MiB\""),
        ("body_cap = \"1GiB\"", "6:12 `body_cap` is too much: write \"256MiB\" or less, down to \"1B\""),
        ("body_cap = true", "6:12 `body_cap` is not a size: write a number and a unit, such as \"1MiB\""),
        ("weight = 0.5", "6:10 `weight` is not a share from 0% to 100%: write it as a percentage: \"0.5%\""),
        ("weight = \"5\"", "6:10 `weight` is not a share from 0% to 100%: a weight is a percentage such as \"5%\" or \"12.5%\""),
        ("weight = true", "6:10 `weight` is not a share from 0% to 100%: write a percentage such as \"5%\" or \"12.5%\""),
        ("max = \"101%\"", "6:7 `max` is not a share from 0% to 100%: a weight is between 0% and 100%"),
        ("max = \"0.001%\"", "6:7 `max` is not a share from 0% to 100%: a weight has at most two decimals (steps of 0.01%)"),
        ("rescue = \"yes\"", "6:10 `rescue` is not `true` or `false`: write true or false, without quotes"),
        ("canary = 5", "6:10 `canary` is not a text: write it in quotes"),
        ("canary = [\"green\"]", "6:10 `canary` is not a text: write one text in quotes"),
        ("host = \"perserve\"", "6:8 `host` cannot be \"perserve\": did you mean \"preserve\"?"),
        ("retries = \"x\"", "6:11 `retries` cannot be \"x\": write \"assigned\" or \"stable\""),
        ("pins = 5", "6:8 `pins` is not a table: write it as [bot.pins]"),
        ("also_ok = 401", "6:11 `also_ok` is not a list of statuses: write it in brackets: [401]"),
        ("also_ok = [200, \"x\"]", "6:17 `also_ok` is not a list of statuses: write a number, such as 401"),
        ("pins = { canary = \"T1\" }", "6:19 `canary` is not a list of texts: write it in brackets: [\"…\"]"),
        ("pins = { canary = [1] }", "6:20 `canary` is not a list of texts: write it in quotes"),
    ]));
}

#[test]
fn the_error_of_an_unknown_role_lists_the_upstreams() {
    assert_told(&bots(&[
        ("canary = \"purple\"", "6:10 `canary` names no upstream: \"purple\": write \"blue\" or \"green\""),
        ("canary = \"blue\"", "6:10 `canary` and `stable` are the same upstream: write \"green\""),
        ("weight = \"5%\"\nmax = \"1%\"", "6:10 `weight` is above `max`: 5% > 1%: write \"1%\" or less"),
    ]));
    let three = r#"{ a = "http://a", b = "http://b", c = "http://c" }"#;
    assert_told(&[
        (upstreams(three, ""), "1:1 `stable` says which upstream serves at first: add `stable = \"a\"`, or another of the upstreams"),
        (upstreams(three, "stable = \"d\""), "5:10 `stable` names no upstream: \"d\": write \"a\", \"b\" or \"c\""),
        (upstreams(three, "stable = \"a\"\nweight = \"5%\""), "6:10 `weight` has no canary to go to: add `canary = \"…\"`"),
        (
            upstreams(r#"{ a = "http://a" }"#, "weight = \"5%\""),
            "5:10 `weight` has no canary to go to: leave it out, or add a second upstream",
        ),
        (
            upstreams(r#"{ a = "http://a" }"#, "canary = \"a\""),
            "5:10 `canary` and `stable` are the same upstream: leave it out, or add another upstream",
        ),
    ]);
}

#[test]
fn the_error_of_a_bad_upstream_shows_a_good_one() {
    assert_told(&[
        (upstreams("{}", ""), "4:13 there is no upstream: write { blue = \"http://127.0.0.1:3001\" }"),
        (upstreams("5", ""), "4:13 `upstreams` is not a table: write it as upstreams = { … }"),
        (upstreams("{ blue = 5 }", ""), "4:22 upstream `blue` is not a URL: write \"http://127.0.0.1:3001\""),
        (upstreams("{ Blue = \"http://a\" }", ""), "4:15 a name cannot be \"Blue\": write \"blue\""),
        (upstreams("{ blue = { version = \"x\" } }", ""), "4:15 upstream `blue` has no url: write { url = \"http://127.0.0.1:3001\" }"),
        (
            upstreams("{ b = { url = \"http://a\", version = \"\" } }", ""),
            "4:49 a version is 1 to 128 characters without spaces: write a label such as \"v42\"",
        ),
        (
            upstreams("{ b = { url = \"http://a\", ca_file = \"x\" } }", ""),
            "4:49 `ca_file` is of no use with http: leave it out, or write https in the url",
        ),
        (
            upstreams("{ b = { url = \"https://a\", ca_file = \"nowhere\" } }", ""),
            "4:50 cannot read nowhere: No such file or directory (os error 2)",
        ),
    ]);
}

#[test]
fn the_error_of_a_bad_url_shows_a_good_one() {
    let path = "4:22 an upstream's URL has no path: the request's path and query pass unchanged: write \"http://a\"";
    assert_told(&urls(&[
        ("127.0.0.1:3001", "4:22 an upstream's URL begins with http:// or https://: write \"http://127.0.0.1:3001\""),
        ("//a", "4:22 an upstream's URL begins with http:// or https://: write \"http://a\""),
        ("ftp://a", "4:22 an upstream is reached by http or https: write http:// or https://"),
        ("http://user@a", "4:22 a URL here has no user and no password: write the host alone"),
        ("http://a/path", path),
        ("http://a?x=1", path),
        ("http://a#x", path),
        ("http://", "4:22 an upstream's URL has no host: write \"http://127.0.0.1:3001\""),
        ("http://:80", "4:22 an upstream's URL has no host: write \"http://127.0.0.1:3001\""),
        ("http://::1:80", "4:22 an IPv6 address stands in brackets: write \"http://[::1]:3001\""),
        ("http://[::g]:80", "4:22 no IPv6 address stands in the brackets: write \"http://[::1]:3001\""),
        ("http://[::1]x", "4:22 no IPv6 address stands in the brackets: write \"http://[::1]:3001\""),
        ("http://a:0", "4:22 a port is a number from 1 to 65535: write \"http://127.0.0.1:3001\""),
        ("http://a:+80", "4:22 a port is a number from 1 to 65535: write \"http://127.0.0.1:3001\""),
        ("http://a:99999", "4:22 a port is a number from 1 to 65535: write \"http://127.0.0.1:3001\""),
        ("http://a b", "4:22 an upstream's host is neither a name nor an IP address: write \"http://127.0.0.1:3001\""),
        ("http://1.2.3", "4:22 an upstream's host is neither a name nor an IP address: write \"http://127.0.0.1:3001\""),
    ]));
}

#[test]
fn the_error_of_a_bad_name_shows_a_valid_one() {
    assert_told(&[
        (bot_with("").replace("\"a\"", "\"My Bot\""), "2:8 a name cannot be \"My Bot\": write \"my-bot\""),
        (bot_with("").replace("\"a\"", "\"-\""), "2:8 a name cannot be \"-\": write 1 to 63 of a-z, 0-9, - and _, a letter or digit first"),
        (bot_with("").replace("name = \"a\"", ""), "1:1 a bot has no name: add `name = \"support\"`"),
        (bot_with("match = { host = \"x\" }") + &bot_with(""), "8:8 two bots are named `a`: write another name"),
    ]);
}

#[test]
fn the_error_of_a_bad_match_shows_a_good_one() {
    assert_told(&bots(&[
        ("match = { host = \"http://a.b:80/x\" }", "6:18 `host` is a name alone, without scheme, port, path or final dot: write \"a.b\""),
        ("match = { host = \"a.b.\" }", "6:18 `host` is a name alone, without scheme, port, path or final dot: write \"a.b\""),
        ("match = { host = \"*.a.b\" }", "6:18 `host` knows no wildcards: write one [[bot]] for each host"),
        ("match = { host = \"a b\" }", "6:18 `host` is not a host name: write a name such as \"bots.example.com\""),
        ("match = { host = \"\" }", "6:18 `host` is not a host name: write a name such as \"bots.example.com\""),
        ("match = { host = \"ä.b\" }", "6:18 `host` is written as it stands in requests: write the name in its xn-- form"),
        ("match = { path_prefix = \"x\" }", "6:25 `path_prefix` begins with a slash: write \"/x\""),
        ("match = { path_prefix = \"/x?y\" }", "6:25 `path_prefix` is a path, without a query: write \"/x\""),
        (
            "match = { path_prefix = \"/x%20\" }",
            "6:25 `path_prefix` is compared as it is sent, so it holds only plain characters: leave out what needs %",
        ),
        (
            "match = { path_prefix = \"/x//y\" }",
            "6:25 `path_prefix` has an empty segment, or one of dots: write a plain path such as \"/slack\"",
        ),
        (
            "match = { path_prefix = \"/../y\" }",
            "6:25 `path_prefix` has an empty segment, or one of dots: write a plain path such as \"/slack\"",
        ),
        (
            "match = { path_prefix = \"/x*\" }",
            "6:25 `path_prefix` knows no wildcards: it matches whatever stands below it: leave the * out",
        ),
        ("match = \"/x\"", "6:9 `match` is not a table: write it as match = { … }"),
    ]));
}

#[test]
fn a_bad_source_is_shown_where_it_is_bad() {
    let workspace = |sources: &str| bot_with("").replace("\"json:/team_id\"", sources);
    let at = |sources: &str| told(&workspace(sources)).remove(0).split(' ').next().unwrap().to_owned();
    assert_eq!(at("[\"json:/ok\", \"jsn:/team_id\"]"), "3:27");
    // With an escape the places inside do not match those of the file.
    assert_eq!(at("[\"json:/ok\", \"\\u006asn:/team_id\"]"), "3:26");
    assert_told(&[
        (workspace("[]"), "3:13 `workspace` names no source: write workspace = [\"header:X-Workspace-Id\", \"json:/team_id\"]"),
        (workspace("[1]"), "3:14 `workspace` is not a text or a list of texts: write it in quotes"),
        (bot_with("preset = \"slak\""), "6:10 there is no preset \"slak\": did you mean \"slack\"?"),
        (bot_with("preset = \"myspace\""), "6:10 there is no preset \"myspace\": write one of those below, or a `workspace` instead"),
    ]);
}

#[test]
fn times_and_statuses_that_contradict_each_other_are_reported() {
    assert_told(&bots(&[
        ("connect_timeout = \"11s\"", "6:19 `connect_timeout` is longer than `timeout`: write \"10s\" or less, or leave it out"),
        (
            "deadline = \"1s\"\nconnect_timeout = \"301ms\"",
            "7:19 `connect_timeout` is more than 0.3 of the deadline: too little is left for stable to step in: write \"300ms\" or less, or leave it out",
        ),
        ("also_ok = [401]\nonly_ok = [200]", "7:11 `also_ok` and `only_ok` exclude each other: keep one of them"),
        ("also_ok = [500]", "6:12 a 5xx is always an error: leave it out"),
        ("only_ok = [99]", "6:12 no answer has this status: write one from 200 to 499"),
        ("[bot.pins]\ncanary = [\"T1\"]\nstable = [\"T2\", \"T1\"]", "8:17 \"T1\" is pinned to both tracks: take it out here"),
        ("pins = { canary = [\" \"] }", "6:20 a pin is a workspace's id: write \"T0123\" or \"team:T0123\""),
    ]));
}

#[test]
fn the_error_of_a_bad_listener_shows_a_good_address() {
    assert_told(&bots(&[
        ("[proxy]\nworkers = 0", "7:11 `workers` is too little: write 1 or more, up to 1024"),
        (
            "[proxy]\nlisten = \":80\"",
            "7:10 `listen` is not an address to listen on: write \"0.0.0.0:80\", or \"127.0.0.1:80\" for this machine only",
        ),
        ("[admin]\nlisten = \"localhost:9400\"", "7:10 `listen` is not an address to listen on: write the IP address: \"127.0.0.1:9400\""),
        (
            "[proxy]\nlisten = \"x\"",
            "7:10 `listen` is not an address to listen on: write an IP address and a port, such as \"0.0.0.0:8080\"",
        ),
        ("[proxy.limits]\nmax_head = \"1KiB\"", "7:12 `max_head` is too little: write \"8KiB\" or more, up to \"1MiB\""),
        ("[proxy]\nlisten = \"0.0.0.0:9400\"", "7:10 [proxy] and [admin] both listen on port 9400: [proxy] listens here"),
        (
            "[admin]\nlisten = \"0.0.0.0:9400\"",
            "7:10 [admin] is open to others: it listens on 0.0.0.0:9400, without a token: add an [[admin.token]] or a `client_ca_file` in [admin.tls], or write \"127.0.0.1:9400\"",
        ),
    ]));
    assert!(parse(&bot_with("[admin]\nlisten = \"[::ffff:127.0.0.1]:9400\"")).is_ok());
}

#[test]
fn the_error_of_a_token_names_the_missing_key() {
    let token = "[[admin.token]]\nname = \"ci\"\nscope = \"read\"\n";
    let (named, long) = (format!("{token}secret = \"hunter2hunter2hunter2\"\n"), "\"hunter2hunter2hunter2\"");
    let twice = format!("{named}{}", named.replace(long, "\"hunter2\""));
    let same = format!("{named}{}", named.replace("\"ci\"", "\"cd\""));
    assert_told(&[
        (bot_with(token), "6:1 token \"ci\" has no secret: add `file = \"…\"` or `env = \"…\"`"),
        (bot_with(&named.replace("name = \"ci\"\n", "")), "6:1 a token has no name: add `name = \"ci\"`: it stands in the history"),
        (
            bot_with(&named.replace("scope = \"read\"\n", "")),
            "6:1 token \"ci\" has no scope: add `scope = \"read\"`, \"operate\" or \"report\"",
        ),
        (bot_with(&named.replace("read", "opearte")), "8:9 `scope` cannot be \"opearte\": did you mean \"operate\"?"),
        (bot_with(&twice), "11:8 two tokens are named \"ci\": write another name"),
        (bot_with(&same), "13:10 the tokens \"ci\" and \"cd\" have the same secret: make another"),
        (
            bot_with("[admin]\ntoken = \"hunter2\""),
            "7:9 `token` is a list of tables: write [[admin.token]]: twice in brackets, once for each",
        ),
    ]);
}

#[test]
fn the_error_of_a_tester_names_the_missing_key() {
    assert_told(&bots(&[
        ("[bot.tester]", "6:1 the tester of bot `a` has no secret: add `file = \"…\"` or `env = \"…\"`"),
        ("tester = { secret = \"\" }", "6:21 the secret of the tester of bot `a` is empty: make one: openssl rand -hex 32"),
        (
            "tester = { secret = \"hunter2 hunter2 hunter2\" }",
            "6:21 the secret of the tester of bot `a` cannot be sent: only visible ASCII without spaces fits into a header",
        ),
        ("tester = { env = \"SERIN_NOT_SET\" }", "6:18 the environment has no SERIN_NOT_SET: set it before serin starts"),
        ("tester = { env = \"\" }", "6:18 no variable can have this name: write one such as \"SERIN_TOKEN\""),
        ("tester = { file = \"nowhere\" }", "6:19 cannot read the secret in nowhere: No such file or directory (os error 2)"),
        ("tester = { secret = 5 }", "6:21 `secret` is not a text: write it in quotes"),
        (
            "[bot.tester]\nenv = \"CARGO_PKG_NAME\"\nsecret = \"hunter2\"",
            "8:10 the tester of bot `a` has more than one secret: keep one of `file`, `env` and `secret`",
        ),
        (
            "[bot.tester]\nenv = \"CARGO_PKG_NAME\"\nheader = \"host\"",
            "8:10 the tester's header cannot be `host`: serin takes it out of the request: write \"Serin-Override\"",
        ),
        ("[bot.tester]\nenv = \"CARGO_PKG_NAME\"\nheader = \"a b\"", "8:10 no header can have this name: write \"Serin-Override\""),
    ]));
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("long"), "x".repeat(5_000)).unwrap();
    let error = super::super::parse(&bot_with("tester = { file = \"long\" }"), &folder.path().join("serin.toml")).unwrap_err();
    assert!(error.to_string().starts_with("error: the secret of the tester of bot `a` is longer than 4096 bytes"), "{error}");
}

#[test]
fn no_secret_stands_in_an_error() {
    for lines in [
        "tester = { secret = \"hunter2\", header = \"a b\" }",
        "tester = { secrt = \"hunter2\" }",
        "tester = { value = \"hunter2\" }",
        "tester = \"hunter2\"",
        "tester = { secret = \"hunter2\", env = \"X\" }",
        "tester = { secret = \"hunter2\nnext = 1",
        "tester = { secret = hunter2 }",
        "[[admin.token]]\nsecret = \"\"\"\nhunter2\nhunter2\"\"\"\nscope = 1",
        "[admin]\ntoken = [\"hunter2\"]",
        "upstreams2 = { c = \"http://user:hunter2@c\" }",
    ] {
        let text = shown(&bot_with(lines));
        assert!(!text.contains("hunter2"), "{text}");
    }
    let text = shown(&upstreams("{ blue = \"http://user:hunter2@blue\" }", ""));
    assert!(text.contains("http://************@blue"), "{text}");
}

#[test]
fn an_unreadable_file_is_named() {
    let error = load(Path::new("nowhere/serin.toml")).unwrap_err();
    assert_eq!((error.to_string().as_str(), error.count()), ("cannot read nowhere/serin.toml: No such file or directory (os error 2)", 1));
}
