//! Requests on their way to the upstream: bytes that never change, and what is found in them or not.

use crate::harness::{Ask, Config, Serin, Then, Upstream, two_upstreams};

const MIB: usize = 1 << 20;

/// Bytes that no coding would leave alone.
fn noise(length: usize) -> Vec<u8> {
    (0..length as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn identified(serin: &Serin, result: &str) -> f64 {
    serin.metrics().sum("serin_identify_total", &[("result", result)])
}

#[test]
fn a_body_over_the_cap_is_streamed_to_stable_byte_for_byte() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::identified("workspace = \"json:/id\"", blue.address, green.address).weight("99.99%"));
    let body = noise(3 * MIB);
    let mut client = serin.client();
    assert_eq!(client.ask(&Ask::new("POST", "/").body(&body)).text(), "blue");
    let mut chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for piece in body.chunks(100_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        chunked.extend_from_slice(piece);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    client.send(&chunked);
    assert_eq!(client.answer().unwrap().text(), "blue");
    assert!(blue.requests().iter().all(|request| request.body == body));
    assert_eq!((blue.count(), green.count(), identified(&serin, "too_large")), (2, 0, 2.0));
    serin.counted("stable", "ok", 2);
    assert_eq!(serin.evidence("stable"), [0; 4]);
    serin.set_weight(100.0);
    assert_eq!(client.ask(&Ask::new("POST", "/").body(&body)).text(), "green", "at 100 % there is only one");
}

#[test]
fn a_body_of_just_the_cap_is_looked_into() {
    let (blue, green) = two_upstreams();
    let config = Config::identified("workspace = \"json:/id\"", blue.address, green.address).weight("99.99%").bot("body_cap = \"1KiB\"");
    let serin = Serin::start(&config);
    let of_length = |length: usize| format!("{{\"id\":1,\"x\":\"{}\"}}", "x".repeat(length - 15));
    assert_eq!(of_length(1_024).len(), 1_024);
    assert_eq!(serin.ask(&Ask::new("POST", "/").json(&of_length(1_024))).text(), "green");
    assert_eq!(serin.ask(&Ask::new("POST", "/").json(&of_length(1_025))).text(), "blue");
    assert_eq!((identified(&serin, "found"), identified(&serin, "too_large")), (1.0, 1.0));
}

#[test]
fn where_a_body_over_the_cap_is_refused_it_is_413() {
    let (blue, green) = two_upstreams();
    let config = Config::identified("workspace = \"json:/id\"", blue.address, green.address).bot("over_cap = \"reject\"");
    let serin = Serin::start(&config);
    let mut client = serin.client();
    client.send(&Ask::new("POST", "/").body(&noise(3 * MIB)).bytes()[..2 * MIB]);
    let answer = client.answer().unwrap();
    answer.is_problem(413, "body_too_large");
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!((blue.count(), green.count(), serin.errors("body_too_large")), (0, 0, 1.0));
}

#[test]
fn tenants_that_disagree_go_to_stable() {
    let (blue, green) = two_upstreams();
    let several = r#"{"object":"page","entry":[{"id":"1"},{"id":"2"}]}"#;
    let one = r#"{"object":"page","entry":[{"id":"1"},{"id":"1"}]}"#;
    for (mixed, wanted, found) in [("stable", "blue", 1.0), ("first", "green", 2.0)] {
        let config = Config::identified("workspace = \"json:/entry/*/id\"", blue.address, green.address).weight("99.99%");
        let serin = Serin::start(&config.bot(&format!("mixed = \"{mixed}\"")));
        assert_eq!(serin.ask(&Ask::new("POST", "/").json(one)).text(), "green", "{mixed}");
        assert_eq!(serin.ask(&Ask::new("POST", "/").json(several)).text(), wanted, "{mixed}");
        assert_eq!((identified(&serin, "found"), identified(&serin, "mixed")), (found, 2.0 - found));
        serin.evidence_is("canary", [found as u64, 0, 0, 0]);
        assert_eq!(serin.evidence("stable"), [0; 4]);
    }
}

#[test]
fn a_request_without_a_workspace_goes_to_stable_and_is_no_evidence() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::identified("workspace = \"json:/id\"", blue.address, green.address).weight("99.99%"));
    for (body, result) in [("{}", "missing"), ("{\"id\":{}}", "invalid"), ("{\"id\":\"1\"", "invalid"), ("\u{1f4a5}", "invalid")] {
        let before = identified(&serin, result);
        assert_eq!(serin.ask(&Ask::new("POST", "/").json(body)).text(), "blue", "{body}");
        assert_eq!(identified(&serin, result), before + 1.0, "{body}");
    }
    assert_eq!(serin.ask(&Ask::new("GET", "/")).text(), "blue");
    serin.counted("stable", "ok", 5);
    assert_eq!((serin.evidence("stable"), serin.evidence("canary")), ([0; 4], [0; 4]));
}

