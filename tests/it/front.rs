//! Who is in front: which clients' statements about a request's origin are believed, and PROXY headers.

use std::net::SocketAddr;

use crate::harness::{Ask, Client, Config, Serin, Upstream, eventually};

const SAID: [(&str, &str); 5] = [
    ("X-Forwarded-For", "192.0.2.7"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Port", "443"),
    ("X-Real-IP", "192.0.2.7"),
    ("Forwarded", "for=192.0.2.7;proto=https"),
];

fn saying() -> Ask {
    SAID.iter().fold(Ask::of("T1"), |ask, (name, value)| ask.field(name, value))
}

#[test]
fn only_a_trusted_proxy_is_believed() {
    let blue = Upstream::answering("blue");
    let own = Some("for=127.0.0.1;host=\"bot.example\";proto=http");
    let dropped = [Some("127.0.0.1"), Some("http"), None, None, own];
    let believed = [
        Some("192.0.2.7, 127.0.0.1"),
        Some("https"),
        Some("443"),
        Some("192.0.2.7"),
        Some("for=192.0.2.7;proto=https, for=127.0.0.1;host=\"bot.example\";proto=http"),
    ];
    for (line, wanted) in
        [("", dropped), ("trusted_proxies = [\"10.0.0.0/8\"]", dropped), ("trusted_proxies = [\"10.0.0.0/8\", \"127.0.0.0/8\"]", believed)]
    {
        let serin = Serin::start(&Config::split(blue.address, blue.address).proxy(line));
        assert_eq!(serin.ask(&saying()).status, 200);
        let request = blue.requests().pop().unwrap();
        assert_eq!(SAID.map(|(name, _)| request.field(name)), wanted, "{line:?}");
        assert_eq!(serin.ask(&Ask::of("T1")).status, 200);
        assert_eq!(blue.requests().pop().unwrap().field("forwarded"), None, "{line:?}: nobody asked for it");
    }
}

#[test]
fn a_header_with_an_underscore_is_refused_dropped_or_passed() {
    let blue = Upstream::answering("blue");
    let ask = Ask::of("T1").field("X_Team", "T2");
    for (line, status, passed) in [("", 400, None), ("underscores = \"drop\"", 200, None), ("underscores = \"pass\"", 200, Some("T2"))] {
        let serin = Serin::start(&Config::split(blue.address, blue.address).proxy(line));
        let answer = serin.ask(&ask);
        assert_eq!(answer.status, status, "{line:?}");
        match status {
            400 => assert_eq!((answer.field("serin-error"), blue.requests().len()), (Some("header_name"), 0)),
            _ => assert_eq!(blue.requests().pop().unwrap().field("x_team"), passed, "{line:?}"),
        }
    }
}

fn with_proxy_headers(blue: SocketAddr, trusted: &str) -> Config {
    Config::split(blue, blue).proxy("proxy_protocol = true").proxy(&format!("trusted_proxies = [\"{trusted}\"]"))
}

/// `PROXY` with a client's address, version 2.
fn version_2(client: [u8; 4]) -> Vec<u8> {
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"[..], &client, &[10, 0, 0, 1, 0x13, 0x88, 1, 0xbb]].concat()
}

#[test]
fn a_proxy_header_names_the_client() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&with_proxy_headers(blue.address, "127.0.0.1"));
    for (header, client) in [
        (b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n".to_vec(), "192.0.2.7"),
        (b"PROXY TCP6 2001:db8::7 ::1 5000 443\r\n".to_vec(), "2001:db8::7"),
        (version_2([192, 0, 2, 8]), "192.0.2.8"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
    ] {
        let mut at_once = serin.client();
        at_once.send(&[&header[..], &Ask::of("T1").bytes()].concat());
        assert_eq!(at_once.answer().unwrap().status, 200);
        assert_eq!(blue.requests().pop().unwrap().field("x-forwarded-for"), Some(client));
        assert_eq!(at_once.ask(&Ask::of("T1")).status, 200, "one header for the whole connection");
        let mut slowly = serin.client();
        header.iter().for_each(|byte| slowly.send(&[*byte]));
        assert_eq!(slowly.ask(&Ask::of("T1")).status, 200);
        assert_eq!(blue.requests().pop().unwrap().field("x-forwarded-for"), Some(client));
    }
}

/// Waits until serin has counted this many closed connections.
fn closed(serin: &Serin, reason: &str, count: f64) {
    eventually(reason, || (serin.metrics().sum("serin_client_connections_closed_total", &[("reason", reason)]) == count).then_some(()));
}

fn is_closed(mut client: Client) {
    let answer = client.wire.head();
    assert!(matches!(answer, Ok(None) | Err(_)), "no answer: {answer:?}");
}

#[test]
fn a_proxy_header_is_required_or_refused() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&with_proxy_headers(blue.address, "127.0.0.1"));
    for bytes in [Ask::of("T1").bytes(), b"PROXY TCP4 nobody\r\n".to_vec()] {
        let mut client = serin.client();
        client.send(&bytes);
        is_closed(client);
    }
    closed(&serin, "proxy_header", 2.0);
    let stranger = Serin::start(&with_proxy_headers(blue.address, "10.0.0.0/8"));
    let mut client = stranger.client();
    client.send(&[&version_2([192, 0, 2, 8])[..], &Ask::of("T1").bytes()].concat());
    is_closed(client);
    closed(&stranger, "not_trusted", 1.0);
    let without = Serin::start(&Config::split(blue.address, blue.address).proxy("trusted_proxies = [\"127.0.0.1\"]"));
    let mut client = without.client();
    client.send(&[&b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n"[..], &Ask::of("T1").bytes()].concat());
    assert_eq!(client.answer().unwrap().status, 400);
    assert_eq!(blue.requests().len(), 0);
}

#[test]
fn a_proxy_header_must_come_in_time() {
    let blue = Upstream::answering("blue");
    let config = with_proxy_headers(blue.address, "127.0.0.1").limit("head_timeout = \"300ms\"");
    let serin = Serin::start(&config);
    let mut client = serin.client();
    client.send(b"PROXY TCP4 192.0.2.7");
    is_closed(client);
    closed(&serin, "silent", 1.0);
    eventually("no connection is open", || (serin.metrics().sum("serin_client_connections", &[]) == 0.0).then_some(()));
}
