//! What an answer means, and that what the client sees is what the upstream said: whole if it was whole, broken if not.

use std::io::ErrorKind;
use std::time::Duration;

use crate::harness::{Ask, Config, Serin, Then, Upstream, ok};

/// One request of T1, at an upstream that says this and closes.
fn answered(answer: &'static str, lines: &[&str]) -> (Upstream, Serin) {
    let blue = Upstream::saying(answer);
    let config = lines.iter().fold(Config::split(blue.address, blue.address), |config, line| config.bot(line));
    let serin = Serin::start(&config);
    (blue, serin)
}

#[test]
fn an_answer_that_breaks_off_looks_broken_and_is_an_error() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        "HTTP/1.1 404 No\r\nContent-Length: 10\r\n\r\nhalf",
    ] {
        let (_blue, serin) = answered(answer, &[]);
        let broken = serin.client().try_ask(&Ask::of("T1"));
        assert_eq!(broken.map_err(|error| error.kind()).expect_err(answer), ErrorKind::UnexpectedEof, "{answer}");
        serin.counted("stable", "error", 1);
        serin.evidence_is("stable", [1, 1, 0, 0]);
    }
}

#[test]
fn a_status_reaches_the_client_unchanged() {
    for (answer, outcome) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "ok"),
        ("HTTP/1.1 299 Odd\r\nContent-Length: 1\r\n\r\nx", "ok"),
        ("HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 1\r\n\r\nx", "rejected"),
        ("HTTP/1.1 401 No\r\nContent-Length: 1\r\n\r\nx", "rejected"),
        ("HTTP/1.1 429 No\r\nRetry-After: 7\r\nContent-Length: 1\r\n\r\nx", "rejected"),
        ("HTTP/1.1 500 No\r\nContent-Length: 1\r\n\r\nx", "error"),
        ("HTTP/1.1 503 No\r\nContent-Length: 1\r\n\r\nx", "error"),
    ] {
        let (_blue, serin) = answered(answer, &[]);
        let seen = serin.ask(&Ask::of("T1"));
        assert_eq!((seen.status.to_string().as_str(), seen.text()), (&answer[9..12], "x"));
        assert_eq!(seen.field("serin-error"), None, "the upstream's own");
        serin.counted("stable", outcome, 1);
        let evidence = [1, u64::from(outcome == "error"), 0, u64::from(outcome == "rejected")];
        serin.evidence_is("stable", evidence);
    }
}

#[test]
fn the_outcome_that_a_bot_states_is_counted_and_removed_from_its_answer() {
    for (answer, outcome) in [
        ("HTTP/1.1 200 OK\r\nSerin-Outcome: error\r\nContent-Length: 1\r\n\r\nx", "error"),
        ("HTTP/1.1 200 OK\r\nSerin-Outcome: ok\r\nContent-Length: 1\r\n\r\nx", "ok"),
        ("HTTP/1.1 404 No\r\nSerin-Outcome: ok\r\nContent-Length: 1\r\n\r\nx", "ok"),
        ("HTTP/1.1 404 No\r\nserin-outcome: error\r\nContent-Length: 1\r\n\r\nx", "error"),
        ("HTTP/1.1 500 No\r\nSerin-Outcome: ok\r\nContent-Length: 1\r\n\r\nx", "error"),
        ("HTTP/1.1 200 OK\r\nSerin-Outcome: fine\r\nContent-Length: 1\r\n\r\nx", "ok"),
    ] {
        let (_blue, serin) = answered(answer, &[]);
        assert_eq!(serin.ask(&Ask::of("T1")).field("serin-outcome"), None, "{answer}");
        serin.counted("stable", outcome, 1);
    }
}

#[test]
fn a_config_says_which_statuses_are_a_success() {
    let (_blue, serin) = answered("HTTP/1.1 409 No\r\nContent-Length: 0\r\n\r\n", &["also_ok = [409]"]);
    serin.ask(&Ask::of("T1"));
    serin.counted("stable", "ok", 1);
    let (_blue, serin) = answered("HTTP/1.1 204 No\r\n\r\n", &["only_ok = [200]"]);
    serin.ask(&Ask::of("T1"));
    serin.counted("stable", "rejected", 1);
}