#[test]
fn the_platforms_retries_are_counted_and_are_no_evidence() {
    let (blue, green) = two_upstreams();
    let retry =
        Ask::new("POST", "/").json("{\"team_id\":\"T1\"}").field("X-Slack-Retry-Num", "1").field("X-Slack-Retry-Reason", "http_timeout");
    for (line, wanted, track) in [("retries = \"assigned\"", "green", "canary"), ("retries = \"stable\"", "blue", "stable")] {
        let config = Config::identified("preset = \"slack\"", blue.address, green.address).weight("99.99%").bot(line);
        let serin = Serin::start(&config);
        assert_eq!(serin.ask(&retry).text(), wanted, "{line}");
        serin.counted(track, "ok", 1);
        let labels = [("track", track), ("reason", "http_timeout")];
        assert_eq!(serin.metrics().sum("serin_platform_retries_total", &labels), 1.0);
        assert_eq!((serin.evidence("stable"), serin.evidence("canary")), ([0; 4], [0; 4]));
    }
}

#[test]
fn a_handshake_goes_to_stable_and_is_no_evidence() {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&Config::identified("preset = \"slack\"", blue.address, green.address).weight("99.99%"));
    let handshake = Ask::new("POST", "/").json(r#"{"type":"url_verification","challenge":"c","team_id":"T1"}"#);
    assert_eq!(serin.ask(&handshake).text(), "blue");
    serin.counted("stable", "ok", 1);
    assert_eq!(serin.metrics().sum("serin_handshakes_total", &[]), 1.0);
    assert_eq!((serin.evidence("stable"), serin.evidence("canary")), ([0; 4], [0; 4]));
}

#[test]
fn every_byte_of_a_body_passes_in_any_framing() {
    let blue = Upstream::answering("blue");
    for by in ["header:X-Workspace", "json:/id"] {
        let serin = Serin::start(&Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address));
        let mut client = serin.client();
        for length in [0, 1, 100, 65_535, 65_536, 300_000] {
            let body = noise(length);
            assert_eq!(client.ask(&Ask::of("T1").body(&body)).text(), "blue");
            assert!(blue.requests().last().unwrap().body == body, "{by}, {length} bytes");
            let head = b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = if length == 0 { Vec::new() } else { [format!("{length:x}\r\n").as_bytes(), &body, b"\r\n"].concat() };
            client.send(&[&head[..], &chunk, b"0\r\n\r\n"].concat());
            assert_eq!(client.answer().unwrap().text(), "blue");
            assert!(blue.requests().last().unwrap().body == body, "{by}, {length} bytes, chunked");
        }
        serin.counted("stable", "ok", 12);
    }
}

#[test]
fn a_request_names_its_client_and_keeps_its_host_path_and_fields() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let ask = Ask::new("POST", "/a%2Fb/../c?x=1&y=%20").field("X-Workspace", "T1").field("X-Slack-Signature", "v0=ab").body(b"{}");
    let ask = ask.field("Connection", "X-Hop").field("X-Hop", "1").field("X-Forwarded-For", "9.9.9.9").field("Proxy-Authorization", "x");
    assert_eq!(serin.ask(&ask.host("Bot.Example:8443")).status, 200);
    let request = blue.only_request();
    assert_eq!(request.line(), "POST /a%2Fb/../c?x=1&y=%20 HTTP/1.1");
    for (name, value) in [
        ("host", Some("Bot.Example:8443")),
        ("x-slack-signature", Some("v0=ab")),
        ("x-forwarded-for", Some("127.0.0.1")),
        ("x-forwarded-host", Some("Bot.Example:8443")),
        ("x-forwarded-proto", Some("http")),
        ("via", Some("1.1 serin")),
        ("x-hop", None),
        ("proxy-authorization", None),
    ] {
        assert_eq!(request.field(name), value, "{name}");
    }
}

