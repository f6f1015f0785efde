//! A newer serin takes over from a running one: sockets, history, connections. `take_over_fails` is about the other cases.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use serin::store;

use crate::harness::{
    Ask, Client, Config, Handle, Process, Relay, Site, Upstream, command_of, eventually, send_signal_to, take_over, unused_port,
};

/// The parts of a status that a take-over must keep.
pub fn lasting(bot: &Value) -> Vec<Value> {
    ["revision", "phase", "weight_percent", "step", "quarantine", "frozen", "desired"].map(|key| bot[key].clone()).to_vec()
}

#[track_caller]
pub fn raises(serin: &Handle, percent: f64) {
    serin.set_weight(percent);
    assert_eq!(serin.bot()["durable"], true);
}

#[test]
fn a_newer_serin_goes_on_with_sockets_rollout_bake_and_evidence_and_the_older_one_ends() {
    let site = Site::new();
    let mut older = site.start();
    let webhooks = |serin: &Handle| {
        let mut client = serin.client();
        (0..400).for_each(|number| assert_eq!(client.ask(&Ask::of(&format!("T{number}"))).status, 200));
    };
    webhooks(&older);
    older.act("rollouts", "{\"version\": \"v2\"}");
    webhooks(&older);
    let judged =
        || Some(older.bot()).filter(|bot| bot["evidence"]["e_value"].is_f64() && bot["rollout"]["in_step_seconds"].as_u64() >= Some(2));
    let before = eventually("evidence that was judged, and some seconds of bake", judged);
    let (proxy, admin) = (older.proxy, older.admin);
    let newer = site.take_over();
    assert_eq!((newer.proxy, newer.admin), (proxy, admin), "the same sockets");
    assert_eq!(older.ended().code(), Some(0));
    let after = eventually("the evidence", || Some(newer.bot()).filter(|bot| bot["evidence"]["e_value"].is_f64()));
    assert_eq!(lasting(&after), lasting(&before));
    let e = |bot: &Value| bot["evidence"]["e_value"].as_f64().unwrap();
    assert!((e(&after) / e(&before) - 1.0).abs() < 0.2, "{} became {}", e(&before), e(&after));
    let in_step = |bot: &Value| bot["rollout"]["in_step_seconds"].as_u64().unwrap();
    assert!((in_step(&before)..in_step(&before) + 20).contains(&in_step(&after)), "{} became {}", in_step(&before), in_step(&after));
    // It decides, and can be taken over from in its turn.
    assert_eq!(newer.act("abort", "{}")["durable"], true);
    let mut newer = newer;
    let newest = site.take_over();
    assert_eq!((newest.bot()["phase"].as_str(), newer.ended().code()), (Some("aborted"), Some(0)));
    webhooks(&newest);
    newest.end();
    assert!(!site.socket().exists(), "an end removes the socket");
    store::replay(&site.directory.path().join("serin.db")).unwrap();
}

#[test]
fn connections_and_requests_of_the_older_serin_are_finished_by_it() {
    let (release, blue) = Upstream::holding("blue", |request, _| request.field("x-workspace") == Some("T-held"));
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("serin.toml");
    std::fs::write(&config, Config::split(blue.address, blue.address).text()).unwrap();
    let mut older = Process::start_with(&config);
    let (mut held, mut idle, mut unused) = (older.client(), older.client(), older.client());
    held.send(&Ask::of("T-held").bytes());
    let kept = idle.ask(&Ask::of("T1"));
    assert_eq!((kept.status, kept.field("connection")), (200, None));
    eventually("the request at the upstream", || (blue.count() == 2).then_some(()));
    let newer = Process::start_by(take_over(), &config);
    assert_eq!(newer.ask(&Ask::of("T1")).field("connection"), None);
    // Much later than a drain waits for idle connections, their next request is answered, and they are asked to close.
    std::thread::sleep(Duration::from_millis(700));
    for client in [&mut idle, &mut unused] {
        let last = client.ask(&Ask::of("T2"));
        assert_eq!((last.status, last.field("connection")), (200, Some("close")));
        client.wire.end().unwrap();
    }
    assert!(older.is_running());
    release.send(()).unwrap();
    assert_eq!(held.answer().unwrap().field("connection"), Some("close"));
    held.wire.end().unwrap();
    assert_eq!(older.ended().code(), Some(0));
}

#[test]
fn a_signal_ends_a_retired_serins_wait_for_idle_connections() {
    let site = Site::new();
    let mut older = site.start();
    let mut idle = older.client();
    assert_eq!(idle.ask(&Ask::of("T1")).status, 200);
    let newer = site.take_over();
    older.logged("a newer serin serves now");
    assert!(older.is_running(), "an idle connection is open");
    older.signal(libc::SIGTERM);
    idle.wire.end().unwrap();
    assert_eq!(older.ended().code(), Some(0));
    assert_eq!(newer.ask(&Ask::of("T1")).text(), "blue");
}

#[test]
fn any_number_of_workers_takes_over_all_sockets() {
    let site = Site::new();
    let mut older = site.start();
    for workers in [3, 1, 4, 2] {
        site.write(site.plain().workers(workers));
        // Some of them wait in each socket's queue when the older serin stops to accept.
        let newer = site.take_over();
        let ask = Ask::of("T1").bytes();
        let mut clients: Vec<Client> = (0..100).map(|_| newer.client()).collect();
        clients.iter_mut().for_each(|client| client.send(&ask));
        for client in &mut clients {
            assert_eq!(client.answer().unwrap().status, 200, "{workers} workers");
        }
        assert_eq!(older.ended().code(), Some(0));
        older = newer;
    }
}

