//! A newer serin takes over from a running one. Whichever of the two fails on the way, and whenever, webhooks are served, one of them has
//! the history, and nothing that was answered is lost.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use serin::app::take_over::{Line, Message, PROTOCOL};
use serin::store;

use crate::harness::{
    Ask, Client, Config, Handle, LONG_BAKE, MESSAGES, PATIENCE, Process, Relay, Upstream, command, command_of, eventually, post_action,
    two_upstreams, unused_port,
};

/// A directory with a config, in which serins follow one another.
struct Site {
    directory: tempfile::TempDir,
    config: PathBuf,
    sides: (Upstream, Upstream),
}

/// A process that may fail to start. Ends with the test.
struct Started {
    child: Child,
    log: PathBuf,
}

impl Site {
    fn new() -> Site {
        Site::of(|config| config)
    }

    fn of(change: impl FnOnce(Config) -> Config) -> Site {
        let (sides, directory) = (two_upstreams(), tempfile::tempdir().unwrap());
        let config = directory.path().join("serin.toml");
        let site = Site { directory, config, sides };
        site.write(change(site.plain()));
        site
    }

    fn plain(&self) -> Config {
        Config::of(&self.sides).bot(LONG_BAKE)
    }

    fn write(&self, config: Config) {
        std::fs::write(&self.config, config.text()).unwrap();
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("serin.db.sock")
    }

    fn start(&self) -> Process {
        Process::start_with(&self.config)
    }

    /// A newer serin that must succeed.
    fn take_over(&self) -> Process {
        Process::start_by(take_over(), &self.config)
    }

    /// A newer serin that may fail. `directory` is its RUNTIME_DIRECTORY.
    fn try_take_over(&self, directory: Option<PathBuf>) -> Started {
        let mut command = take_over();
        if let Some(directory) = directory {
            command.env("RUNTIME_DIRECTORY", directory);
        }
        let log = self.directory.path().join(format!("newer-{}.log", unused_port()));
        let child = command.arg(&self.config).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
        Started { child, log }
    }
}

fn take_over() -> Command {
    command(&["run", "--take-over", "--config"])
}