#[test]
fn an_upstream_that_routes_by_host_sees_its_own() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).bot("host = \"upstream\""));
    assert_eq!(serin.ask(&Ask::of("T1")).status, 200);
    let request = blue.only_request();
    assert_eq!(request.field("host"), Some(blue.address.to_string().as_str()));
    assert_eq!(request.field("x-forwarded-host"), Some("bot.example"));
}

#[test]
fn a_client_that_expects_100_continue_receives_it() {
    let blue = Upstream::answering("blue");
    for by in ["header:X-Workspace", "json:/id"] {
        let serin = Serin::start(&Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address));
        let mut client = serin.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nExpect: 100-continue\r\nContent-Length: 8\r\n\r\n");
        let head = client.wire.head().unwrap().unwrap();
        assert!(head.starts_with("HTTP/1.1 100"), "{by}: {head}");
        client.send(b"{\"id\":1}");
        assert_eq!(client.answer().unwrap().text(), "blue", "{by}");
    }
}

const REFUSAL: &[u8] = b"HTTP/1.1 401 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";

/// A bot may refuse a body before it has read it: the client sees the refusal.
#[test]
fn an_answer_before_the_body_was_read_is_the_answer() {
    let blue = Upstream::raw(|mut wire| {
        if let Ok(Some(_)) = wire.head() {
            let _ = wire.write(REFUSAL);
            while wire.exactly(1).is_ok() {}
        }
    });
    refused_early(&blue);
}

/// The same of a bot that closes at once, body unread: its kernel sends a reset after the answer.
#[test]
fn an_answer_before_a_reset_is_the_answer() {
    let blue = Upstream::raw(|mut wire| {
        if let Ok(Some(_)) = wire.head() {
            let _ = wire.write(REFUSAL);
        }
    });
    refused_early(&blue);
}

#[track_caller]
fn refused_early(blue: &Upstream) {
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let ask = Ask::of("T1").body(&noise(MIB)).bytes();
    let turns = crate::harness::turns(20);
    for turn in 0..turns {
        let mut client = serin.client();
        client.send(&ask[..100_000]);
        let answer = client.answer().unwrap();
        assert_eq!((answer.status, answer.text()), (401, "no"), "turn {turn}");
    }
    serin.counted("stable", "rejected", turns);
}

/// The client breaks its body off while it reads an early answer. To the upstream that body never ends: neither is it
/// made to look whole, nor does the next request become its rest.
#[test]
fn a_body_that_breaks_off_under_an_early_answer_never_looks_whole() {
    for framing in ["Content-Length: 10", "Transfer-Encoding: chunked"] {
        let (sent, seen) = std::sync::mpsc::sync_channel(1);
        let blue = Upstream::raw(move |mut wire| {
            let head = wire.head().unwrap().unwrap();
            if !head.contains("X-Early") {
                let _ = wire.write(&crate::harness::ok("next"));
                return;
            }
            let _ = wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nearl");
            let part = if head.contains("chunked") { &b"4\r\nhalf\r\n"[..] } else { b"half" };
            assert_eq!(wire.exactly(part.len()).unwrap(), part);
            std::thread::sleep(std::time::Duration::from_millis(200));
            let _ = wire.write(b"y bi");
            let _ = sent.send(wire.body(crate::harness::Framing::UntilClose));
        });
        let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
        let mut client = serin.client();
        let part = if framing.contains("chunked") { "4\r\nhalf\r\n" } else { "half" };
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nX-Early: yes\r\n{framing}\r\n\r\n{part}").as_bytes());
        assert!(client.wire.head().unwrap().is_some());
        client.finish_sending();
        let _ = client.wire.exactly(8);
        assert_eq!(serin.ask(&Ask::of("T1")).text(), "next", "{framing}");
        let rest = seen.recv_timeout(crate::harness::PATIENCE).expect("the upstream's connection is closed");
        assert_eq!(String::from_utf8_lossy(&rest.unwrap_or_default()), "", "{framing}");
    }
}

