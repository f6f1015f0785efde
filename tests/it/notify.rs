//! Messages to people: each receiver gets each message once, over failures of the receiver and restarts of serin. No change waits
//! for a receiver.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ring::hmac;
use serde_json::Value;

use crate::harness::{
    Ask, Closed, Config, Handle, LONG_BAKE, Process, Relay, Request, SHORT_BAKE, Site, Then, Upstream, command, eventually, ok,
    two_upstreams,
};
use crate::history::disk_is_full;

const KEY: &str = "a-signing-key-of-the-tests";
const PATH: &str = "a-secret-part-of-a-url";

fn split(sides: &(Upstream, Upstream), rollout: &str) -> Config {
    Config::of(sides).bot(rollout)
}

/// The config with a notifier `ops` of the kind `webhook` for this receiver, with the lines in `more`.
fn told(config: Config, receiver: &Upstream, more: &str) -> Config {
    let url = format!("url = \"http://{}/{PATH}\"", receiver.address);
    config.notify(&["name = \"ops\"", "kind = \"webhook\"", &url, &format!("secret = \"{KEY}\""), more])
}

fn json(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_else(|error| panic!("{error} in {request:?}"))
}

/// Each message as `type revision`, or as `type` if it has no revision.
fn news(requests: &[Request]) -> Vec<String> {
    let word = |request: &Request| {
        let document = json(request);
        let revision = document["change"]["revision"].as_u64().map_or(String::new(), |revision| format!(" {revision}"));
        format!("{}{revision}", document["type"].as_str().unwrap_or("?"))
    };
    requests.iter().map(word).collect()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[track_caller]
fn has_got(receiver: &Upstream, count: usize) {
    eventually(&format!("{count} messages"), || (receiver.count() >= count).then_some(()));
}

fn is_signed(request: &Request) -> bool {
    let (Some(timestamp), Some(signature)) = (request.field("serin-timestamp"), request.field("serin-signature")) else { return false };
    let text = [timestamp.as_bytes(), b".", &request.body].concat();
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), &text);
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    signature == format!("v1={hex}") && request.field("serin-event-id").is_some_and(|id| json(request)["id"] == id)
}

