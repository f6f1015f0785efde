//! Time limits, and the outcome that is counted: of upstreams that answer late or never, and of clients that send slowly, read nothing,
//! or hang up.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::harness::{Ask, Client, Config, Framing, Serin, Then, Upstream, eventually, ok};

/// Answers each request after this time.
fn slow(after: Duration) -> Upstream {
    Upstream::scripted(move |_, wire| {
        std::thread::sleep(after);
        let _ = wire.write(&ok("at last"));
        Then::KeepAlive
    })
}

const MS: Duration = Duration::from_millis(1);

fn split(upstream: &Upstream) -> Config {
    Config::split(upstream.address, upstream.address)
}

#[test]
fn an_answer_after_the_deadline_is_passed_on_and_counts_as_late() {
    let blue = slow(150 * MS);
    let serin = Serin::start(&split(&blue).bot("deadline = \"100ms\""));
    let answer = serin.ask(&Ask::of("T1"));
    assert_eq!((answer.status, answer.text()), (200, "at last"));
    serin.counted("stable", "late", 1);
    serin.evidence_is("stable", [1, 0, 1, 0]);
    assert!(serin.bot()["tracks"]["stable"]["typical_ms"].as_f64().unwrap() >= 150.0);
}

#[test]
fn an_answer_before_the_deadline_is_not_late_however_long_its_body_takes() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
        std::thread::sleep(600 * MS);
        let _ = wire.write(b"half");
        Then::KeepAlive
    });
    let serin = Serin::start(&split(&blue).bot("deadline = \"500ms\""));
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "halfhalf");
    serin.counted("stable", "ok", 1);
}

#[test]
fn an_upstream_that_never_answers_is_given_up_at_the_timeout() {
    let blue = Upstream::scripted(|request, wire| {
        if request.field("x-workspace") == Some("T1") {
            let _ = wire.end();
        }
        let _ = wire.write(&ok("blue"));
        Then::KeepAlive
    });
    let serin = Serin::start(&split(&blue).bot("timeout = \"300ms\""));
    let mut client = serin.client();
    let started = Instant::now();
    client.ask(&Ask::of("T1")).is_problem(504, "upstream_timeout");
    assert!(started.elapsed() >= 300 * MS, "{:?}", started.elapsed());
    serin.evidence_is("stable", [1, 1, 0, 0]);
    assert_eq!(client.ask(&Ask::of("T2")).text(), "blue", "the connection serves on");
    assert_eq!(blue.connections(), 2, "the one that said nothing is not used again");
}

/// Half an answer is worse than a late one: the platform may take the part for the whole.
#[test]
fn an_answer_that_is_late_and_breaks_off_is_an_error() {
    for (head, end) in [
        ("Content-Length: 18", Broken::Closed),
        ("Content-Length: 18", Broken::Reset),
        ("Transfer-Encoding: chunked", Broken::Closed),
        ("Transfer-Encoding: chunked", Broken::Reset),
        ("Connection: close", Broken::Reset),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let blue = listener.local_addr().unwrap();
        let half = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n4\r\nhalf\r\n");
        let bot = std::thread::spawn(move || {
            let mut stream = listener.accept().unwrap().0;
            assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
            std::thread::sleep(150 * MS);
            stream.write_all(half.as_bytes()).unwrap();
            if end == Broken::Reset {
                // A reset destroys what was not read yet.
                std::thread::sleep(100 * MS);
                SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
            }
        });
        let serin = Serin::start(&Config::split(blue, blue).bot("deadline = \"100ms\""));
        let mut client = serin.client();
        client.send(&Ask::of("T1").bytes());
        assert!(client.wire.head().unwrap().unwrap().starts_with("HTTP/1.1 200"), "{head}, {end:?}");
        assert!(client.wire.body(Framing::Length(100)).is_err(), "{head}, {end:?}");
        bot.join().unwrap();
        serin.counted("stable", "error", 1);
        serin.evidence_is("stable", [1, 1, 0, 0]);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Closed,
    Reset,
}

#[test]
fn an_answer_that_breaks_off_is_an_error_after_its_client_gave_up_too() {
    let blue = Upstream::scripted(|_, wire| {
        std::thread::sleep(700 * MS);
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
        Then::Close
    });
    let serin = Serin::start(&split(&blue).bot("deadline = \"300ms\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    std::thread::sleep(400 * MS);
    client.reset();
    serin.counted("stable", "error", 1);
    serin.evidence_is("stable", [1, 1, 0, 0]);
}

#[test]
fn an_answer_that_stalls_is_cut_off_and_is_an_error() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf");
        let _ = wire.end();
        Then::Close
    });
    let serin = Serin::start(&split(&blue).bot("timeout = \"200ms\""));
    let broken = serin.client().try_ask(&Ask::of("T1"));
    assert_eq!(broken.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    serin.evidence_is("stable", [1, 1, 0, 0]);
}

#[test]
fn a_body_that_does_not_come_is_408() {
    let blue = Upstream::answering("blue");
    let config = Config::identified("workspace = \"json:/id\"", blue.address, blue.address).limit("body_timeout = \"200ms\"");
    let serin = Serin::start(&config);
    let mut client = serin.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n{\"id\"");
    let answer = client.answer().unwrap();
    answer.is_problem(408, "body_timeout");
    assert_eq!(answer.field("connection"), Some("close"));
    client.wire.end().unwrap();
    assert_eq!(blue.count(), 0);
    assert_eq!((serin.evidence("stable"), serin.errors("body_timeout")), ([0; 4], 1.0));
}

#[test]
fn a_streamed_body_that_does_not_come_is_408_and_no_error_of_the_bot() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&split(&blue).limit("body_timeout = \"200ms\""));
    let mut client = serin.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 20\r\n\r\nhalf");
    client.answer().unwrap().is_problem(408, "body_timeout");
    serin.counted("stable", "aborted", 1);
    serin.counted_in_all(1);
    assert_eq!(serin.evidence("stable"), [0; 4]);
}

