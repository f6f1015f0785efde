//! Connections that change to another protocol: the handshake is a request like any other, then bytes pass both ways.

use std::sync::mpsc;
use std::time::Duration;

use crate::harness::{Ask, Client, Config, Handle, Process, Serin, Upstream, eventually};

const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\r\n";
/// A close frame with the code 1001, as a server and as a client sends it.
const GOING_AWAY: [&[u8]; 2] = [&[0x88, 2, 0x03, 0xe9], &[0x88, 0x82, 0x5a, 0x17, 0xc3, 0x6e, 0x59, 0xfe]];

/// Agrees, says `hi` at once, and answers each message of five bytes with it twice. Sends what comes at the end to the channel.
fn echoing() -> (mpsc::Receiver<Vec<u8>>, Upstream) {
    let (ended, rest) = mpsc::sync_channel(1);
    let upstream = Upstream::raw(move |mut wire| {
        let Ok(Some(head)) = wire.head() else { return };
        if !head.to_ascii_lowercase().contains("upgrade: websocket") {
            return wire.write(b"HTTP/1.1 426 Upgrade Required\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").unwrap();
        }
        wire.write(&[SWITCHED.as_bytes(), b"hi"].concat()).unwrap();
        while let Ok(message) = wire.exactly(5) {
            wire.write(&[&message[..], &message].concat()).unwrap();
        }
        let _ = ended.send(wire.unread());
    });
    (rest, upstream)
}

fn ask() -> Ask {
    let ask = Ask::new("GET", "/live").field("X-Workspace", "T1");
    ask.field("Connection", "keep-alive, Upgrade").field("Upgrade", "websocket").field("Sec-WebSocket-Key", "x")
}

/// Sends the handshake. Returns the connection and the answer's head.
fn switch(serin: &Handle) -> (Client, String) {
    let mut client = serin.client();
    client.send(&ask().bytes());
    let head = client.wire.head().unwrap().unwrap();
    (client, head)
}

fn tunnels(serin: &Handle, count: f64) {
    eventually(&format!("{count} upgraded"), || (serin.metrics().sum("serin_upgraded_connections", &[]) == count).then_some(()));
}

#[test]
fn bytes_pass_both_ways_after_the_handshake() {
    let (rest, blue) = echoing();
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let (mut client, head) = switch(&serin);
    for part in ["HTTP/1.1 101 Switching Protocols\r\n", "sec-websocket-accept: x\r\n", "connection: upgrade\r\n", "upgrade: websocket\r\n"]
    {
        assert!(head.to_ascii_lowercase().contains(&part.to_ascii_lowercase()), "{head}");
    }
    assert!(!head.to_ascii_lowercase().contains("content-length"), "{head}");
    tunnels(&serin, 1.0);
    serin.counted("stable", "ok", 1);
    assert_eq!(serin.metrics().sum("serin_inflight_requests", &[]), 0.0, "what is recorded is the handshake");
    assert_eq!(client.wire.exactly(2).unwrap(), b"hi");
    for message in [b"hello", b"\x81\x03abc", b"GET /"] {
        client.send(message);
        assert_eq!(client.wire.exactly(10).unwrap(), [&message[..], message].concat());
    }
    client.send(b"bye");
    client.finish_sending();
    assert_eq!(rest.recv().unwrap(), b"bye", "the client's end reaches the bot");
    client.wire.end().unwrap();
    tunnels(&serin, 0.0);
    serin.counted("stable", "ok", 1);
}