/// Each worker's socket has a queue of its own, which the kernel resets if nobody has the socket any more.
#[test]
fn connections_in_the_queues_of_all_workers_are_served_by_the_newer_serin() {
    let site = Site::of(|config| config.workers(4).limit("max_connections = 4"));
    let mut older = site.start();
    // Each worker accepts one of these and has no room for more.
    let mut clients: Vec<Client> = (0..80).map(|_| older.client()).collect();
    clients.iter_mut().for_each(|client| client.send(&Ask::of("T1").bytes()));
    site.write(site.plain().workers(4));
    let newer = site.take_over();
    for (number, client) in clients.iter_mut().enumerate() {
        let answer = client.answer();
        assert!(answer.as_ref().is_ok_and(|answer| answer.status == 200), "{number}: {answer:?}");
    }
    drop(clients);
    assert_eq!(older.ended().code(), Some(0));
    assert_eq!(newer.ask(&Ask::of("T1")).text(), "blue");
}

#[test]
fn another_address_is_bound_anew_and_the_older_serin_takes_its_own_queue() {
    let site = Site::new();
    let mut older = site.start();
    let relay = Relay::start(&site.socket(), "ready");
    let port = unused_port();
    let elsewhere = site.plain().text().replacen("127.0.0.1:0", &format!("127.0.0.1:{port}"), 1);
    std::fs::write(&site.config, elsewhere).unwrap();
    let newer = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    // Their connections wait in the queue when the older serin hears that the newer one is ready.
    older.signal(libc::SIGSTOP);
    let mut early: Vec<Client> = (0..50).map(|_| older.client()).collect();
    early.iter_mut().for_each(|client| client.send(&Ask::of("T1").bytes()));
    relay.goes_on();
    older.signal(libc::SIGCONT);
    for client in &mut early {
        assert_eq!(client.answer().unwrap().status, 200);
    }
    drop(early);
    newer.serves();
    assert_eq!(older.ended().code(), Some(0));
    assert!(Client::try_connect(older.proxy).is_err(), "nobody listens there any more");
    let handle = Handle { proxy: SocketAddr::from(([127, 0, 0, 1], port)), ..(*older).clone() };
    assert_eq!(handle.ask(&Ask::of("T1")).text(), "blue");
    raises(&handle, 5.0);
}

#[test]
fn a_take_over_from_nobody_is_a_start() {
    let site = Site::new();
    let mut first = site.take_over();
    raises(&first, 5.0);
    first.signal(libc::SIGKILL);
    first.ended();
    assert!(site.socket().exists(), "a stale socket");
    let again = site.take_over();
    assert_eq!(again.bot()["weight_percent"], 5.0);
    let mut older = again;
    let newer = site.take_over();
    assert_eq!((older.ended().code(), newer.bot()["weight_percent"].as_f64()), (Some(0), Some(5.0)));
}

/// The process that serin starts is no child of the test.
struct Grandchild(libc::pid_t);

impl Drop for Grandchild {
    fn drop(&mut self) {
        let _ = send_signal_to(self.0, libc::SIGKILL);
    }
}

#[track_caller]
fn upgrade(older: &Process) -> Grandchild {
    older.signal(libc::SIGUSR2);
    let line: Value = serde_json::from_str(&older.logged("SIGUSR2: a newer serin is started")).unwrap();
    Grandchild(line["process"].as_i64().unwrap() as libc::pid_t)
}

#[test]
fn sigusr2_starts_the_binary_that_is_at_the_same_path_now() {
    let site = Site::new();
    let serin = site.directory.path().join("serin");
    let install = || {
        let new = serin.with_extension("new");
        std::fs::copy(env!("CARGO_BIN_EXE_serin"), &new).unwrap();
        std::fs::rename(new, &serin).unwrap();
    };
    install();
    let mut older = Process::start_by(command_of(&serin, &["run", "--config"]), &site.config);
    raises(&older, 5.0);
    install();
    let newer = upgrade(&older);
    assert_eq!(older.ended().code(), Some(0));
    assert_eq!(older.bot()["weight_percent"], 5.0);
    raises(&older, 6.0);
    assert_eq!(std::fs::read_link(format!("/proc/{}/exe", newer.0)).unwrap(), serin.canonicalize().unwrap(), "not the deleted file");
    send_signal_to(newer.0, libc::SIGTERM).unwrap();
    eventually("the newer serin ends", || Client::try_connect(older.admin).is_err().then_some(()));
}

#[test]
fn sigusr2_with_a_config_that_is_wrong_changes_nothing() {
    let site = Site::new();
    let older = site.start();
    let good = std::fs::read_to_string(&site.config).unwrap();
    older.replace_config("[proxy]\nlisten = 7\n");
    older.signal(libc::SIGUSR2);
    let line = older.logged("the newer serin has ended without taking over");
    assert!(line.contains("exit status: 2"), "{line}");
    raises(&older, 5.0);
    older.replace_config(&good);
}
