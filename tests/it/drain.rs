//! The end of a process: serin reports that it is not ready, still serves new requests for a while, finishes those in flight, and
//! loses none.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::harness::{Ask, Client, Config, Process, Upstream, eventually, turns};

/// Answers requests of T-held one for each message on the channel, and others at once.
fn held_on_demand() -> (SyncSender<()>, Upstream) {
    Upstream::holding("blue", |request, _| request.field("x-workspace") == Some("T-held"))
}

fn ready(process: &Process) -> u16 {
    process.admin(Ask::new("GET", "/readyz")).status
}

#[track_caller]
fn hold(process: &Process, blue: &Upstream) -> Client {
    let (mut client, before) = (process.client(), blue.count());
    client.send(&Ask::of("T-held").bytes());
    eventually("the request at the upstream", || (blue.count() == before + 1).then_some(()));
    client
}

#[test]
fn a_lame_duck_serves_on_and_the_drain_finishes_what_is_in_flight() {
    let (release, blue) = held_on_demand();
    let mut process = Process::start(&Config::split(blue.address, blue.address).proxy("lame_duck = \"1500ms\""));
    let mut idle = process.client();
    let before = idle.ask(&Ask::of("T1"));
    assert_eq!((before.status, before.field("connection")), (200, None));
    assert_eq!(ready(&process), 200);
    let mut held = hold(&process, &blue);

    process.signal(libc::SIGTERM);
    eventually("not ready", || (ready(&process) == 503).then_some(()));
    let new = process.ask(&Ask::of("T2"));
    assert_eq!((new.status, new.field("connection")), (200, Some("close")), "a client that still connects is served, and asked to close");
    let last = idle.ask(&Ask::of("T3"));
    assert_eq!((last.status, last.field("connection")), (200, Some("close")));
    idle.wire.end().unwrap();

    eventually("no new connections", || Client::try_connect(process.proxy).is_err().then_some(()));
    assert!(process.is_running(), "a request is in flight");
    assert_eq!(process.admin(Ask::new("GET", "/livez")).status, 200, "the drain can be watched");
    assert_eq!(ready(&process), 503);
    release.send(()).unwrap();
    let answer = held.answer().unwrap();
    assert_eq!((answer.status, answer.field("connection")), (200, Some("close")));
    held.wire.end().unwrap();
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn idle_connections_are_closed_when_it_drains() {
    let blue = Upstream::answering("blue");
    let mut process = Process::start(&Config::split(blue.address, blue.address));
    let (mut used, mut unused) = (process.client(), process.client());
    assert_eq!(used.ask(&Ask::of("T1")).status, 200);
    process.signal(libc::SIGINT);
    used.wire.end().unwrap();
    unused.wire.end().unwrap();
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_lame_duck_at_once() {
    a_second_signal_ends_at_once("60s", |process| eventually("not ready", || (ready(process) == 503).then_some(())));
}

#[test]
fn a_second_signal_ends_a_drain_at_once() {
    a_second_signal_ends_at_once("0s", |process| {
        eventually("no new connections", || Client::try_connect(process.proxy).is_err().then_some(()));
    });
}

/// The second signal comes once `begun` returns. A drain by itself would take longer than a test waits.
fn a_second_signal_ends_at_once(lame_duck: &str, begun: impl Fn(&Process)) {
    let (_release, blue) = held_on_demand();
    let config = Config::split(blue.address, blue.address).drain("10m");
    let mut process = Process::start(&config.proxy(&format!("lame_duck = \"{lame_duck}\"")));
    let mut held = hold(&process, &blue);
    process.signal(libc::SIGTERM);
    begun(&process);
    assert!(process.is_running());
    process.signal(libc::SIGTERM);
    process.ended();
    assert!(held.answer().is_err());
}

#[test]
fn a_request_that_never_ends_is_cut_off_at_the_drains_limit() {
    let (_release, blue) = held_on_demand();
    let config = Config::split(blue.address, blue.address);
    let mut process = Process::start(&config.drain("300ms"));
    let mut held = hold(&process, &blue);
    process.signal(libc::SIGTERM);
    assert_eq!(process.ended().code(), Some(0));
    assert!(held.answer().is_err());
}

/// Connections that wait in the kernel's queues when the listeners close are served as well.
#[test]
fn connections_opened_just_before_the_drain_lose_no_request() {
    for turn in 0..turns(3) {
        let blue = Upstream::answering("blue");
        let process = Process::start(&Config::split(blue.address, blue.address).workers(4));
        let ask = Ask::of("T1").bytes();
        let clients: Vec<Client> = (0..200)
            .map(|_| {
                let mut client = process.client();
                client.send(&ask);
                client
            })
            .collect();
        a_drain_answers_all(process, clients, turn);
    }
}

/// Load balancers send requests until they have seen that serin is not ready.
#[test]
fn clients_that_reconnect_within_the_lame_duck_lose_no_request() {
    let blue = Upstream::answering("blue");
    let mut process = Process::start(&Config::split(blue.address, blue.address).proxy("lame_duck = \"2s\""));
    process.signal(libc::SIGTERM);
    eventually("not ready", || (ready(&process) == 503).then_some(()));
    let started = Instant::now();
    let mut asked = 0;
    while started.elapsed() < Duration::from_millis(500) {
        assert_eq!(process.ask(&Ask::of("T1")).status, 200);
        asked += 1;
    }
    assert_eq!(process.ended().code(), Some(0));
    assert_eq!(blue.count(), asked);
}

/// A connection is not idle if the client has sent a request before the signal, even if serin has not read it yet.
#[test]
fn requests_on_open_connections_just_before_the_drain_are_answered() {
    for turn in 0..turns(3) {
        let blue = Upstream::answering("blue");
        let process = Process::start(&Config::split(blue.address, blue.address).workers(2));
        let ask = Ask::of("T1").bytes();
        let mut clients: Vec<Client> = (0..100).map(|_| process.client()).collect();
        for client in &mut clients {
            client.send(&ask);
            assert_eq!(client.answer().unwrap().status, 200);
        }
        clients.iter_mut().for_each(|client| client.send(&ask));
        a_drain_answers_all(process, clients, turn);
    }
}

/// Every client has sent a request, and gets its answer.
fn a_drain_answers_all(mut process: Process, mut clients: Vec<Client>, turn: usize) {
    process.signal(libc::SIGTERM);
    let answers = clients.iter_mut().map(Client::answer);
    let lost: Vec<_> = answers.filter(|answer| !answer.as_ref().is_ok_and(|answer| answer.status == 200)).collect();
    assert!(lost.is_empty(), "turn {turn}: {} lost, the first {:?}", lost.len(), lost[0]);
    drop(clients);
    assert_eq!(process.ended().code(), Some(0));
}

#[test]
fn a_streamed_body_in_flight_is_finished() {
    let blue = Upstream::answering("blue");
    let mut process = Process::start(&Config::split(blue.address, blue.address));
    let mut client = process.client();
    let body = vec![b'x'; 200_000];
    let ask = Ask::of("T1").body(&body).bytes();
    client.send(&ask[..100_000]);
    eventually("the connection at the upstream", || (blue.connections() == 1).then_some(()));
    process.signal(libc::SIGTERM);
    eventually("no new connections", || Client::try_connect(process.proxy).is_err().then_some(()));
    client.send(&ask[100_000..]);
    assert_eq!(client.answer().unwrap().text(), "blue");
    assert!(blue.only_request().body == body);
    assert_eq!(process.ended().code(), Some(0));
}

/// An admin client that keeps its connection open must not keep serin from ending.
#[test]
fn an_open_admin_connection_does_not_hold_up_the_end() {
    let blue = Upstream::answering("blue");
    let mut process = Process::start(&Config::split(blue.address, blue.address));
    let mut admin = Client::connect(process.admin);
    assert_eq!(admin.ask(&Ask::new("GET", "/livez").host("localhost")).status, 200);
    process.signal(libc::SIGTERM);
    assert_eq!(process.ended().code(), Some(0));
}

/// A head of which a part has come is a request on its way.
#[test]
fn a_head_that_has_begun_is_finished() {
    let blue = Upstream::answering("blue");
    let mut process = Process::start(&Config::split(blue.address, blue.address));
    let mut client = process.client();
    let ask = Ask::of("T1").bytes();
    client.send(&ask[..20]);
    // Once these are answered, each worker has read what came before.
    (0..20).for_each(|_| assert_eq!(process.ask(&Ask::of("T2")).status, 200));
    process.signal(libc::SIGTERM);
    eventually("no new connections", || Client::try_connect(process.proxy).is_err().then_some(()));
    client.send(&ask[20..]);
    assert_eq!(client.answer().unwrap().text(), "blue");
    assert_eq!(process.ended().code(), Some(0));
}