#[test]
fn answers_without_a_body_end_with_their_head() {
    let blue = Upstream::scripted(|request, wire| {
        let answer: &[u8] = match request.line().split('/').nth(1).unwrap_or("") {
            path if path.starts_with("204") => b"HTTP/1.1 204 No Content\r\n\r\n",
            path if path.starts_with("304") => b"HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n",
            path if path.starts_with("0") => b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            _ => b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\nX-Head: yes\r\n\r\n",
        };
        let _ = wire.write(answer);
        Then::KeepAlive
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let mut client = serin.client();
    let ask = |method, path| Ask::new(method, path).field("X-Workspace", "T1");
    for _ in 0..3 {
        let head = client.ask(&ask("HEAD", "/"));
        assert_eq!((head.status, head.field("content-length"), head.field("x-head")), (200, Some("12345"), Some("yes")));
        assert_eq!(client.ask(&ask("GET", "/204")).status, 204);
        let unmodified = client.ask(&ask("GET", "/304"));
        assert_eq!((unmodified.status, unmodified.field("etag")), (304, Some("\"x\"")));
        assert_eq!(client.ask(&ask("POST", "/0")).body, b"");
    }
    assert_eq!(blue.connections(), 1, "each is over when it is over");
    serin.counted("stable", "ok", 9);
    serin.counted("stable", "rejected", 3);
}

#[test]
fn fields_pass_as_they_came_and_those_of_the_connection_end_here() {
    let answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nSet-Cookie: a=1\r\n\
        Set-Cookie: b=2\r\nServer: bot\r\nX-Umlaut: \u{fc}\r\nContent-Length: 1\r\n\r\nx";
    let (blue, serin) = answered(answer, &[]);
    let seen = serin.ask(&Ask::of("T1").field("X-sPeLt", "oddly"));
    assert!(seen.head.contains("\r\nX-Umlaut: ") && blue.only_request().head.contains("\r\nX-sPeLt: oddly\r\n"), "names keep their case");
    assert_eq!((seen.field("keep-alive"), seen.field("x-hop"), seen.field("server")), (None, None, Some("bot")));
    let cookies: Vec<_> = seen.fields().into_iter().filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie")).collect();
    assert_eq!(cookies.iter().map(|(_, value)| *value).collect::<Vec<_>>(), ["a=1", "b=2"]);
    assert_eq!(seen.field("x-umlaut"), Some("\u{fc}"));
}

#[test]
fn a_chunked_answer_arrives_piece_by_piece() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        // The second piece waits for the client to have the first.
        let _ = wire.head();
        let _ = wire.write(b"6\r\nsecond\r\n0\r\n\r\n");
        Then::Close
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address).bot("timeout = \"500ms\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    assert!(client.wire.head().unwrap().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(client.wire.exactly(10).unwrap(), b"5\r\nfirst\r\n", "before the answer is whole");
}

#[test]
fn interim_answers_pass() {
    let (release, blue) = Upstream::holding("blue", |_, wire| {
        let _ = wire.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        true
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    let interim = client.wire.head().unwrap().unwrap();
    assert!(interim.starts_with("HTTP/1.1 103") && interim.to_lowercase().contains("link: </a>"), "{interim}");
    release.send(()).unwrap();
    let answer = client.answer().unwrap();
    assert_eq!((answer.status, answer.text(), answer.interim.len()), (200, "blue", 0));
    serin.counted("stable", "ok", 1);
}

/// An interim answer after the final one would break HTTP.
#[test]
fn an_interim_answer_that_comes_together_with_the_final_one_goes_before_it() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(&[&b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"[..], &ok("x")].concat());
        Then::KeepAlive
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let mut client = serin.client();
    for _ in 0..5 {
        let answer = client.ask(&Ask::of("T1"));
        assert_eq!((answer.text(), answer.interim.len()), ("x", 1));
        client.wait_at_most(Duration::from_millis(50));
        assert_eq!(client.wire.end().unwrap_err().kind(), ErrorKind::WouldBlock, "nothing comes between two answers");
        client.wait_at_most(Duration::from_secs(10));
    }
}

#[test]
fn an_interim_answer_is_not_the_next_requests() {
    let blue = Upstream::scripted(|request, wire| {
        let first = request.field("x-first").is_some();
        if !first {
            std::thread::sleep(Duration::from_millis(100));
        }
        let hints: &[u8] = if first { b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" } else { b"" };
        let _ = wire.write(&[hints, &ok("x")].concat());
        Then::KeepAlive
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let mut client = serin.client();
    for _ in 0..3 {
        assert_eq!(client.ask(&Ask::of("T1").field("X-First", "yes")).text(), "x");
        assert_eq!(client.ask(&Ask::of("T1")).interim, Vec::<String>::new());
    }
}

/// Announced or not.
#[test]
fn trailers_pass_to_a_client_that_takes_them() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 7\r\nSet-Cookie: a\r\n\r\n";
    for (te, trailers) in [("trailers", "X-Sum: 7\r\n\r\n"), ("gzip", "\r\n")] {
        let (_blue, serin) = answered(ANSWER, &[]);
        let mut client = serin.client();
        client.send(&Ask::of("T1").field("TE", te).field("Connection", "TE, close").bytes());
        client.wire.head().unwrap();
        let rest = client.wire.body(crate::harness::Framing::UntilClose).unwrap();
        assert_eq!(String::from_utf8_lossy(&rest), format!("1\r\nx\r\n0\r\n{trailers}"));
    }
}

#[test]
fn an_answer_101_that_was_not_requested_is_refused() {
    let (_blue, serin) = answered("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", &[]);
    let answer = serin.ask(&Ask::of("T1"));
    answer.is_problem(502, "upstream_invalid");
    serin.counted("stable", "error", 1);
}
