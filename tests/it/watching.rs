//! What people can watch: the stream of events, the points of the last hour, and the page with its parts.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use crate::harness::{Ask, Config, Handle, PATIENCE, Process, Serin, Upstream, eventually, two_upstreams};
use serde_json::Value;

/// A connection on which `GET /v1/events` is answered for as long as the test lasts.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(admin: SocketAddr, query: &str) -> Events {
        Events::with_token(admin, query, None)
    }

    fn with_token(admin: SocketAddr, query: &str, token: Option<&str>) -> Events {
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        write!(stream, "GET /v1/events{query} HTTP/1.1\r\nHost: {admin}\r\n{token}\r\n").unwrap();
        let mut events = Events(BufReader::new(stream));
        assert!(events.line().contains("200"));
        while !events.line().is_empty() {}
        events
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.0.read_line(&mut line).expect("an event comes in time") > 0, "the stream has ended");
        line.trim_end().to_owned()
    }

    /// The next event's kind and data.
    fn next(&mut self) -> (String, Value) {
        let (mut kind, began) = (String::new(), Instant::now());
        loop {
            let line = self.line();
            // A stream that only keeps alive says something too.
            assert!(began.elapsed() < PATIENCE, "no event in time");
            if let Some(event) = line.strip_prefix("event: ") {
                kind = event.to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return (kind, serde_json::from_str(data).unwrap());
            }
        }
    }

    /// What still comes is read until the last chunk.
    fn ends(&mut self) {
        let began = Instant::now();
        while self.line() != "0" {
            assert!(began.elapsed() < PATIENCE, "the stream goes on");
        }
    }
}

fn two() -> (Upstream, Upstream, Serin) {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::split(blue.address, green.address));
    (blue, green, serin)
}

#[track_caller]
fn refused(serin: &Handle, ask: Ask, status: u16, code: &str) {
    let answer = serin.admin(ask);
    assert_eq!(answer.status, status, "{answer:?}");
    answer.is_problem_document(code);
}

#[test]
fn a_change_is_an_event_and_without_status_nothing_else_is() {
    let (_blue, _green, serin) = two();
    let mut events = Events::of(serin.admin, "?bot=support");
    serin.set_weight(7.5);
    serin.set_weight(8.0);
    for (revision, percent) in [(2, 7.5), (3, 8.0)] {
        let (kind, row) = events.next();
        assert_eq!((kind.as_str(), &row["revision"], &row["to_percent"]), ("change", &revision.into(), &percent.into()));
    }
    refused(&serin, Ask::new("GET", "/v1/events?bot=nobody"), 404, "unknown_bot");
    refused(&serin, Ask::new("GET", "/v1/events?status=perhaps"), 400, "query");
}

#[test]
fn a_status_is_sent_at_once_and_again_after_each_change() {
    let (_blue, _green, serin) = two();
    let mut events = Events::of(serin.admin, "?status=true");
    let (kind, bot) = events.next();
    assert_eq!((kind.as_str(), &bot["bot"], &bot["weight_percent"]), ("status", &"support".into(), &0.0.into()));
    assert_eq!(serin.ask(&Ask::of("T1")).status, 200);
    let (kind, bot) = events.next();
    assert_eq!((kind.as_str(), &bot["tracks"]["stable"]["requests"]), ("status", &1.into()), "nothing is told twice");
}

#[test]
fn all_listeners_receive_the_same_events_and_a_later_one_receives_the_current_status() {
    let (_blue, _green, serin) = two();
    let until = |events: &mut Events, percent: f64| while events.next().1["weight_percent"] != percent {};
    let mut first = Events::of(serin.admin, "?status=true");
    until(&mut first, 0.0);
    serin.set_weight(7.5);
    until(&mut first, 7.5);
    let mut others = [Events::of(serin.admin, "?status=true"), Events::of(serin.admin, "?status=true&bot=support")];
    for events in &mut others {
        let (kind, bot) = events.next();
        assert_eq!((kind.as_str(), &bot["weight_percent"]), ("status", &7.5.into()));
    }
    serin.set_weight(8.0);
    until(&mut first, 8.0);
    others.iter_mut().for_each(|events| until(events, 8.0));
}

