//! Rescues: stable answers where the canary takes no connection, and the failure is the canary's in every count. A
//! request of which a byte was sent is never sent again.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::harness::{Ask, Closed, Config, Full, Serin, Then, Upstream, ok};

/// Nearly all workspaces are on the canary. At 100 % there is no rescue.
fn almost_all(blue: SocketAddr, green: SocketAddr) -> Config {
    Config::split(blue, green).weight("99.99%")
}

/// One rescue, one record, and it is the canary's error.
#[track_caller]
fn rescued_once(serin: &Serin, reason: &str) {
    serin.counted("canary", "error", 1);
    serin.counted_in_all(1);
    serin.evidence_is("canary", [1, 1, 0, 0]);
    assert_eq!(serin.evidence("stable"), [0; 4], "nothing in stable's tally");
    let metrics = serin.metrics();
    assert_eq!(metrics.sum("serin_rescues_total", &[("reason", reason)]), 1.0);
    assert_eq!(metrics.sum("serin_rescues_total", &[]), 1.0);
    assert_eq!(metrics.sum("serin_upstream_first_byte_seconds_count", &[]), 0.0, "no latency");
    assert!(serin.bot()["tracks"]["canary"]["typical_ms"].is_null(), "no latency");
}

#[test]
fn a_refused_connection_is_answered_by_stable_and_is_the_canarys_error() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address));
    let answer = serin.ask(&Ask::of("T1").field("X-Mine", "1"));
    assert_eq!((answer.status, answer.text(), answer.field("serin-error")), (200, "blue", None));
    rescued_once(&serin, "refused");
    assert_eq!(blue.only_request().field("x-mine"), Some("1"));
}

#[test]
fn the_rescued_request_has_its_body_byte_for_byte() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let config = Config::identified("workspace = \"json:/id\"", blue.address, green.address).weight("99.99%");
    let serin = Serin::start(&config);
    let body = format!("{{\"id\":\"T1\",\r\n\t\"text\":\"ünï {}\"}}  \n", "x".repeat(200_000));
    assert_eq!(serin.ask(&Ask::new("POST", "/a?b=c").json(&body)).text(), "blue");
    let request = blue.only_request();
    assert_eq!((request.line(), request.body == body.as_bytes()), ("POST /a?b=c HTTP/1.1", true));
    rescued_once(&serin, "refused");
}

/// Nothing of a streamed body is read before there is a connection.
#[test]
fn a_streamed_body_of_which_nothing_was_read_is_rescued() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address));
    let body: Vec<u8> = (0..3 << 20).map(|i: u32| (i % 251) as u8).collect();
    assert_eq!(serin.ask(&Ask::of("T1").body(&body)).text(), "blue");
    assert!(blue.only_request().body == body, "byte for byte");
    rescued_once(&serin, "refused");
}

#[test]
fn without_rescue_the_refusal_is_the_answer() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address).bot("rescue = false"));
    let mut client = serin.client();
    client.ask(&Ask::of("T1")).is_problem(502, "connect_failed");
    serin.evidence_is("canary", [1, 1, 0, 0]);
    serin.counted("canary", "error", 1);
    assert_eq!((blue.count(), serin.errors("connect_failed")), (0, 1.0));
    assert_eq!(serin.metrics().sum("serin_rescues_total", &[]), 0.0);
    serin.set_weight(0.0);
    assert_eq!(client.ask(&Ask::of("T1")).text(), "blue", "the connection serves on");
}

#[test]
fn at_a_hundred_percent_there_is_no_rescue() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address));
    serin.set_weight(100.0);
    serin.ask(&Ask::of("T1")).is_problem(502, "connect_failed");
    serin.evidence_is("canary", [1, 1, 0, 0]);
    assert_eq!(blue.count(), 0);
}

#[test]
fn stable_is_not_rescued_by_the_canary() {
    let (blue, green) = (Closed::new(), Upstream::answering("green"));
    let serin = Serin::start(&Config::split(blue.address, green.address).weight("0.01%"));
    serin.ask(&Ask::of("T1")).is_problem(502, "connect_failed");
    serin.evidence_is("stable", [1, 1, 0, 0]);
    serin.counted("stable", "error", 1);
    assert_eq!(green.count(), 0);
}

#[test]
fn where_both_refuse_the_answer_is_502_and_one_record() {
    let (blue, green) = (Closed::new(), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address));
    serin.ask(&Ask::of("T1")).is_problem(502, "connect_failed");
    rescued_once(&serin, "refused");
}

