//! Many bots: by host and path prefix, each with its own split, and nothing for those that match none.

use crate::harness::{Ask, Client, Config, Serin, Upstream, two_upstreams};

fn bot(config: Config, name: &str, matches: &str, upstream: &Upstream) -> Config {
    let upstreams = format!("upstreams = {{ blue = \"http://{}\" }}", upstream.address);
    config.add(&[&format!("name = \"{name}\""), &format!("match = {matches}"), "workspace = \"header:X-Workspace\"", &upstreams])
}

#[test]
fn a_request_finds_its_bot_by_host_and_the_longest_prefix() {
    let [slack, events, hosted, deep, other] = ["slack", "events", "hosted", "deep", "other"].map(Upstream::answering);
    let config = bot(Config::new(), "other", "{ host = \"other.example\" }", &other);
    let config = bot(config, "slack", "{ path_prefix = \"/slack\" }", &slack);
    let config = bot(config, "events", "{ path_prefix = \"/slack/events\" }", &events);
    let config = bot(config, "hosted", "{ host = \"bot.example\", path_prefix = \"/slack\" }", &hosted);
    let serin = Serin::start(&bot(config, "deep", "{ host = \"bot.example\", path_prefix = \"/slack/events/deep\" }", &deep));
    let mut client = serin.client();
    for (host, path, wanted) in [
        ("a.example", "/slack", "slack"),
        ("a.example", "/slack?x=/slack/events", "slack"),
        ("a.example", "/slack/other", "slack"),
        ("a.example", "/slack/events", "events"),
        ("a.example", "/slack/events/deep", "events"),
        ("bot.example", "/slack/events", "hosted"),
        ("BOT.example:8443", "/slack/events/deep/er", "deep"),
        ("other.example", "/slack/events", "other"),
        ("other.example", "/", "other"),
    ] {
        assert_eq!(client.ask(&Ask::new("POST", path).host(host).body(b"{}")).text(), wanted, "{host} {path}");
    }
    for (host, path) in [("a.example", "/"), ("a.example", "/slackers"), ("bot.example", "/other"), ("a.example", "/Slack")] {
        client.ask(&Ask::new("POST", path).host(host).body(b"{}")).is_problem(404, "no_bot");
    }
    assert_eq!(serin.metrics().sum("serin_unmatched_requests_total", &[]), 4.0);
    assert_eq!(serin.errors("no_bot"), 4.0);
    serin.counted_in_all(9);
}

#[test]
fn a_target_in_absolute_form_says_the_host() {
    let [hosted, rest] = ["hosted", "rest"].map(Upstream::answering);
    let config = bot(Config::new(), "hosted", "{ host = \"bot.example\" }", &hosted);
    let serin = Serin::start(&bot(config, "rest", "{ path_prefix = \"/\" }", &rest));
    let mut client = serin.client();
    client.send(b"POST http://bot.example/a?b HTTP/1.1\r\nHost: else.example\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().unwrap().text(), "hosted");
    let request = hosted.only_request();
    assert_eq!((request.line(), request.field("host")), ("POST /a?b HTTP/1.1", Some("bot.example")));
}

#[test]
fn each_bot_has_its_own_weight_and_its_own_counts() {
    let (blue, green) = two_upstreams();
    let upstreams = format!("upstreams = {{ blue = \"http://{}\", green = \"http://{}\" }}", blue.address, green.address);
    let of = |config: Config, name: &str| {
        let (name, matches) = (format!("name = \"{name}\""), format!("match = {{ path_prefix = \"/{name}\" }}"));
        config.add(&[&name, &matches, "workspace = \"header:X-Workspace\"", &upstreams, "stable = \"blue\""])
    };
    let serin = Serin::start(&of(of(Config::new(), "support"), "sales"));
    serin.set_weight(100.0);
    let ask = |path: &str| serin.ask(&Ask::new("POST", path).field("X-Workspace", "T1").body(b"{}")).text().to_owned();
    assert_eq!((ask("/support"), ask("/sales")), ("green".to_owned(), "blue".to_owned()));
    let all = serin.admin(Ask::new("GET", "/v1/bots")).json();
    let weights: Vec<_> = all["bots"].as_array().unwrap().iter().map(|bot| (bot["bot"].clone(), bot["weight_percent"].clone())).collect();
    assert!(weights.contains(&("support".into(), 100.0.into())) && weights.contains(&("sales".into(), 0.0.into())), "{weights:?}");
    serin.counted_in_all(2);
    let metrics = serin.metrics();
    assert_eq!(metrics.sum("serin_requests_total", &[("bot", "support"), ("track", "canary")]), 1.0);
    assert_eq!(metrics.sum("serin_requests_total", &[("bot", "sales"), ("track", "stable")]), 1.0);
}

#[test]
fn methods_that_no_webhook_has_are_refused() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&bot(Config::new(), "rest", "{ path_prefix = \"/\" }", &blue));
    for method in ["TRACE", "CONNECT"] {
        let target = if method == "CONNECT" { "a:80" } else { "/" };
        serin.ask(&Ask::new(method, target)).is_problem(405, "method");
    }
    assert_eq!(blue.count(), 0);
}

