//! Clients that are silent, slow or many: each has its bounds, and none keeps the others out.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::harness::{Ask, Client, Config, Handle, Serin, Upstream, eventually};

const MS: Duration = Duration::from_millis(1);

fn closed(serin: &Handle, reason: &str, count: f64) {
    eventually(&format!("{count} closed for {reason}"), || {
        (serin.metrics().sum("serin_client_connections_closed_total", &[("reason", reason)]) == count).then_some(())
    });
}

fn split(blue: &Upstream) -> Config {
    Config::split(blue.address, blue.address).workers(1)
}

#[test]
fn a_client_that_never_asks_is_closed_after_the_head_timeout() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&split(&blue).limit("head_timeout = \"500ms\""));
    let (mut silent, mut served) = (serin.client(), serin.client());
    assert_eq!(served.ask(&Ask::of("T1")).status, 200);
    let begun = Instant::now();
    silent.wire.end().unwrap();
    assert!((400 * MS..5_000 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
    closed(&serin, "silent", 1.0);
    std::thread::sleep(700 * MS);
    assert_eq!(served.ask(&Ask::of("T1")).status, 200, "the idle timeout is another one");
}

#[test]
fn when_all_connections_are_in_use_the_longest_resting_goes() {
    let (release, blue) = Upstream::holding("blue", |request, _| request.field("x-workspace") == Some("T-held"));
    let config = split(&blue).limit("max_connections = 4").limit("max_connections_per_source = 4");
    let serin = Serin::start(&config);
    let mut held = serin.client();
    held.send(&Ask::of("T-held").bytes());
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    let (mut slow, mut resting, mut late) = (serin.client(), serin.client(), serin.client());
    slow.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 1000\r\n\r\nx");
    std::thread::sleep(300 * MS);
    assert_eq!(resting.ask(&Ask::of("T1")).status, 200);
    std::thread::sleep(300 * MS);
    assert_eq!(late.ask(&Ask::of("T1")).status, 200);
    // One more at a time, each on a connection of its own that stays open: the others go in the order in which they began to wait.
    let mut new: Vec<Client> = Vec::new();
    for (gone, others) in [(&mut slow, 1.0), (&mut resting, 2.0), (&mut late, 3.0)] {
        let mut client = serin.client();
        assert_eq!(client.ask(&Ask::of("T2")).status, 200);
        new.push(client);
        assert!(gone.wire.head().is_ok_and(|head| head.is_none()) || gone.wire.end().is_err());
        closed(&serin, "full", others);
    }
    release.send(()).unwrap();
    assert_eq!(held.answer().unwrap().status, 200, "who waits for an answer stays");
}

#[test]
fn a_source_has_a_share_of_the_connections() {
    let (_release, blue) = Upstream::on_demand("blue");
    let serin = Serin::start(&split(&blue).limit("max_connections_per_source = 2"));
    let mut waiting = [serin.client(), serin.client()];
    waiting.iter_mut().for_each(|client| client.send(&Ask::of("T1").bytes()));
    eventually("two requests at the upstream", || (blue.count() == 2).then_some(()));
    let third = serin.client().try_ask(&Ask::of("T1"));
    assert!(third.is_err(), "{third:?}");
    closed(&serin, "source", 1.0);
}

#[test]
fn a_source_has_a_share_of_the_requests_in_flight() {
    let (release, blue) = Upstream::on_demand("blue");
    let config = split(&blue).limit("max_inflight_per_source = 1").proxy("trusted_proxies = [\"127.0.0.1\"]");
    let serin = Serin::start(&config);
    let from = |address: &str| Ask::of("T1").field("X-Forwarded-For", address);
    let (mut first, mut other) = (serin.client(), serin.client());
    first.send(&from("192.0.2.1").bytes());
    eventually("one request at the upstream", || (blue.count() == 1).then_some(()));
    let refused = serin.ask(&from("198.51.100.1, 192.0.2.1"));
    refused.is_problem(429, "source_limit");
    assert_eq!(refused.field("retry-after"), Some("1"));
    other.send(&from("192.0.2.2").bytes());
    eventually("another client's too", || (blue.count() == 2).then_some(()));
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!((first.answer().unwrap().status, other.answer().unwrap().status), (200, 200));
    serin.counted_in_all(2);
}

#[test]
fn a_source_may_have_a_rate() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&split(&blue).limit("max_rate_per_source = 20"));
    let mut client = serin.client();
    let statuses: Vec<u16> = (0..40).map(|_| client.ask(&Ask::of("T1")).status).collect();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert!((5..=20).contains(&refused), "{refused} of 40 at once");
    std::thread::sleep(1_200 * MS);
    assert_eq!(client.ask(&Ask::of("T1")).status, 200, "a second later there are more");
}