#[test]
fn a_body_that_drips_steadily_is_waited_for() {
    let blue = Upstream::answering("blue");
    for by in ["header:X-Workspace", "json:/id"] {
        let config = Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address).limit("body_timeout = \"500ms\"");
        let serin = Serin::start(&config.limit("least_rate = \"1B\""));
        let mut client = serin.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 10\r\n\r\n");
        for byte in b"{\"id\": 12}" {
            std::thread::sleep(80 * MS);
            client.send(&[*byte]);
        }
        assert_eq!(client.answer().unwrap().text(), "blue", "{by}");
        serin.counted("stable", "ok", 1);
    }
    assert!(blue.requests().iter().all(|request| request.body == b"{\"id\": 12}"));
}

/// The bot is not to blame for a slow upload, whether serin holds the body or streams it.
#[test]
fn the_deadline_and_the_latency_begin_when_the_requests_body_is_whole() {
    let blue = slow(20 * MS);
    for by in ["header:X-Workspace", "json:/id"] {
        let config = Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address).bot("deadline = \"490ms\"");
        let serin = Serin::start(&config);
        let mut client = serin.client();
        upload_slowly(&mut client, 500 * MS);
        assert_eq!(client.answer().unwrap().text(), "at last", "{by}");
        serin.counted("stable", "ok", 1);
        serin.evidence_is("stable", [1, 0, 0, 0]);
        let typical = serin.bot()["tracks"]["stable"]["typical_ms"].as_f64().unwrap();
        assert!((20.0..500.0).contains(&typical), "{typical} ms, {by}");
        let metrics = serin.metrics();
        let first_byte = metrics.sum("serin_upstream_first_byte_seconds_sum", &[]);
        assert!((0.02..0.5).contains(&first_byte), "{first_byte} s, {by}");
        let duration = metrics.sum("serin_request_duration_seconds_sum", &[]);
        assert!(duration >= 0.5, "from the request's arrival: {duration} s, {by}");
    }
}

#[test]
fn an_answer_is_late_by_what_came_after_a_slow_upload() {
    let blue = slow(250 * MS);
    let serin = Serin::start(&split(&blue).bot("deadline = \"200ms\""));
    let mut client = serin.client();
    upload_slowly(&mut client, 300 * MS);
    assert_eq!(client.answer().unwrap().text(), "at last");
    serin.counted("stable", "late", 1);
    let typical = serin.bot()["tracks"]["stable"]["typical_ms"].as_f64().unwrap();
    assert!((250.0..550.0).contains(&typical), "{typical} ms");
}

