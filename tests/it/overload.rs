//! Bounds: a request above them is refused at once, or waits in the kernel, and is no evidence.

use std::io::ErrorKind;
use std::time::Duration;

use crate::harness::{Ask, Config, Process, Serin, Then, Upstream, eventually, ok};

#[test]
fn a_request_too_many_is_answered_at_once_and_is_no_evidence() {
    let (release, blue) = Upstream::on_demand("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1).limit("max_inflight = 2"));
    let mut clients = [serin.client(), serin.client(), serin.client()];
    clients[0].send(&Ask::of("T0").bytes());
    clients[1].send(&Ask::of("T1").bytes());
    eventually("two requests at the upstream", || (blue.count() == 2).then_some(()));
    assert_eq!(serin.metrics().sum("serin_inflight_requests", &[]), 2.0);
    for _ in 0..3 {
        let refused = clients[2].ask(&Ask::of("T2"));
        refused.is_problem(503, "overloaded");
        assert_eq!(refused.field("retry-after"), Some("1"));
    }
    release.send(()).unwrap();
    release.send(()).unwrap();
    assert_eq!(clients[0].answer().unwrap().status, 200);
    assert_eq!(clients[1].answer().unwrap().status, 200);
    serin.nothing_in_flight();
    release.send(()).unwrap();
    assert_eq!(clients[2].ask(&Ask::of("T2")).status, 200, "there is room again");
    serin.counted_in_all(3);
    serin.evidence_is("stable", [3, 0, 0, 0]);
    assert_eq!(serin.errors("overloaded"), 3.0);
}

/// The request of a client that left counts as in flight until the upstream has answered.
#[test]
fn a_request_whose_client_left_still_counts_as_in_flight() {
    let (release, blue) = Upstream::on_demand("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1).limit("max_inflight = 1"));
    let mut client = serin.client();
    client.send(&Ask::of("T0").bytes());
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    client.reset();
    serin.ask(&Ask::of("T1")).is_problem(503, "overloaded");
    // Time for serin to notice the reset. Otherwise the request would count as answered.
    std::thread::sleep(Duration::from_millis(100));
    serin.ask(&Ask::of("T1")).is_problem(503, "overloaded");
    release.send(()).unwrap();
    serin.counted("stable", "aborted", 1);
    release.send(()).unwrap();
    assert_eq!(serin.ask(&Ask::of("T1")).status, 200);
}

#[test]
fn a_connection_too_many_waits_until_another_ends() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1).limit("max_connections = 2"));
    let (mut first, mut second) = (serin.client(), serin.client());
    assert_eq!((first.ask(&Ask::of("T1")).status, second.ask(&Ask::of("T1")).status), (200, 200));
    let mut third = serin.client();
    third.send(&Ask::of("T3").bytes());
    third.wait_at_most(Duration::from_millis(200));
    assert_eq!(third.answer().unwrap_err().kind(), ErrorKind::WouldBlock, "it waits in the kernel's queue");
    assert_eq!(first.ask(&Ask::of("T1")).status, 200, "and those that are open are served");
    drop(second);
    third.wait_at_most(Duration::from_secs(10));
    assert_eq!(third.answer().unwrap().status, 200);
    serin.counted_in_all(4);
}

/// The upstream answers one request at a time, 100 a second at most. Each client sends its next request once it has its answer, so
/// without a limit 60 clients would wait for 600 ms each, and the platform's deadline is 300 ms.
#[test]
fn an_upstream_that_answers_too_late_gets_fewer_requests_and_then_answers_in_time() {
    let one_at_a_time = std::sync::Mutex::new(());
    let blue = Upstream::scripted(move |_, wire| {
        let _turn = one_at_a_time.lock().unwrap();
        std::thread::sleep(Duration::from_millis(10));
        let _ = wire.write(&ok("blue"));
        Then::KeepAlive
    });
    let serin = Serin::start(&Config::split(blue.address, blue.address).workers(1).bot("deadline = \"300ms\""));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (answered, refused) = std::thread::scope(|scope| {
        let asks = |number: usize| {
            let (mut client, mut answered, mut refused) = (serin.client(), 0, 0);
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let answer = client.ask(&Ask::of(&format!("T{number}")));
                if answer.status == 200 {
                    answered += 1;
                    continue;
                }
                answer.is_problem(503, "upstream_overloaded");
                assert_eq!(answer.field("retry-after"), Some("1"));
                refused += 1;
                std::thread::sleep(Duration::from_millis(100));
            }
            (answered, refused)
        };
        let clients: Vec<_> = (0..60).map(|number| scope.spawn(move || asks(number))).collect();
        // Once it is limited, the answers are in time again.
        let in_time = || serin.metrics().sum("serin_requests_total", &[("outcome", "ok")]);
        eventually("a refused request", || (serin.metrics().sum("serin_shed_requests_total", &[]) > 0.0).then_some(()));
        let before = in_time();
        eventually("answers in time", || (in_time() > before + 100.0).then_some(()));
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.into_iter().map(|client| client.join().unwrap()).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    });
    serin.nothing_in_flight();
    let metrics = serin.metrics();
    assert_eq!(metrics.sum("serin_shed_requests_total", &[("track", "stable")]), f64::from(refused));
    assert_eq!(serin.errors("upstream_overloaded"), f64::from(refused));
    assert!(metrics.sum("serin_requests_total", &[("outcome", "late")]) > 0.0, "the first late answers told of the overload");
    serin.counted_in_all(answered);
}