impl Started {
    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    #[track_caller]
    fn ended(&mut self) -> (Option<i32>, String) {
        let status = eventually("the newer serin ends", || self.child.try_wait().unwrap());
        (status.code(), self.said())
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    #[track_caller]
    fn serves(&self) {
        eventually("the newer serin serves", || self.said().contains("serin serves").then_some(()));
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the newer serin's log:\n{}", self.said());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The parts of a status that a take-over must keep.
fn lasting(bot: &Value) -> Vec<Value> {
    ["revision", "phase", "weight_percent", "step", "quarantine", "frozen", "desired"].map(|key| bot[key].clone()).to_vec()
}

#[track_caller]
fn raises(serin: &Handle, percent: f64) {
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
fn while_neither_has_the_history_webhooks_are_served_and_changes_are_refused() {
    let site = Site::new();
    let older = site.start();
    let relay = Relay::start(&site.socket(), "history");
    let mut newer = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    assert_eq!(older.ask(&Ask::of("T1")).text(), "blue");
    assert_eq!(older.bot()["phase"], "idle", "questions about what serves are answered");
    assert_eq!(older.admin(Ask::new("GET", "/readyz")).status, 200);
    for ask in [
        post_action("freeze", "{}"),
        post_action("abort", "{}"),
        post_action("drill", "{}"),
        Ask::new("PUT", "/v1/bots/support/weight").json("{\"percent\": 5}"),
        Ask::new("POST", "/v1/bots/support/outcomes").json("{\"outcomes\": [{\"workspace\": \"T1\", \"ok\": false}]}"),
        Ask::new("GET", "/v1/bots/support/history"),
    ] {
        let refused = older.admin(ask.clone());
        assert_eq!(refused.field("retry-after"), Some("1"), "{ask:?}: {refused:?}");
        refused.is_refusal(503, "takes_over", "a newer serin takes over");
    }
    let database = site.directory.path().join("serin.db");
    let taken = store::Store::take_over(store::Place::File(database), Duration::from_secs(3600));
    drop(taken.expect("the lock is released"));
    relay.goes_on();
    newer.serves();
    raises(&older, 5.0);
    newer.kill();
}

#[test]
fn a_newer_serin_that_dies_at_any_message_leaves_the_older_one_as_it_was() {
    let site = Site::new();
    let mut older = site.start();
    older.act("rollouts", "{\"version\": \"v2\"}");
    let mut client = older.client();
    for message in MESSAGES.into_iter().filter(|message| *message != "retires") {
        let before = older.bot();
        let relay = Relay::start(&site.socket(), message);
        let mut newer = site.try_take_over(Some(relay.directory()));
        relay.is_reached();
        newer.kill();
        assert_eq!(client.ask(&Ask::of("T1")).status, 200, "at {message}");
        match message {
            // The older serin would find that the newer one is gone when it answers, which it cannot find through the relay.
            "ready" => relay.drops_it(),
            _ => relay.goes_on(),
        }
        let frozen = eventually("the older serin decides", || Some(older.admin(post_action("freeze", "{}"))).filter(|a| a.status == 200));
        assert_eq!(frozen.json()["durable"], true, "at {message}");
        assert_eq!(older.act("thaw", "{}")["durable"], true, "at {message}");
        let after = older.bot();
        for key in ["phase", "weight_percent", "step"] {
            assert_eq!(after[key], before[key], "{key} at {message}");
        }
        assert_eq!(client.ask(&Ask::of("T2")).field("connection"), None, "at {message}");
    }
    assert!(older.logged_times("this serin has the history again") >= 1);
    let newer = site.take_over();
    assert!(older.is_running(), "a client's connection is open");
    assert_eq!(client.ask(&Ask::of("T1")).field("connection"), Some("close"));
    assert_eq!((older.ended().code(), newer.bot()["phase"].as_str()), (Some(0), Some("progressing")));
}

#[test]
fn an_older_serin_that_dies_at_any_message_is_followed_by_the_newer_one() {
    for message in MESSAGES {
        let site = Site::of(|config| config.proxy(&format!("# {}", "a port that is free again is needed")));
        // The newer serin has no sockets if the older one dies before it has passed them on.
        let ports = [unused_port(), unused_port()];
        let text = site.plain().text().replacen("127.0.0.1:0", &format!("127.0.0.1:{}", ports[0]), 1);
        std::fs::write(&site.config, text.replacen("127.0.0.1:0", &format!("127.0.0.1:{}", ports[1]), 1)).unwrap();
        let mut older = site.start();
        older.set_weight(40.0);
        let before = older.bot();
        let relay = Relay::start(&site.socket(), message);
        let newer = site.try_take_over(Some(relay.directory()));
        relay.is_reached();
        older.signal(libc::SIGKILL);
        older.ended();
        relay.goes_on();
        newer.serves();
        assert_eq!(lasting(&older.bot()), lasting(&before), "at {message}");
        raises(&older, 60.0);
        assert_eq!(older.ask(&Ask::of("T1")).status, 200, "at {message}");
        drop(newer);
    }
}

/// While it has the history it answers nothing, and its lock stays.
#[test]
fn a_newer_serin_that_hangs_with_the_history_is_ended() {
    let site = Site::new();
    let older = site.start();
    // The history's first rows of these bots take the newer serin a moment.
    site.write((0..300).fold(site.plain(), |config, number| {
        let (name, path) = (format!("name = \"b{number}\""), format!("match = {{ path_prefix = \"/b{number}\" }}"));
        let upstreams = format!("upstreams = {{ blue = \"http://{}\" }}", site.sides.0.address);
        config.add(&[&name, &path, "workspace = \"header:x-workspace\"", &upstreams, "stable = \"blue\""])
    }));
    let mut newer = site.try_take_over(None);
    let history = format!("{}", site.directory.path().join("serin.db.lock").display());
    eventually("the newer serin has the history", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", newer.child.id())).ok()?;
        let links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        links.into_iter().any(|link| link == Path::new(&history)).then_some(())
    });
    // SAFETY: no pointers; the child is ours and was not waited for.
    assert_eq!(unsafe { libc::kill(newer.child.id() as libc::pid_t, libc::SIGSTOP) }, 0);
    if older.logged_times("a newer serin serves now") > 0 {
        // It was faster than this test, which says nothing then.
        return;
    }
    assert_eq!(older.ask(&Ask::of("T1")).text(), "blue");
    older.logged("said nothing for");
    older.logged("the newer serin has failed and keeps the history: it is ended");
    assert_eq!(newer.ended().0, None, "by a signal");
    eventually("the older serin decides", || (older.put_weight(5.0).status == 200).then_some(()));
}

#[test]
fn a_config_that_is_wrong_or_an_address_in_use_leaves_the_older_serin_as_it_was() {
    let site = Site::new();
    let older = site.start();
    std::fs::write(&site.config, "[proxy]\nlisten = 7\n").unwrap();
    assert_eq!(site.try_take_over(None).ended().0, Some(2));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let elsewhere = site.plain().text().replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
    std::fs::write(&site.config, elsewhere).unwrap();
    let (code, said) = site.try_take_over(None).ended();
    assert!(code == Some(1) && said.contains("cannot listen on"), "{said}");
    older.logged("no take-over, this serin serves on: it failed: cannot listen on");
    raises(&older, 5.0);
}

#[test]
fn a_history_that_cannot_be_opened_leaves_the_older_serin_as_it_was() {
    let site = Site::new();
    let older = site.start();
    raises(&older, 5.0);
    let relay = Relay::start(&site.socket(), "history");
    let mut newer = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    // It would be the only one for the newer serin, which must not begin another one.
    let (database, aside) = (site.directory.path().join("serin.db"), site.directory.path().join("aside.db"));
    std::fs::rename(&database, &aside).unwrap();
    relay.goes_on();
    let (code, said) = newer.ended();
    assert!(code == Some(1) && said.contains("cannot be used: it is gone"), "{said}");
    assert!(!database.exists());
    older.put_weight(6.0).is_refusal(503, "takes_over", "a newer serin takes over");
    std::fs::rename(&aside, &database).unwrap();
    eventually("the older serin decides", || (older.put_weight(6.0).status == 200).then_some(()));
    assert_eq!(older.bot()["durable"], true);
}

#[test]
fn a_second_take_over_at_the_same_time_is_refused() {
    let site = Site::new();
    let older = site.start();
    for message in ["prepared", "history"] {
        let relay = Relay::start(&site.socket(), message);
        let mut first = site.try_take_over(Some(relay.directory()));
        relay.is_reached();
        let (code, said) = site.try_take_over(None).ended();
        assert!(code == Some(1) && said.contains("is taking over already"), "{said}");
        first.kill();
        relay.goes_on();
        eventually("the older serin decides", || (older.put_weight(5.0).status == 200).then_some(()));
    }
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

#[test]
fn without_take_over_a_second_serin_still_refuses_to_start() {
    let site = Site::new();
    let older = site.start();
    let second = command(&["run", "--config"]).arg(&site.config).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&second.stderr).contains("one history has one writer"));
    assert_eq!(older.ask(&Ask::of("T1")).text(), "blue");
}

/// Says this to a running serin, and returns its answer.
fn said_to(socket: &Path, message: &Message) -> Message {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut line = Line::new(tokio::net::UnixStream::connect(socket).await.unwrap()).unwrap();
        line.send(message, &[]).await.unwrap();
        line.receive(PATIENCE).await.unwrap()
    })
}