#[test]
fn a_side_that_has_ended_can_still_listen() {
    let blue = Upstream::raw(|mut wire| {
        let Ok(Some(_)) = wire.head() else { return };
        wire.write(SWITCHED.as_bytes()).unwrap();
        wire.end().unwrap();
        wire.write(&vec![b'x'; 300_000]).unwrap();
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let (mut client, _) = switch(&serin);
    client.finish_sending();
    assert_eq!(client.wire.exactly(300_000).unwrap().len(), 300_000);
    client.wire.end().unwrap();
}

#[test]
fn the_handshake_is_split_by_its_workspace() {
    let ((_blue_rest, blue), (_green_rest, green)) = (echoing(), echoing());
    let serin = Serin::start(&Config::split(blue.address, green.address).table("pins", &["canary = [\"T1\"]"]));
    let (_client, head) = switch(&serin);
    assert!(head.starts_with("HTTP/1.1 101"));
    assert_eq!((blue.connections(), green.connections()), (0, 1));
    let canary = serin.metrics().sum("serin_upgraded_connections", &[("track", "canary")]);
    assert_eq!(canary, 1.0);
}

#[test]
fn an_answer_that_does_not_agree_is_an_answer() {
    let (_rest, blue) = echoing();
    let serin = Serin::start(&Config::split(blue.address, blue.address));
    let plain = serin.ask(&Ask::of("T1"));
    assert_eq!(plain.status, 426);
    for refused in ["h2c", "HTTP/2.0", "TLS/1.0", "websocket, h2c"] {
        let ask = Ask::of("T1").field("Connection", "Upgrade, HTTP2-Settings").field("HTTP2-Settings", "").field("Upgrade", refused);
        assert_eq!(serin.ask(&ask).status, 426, "{refused} does not pass");
    }
}

#[test]
fn a_change_that_nobody_asked_for_is_an_error() {
    for (answer, asks) in [(SWITCHED, false), ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\n\r\n", true)] {
        let blue = Upstream::saying(answer);
        let serin = Serin::start(&Config::split(blue.address, blue.address));
        let answer = serin.ask(&if asks { ask() } else { Ask::of("T1") });
        assert_eq!((answer.status, answer.field("serin-error")), (502, Some("upstream_invalid")));
    }
}

#[test]
fn a_silent_tunnel_ends() {
    let (rest, blue) = echoing();
    let serin = Serin::start(&Config::split(blue.address, blue.address).limit("tunnel_timeout = \"500ms\""));
    let (mut client, _) = switch(&serin);
    assert_eq!(client.wire.exactly(2).unwrap(), b"hi");
    for _ in 0..4 {
        std::thread::sleep(Duration::from_millis(250));
        client.send(b"hello");
        assert_eq!(client.wire.exactly(10).unwrap(), b"hellohello");
    }
    client.wire.end().unwrap();
    assert_eq!(rest.recv().unwrap(), b"");
    tunnels(&serin, 0.0);
}

#[test]
fn a_drain_says_goodbye_at_the_border_of_two_frames() {
    let (rest, blue) = echoing();
    let mut process = Process::start(&Config::split(blue.address, blue.address));
    let (mut client, _) = switch(&process);
    assert_eq!(client.wire.exactly(2).unwrap(), b"hi");
    // The bot is in the middle of a frame: `hi` says that 105 bytes follow.
    client.send(b"\x81\x03abc");
    assert_eq!(client.wire.exactly(10).unwrap(), b"\x81\x03abc\x81\x03abc");
    process.signal(libc::SIGTERM);
    let goodbye = rest.recv().unwrap();
    assert_eq!(goodbye, GOING_AWAY[1][5..], "the first five bytes were a message to the bot");
    assert_eq!(client.wire.exactly(10).unwrap(), [&GOING_AWAY[1][..5], &GOING_AWAY[1][..5]].concat());
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn the_client_hears_the_goodbye_too() {
    let blue = Upstream::raw(|mut wire| {
        let Ok(Some(_)) = wire.head() else { return };
        wire.write(&[SWITCHED.as_bytes(), b"\x81\x03abc"].concat()).unwrap();
        let _ = wire.exactly(GOING_AWAY[1].len());
        let _ = wire.end();
    });
    let mut process = Process::start(&Config::split(blue.address, blue.address));
    let (mut client, _) = switch(&process);
    assert_eq!(client.wire.exactly(5).unwrap(), b"\x81\x03abc");
    process.signal(libc::SIGTERM);
    assert_eq!(client.wire.exactly(4).unwrap(), GOING_AWAY[0]);
    client.wire.end().unwrap();
    drop(client);
    assert_eq!(process.ended().code(), Some(0));
}