/// The client resets while its body waits for an upstream that takes no more.
#[test]
fn a_body_whose_client_is_gone_never_looks_whole() {
    for framing in ["Content-Length: 100000000", "Transfer-Encoding: chunked"] {
        let (sent, seen) = std::sync::mpsc::sync_channel(1);
        let blue = Upstream::raw(move |mut wire| {
            let _ = wire.head();
            // serin checks more often than this whether a client is still connected.
            std::thread::sleep(std::time::Duration::from_millis(1_500));
            let _ = sent.send(wire.body(crate::harness::Framing::UntilClose));
        });
        let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
        let mut client = serin.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\n{framing}\r\n\r\n").as_bytes());
        let chunk = [&b"10000\r\n"[..], &noise(0x10000), b"\r\n"].concat();
        client.write_at_most(std::time::Duration::from_millis(200));
        while client.wire.write(&chunk).is_ok() {}
        client.reset();
        let got = seen.recv_timeout(crate::harness::PATIENCE).expect("the upstream's connection is closed").unwrap_or_default();
        assert!(got.len() > MIB && !got.ends_with(b"\r\n0\r\n\r\n"), "{framing}: {} bytes, and an end", got.len());
        serin.counted("stable", "aborted", 1);
    }
}

#[test]
fn ambiguous_framing_is_refused_and_the_connection_closed() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    for (fields, status, code) in [
        ("Content-Length: 5\r\nContent-Length: 6\r\n", 400, "bad_framing"),
        ("Content-Length: 5, 6\r\n", 400, "bad_framing"),
        ("Content-Length: +5\r\n", 400, "bad_framing"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", 400, "bad_framing"),
        ("Transfer-Encoding: gzip, chunked\r\n", 501, "transfer_coding"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501, "transfer_coding"),
        ("Transfer-Encoding: xchunked\r\n", 400, "bad_framing"),
        ("Host: b\r\n", 400, "bad_host"),
    ] {
        let mut client = serin.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\n{fields}\r\n0\r\n\r\n").as_bytes());
        let answer = client.answer().unwrap();
        answer.is_problem(status, code);
        assert_eq!(answer.field("connection"), Some("close"));
        client.wire.end().unwrap();
    }
    assert_eq!(blue.count(), 0);
    serin.counted_in_all(0);
}

/// What a second parser could take for another request is the body of the first, or nothing.
#[test]
fn a_request_within_a_body_is_a_body() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1));
    let inner = b"POST /smuggled HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 0\r\n\r\n";
    let mut client = serin.client();
    assert_eq!(client.ask(&Ask::of("T1").body(inner)).status, 200);
    let both = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n",
        inner.len()
    );
    client.send(&[both.as_bytes(), inner, b"\r\n0\r\n\r\n"].concat());
    let _ = client.answer();
    drop(client);
    serin.ask(&Ask::of("T1"));
    assert!(blue.requests().iter().all(|request| !request.line().contains("smuggled")), "{:?}", blue.requests());
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let blue = Upstream::scripted(|request, wire| {
        let _ = wire.write(&crate::harness::ok(request.line()));
        Then::KeepAlive
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let mut client = serin.client();
    let asks: Vec<u8> = (0..10).flat_map(|i| Ask::new("POST", &format!("/{i}")).field("X-Workspace", "T1").body(b"{}").bytes()).collect();
    client.send(&asks);
    for i in 0..10 {
        assert_eq!(client.answer().unwrap().text(), format!("POST /{i} HTTP/1.1"));
    }
    serin.counted("stable", "ok", 10);
}

#[test]
fn trailers_pass() {
    let (sent, seen) = std::sync::mpsc::sync_channel(1);
    let blue = Upstream::raw(move |mut wire| {
        while let Ok(Some(head)) = wire.head() {
            let body = wire.exactly(b"8\r\n{\"id\":1}\r\n0\r\n".len());
            let trailers = wire.head();
            let _ = sent.send((head, body, trailers));
            let _ = wire.write(&crate::harness::ok("blue"));
        }
    });
    for by in ["header:X-Workspace", "json:/id"] {
        let serin = Serin::start(&Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address));
        let mut client = serin.client();
        client
            .send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(b"8\r\n{\"id\":1}\r\n0\r\nX-Sum: 7\r\n\r\n");
        assert_eq!(client.answer().unwrap().text(), "blue", "{by}");
        let (head, body, trailers) = seen.recv().unwrap();
        assert!(head.to_lowercase().contains("trailer: x-sum"), "{by}: {head}");
        assert_eq!(body.unwrap(), b"8\r\n{\"id\":1}\r\n0\r\n", "{by}");
        assert_eq!(trailers.unwrap().unwrap().to_lowercase(), "x-sum: 7\r\n\r\n", "{by}");
    }
}