#[test]
fn another_protocol_or_another_history_is_refused() {
    let site = Site::new();
    let older = site.start();
    let history = site.directory.path().join("serin.db");
    let hello = |protocol, history| Message::Hello { protocol, version: "9.9.9".to_owned(), history };
    for (hello, wanted) in [
        (hello(PROTOCOL + 1, history.clone()), "it speaks protocol 2"),
        (hello(PROTOCOL, history.with_file_name("other.db")), "its history is"),
        (Message::Prepared, "out of turn"),
    ] {
        let Message::Refused { why } = said_to(&site.socket(), &hello) else { panic!("it is not refused") };
        assert!(why.contains(wanted), "{why}");
    }
    let Message::Welcome { sockets, .. } = said_to(&site.socket(), &hello(PROTOCOL, history)) else { panic!("it is refused") };
    assert_eq!(sockets, 3, "one for each worker, and the admin listener's");
    eventually("the older serin decides", || (older.put_weight(5.0).status == 200).then_some(()));
}

/// An older serin that answers in another protocol.
#[test]
fn a_newer_serin_ends_if_the_older_one_speaks_another_protocol() {
    let site = Site::new();
    let directory = tempfile::tempdir().unwrap();
    let listener = std::os::unix::net::UnixListener::bind(directory.path().join("serin.sock")).unwrap();
    let mut newer = site.try_take_over(Some(directory.path().to_owned()));
    let (mut stream, _) = listener.accept().unwrap();
    let welcome = Message::Welcome { protocol: PROTOCOL + 1, version: "0.0.1".to_owned(), sockets: 0, blobs: Default::default() };
    std::io::Write::write_all(&mut stream, &welcome.encode()).unwrap();
    let (code, said) = newer.ended();
    assert!(code == Some(1) && said.contains("this one speaks protocol 1"), "{said}");
}