/// With 256 descriptors serin takes 96 connections of clients at most, and keeps the others for upstreams, admin listener and history.
#[test]
fn clients_that_hold_all_descriptors_shut_out_neither_webhooks_nor_the_admin_listener() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, Config::split(blue.address, blue.address).workers(1).text()).unwrap();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", "ulimit -n 256; exec \"$0\" run --config \"$1\"", env!("CARGO_BIN_EXE_serin")]);
    let process = Process::start_by(shell, &path);
    process.logged("the limit of open files allows fewer connections");
    let silent: Vec<_> = (0..300).map(|_| process.client()).collect();
    eventually("the silent clients' connections", || (process.metrics().sum("serin_client_connections", &[]) >= 96.0).then_some(()));
    for number in 0..120 {
        assert_eq!(process.ask(&Ask::of(&format!("T{number}"))).status, 200);
    }
    // This needs the history.
    process.set_weight(10.0);
    assert!(process.metrics().sum("serin_client_connections", &[]) <= 96.0);
    assert!(process.metrics().sum("process_open_fds", &[]) < 256.0);
    drop(silent);
}

#[test]
fn a_head_that_is_too_large_is_431() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).limit("max_head = \"8KiB\""));
    let mut client = serin.client();
    client.send(&Ask::of("T1").field("X-Large", &"x".repeat(9_000)).bytes());
    client.answer().unwrap().is_problem(431, "head_too_large");
    client.wire.end().unwrap();
    assert_eq!(serin.errors("head_too_large"), 1.0);
    assert_eq!(serin.ask(&Ask::of("T1").field("X-Fits", &"x".repeat(7_000))).status, 200);
    serin.counted_in_all(1);
}

/// With and without an end of the first line, in several pieces.
#[test]
fn a_head_without_an_end_is_refused_at_its_limit() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&Config::split(blue.address, blue.address).limit("max_head = \"8KiB\""));
    for (start, status, code) in [("GET /", 414, "target_too_long"), ("GET / HTTP/1.1\r\nX-Endless: ", 431, "head_too_large")] {
        let mut client = serin.client();
        client.send(start.as_bytes());
        for _ in 0..9 {
            std::thread::sleep(Duration::from_millis(5));
            client.send(&[b'x'; 1_000]);
        }
        client.answer().unwrap().is_problem(status, code);
    }
}

#[test]
fn a_connection_that_has_waited_for_too_long_is_closed_once_serin_has_its_core_again() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&Config::split(blue.address, blue.address).workers(1));
    let ask = Ask::of("T1");
    assert_eq!(process.ask(&ask).status, 200);
    let stand_still = |millis: u64| {
        process.signal(libc::SIGSTOP);
        let mut waits = process.client();
        waits.send(&ask.bytes());
        std::thread::sleep(Duration::from_millis(millis));
        let mut comes = process.client();
        comes.send(&ask.bytes());
        process.signal(libc::SIGCONT);
        assert_eq!(comes.answer().unwrap().status, 200, "it has just come");
        waits.answer().map(|answer| answer.status).ok()
    };
    assert_eq!(stand_still(500), Some(200), "there is time for it");
    assert_eq!(stand_still(2_500), None);
    assert_eq!(process.metrics().sum("serin_client_connections_closed_total", &[("reason", "late")]), 1.0);
    assert_eq!(blue.count(), 4);
}