#[test]
fn each_message_is_sent_once_over_take_overs_whether_they_fail_or_not() {
    let receiver = Upstream::answering("ok");
    let site = Site::of(|config| told(config, &receiver, "on = [\"start\", \"abort\"]"));
    let mut older = site.start();
    older.act("rollouts", "{\"version\": \"v2\"}");
    has_got(&receiver, 1);
    let relay = Relay::start(&site.socket(), "history");
    let failed = site.try_take_over(Some(relay.directory()));
    relay.is_reached();
    drop(failed);
    relay.drops_it();
    older.logged("this serin has the history again");
    older.act("abort", "{}");
    has_got(&receiver, 2);
    let newer = site.take_over();
    assert!(older.ended().success());
    newer.act("rollouts", "{\"version\": \"v3\"}");
    has_got(&receiver, 3);
    newer.act("abort", "{}");
    has_got(&receiver, 4);
    let kinds: Vec<String> = receiver.requests().iter().map(|request| json(request)["type"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["start", "abort", "start", "abort"]);
}

#[test]
fn each_receiver_gets_each_message_of_a_rollout_once_also_over_a_restart() {
    let sides = two_upstreams();
    let rooms: BTreeMap<&str, Upstream> =
        ["slack", "discord", "teams", "webhook"].into_iter().map(|kind| (kind, Upstream::answering("ok"))).collect();
    let mut config = split(&sides, SHORT_BAKE);
    for (kind, room) in &rooms {
        let (name, kind_is) = (format!("name = \"{kind}\""), format!("kind = \"{kind}\""));
        let (url, secret) = (format!("url = \"http://{}/x\"", room.address), format!("secret = \"{KEY}\""));
        let lines = [name.as_str(), &kind_is, &url, &secret];
        config = config.notify(if *kind == "webhook" { &lines } else { &lines[..3] });
    }
    let mut process = Process::start(&config);
    process.act("rollouts", "{\"version\": \"v2\"}");
    rooms.values().for_each(|room| has_got(room, 1));
    process.act("promote", "{\"reason\": \"it is <good>\"}");
    process.act("rollouts", "{\"version\": \"v3\"}");
    process.act("abort", "");
    rooms.values().for_each(|room| has_got(room, 3));
    let sent = |serin: &Handle| serin.metrics().sum("serin_notifications_total", &[("result", "sent")]);
    eventually("all is counted", || (sent(&process) == 12.0).then_some(()));
    // The thread that stores what was sent stores these two changes after it.
    process.act("freeze", "{\"reason\": \"a test\"}");
    process.act("thaw", "");
    eventually("all is stored", || (process.bot()["durable"] == true).then_some(()));
    process.signal(libc::SIGKILL);
    process.ended();
    let again = Process::start_with(&process.config);
    // A message that is sent twice would come before this one.
    again.act("switch", "{\"upstream\": \"blue\"}");
    rooms.values().for_each(|room| has_got(room, 4));
    assert_eq!(news(&rooms["webhook"].requests()), ["held", "promote 3", "abort 5", "promote 8"]);
    for (kind, room) in &rooms {
        assert_eq!(room.count(), 4, "{kind}");
    }
    assert!(rooms["webhook"].requests().iter().all(is_signed));
    assert!(!is_signed(&rooms["slack"].requests()[0]));
    let held = json(&rooms["webhook"].requests()[0]);
    assert_eq!((&held["hold"]["code"], &held["links"]), (&"no_canary_traffic".into(), &Value::Array(Vec::new())));
    let slack = json(&rooms["slack"].requests()[1]).to_string();
    assert!(slack.contains("*support: v2 is promoted; everybody is on it*") && slack.contains("it is &lt;good&gt;"), "{slack}");
    assert_eq!(json(&rooms["discord"].requests()[0])["embeds"][0]["title"], "support needs you\\: v2 has had no requests yet");
    assert_eq!(json(&rooms["teams"].requests()[2])["attachments"][0]["content"]["body"][0]["inlines"][0]["color"], "Attention");
    eventually("it is counted", || (sent(&again) == 4.0).then_some(()));
}

#[test]
fn a_failing_receiver_is_tried_again_and_no_log_line_holds_its_url() {
    let sides = two_upstreams();
    let count = AtomicUsize::new(0);
    let receiver = Upstream::scripted(move |_, wire| {
        let answer = match count.fetch_add(1, Ordering::SeqCst) {
            0 => "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n",
            1 => "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n",
            3 => "HTTP/1.1 400 Bad Request\r\nContent-Length: 15\r\n\r\ninvalid_payload",
            4 => "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/elsewhere\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 204 No Content\r\n\r\n",
        };
        let _ = wire.write(answer.as_bytes());
        Then::KeepAlive
    });
    let process = Process::start(&told(split(&sides, LONG_BAKE), &receiver, "on = [\"step\"]"));
    process.set_weight(10.0);
    has_got(&receiver, 2);
    let asked = Instant::now();
    has_got(&receiver, 3);
    assert!(asked.elapsed() > Duration::from_millis(1_500), "Retry-After was {:?}", asked.elapsed());
    let ids: Vec<Value> = receiver.requests().iter().map(|request| json(request)["id"].clone()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    // Neither what is refused for good nor a redirect is tried again.
    for weight in [20.0, 30.0, 40.0] {
        process.set_weight(weight);
    }
    has_got(&receiver, 6);
    assert_eq!(news(&receiver.requests()), ["step 2", "step 2", "step 2", "step 3", "step 4", "step 5"]);
    let counted = |result| process.metrics().sum("serin_notifications_total", &[("notifier", "ops"), ("result", result)]);
    eventually("all is counted", || (counted("sent") == 2.0 && counted("failed") == 2.0).then_some(()));
    process.logged("it answered 400");
    for secret in [PATH, KEY] {
        assert_eq!(process.logged_times(secret), 0, "{secret}");
    }
}

#[test]
fn a_receiver_that_hangs_delays_no_change_and_dropped_messages_are_reported() {
    let sides = two_upstreams();
    let (hangs, count) = (Arc::new(AtomicBool::new(true)), AtomicUsize::new(0));
    let receiver = Upstream::scripted({
        let hangs = hangs.clone();
        move |_, wire| {
            eventually("the receiver is let go", || (!hangs.load(Ordering::SeqCst)).then_some(()));
            // The first one that could say what was dropped is not taken.
            let refused = count.fetch_add(1, Ordering::SeqCst) == 1;
            let _ =
                wire.write(if refused { b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec() } else { ok("ok") }.as_slice());
            Then::KeepAlive
        }
    });
    let process = Process::start(&told(split(&sides, LONG_BAKE), &receiver, "on = [\"step\"]"));
    process.set_weight(1.0);
    has_got(&receiver, 1);
    let mut slowest = Duration::ZERO;
    for number in 0..70 {
        let began = Instant::now();
        process.set_weight(f64::from(2 + number % 2));
        slowest = slowest.max(began.elapsed());
        assert_eq!(process.ask(&Ask::of("T1")).status, 200);
    }
    // A notifier waits 10 s for a receiver. Nothing else may.
    assert!(slowest < Duration::from_secs(9), "{slowest:?}");
    let dropped = || process.metrics().sum("serin_notifications_total", &[("notifier", "ops"), ("result", "dropped")]);
    eventually("six are dropped", || (dropped() == 6.0).then_some(()));
    hangs.store(false, Ordering::SeqCst);
    let counted = || process.metrics().sum("serin_notifications_total", &[("notifier", "ops"), ("result", "sent")]);
    eventually("the others are sent", || (counted() == 64.0).then_some(()));
    let said: Vec<u64> = receiver.requests().iter().map(|request| json(request)["dropped"].as_u64().unwrap()).filter(|n| *n > 0).collect();
    assert_eq!(said, [6, 6], "the count is kept until a message is delivered");
}

#[test]
fn a_change_before_a_crash_is_sent_after_the_restart() {
    let sides = two_upstreams();
    let well = Arc::new(AtomicBool::new(false));
    let receiver = Upstream::scripted({
        let well = well.clone();
        move |_, wire| {
            let unwell = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";
            let _ = wire.write(if well.load(Ordering::SeqCst) { b"HTTP/1.1 204 No Content\r\n\r\n" } else { unwell.as_bytes() });
            Then::KeepAlive
        }
    });
    let mut process = Process::start(&told(split(&sides, LONG_BAKE), &receiver, ""));
    process.act("rollouts", "{\"version\": \"v2\"}");
    process.act("abort", "");
    has_got(&receiver, 1);
    process.signal(libc::SIGKILL);
    process.ended();
    eventually("the receiver is done with it", || (receiver.closed() == receiver.connections()).then_some(()));
    let before = receiver.count();
    well.store(true, Ordering::SeqCst);
    let again = Process::start_with(&process.config);
    has_got(&receiver, before + 1);
    again.act("switch", "{\"upstream\": \"green\"}");
    has_got(&receiver, before + 2);
    assert_eq!(news(&receiver.requests()[before..]), ["abort 3", "promote 4"]);
    let ids: Vec<Value> = receiver.requests().iter().map(|request| json(request)["id"].clone()).collect();
    assert!(ids[..=before].iter().all(|id| *id == ids[0]), "the same news has the same id: {ids:?}");
}

#[test]
fn marks_that_cannot_be_read_at_the_start_are_read_later_and_no_message_is_skipped() {
    let (sides, nobody, receiver) = (two_upstreams(), Closed::new(), Upstream::answering("ok"));
    let told = |at: std::net::SocketAddr| {
        let url = format!("url = \"http://{at}/\"");
        split(&sides, LONG_BAKE).notify(&["name = \"ops\"", "kind = \"webhook\"", &url, &format!("secret = \"{KEY}\"")])
    };
    let mut process = Process::start(&told(nobody.address));
    process.act("switch", "{}");
    process.signal(libc::SIGKILL);
    process.ended();
    let change = |sql: &str| {
        let history = rusqlite::Connection::open(process.config.with_file_name("serin.db")).expect("a history");
        history.execute_batch(sql).expect("a table to spoil");
    };
    change("ALTER TABLE told RENAME TO kept; CREATE TABLE told (empty INTEGER) STRICT;");
    process.replace_config(&told(receiver.address).text());
    let again = Process::start_with(&process.config);
    again.logged("who was told what cannot be read");
    change("DROP TABLE told; ALTER TABLE kept RENAME TO told;");
    has_got(&receiver, 1);
    again.act("undo", "");
    has_got(&receiver, 2);
    assert_eq!(news(&receiver.requests()), ["promote 2", "abort 3"]);
}

#[test]
fn an_abort_is_sent_while_the_disk_is_full() {
    let (sides, receiver) = (two_upstreams(), Upstream::answering("ok"));
    let process = Process::start(&told(split(&sides, LONG_BAKE), &receiver, ""));
    process.act("rollouts", "{\"version\": \"v2\"}");
    disk_is_full(&process, true);
    assert_eq!(process.act("abort", "")["durable"], false);
    has_got(&receiver, 1);
    disk_is_full(&process, false);
    eventually("it is written", || (process.bot()["durable"] == true).then_some(()));
    process.act("switch", "{}");
    has_got(&receiver, 2);
    assert_eq!(news(&receiver.requests()), ["abort 3", "promote 4"]);
}

#[test]
fn a_trip_is_sent_to_each_notifier_once_under_an_occasion_that_it_has() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let (ops, asked) = (Upstream::answering("ok"), Upstream::answering("ok"));
    let config = told(Config::split(blue.address, green.address).bot(LONG_BAKE), &ops, "");
    let url = format!("url = \"http://{}/\"", asked.address);
    let config = config.notify(&["name = \"asked\"", "kind = \"webhook\"", &url, &format!("secret = \"{KEY}\""), "on = [\"held\"]"]);
    let config = config.admin("public_url = \"https://serin.example.com\"").token("ops", "operate", KEY);
    let process = Process::start(&config).asking_with(KEY);
    process.act("rollouts", "{\"version\": \"v2\", \"force\": true}");
    for number in 0..40 {
        assert_eq!(process.ask(&Ask::of(&format!("T{number}"))).text(), "blue");
    }
    has_got(&asked, 1);
    // With another revision the links are of no use any more: both are asked again.
    process.act("freeze", "{}");
    has_got(&asked, 2);
    has_got(&ops, 2);
    process.act("abort", "");
    has_got(&ops, 3);
    assert_eq!((news(&ops.requests()), news(&asked.requests())), (words(&["abort 3", "held", "abort 5"]), words(&["held", "held"])));
    let actions = |request: &Request| {
        let links = json(request)["links"].clone();
        links.as_array().unwrap().iter().map(|link| link["action"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(actions(&ops.requests()[0]), ["resume", "abort"]);
    assert_eq!(actions(&ops.requests()[1]), ["abort"], "in a freeze nothing goes on");
    assert_eq!(actions(&asked.requests()[0]), ["resume", "abort"]);
    assert_eq!(json(&asked.requests()[0])["hold"]["code"], "breaker");
}

#[test]
fn a_new_notifier_receives_the_next_change() {
    let (sides, first, second) = (two_upstreams(), Upstream::answering("ok"), Upstream::answering("ok"));
    let process = Process::start(&split(&sides, LONG_BAKE));
    process.act("switch", "{}");
    process.apply_config(&told(split(&sides, LONG_BAKE), &first, "").text());
    process.act("undo", "");
    has_got(&first, 1);
    // Another URL, and other news.
    process.apply_config(&told(split(&sides, LONG_BAKE), &second, "on = [\"start\"]\nbots = [\"support\"]").text());
    process.act("rollouts", "{\"retry\": true, \"reason\": \"a test\"}");
    process.act("abort", "");
    has_got(&second, 1);
    // And one more bot.
    let (blue, green) = (sides.0.address, sides.1.address);
    let upstreams = format!("upstreams = {{ blue = \"http://{blue}\", green = \"http://{green}\" }}");
    let other = [
        "name = \"sales\"",
        "match = { path_prefix = \"/sales\" }",
        "workspace = \"header:x-workspace\"",
        &upstreams,
        "stable = \"blue\"",
        LONG_BAKE,
    ];
    process.apply_config(&told(split(&sides, LONG_BAKE).add(&other), &second, "on = [\"start\"]").text());
    let started = process.admin(Ask::new("POST", "/v1/bots/sales/rollouts").json("{}"));
    assert_eq!(started.status, 200, "{started:?}");
    has_got(&second, 2);
    assert_eq!((news(&first.requests()), news(&second.requests())), (words(&["abort 3"]), words(&["start 4", "start 2"])));
}

/// Replaces the config, and waits only until it serves.
#[test]
fn a_message_that_the_old_url_refused_goes_to_the_new_url() {
    let (sides, next, aware) = (two_upstreams(), Upstream::answering("ok"), Upstream::answering("ok"));
    let (url, secret) = (format!("url = \"http://{}/\"", aware.address), format!("secret = \"{KEY}\""));
    let config = |at: &Upstream| {
        let config = told(split(&sides, LONG_BAKE), at, "on = [\"promote\"]");
        config.notify(&["name = \"aware\"", "kind = \"webhook\"", &url, &secret, "on = [\"abort\"]"])
    };
    for (number, status) in ["401 Unauthorized", "404 Not Found"].into_iter().enumerate() {
        let replaced = Arc::new(AtomicBool::new(false));
        let gone = Upstream::scripted({
            let replaced = replaced.clone();
            move |_, wire| {
                eventually("the config is replaced", || replaced.load(Ordering::SeqCst).then_some(()));
                let _ = wire.write(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n").as_bytes());
                Then::KeepAlive
            }
        });
        let process = Process::start(&config(&gone));
        process.act("switch", "{}");
        has_got(&gone, 1);
        // While the attempt is under way.
        process.apply_config(&config(&next).text());
        process.act("undo", "");
        has_got(&aware, number + 1);
        replaced.store(true, Ordering::SeqCst);
        has_got(&next, number + 1);
        assert_eq!((news(&next.requests()[number..]), gone.count()), (words(&["promote 2"]), 1), "{status}");
    }
}

#[test]
fn a_file_with_another_url_counts_after_a_hangup() {
    let (sides, first, second) = (two_upstreams(), Upstream::answering("ok"), Upstream::answering("ok"));
    let folder = tempfile::tempdir().expect("a temporary directory");
    let (url, key) = (folder.path().join("url"), folder.path().join("key"));
    let write = |at: &Upstream| std::fs::write(&url, format!("http://{}/x\n", at.address)).expect("a writable directory");
    write(&first);
    std::fs::write(&key, KEY).expect("a writable directory");
    let (file, secret) = (format!("file = {url:?}"), format!("secret_file = {key:?}"));
    let process = Process::start(&split(&sides, LONG_BAKE).notify(&["name = \"ops\"", "kind = \"webhook\"", &file, &secret]));
    process.act("switch", "{}");
    has_got(&first, 1);
    write(&second);
    process.signal(libc::SIGHUP);
    process.logged("config read again");
    process.act("undo", "");
    has_got(&second, 1);
    assert!(first.count() == 1 && is_signed(&second.only_request()));
}

#[test]
fn a_drill_that_is_due_is_reported_without_a_change() {
    let (sides, receiver) = (two_upstreams(), Upstream::answering("ok"));
    let config = split(&sides, LONG_BAKE).bot("drill_every = \"1h\"");
    let process = Process::start(&told(config, &receiver, "on = [\"drill_due\", \"abort\"]"));
    has_got(&receiver, 1);
    // The end of a drill is no abort.
    process.act("drill", "{\"share_percent\": 100, \"seconds\": 1}");
    process.act("rollouts", "{}");
    process.act("abort", "");
    has_got(&receiver, 2);
    assert_eq!(news(&receiver.requests())[0], "drill_due");
    assert!(news(&receiver.requests())[1].starts_with("abort "));
}

#[test]
fn a_test_says_what_the_receiver_answered() {
    let (sides, receiver) = (two_upstreams(), Upstream::saying("HTTP/1.1 403 Forbidden\r\nContent-Length: 13\r\n\r\ninvalid_token"));
    let process = Process::start(&told(split(&sides, LONG_BAKE), &receiver, ""));
    let run = |arguments: &[&str]| {
        let mut all = vec!["notify"];
        all.extend(arguments);
        let admin = format!("http://{}", process.admin);
        all.extend(["--admin", &admin]);
        let output = command(&all).output().expect("serin is built");
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    };
    assert_eq!(run(&["--test"]), (Some(1), "ops: NOT sent, it answered 403: invalid_token\n".to_owned()));
    let (code, said) = run(&["--test", "nobody"]);
    assert!(code == Some(1) && said.contains("there is no notifier \"nobody\"; there are: ops"), "{said}");
    assert_eq!(json(&receiver.only_request())["type"], "test");
    let good = Upstream::answering("ok");
    process.replace_config(&told(split(&sides, LONG_BAKE), &good, "").text());
    eventually("the new URL", || (run(&["--test", "ops"]) == (Some(0), "ops: sent, it answered 200: ok\n".to_owned())).then_some(()));
}