#[test]
fn a_canary_that_takes_no_connection_is_rescued_within_the_connect_timeout() {
    let (blue, green) = (Upstream::answering("blue"), Full::new());
    let serin = Serin::start(&almost_all(blue.address, green.address).bot("deadline = \"3s\""));
    let started = Instant::now();
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    let took = started.elapsed();
    assert!((Duration::from_millis(850)..Duration::from_secs(3)).contains(&took), "0.3 of the deadline is 900 ms, not {took:?}");
    rescued_once(&serin, "connect_timeout");
}

#[test]
fn a_connect_timeout_without_rescue_is_504() {
    let (blue, green) = (Upstream::answering("blue"), Full::new());
    let config = almost_all(blue.address, green.address).bot("rescue = false").bot("connect_timeout = \"100ms\"");
    let serin = Serin::start(&config);
    serin.ask(&Ask::of("T1")).is_problem(504, "connect_timeout");
    serin.evidence_is("canary", [1, 1, 0, 0]);
}

#[test]
fn a_name_without_an_address_is_rescued() {
    let blue = Upstream::answering("blue");
    let upstreams = format!("upstreams = {{ blue = \"http://{}\", green = \"http://nobody.invalid:80\" }}", blue.address);
    let lines =
        ["name = \"support\"", "workspace = \"header:X-Workspace\"", &upstreams, "stable = \"blue\"", "connect_timeout = \"100ms\""];
    let serin = Serin::start(&Config::new().add(&lines).weight("99.99%"));
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    rescued_once(&serin, "unresolved");
}

/// What stable answers for the canary does not change the record.
#[test]
fn stables_own_error_in_a_rescue_is_passed_on_and_is_no_second_record() {
    let (blue, green) = (Upstream::saying("HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno"), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address));
    let answer = serin.ask(&Ask::of("T1"));
    assert_eq!((answer.status, answer.text(), answer.field("serin-error")), (500, "no", None));
    rescued_once(&serin, "refused");
}

/// The canary read it: it may have acted on it.
#[test]
fn a_canary_that_closes_after_reading_is_not_rescued() {
    let (blue, green) = (Upstream::answering("blue"), Upstream::scripted(|_, _| Then::Close));
    let serin = Serin::start(&almost_all(blue.address, green.address));
    serin.ask(&Ask::of("T1")).is_problem(502, "upstream_broken");
    assert_eq!((green.count(), blue.count()), (1, 0));
    serin.evidence_is("canary", [1, 1, 0, 0]);
    assert_eq!(serin.metrics().sum("serin_rescues_total", &[]), 0.0);
}

/// The platform's retry of a rescued webhook is counted, and is no evidence.
#[test]
fn pinned_and_retried_requests_are_rescued_without_evidence() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let config = Config::identified("preset = \"slack\"", blue.address, green.address).weight("99.99%");
    let serin = Serin::start(&config.bot("pins = { canary = [\"T9\"] }"));
    let retried = Ask::new("POST", "/").json("{\"team_id\":\"T1\"}").field("X-Slack-Retry-Num", "1");
    assert_eq!(serin.ask(&retried).text(), "blue");
    assert_eq!(serin.ask(&Ask::new("POST", "/").json("{\"team_id\":\"T9\"}")).text(), "blue");
    serin.counted("canary", "error", 2);
    assert_eq!(serin.evidence("canary"), [0; 4]);
    assert_eq!(serin.metrics().sum("serin_rescues_total", &[]), 2.0);
}

/// With `host = "upstream"` a rescued request names the upstream that answers it.
#[test]
fn a_rescued_request_has_the_host_of_stable() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address).bot("host = \"upstream\""));
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    assert_eq!(blue.only_request().field("host"), Some(blue.address.to_string().as_str()));
}

#[test]
fn a_canary_that_comes_back_is_used_at_once() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let serin = Serin::start(&almost_all(blue.address, green.address));
    let mut client = serin.client();
    assert_eq!(client.ask(&Ask::of("T1")).text(), "blue");
    let address = green.address;
    drop(green);
    let listener = std::net::TcpListener::bind(address).expect("the port was ours");
    let back = std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        let mut wire = crate::harness::Wire::new(stream);
        wire.head().unwrap();
        wire.write(&ok("green again")).unwrap();
    });
    assert_eq!(client.ask(&Ask::of("T1")).text(), "green again");
    back.join().unwrap();
}
