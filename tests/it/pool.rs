//! Connections to upstreams: serin reuses them, sends no request twice, and does not use one that the upstream has closed.

use std::collections::HashSet;
use std::time::Duration;

use crate::harness::{Ask, Config, Serin, Then, Upstream, eventually, ok, turns};

#[test]
fn a_connection_is_used_again() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let mut client = serin.client();
    (0..50).for_each(|_| assert_eq!(client.ask(&Ask::of("T1")).status, 200));
    assert_eq!(blue.connections(), 1);
}

/// serin reads a long answer to its end, in any pieces, so that the connection is idle.
#[test]
fn a_connection_is_used_again_after_a_long_answer() {
    for length in [4_000, 16_384, 65_536, 200_000] {
        let blue = Upstream::scripted(move |_, wire| {
            let _ = wire.write(&ok(&"x".repeat(length)));
            Then::KeepAlive
        });
        let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
        let mut client = serin.client();
        (0..turns(50)).for_each(|_| assert_eq!(client.ask(&Ask::of("T1")).body.len(), length));
        assert_eq!(blue.connections(), 1, "{length}");
    }
}

/// Some servers answer keep-alive and close nevertheless: gunicorn, Node, any server that restarts.
fn closing_unsaid() -> Upstream {
    Upstream::scripted(|_, wire| {
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nblue");
        Then::Close
    })
}

#[test]
fn a_connection_that_was_closed_before_the_request_came_loses_no_request() {
    let blue = closing_unsaid();
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let mut client = serin.client();
    let turns = turns(50);
    for turn in 0..turns {
        let answer = client.ask(&Ask::of("T1").field("X-Turn", &turn.to_string()));
        assert_eq!((answer.status, answer.text()), (200, "blue"), "turn {turn}");
        eventually("the upstream's close", || (blue.closed() == turn + 1).then_some(()));
    }
    executed_once(&blue, turns);
    serin.counted("stable", "ok", turns);
}

/// The close and the request can cross on their way. serin cannot know then whether the request was read, and does not send it again.
#[test]
fn a_request_that_crosses_a_close_is_executed_at_most_once() {
    let blue = closing_unsaid();
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let mut client = serin.client();
    let turns = turns(200);
    let mut crossed = 0;
    for turn in 0..turns {
        let answer = client.ask(&Ask::of("T1").field("X-Turn", &turn.to_string()));
        if answer.status != 200 {
            answer.is_problem(502, "upstream_broken");
            crossed += 1;
        }
    }
    assert_eq!(blue.count(), turns - crossed, "each at most once");
    serin.counted("stable", "ok", turns - crossed);
    serin.counted("stable", "error", crossed);
}

/// The close arrives while the connection is idle for longer than it counts as fresh.
#[test]
fn a_connection_that_was_closed_while_idle_is_not_used_again() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(&ok("blue"));
        Then::Close
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let mut client = serin.client();
    for turn in 0..5 {
        assert_eq!(client.ask(&Ask::of("T1").field("X-Turn", &turn.to_string())).status, 200);
        std::thread::sleep(Duration::from_millis(40));
    }
    executed_once(&blue, 5);
}

#[test]
fn a_request_that_was_read_is_never_sent_again() {
    let blue = Upstream::scripted(|request, wire| match request.field("x-turn") {
        Some("first") => {
            let _ = wire.write(&ok("blue"));
            Then::KeepAlive
        }
        _ => Then::Close,
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let mut client = serin.client();
    for turn in 0..turns(5) {
        assert_eq!(client.ask(&Ask::of("T1").field("X-Turn", "first")).status, 200);
        // On the connection that is open already, and once more on a new one.
        client.ask(&Ask::of("T1").field("X-Turn", &format!("{turn}a"))).is_problem(502, "upstream_broken");
        client.ask(&Ask::of("T1").field("X-Turn", &format!("{turn}b"))).is_problem(502, "upstream_broken");
    }
    let all: Vec<_> =
        blue.requests().iter().filter_map(|request| request.field("x-turn").map(str::to_owned)).filter(|turn| turn != "first").collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "executed twice: {all:?}");
    assert_eq!(all.len(), 2 * turns(5));
    serin.counted("stable", "error", 2 * turns(5));
}

/// A part of the answer's head shows that the upstream has the request: the connection was not stale.
#[test]
fn an_answer_that_breaks_off_in_its_head_is_not_asked_for_again() {
    let blue = Upstream::saying("HTTP/1.1 200 OK\r\nContent-Le");
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    serin.ask(&Ask::of("T1")).is_problem(502, "upstream_broken");
    assert_eq!(blue.count(), 1);
    serin.evidence_is("stable", [1, 1, 0, 0]);
}

#[test]
fn an_answer_that_is_not_http_is_502_and_an_error() {
    for nonsense in ["SMTP ready\r\n\r\n", "HTTP/1.1 xyz\r\n\r\n", "\0\0\0\0\r\n\r\n"] {
        let blue = Upstream::saying(nonsense);
        let serin = Serin::start(&Config::split(blue.address, blue.address));
        serin.ask(&Ask::of("T1")).is_problem(502, "upstream_invalid");
        serin.evidence_is("stable", [1, 1, 0, 0]);
        assert_eq!(blue.count(), 1);
    }
}

/// Bytes that an upstream sends without a request must not become the answer to the next request.
#[test]
fn an_unrequested_answer_is_not_used_for_the_next_request() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(&[ok("asked"), ok("unasked")].concat());
        Then::KeepAlive
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let mut client = serin.client();
    for turn in 0..turns(20) {
        assert_eq!(client.ask(&Ask::of("T1")).text(), "asked", "turn {turn}");
    }
    assert_eq!(blue.count(), turns(20));
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1).bot("upstream_idle = \"0s\""));
    let mut client = serin.client();
    for _ in 0..3 {
        assert_eq!(client.ask(&Ask::of("T1")).status, 200);
    }
    assert_eq!(blue.connections(), 3, "none is used again");
}

#[test]
fn an_answer_that_ends_with_the_connection_is_whole() {
    let blue = Upstream::saying("HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nto the end");
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let mut client = serin.client();
    for _ in 0..3 {
        let answer = client.ask(&Ask::of("T1"));
        assert_eq!((answer.status, answer.text(), answer.field("x-old")), (200, "to the end", Some("yes")));
    }
    serin.counted("stable", "ok", 3);
}

#[test]
fn an_upstream_by_name_is_resolved() {
    let blue = Upstream::answering("blue");
    let upstreams = format!("upstreams = {{ blue = \"http://localhost:{}\" }}", blue.address.port());
    let serin = Serin::start(&Config::new().add(&["name = \"support\"", "workspace = \"header:X-Workspace\"", &upstreams]));
    let mut client = serin.client();
    for _ in 0..3 {
        assert_eq!(client.ask(&Ask::of("T1")).text(), "blue");
    }
    serin.counted("stable", "ok", 3);
}

#[track_caller]
fn executed_once(upstream: &Upstream, times: usize) {
    let turns: Vec<_> = upstream.requests().iter().map(|request| request.field("x-turn").map(str::to_owned)).collect();
    let wanted: Vec<_> = (0..times).map(|turn| Some(turn.to_string())).collect();
    assert_eq!(turns, wanted, "each exactly once");
}
