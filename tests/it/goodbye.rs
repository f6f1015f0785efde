//! How serin ends connections in HTTP/2: every client hears which of its requests were taken, also one whose next request is under way.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::harness::{Client, Config, Process, Upstream, eventually, take_over};

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
/// The first GOAWAY allows every request, the second names the last one that was taken.
const EVERY: u32 = 0x7fff_ffff;

struct Frame {
    kind: u8,
    flags: u8,
    payload: Vec<u8>,
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

fn preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// POST / without a body, in HPACK by the static table.
fn request(stream: u32) -> Vec<u8> {
    frame(HEADERS, 5, stream, &[&[0x83, 0x86, 0x84, 0x01, 11][..], b"bot.example"].concat())
}

fn next(client: &mut Client) -> std::io::Result<Frame> {
    let head = client.wire.exactly(9)?;
    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
    Ok(Frame { kind: head[3], flags: head[4], payload: client.wire.exactly(length as usize)? })
}

/// Reads on to a GOAWAY, answers PINGs, and returns which request it names, and whether an answer came before it.
#[track_caller]
fn goodbye(client: &mut Client) -> (u32, bool) {
    let mut answered = false;
    loop {
        let frame = next(client).expect("a GOAWAY before the end");
        match frame.kind {
            GOAWAY => return (u32::from_be_bytes(frame.payload[..4].try_into().unwrap()), answered),
            PING if frame.flags == 0 => client.send(&self::frame(PING, 1, 0, &frame.payload)),
            HEADERS => answered = true,
            _ => (),
        }
    }
}

/// A close while a request is under way would reset the connection, and with it what the client has yet to read: the GOAWAY. A client
/// without it cannot know that its request was not taken.
#[test]
fn a_request_that_crosses_the_goodbye_does_not_reset_the_connection() {
    let blue = Upstream::answering("blue");
    let config = Config::split(blue.address, blue.address).proxy("http2 = \"all\"").limit("head_timeout = \"300ms\"");
    let serin = Process::start(&config);
    eventually("an attempt within serin's patience", || {
        let mut client = serin.client();
        client.send(&preface());
        assert_eq!(goodbye(&mut client).0, EVERY);
        assert_eq!(goodbye(&mut client).0, 0);
        client.wire.end().unwrap();
        let since = Instant::now();
        let written = (0..10).try_for_each(|turn| {
            std::thread::sleep(Duration::from_millis(10));
            client.wire.write(&request(2 * turn + 1))
        });
        // serin waits for 2 s. On a busy machine this may have taken longer.
        (since.elapsed() < Duration::from_secs(1)).then(|| written.expect("the connection is not reset"))
    });
    assert_eq!(blue.count(), 0);
    serin.end();
}

#[test]
fn a_client_that_had_sent_nothing_when_serin_retired_is_answered_and_hears_the_goodbye() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    let config = Config::split(blue.address, blue.address).proxy("http2 = \"all\"").limit("head_timeout = \"60s\"").drain("60s");
    std::fs::write(&path, config.text()).unwrap();
    let mut older = Process::start_with(&path);
    // It speaks HTTP/2, but its preface is not whole.
    let mut client = older.client();
    client.send(&preface()[..20]);
    eventually("the connection is open", || (older.metrics().sum("serin_client_connections", &[]) == 1.0).then_some(()));
    let newer = Process::start_by(take_over(), &path);
    older.logged("a newer serin serves now");
    // Longer than a client has that stays after the goodbye.
    std::thread::sleep(Duration::from_millis(2_500));
    client.send(&[&preface()[20..], &request(1)].concat());
    let (mut last, mut answered) = (EVERY, false);
    while last == EVERY {
        let (said, came) = goodbye(&mut client);
        (last, answered) = (said, answered || came);
    }
    while !answered {
        answered = next(&mut client).expect("an answer before the end").kind == HEADERS;
    }
    assert_eq!(last, 1);
    loop {
        match next(&mut client) {
            Ok(_) => (),
            Err(error) => break assert_eq!(error.kind(), ErrorKind::UnexpectedEof),
        }
    }
    drop(client);
    assert_eq!(older.ended().code(), Some(0));
    newer.end();
}