#[test]
fn a_serin_without_a_history_cannot_be_taken_over_from() {
    let site = Site::new();
    // A directory cannot be a history.
    std::fs::write(&site.config, format!("{}[history]\npath = \"/proc/serin.db\"\n", site.plain().text())).unwrap();
    let older = site.start();
    older.signal(libc::SIGUSR2);
    older.logged("SIGUSR2: no newer serin is started");
    assert_eq!(older.ask(&Ask::of("T1")).text(), "blue");
}

#[test]
fn a_change_of_the_config_counts_for_the_newer_serin_as_after_a_restart() {
    let site = Site::new();
    let mut older = site.start();
    let relay = Relay::start(&site.socket(), "history");
    let newer = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    // The older serin has no history, so it takes up no config, and tries again once it has.
    older.replace_config(&site.plain().weight("30%").text());
    older.logged("the config is not read now");
    drop(newer);
    relay.goes_on();
    eventually("the older serin takes up the config", || (older.bot()["weight_percent"] == 30.0).then_some(()));
    site.write(site.plain().weight("50%"));
    let newer = site.take_over();
    assert_eq!(newer.bot()["weight_percent"], 50.0, "from the first request on");
    assert_eq!(older.ended().code(), Some(0));
}

/// The process that serin starts is no child of the test.
struct Grandchild(libc::pid_t);

impl Drop for Grandchild {
    fn drop(&mut self) {
        // SAFETY: no pointers.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
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
    // SAFETY: no pointers.
    unsafe { libc::kill(newer.0, libc::SIGTERM) };
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

#[test]
fn a_newer_serin_that_is_told_to_end_before_it_has_taken_over_leaves_the_older_one() {
    let site = Site::new();
    let older = site.start();
    let relay = Relay::start(&site.socket(), "ready");
    let mut newer = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    // SAFETY: no pointers; the child is ours and was not waited for.
    assert_eq!(unsafe { libc::kill(newer.child.id() as libc::pid_t, libc::SIGTERM) }, 0);
    assert_eq!(newer.ended().0, Some(0));
    relay.drops_it();
    eventually("the older serin decides", || (older.put_weight(5.0).status == 200).then_some(()));
}

#[test]
fn an_older_serin_that_is_told_to_end_ends_the_newer_one_too() {
    let site = Site::new();
    let mut older = site.start();
    let relay = Relay::start(&site.socket(), "prepared");
    let mut newer = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    older.signal(libc::SIGTERM);
    assert_eq!(older.ended().code(), Some(0));
    relay.goes_on();
    let (code, said) = newer.ended();
    assert!(code == Some(1) && said.contains("it was told to end"), "{said}");
}
