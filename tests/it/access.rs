//! Tokens of a running process: wrong ones, too many of them, and files that change. TLS has a file of its own.

use std::fs;

use crate::harness::{Answer, Ask, Client, Config, Process, SecretVolume, Serin, Upstream, eventually};

const OLD: &str = "old-old-old-old-old";
const NEW: &str = "new-new-new-new-new";

fn with(process: &Process, token: &str) -> Answer {
    process.admin(Ask::new("GET", "/v1/bots").field("Authorization", &format!("Bearer {token}")))
}

/// With the metrics open to the harness.
fn config(blue: &Upstream) -> Config {
    Config::split(blue.address, blue.address).admin("metrics_open = true")
}

fn from_file(config: Config, name: &str, file: &std::path::Path) -> Config {
    config.admin(&format!("[[admin.token]]\nname = \"{name}\"\nscope = \"operate\"\nfile = \"{}\"", file.display()))
}

fn denied(process: &Process, reason: &str) -> f64 {
    process.metrics().sum("serin_admin_denied_total", &[("reason", reason)])
}

#[test]
fn many_wrong_tokens_are_answered_429_and_a_right_one_is_served() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&config(&blue).token("ci", "operate", OLD).token("look", "read", NEW));
    for _ in 0..10 {
        with(&process, "wrong").is_problem_document("unauthorized");
    }
    for _ in 0..3 {
        let answer = with(&process, "wrong");
        answer.is_problem_document("too_many_attempts");
        let after: u64 = answer.field("retry-after").unwrap().parse().unwrap();
        assert!(answer.status == 429 && (1..=60).contains(&after), "{answer:?}");
    }
    assert_eq!((with(&process, OLD).status, with(&process, NEW).status), (200, 200), "a right token from the same address");
    assert_eq!(process.admin(Ask::new("GET", "/v1/bots")).status, 401, "no token is no wrong one");
    let put = Ask::new("PUT", "/v1/bots/support/weight").json("{\"percent\": 1}").field("Authorization", &format!("Bearer {NEW}"));
    assert_eq!(process.admin(put).status, 403);
    for (reason, n) in [("bad_token", 10.0), ("too_many_attempts", 3.0), ("no_token", 1.0), ("scope", 1.0)] {
        assert_eq!(denied(&process, reason), n, "{reason}");
    }
    process.logged("too many wrong tokens");
    assert_eq!(process.logged_times("too many wrong tokens"), 1);
}

#[test]
fn a_tokens_file_that_is_swapped_counts_without_a_reload() {
    let blue = Upstream::answering("blue");
    let mut volume = SecretVolume::new(&[("token", OLD)]);
    let process = Process::start(&from_file(config(&blue), "ci", &volume.path("token")));
    let taken = process.metrics().sum("serin_config_last_reload_success_timestamp_seconds", &[]);
    let (mut last, mut next) = (OLD.to_owned(), NEW.to_owned());
    for turn in 0..3 {
        assert_eq!(with(&process, &last).status, 200);
        volume.swap(&[("token", &next)]);
        eventually("the new secret", || (with(&process, &next).status == 200).then_some(()));
        assert_ne!(with(&process, &last).status, 200, "the old one is not taken any more");
        last = std::mem::replace(&mut next, format!("{NEW}-{turn}"));
    }
    assert_eq!(process.metrics().sum("serin_config_last_reload_success_timestamp_seconds", &[]), taken);
}

#[test]
fn a_secret_is_renewed_while_the_config_is_broken() {
    let blue = Upstream::answering("blue");
    let mut volume = SecretVolume::new(&[("token", OLD)]);
    let process = Process::start(&from_file(config(&blue), "ci", &volume.path("token")));
    process.replace_config("[proxy");
    process.reload_is(false);
    volume.swap(&[("token", NEW)]);
    eventually("the new secret", || (with(&process, NEW).status == 200).then_some(()));
}

#[test]
fn a_missing_or_empty_file_leaves_the_old_secret_and_is_logged_once() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, OLD).unwrap();
    let process = Process::start(&from_file(config(&blue), "ci", &file));
    let looks_again = || {
        for _ in 0..3 {
            let before = process.logged_times("config refused");
            process.signal(libc::SIGHUP);
            eventually("another look", || (process.logged_times("config refused") > before).then_some(()));
        }
    };
    fs::remove_file(&file).unwrap();
    process.logged("cannot be read: No such file or directory (os error 2); what was read before serves on");
    looks_again();
    fs::write(&file, "").unwrap();
    process.logged("is empty; what was read before serves on");
    looks_again();
    assert_eq!(with(&process, OLD).status, 200);
    assert_eq!(process.logged_times("is empty; what was read before serves on"), 1);
    fs::write(&file, NEW).unwrap();
    eventually("the new secret", || (with(&process, NEW).status == 200).then_some(()));
}

/// The history tells them apart by it.
#[test]
fn a_secret_that_becomes_another_tokens_is_not_taken() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    fs::write(&file, OLD).unwrap();
    let process = Process::start(&from_file(config(&blue).token("other", "read", NEW), "ci", &file));
    fs::write(&file, NEW).unwrap();
    process.logged("would have the same secret");
    let put = |token: &str| {
        let put = Ask::new("PUT", "/v1/bots/support/weight").json("{\"percent\": 0}");
        process.admin(put.field("Authorization", &format!("Bearer {token}"))).status
    };
    assert_eq!((put(OLD), put(NEW)), (200, 403));
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let blue = Upstream::answering("blue");
    let serin = Serin::start(&config(&blue));
    let ask = |bytes: usize| {
        let mut client = Client::connect(serin.admin);
        client.try_ask(&Ask::new("GET", "/livez").host(&serin.admin.to_string()).field("X", &"x".repeat(bytes)))
    };
    assert_eq!(ask(30_000).unwrap().status, 200);
    // serin may hang up while the rest is being sent.
    assert!(ask(40_000).map_or(true, |answer| answer.status == 431));
    assert!(ask(4_000_000).map_or(true, |answer| answer.status == 431));
}