#[test]
fn an_answer_before_the_body_is_whole_took_no_time() {
    let blue = Upstream::raw(|mut wire| {
        let _ = wire.head();
        std::thread::sleep(300 * MS);
        let _ = wire.write(b"HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
        let _ = wire.end();
    });
    let serin = Serin::start(&split(&blue).bot("deadline = \"100ms\""));
    let mut client = serin.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 20\r\n\r\nhalf");
    assert_eq!(client.answer().unwrap().status, 413);
    serin.counted("stable", "rejected", 1);
    serin.evidence_is("stable", [1, 0, 0, 1]);
    assert_eq!(serin.metrics().sum("serin_upstream_first_byte_seconds_sum", &[]), 0.0);
    let typical = serin.bot()["tracks"]["stable"]["typical_ms"].as_f64().unwrap();
    assert!((0.0..0.01).contains(&typical), "{typical} ms");
}

#[test]
fn a_client_that_hangs_up_within_its_slow_upload_is_an_abort() {
    let blue = slow(1_000 * MS);
    let serin = Serin::start(&split(&blue).bot("deadline = \"200ms\""));
    let mut client = serin.client();
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 20\r\n\r\nhalf");
    std::thread::sleep(400 * MS);
    client.reset();
    serin.counted("stable", "aborted", 1);
    assert_eq!(serin.evidence("stable"), [0; 4]);
}

#[test]
fn a_client_that_hangs_up_soon_after_its_slow_upload_is_an_abort() {
    let blue = slow(1_500 * MS);
    let serin = Serin::start(&split(&blue).bot("deadline = \"1s\""));
    let mut client = serin.client();
    upload_slowly(&mut client, 950 * MS);
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    client.reset();
    serin.counted("stable", "aborted", 1);
    assert_eq!(serin.evidence("stable"), [0; 4]);
}

/// Sends the head and half of the body, and the rest after this time.
fn upload_slowly(client: &mut Client, after: Duration) {
    client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 10\r\n\r\n{\"id\":");
    std::thread::sleep(after);
    client.send(b" 12}");
}

#[test]
fn a_head_that_does_not_come_whole_is_408() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&split(&blue).limit("head_timeout = \"200ms\""));
    for start in [&b"P"[..], b"POST / HTTP/1.1\r\nHost: a\r\n"] {
        let mut client = serin.client();
        client.send(start);
        let answer = client.answer().unwrap();
        answer.is_problem(408, "head_timeout");
        assert_eq!(answer.field("connection"), Some("close"));
        client.wire.end().unwrap();
    }
    // The second request of a connection as well.
    let mut client = serin.client();
    assert_eq!(client.ask(&Ask::of("T1")).status, 200);
    client.send(b"POST / HTTP/1.1\r\n");
    client.answer().unwrap().is_problem(408, "head_timeout");
    assert_eq!(serin.errors("head_timeout"), 3.0);
    serin.counted_in_all(1);
}

/// The rest of a head that began within another request's bytes is waited for no longer than any other.
#[test]
fn a_head_that_began_behind_another_request_is_408_too() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&split(&blue).limit("head_timeout = \"200ms\""));
    let mut client = serin.client();
    client.send(&[&Ask::of("T1").bytes()[..], b"POST / HTTP/1.1\r\nHost: a\r\n"].concat());
    assert_eq!(client.answer().unwrap().text(), "blue");
    client.answer().expect("an answer within the head's time").is_problem(408, "head_timeout");
}

#[test]
fn a_connection_without_a_request_is_closed_without_an_answer() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&split(&blue).limit("idle_timeout = \"200ms\""));
    serin.client().wire.end().unwrap();
    let mut client = serin.client();
    assert_eq!(client.ask(&Ask::of("T1")).status, 200);
    client.wire.end().unwrap();
}