#[test]
fn a_body_must_keep_a_least_rate_and_a_total_time() {
    for (by, limits) in [
        ("header:X-Workspace", ["least_rate = \"1KiB\"", "body_timeout = \"500ms\""]),
        ("json:/id", ["least_rate = \"1KiB\"", "body_timeout = \"500ms\""]),
        ("header:X-Workspace", ["body_total = \"1s\"", "least_rate = \"1B\""]),
        ("json:/id", ["body_total = \"1s\"", "least_rate = \"1B\""]),
    ] {
        let blue = Upstream::answering("blue");
        let config = Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address);
        let serin = Serin::start(&limits.iter().fold(config, |config, limit| config.limit(limit)));
        let mut client = serin.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 1000\r\n\r\n");
        let begun = Instant::now();
        while begun.elapsed() < 20_000 * MS && client.wire.write(b"x").is_ok() {
            std::thread::sleep(100 * MS);
            if serin.errors("body_timeout") > 0.0 {
                break;
            }
        }
        client.answer().unwrap().is_problem(408, "body_timeout");
        assert!(begun.elapsed() < 5_000 * MS, "{by}, {limits:?}: {:?}", begun.elapsed());
        assert!(blue.requests().is_empty());
    }
}

#[test]
fn an_answer_has_a_total_time() {
    let blue = Upstream::scripted(|_, wire| {
        wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        while wire.write(b"1\r\nx\r\n").is_ok() {
            std::thread::sleep(50 * MS);
        }
        crate::harness::Then::Close
    });
    let serin = Serin::start(&split(&blue).limit("answer_total = \"1s\""));
    let begun = Instant::now();
    let answer = serin.client().try_ask(&Ask::of("T1"));
    assert!(answer.is_err(), "an answer without an end does not look whole: {answer:?}");
    assert!((800 * MS..5_000 * MS).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[test]
fn an_endless_answer_ends_with_its_client() {
    let blue = Upstream::scripted(|_, wire| {
        std::thread::sleep(300 * MS);
        wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
        while wire.write(b"1\r\nx\r\n").is_ok() {
            std::thread::sleep(20 * MS);
        }
        crate::harness::Then::Close
    });
    let serin = Serin::start(&split(&blue).bot("timeout = \"1s\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    client.reset();
    serin.counted("stable", "aborted", 1);
    eventually("the upstream's connection is closed", || (blue.closed() == 1).then_some(()));
}

#[test]
fn the_kernel_keeps_little_of_an_answer_for_a_client_that_does_not_read() {
    let blue = Upstream::scripted(|_, wire| {
        wire.write(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
        while wire.write(&[b'x'; 64 * 1024]).is_ok() {}
        crate::harness::Then::Close
    });
    let serin = Serin::start(&split(&blue));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    let kept = || sent_and_not_taken(serin.proxy, client.address());
    let mut before = 0;
    let resting = eventually("the answer is stuck", || {
        std::thread::sleep(200 * MS);
        let now = kept();
        (now > 0 && now == std::mem::replace(&mut before, now)).then_some(now)
    });
    assert!(resting <= 128 * 1024, "{resting} bytes");
    client.reset();
}

/// The bytes that the kernel keeps of what one end of a connection has sent and the other end's kernel has not taken.
fn sent_and_not_taken(from: SocketAddr, to: SocketAddr) -> usize {
    let hex = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => format!("{:08X}:{:04X}", u32::from_le_bytes(ip.octets()), address.port()),
        IpAddr::V6(_) => panic!("the tests use IPv4"),
    };
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let fields = table.lines().map(|line| line.split_whitespace().collect::<Vec<&str>>());
    let queues = fields.filter(|fields| fields[1] == hex(from) && fields[2] == hex(to)).map(|fields| fields[4].to_owned()).next();
    queues.map_or(0, |queues| usize::from_str_radix(queues.split(':').next().unwrap(), 16).unwrap())
}