#[test]
fn events_report_a_bot_that_leaves_the_config_and_its_return() {
    let (blue, green) = two_upstreams();
    let alone = Config::split(blue.address, green.address);
    let url = format!("upstreams = {{ blue = \"http://{}\" }}", blue.address);
    let both = Config::split(blue.address, green.address).add(&[
        "name = \"sales\"",
        "match = { path_prefix = \"/sales\" }",
        "workspace = \"header:x-workspace\"",
        &url,
        "stable = \"blue\"",
    ]);
    let process = Process::start(&both);
    let mut events = Events::of(process.admin, "?status=true");
    let mut of_sales = || loop {
        let (kind, data) = events.next();
        if data["bot"] == "sales" {
            return (kind, data["revision"].clone());
        }
    };
    assert_eq!(of_sales(), ("status".to_owned(), 1.into()));
    process.replace_config(&alone.text());
    assert_eq!(of_sales(), ("gone".to_owned(), Value::Null));
    process.replace_config(&both.text());
    assert_eq!(of_sales(), ("status".to_owned(), 1.into()));
}

#[test]
fn a_stream_ends_with_the_tokens_that_opened_it() {
    let (blue, green) = two_upstreams();
    let config = |secret: &str, bot: &str| Config::split(blue.address, green.address).token("ana", "read", secret).bot(bot);
    let process = Process::start(&config("the-first-secret-of-anas", ""));
    let mut events = Events::with_token(process.admin, "?status=true", Some("the-first-secret-of-anas"));
    assert_eq!(events.next().1["max_percent"], 100.0);
    process.replace_config(&config("the-first-secret-of-anas", "max = \"20%\"").text());
    assert_eq!(events.next().1["max_percent"], 20.0, "another change of the config ends nothing");
    process.replace_config(&config("the-second-secret-of-anas", "max = \"20%\"").text());
    events.ends();
    process.end();
}

#[test]
fn the_traffic_has_points_a_reach_and_the_largest() {
    let (_blue, _green, serin) = two();
    serin.set_weight(50.0);
    let ask = |workspace: usize| assert_eq!(serin.ask(&Ask::of(&format!("T{workspace}"))).status, 200);
    (0..40).for_each(ask);
    (0..60).for_each(|_| ask(7));
    let traffic = || serin.admin(Ask::new("GET", "/v1/bots/support/traffic")).json();
    let seen = eventually("all points are there", || {
        let traffic = traffic();
        let sum =
            |track: &str| traffic["points"].as_array().unwrap().iter().map(|point| point[track]["requests"].as_u64().unwrap()).sum::<u64>();
        (sum("stable") + sum("canary") == 100).then_some(traffic)
    });
    let point = seen["points"].as_array().unwrap().last().unwrap();
    assert_eq!(point["weight_percent"], 50.0);
    assert!(point["stable"]["p50_ms"].as_f64().unwrap() > 0.0);
    let largest = seen["largest"].as_array().unwrap();
    let explained = serin.explain("T7");
    assert_eq!((largest.len(), &largest[0]["requests"], &largest[0]["requests_percent"]), (10, &61.into(), &61.0.into()));
    assert_eq!((&largest[0]["bucket"], &largest[0]["track"]), (&explained["bucket"], &explained["track"]));
    // What is usual is learnt on stable.
    let reach = &seen["reach"];
    assert_eq!(reach["now"]["weight_percent"], 50.0);
    assert!(reach["active_buckets"].as_u64().unwrap() > 5 && reach["next"].is_null());
    refused(&serin, Ask::new("GET", "/v1/bots/nobody/traffic"), 404, "unknown_bot");
}

#[test]
fn the_page_and_its_parts_need_no_token_and_hold_nothing() {
    let upstream = Upstream::answering("blue");
    let config = Config::split(upstream.address, upstream.address).token("ana", "operate", "a-secret-of-anas");
    let serin = Serin::with_token(&config, Some("a-secret-of-anas"));
    let stranger = Handle { token: None, ..(*serin).clone() };
    let page = stranger.admin(Ask::new("GET", "/"));
    assert_eq!((page.status, page.field("content-type")), (200, Some("text/html; charset=utf-8")));
    for part in page.text().split('"').filter(|part| part.starts_with("/page/")) {
        let answer = stranger.admin(Ask::new("GET", part));
        assert_eq!((answer.status, answer.field("x-content-type-options")), (200, Some("nosniff")), "{part}");
        assert!(answer.field("content-security-policy").is_some_and(|policy| policy.starts_with("default-src 'none'")));
        let tag = answer.field("etag").unwrap().to_owned();
        assert_eq!(stranger.admin(Ask::new("GET", part).field("If-None-Match", &tag)).status, 304);
    }
    refused(&stranger, Ask::new("GET", "/v1/bots"), 401, "unauthorized");
    refused(&stranger, Ask::new("POST", "/").json("{}"), 405, "method");
    refused(&stranger, Ask::new("GET", "/page/other.js"), 401, "unauthorized");
}
