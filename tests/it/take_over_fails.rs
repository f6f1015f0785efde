//! A take-over that fails: whichever of the two serins dies, and whenever, webhooks are served, one of the two has the history, and
//! nothing that was answered is lost.

use std::path::Path;
use std::time::Duration;

use serin::app::take_over::{Line, Message, PROTOCOL};
use serin::store;

use crate::harness::{Ask, Gate, MESSAGES, PATIENCE, Process, Relay, Site, command, eventually, post_action, take_over, unused_port};
use crate::take_over::{lasting, raises};

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

/// Waits until the older serin has given up this many take-overs.
#[track_caller]
fn gives_up(older: &Process, times: usize) {
    eventually("the take-over ends", || (older.logged_times("no take-over, this serin serves on") == times).then_some(()));
}

#[test]
fn a_newer_serin_that_dies_at_any_message_leaves_the_older_one_as_it_was() {
    let site = Site::new();
    let mut older = site.start();
    older.act("rollouts", "{\"version\": \"v2\"}");
    let mut client = older.client();
    for (number, message) in MESSAGES.into_iter().filter(|message| *message != "retires").enumerate() {
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
        gives_up(&older, number + 1);
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

/// Its lock stays while it hangs.
#[test]
fn a_newer_serin_that_hangs_with_the_history_is_ended() {
    let site = Site::new();
    let older = site.start();
    // The newer serin waits for the disk before it is ready, since its config sends workspaces to the canary. The older one must not
    // follow that config.
    let config = site.config.with_file_name("other.toml");
    std::fs::write(&config, site.plain().weight("30%").text()).unwrap();
    let gate = Gate::new(site.directory.path());
    let mut command = take_over();
    gate.stands_before(&mut command);
    gate.shut();
    let mut newer = site.try_by(command, &config);
    eventually("the newer serin writes the history", || gate.is_reached().then_some(()));
    newer.signal(libc::SIGSTOP);
    assert_eq!(older.ask(&Ask::of("T1")).text(), "blue");
    older.logged("said nothing for");
    older.logged("the newer serin has failed and keeps the history: it is ended");
    assert_eq!(newer.ended().0, None, "by a signal");
    eventually("the older serin decides", || (older.put_weight(5.0).status == 200).then_some(()));
    assert_eq!(older.bot()["durable"], true);
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
    for (number, message) in ["prepared", "history"].into_iter().enumerate() {
        let relay = Relay::start(&site.socket(), message);
        let mut first = site.try_take_over(Some(relay.directory()));
        relay.is_reached();
        let (code, said) = site.try_take_over(None).ended();
        assert!(code == Some(1) && said.contains("is taking over already"), "{said}");
        first.kill();
        relay.drops_it();
        gives_up(&older, number + 1);
        eventually("the older serin decides", || (older.put_weight(5.0).status == 200).then_some(()));
    }
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

#[test]
fn a_newer_serin_that_is_told_to_end_before_it_has_taken_over_leaves_the_older_one() {
    let site = Site::new();
    let older = site.start();
    let relay = Relay::start(&site.socket(), "ready");
    let mut newer = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    newer.signal(libc::SIGTERM);
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