#[test]
fn a_client_that_takes_nothing_of_its_answer_is_cut_off_and_is_no_evidence() {
    const SIZE: usize = 64 << 20;
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes());
        let piece = vec![b'x'; 1 << 20];
        for _ in 0..SIZE / piece.len() {
            if wire.write(&piece).is_err() {
                break;
            }
        }
        Then::Close
    });
    let serin = Serin::start(&split(&blue).limit("write_timeout = \"300ms\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    serin.counted("stable", "aborted", 1);
    assert_eq!(serin.evidence("stable"), [0; 4], "not the upstream's fault");
    assert!(client.answer().is_err(), "cut off");
}

/// The bot's work is not cancelled because its client left: its answer is read to the end.
#[test]
fn a_client_that_hangs_up_early_is_an_abort_and_the_upstream_finishes() {
    const SIZE: usize = 8 << 20;
    let whole = Arc::new(AtomicUsize::new(0));
    let count = whole.clone();
    let blue = Upstream::scripted(move |request, wire| {
        if request.field("x-workspace") != Some("T1") {
            let _ = wire.write(&ok("blue"));
            return Then::KeepAlive;
        }
        std::thread::sleep(1_200 * MS);
        let answer = [format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n").as_bytes(), &vec![b'x'; SIZE]].concat();
        count.fetch_add(usize::from(wire.write(&answer).is_ok()), Ordering::SeqCst);
        Then::KeepAlive
    });
    let serin = Serin::start(&split(&blue).workers(1).bot("deadline = \"3s\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    client.reset();
    serin.counted("stable", "aborted", 1);
    // serin may have read the last byte a moment before the upstream's write returns.
    eventually("the answer, taken whole", || (whole.load(Ordering::SeqCst) == 1).then_some(()));
    assert_eq!(serin.evidence("stable"), [0; 4]);
    assert_eq!(serin.ask(&Ask::of("T2")).text(), "blue");
    assert_eq!(blue.connections(), 1, "and its connection serves on");
}

#[test]
fn a_client_that_hangs_up_at_the_deadline_saw_a_late_answer() {
    let blue = slow(1_200 * MS);
    let serin = Serin::start(&split(&blue).bot("deadline = \"1s\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    std::thread::sleep(950 * MS);
    client.reset();
    serin.counted("stable", "late", 1);
    serin.evidence_is("stable", [1, 0, 1, 0]);
}

/// serin notices it at once. If it noticed it only with the upstream's answer, the deadline would have passed.
#[test]
fn a_client_that_hangs_up_before_the_deadline_is_an_abort() {
    let blue = slow(1_200 * MS);
    let serin = Serin::start(&split(&blue).bot("deadline = \"1s\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    client.reset();
    serin.counted("stable", "aborted", 1);
    assert_eq!(serin.evidence("stable"), [0; 4]);
}

/// The place of the request is free again after the timeout.
#[test]
fn a_request_whose_client_left_ends_at_the_timeout_if_the_upstream_never_answers() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.end();
        Then::Close
    });
    let serin = Serin::start(&split(&blue).bot("timeout = \"1500ms\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    client.reset();
    serin.counted_in_all(1);
    serin.nothing_in_flight();
}

#[test]
fn a_client_that_ends_its_side_after_a_whole_request_still_gets_its_answer() {
    let blue = slow(700 * MS);
    for by in ["header:X-Workspace", "json:/id"] {
        let serin =
            Serin::start(&Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address).bot("deadline = \"3s\""));
        let mut client = serin.client();
        client.send(&Ask::of("T1").json("{\"id\": 1}").bytes());
        client.finish_sending();
        assert_eq!(client.answer().unwrap().text(), "at last", "{by}");
        client.wire.end().unwrap();
        serin.counted("stable", "ok", 1);
        serin.evidence_is("stable", [1, 0, 0, 0]);
    }
}

#[test]
fn a_client_that_closes_its_side_within_its_body_is_no_error_of_the_bot() {
    let blue = Upstream::answering("blue");
    for (by, counted) in [("header:X-Workspace", 1), ("json:/id", 0)] {
        let serin = Serin::start(&Config::identified(&format!("workspace = \"{by}\""), blue.address, blue.address));
        let mut client = serin.client();
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\nContent-Length: 20\r\n\r\nhalf");
        client.finish_sending();
        client.answer().unwrap().is_problem(400, "body_broken");
        serin.counted("stable", "aborted", counted);
        serin.counted_in_all(counted);
        assert_eq!(serin.evidence("stable"), [0; 4]);
    }
}

#[test]
fn a_client_that_hangs_up_within_its_answer_is_an_abort() {
    let blue = Upstream::scripted(|_, wire| {
        let _ = wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..100 {
            std::thread::sleep(20 * MS);
            if wire.write(b"4\r\nmore\r\n").is_err() {
                return Then::Close;
            }
        }
        let _ = wire.write(b"0\r\n\r\n");
        Then::KeepAlive
    });
    let serin = Serin::start(&split(&blue));
    let mut client = serin.client();
    client.send(&Ask::of("T1").bytes());
    client.wire.head().unwrap();
    client.reset();
    serin.counted("stable", "aborted", 1);
    assert_eq!(serin.evidence("stable"), [0; 4]);
}

#[test]
fn many_clients_that_reset_leave_nothing_behind() {
    let blue = slow(20 * MS);
    let serin = Serin::start(&split(&blue));
    let n = crate::harness::turns(40);
    for i in 0..n {
        let mut client = serin.client();
        client.send(&Ask::of(&format!("T{i}")).bytes());
        client.reset();
    }
    eventually("all that arrived are counted", || {
        serin.nothing_in_flight();
        (serin.metrics().sum("serin_requests_total", &[]) == blue.count() as f64).then_some(())
    });
}