#[test]
fn a_request_without_one_valid_host_is_refused() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&bot(Config::new(), "rest", "{ path_prefix = \"/\" }", &blue));
    for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a/b\r\n", "Host: a b\r\n"] {
        let mut client = Client::connect(serin.proxy);
        client.send(format!("POST / HTTP/1.1\r\n{hosts}Content-Length: 0\r\n\r\n").as_bytes());
        client.answer().unwrap().is_problem(400, "bad_host");
    }
    assert_eq!((blue.count(), serin.errors("bad_host")), (0, 4.0));
}

#[test]
fn an_old_client_is_answered_and_its_connection_closed() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&bot(Config::new(), "rest", "{ path_prefix = \"/\" }", &blue));
    let mut client = serin.client();
    client.send(b"POST /old HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.text()), (200, "blue"));
    client.wire.end().unwrap();
    let request = blue.only_request();
    assert_eq!((request.line(), request.body.as_slice()), ("POST /old HTTP/1.1", &b"{}"[..]));
    assert_eq!(request.field("host"), Some(blue.address.to_string().as_str()), "HTTP/1.1 needs one");
}

#[test]
fn serin_answers_an_options_request_whose_max_forwards_is_zero() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&bot(Config::new(), "rest", "{ path_prefix = \"/\" }", &blue));
    let answer = serin.ask(&Ask::new("OPTIONS", "/").field("Max-Forwards", "0"));
    assert!(answer.status == 200 && answer.field("allow").is_some(), "{answer:?}");
    assert_eq!(blue.count(), 0);
    assert_eq!(serin.ask(&Ask::new("OPTIONS", "/").field("Max-Forwards", "2")).text(), "blue");
    assert_eq!(blue.only_request().field("max-forwards"), Some("1"));
}

#[test]
fn a_request_that_is_not_http_1_is_refused_and_its_connection_closed() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&bot(Config::new(), "rest", "{ path_prefix = \"/\" }", &blue));
    for bytes in ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "hello\r\n\r\n", "\u{16}\u{3}\u{1}\0\r\n\r\n", "POST / HTTP/1.1\r\nHost : a\r\n\r\n"]
    {
        let mut client = Client::connect(serin.proxy);
        client.send(bytes.as_bytes());
        if bytes.starts_with("PRI") {
            client.wire.end().expect("who speaks HTTP/2 would not understand an answer");
        } else {
            client.answer().unwrap().is_problem(400, "bad_request");
            client.wire.end().unwrap();
        }
    }
    assert_eq!(blue.count(), 0);
    crate::harness::eventually("four bad requests", || (serin.errors("bad_request") == 4.0).then_some(()));
}
