//! The log: a line for each webhook if the config wants it, without secrets. No request waits if nobody reads the log.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use crate::harness::{Ask, Client, Closed, Config, Handle, Process, Then, Upstream, command, eventually, ok};

fn split(blue: &Upstream) -> Config {
    Config::split(blue.address, blue.address)
}

/// The line of the access log that holds this.
#[track_caller]
fn line(process: &Process, part: &str) -> Value {
    serde_json::from_str(&process.logged(part)).expect("a line of JSON")
}

#[test]
fn each_webhook_has_one_line_and_nothing_secret_is_in_it() {
    let blue = Upstream::answering("blue");
    let config = Config::new().log("access = \"full\"").add(&[
        "name = \"support\"",
        "match = { path_prefix = \"/hooks\" }",
        "workspace = \"header:X-Workspace\"",
        &format!("upstreams = {{ blue = \"http://{}\" }}", blue.address),
    ]);
    let process = Process::start(&config);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let ask = Ask::new("POST", "/hooks/PATHTOKEN/x?token=QUERYTOKEN")
        .field("X-Workspace", "WORKSPACEID")
        .field("Authorization", "Bearer HEADERTOKEN")
        .field("traceparent", parent)
        .body(b"BODYTOKEN");
    assert_eq!(process.ask(&ask).status, 200);
    let line = line(&process, "\"log\":\"access\"");
    let said = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{key} in {line}"));
    let keys = ["bot", "track", "reason", "outcome", "method", "path_prefix", "upstream", "trace_id"];
    let wanted = ["support", "stable", "rank", "ok", "POST", "/hooks", "blue", "0af7651916cd43dd8448eb211c80319c"];
    assert_eq!(keys.map(said), wanted);
    assert_eq!(line["status"], 200);
    assert!(line["bucket"].as_u64().is_some_and(|bucket| bucket < 10_000), "{line}");
    let (first, all) = (line["first_byte_ms"].as_f64().unwrap(), line["duration_ms"].as_f64().unwrap());
    assert!(0.0 < first && first <= all, "{line}");
    for secret in ["PATHTOKEN", "QUERYTOKEN", "HEADERTOKEN", "BODYTOKEN", "WORKSPACEID"] {
        assert_eq!(process.logged_times(secret), 0, "{secret}");
    }
    process.ask(&Ask::new("POST", "/hooks"));
    eventually("a second line", || (process.logged_times("\"log\":\"access\"") == 2).then_some(()));
}

#[test]
fn the_line_of_a_failure_says_which() {
    let closed = Closed::new();
    let config = Config::split(closed.address, closed.address).log("access = \"full\"").log("access_workspace = true");
    let process = Process::start(&config);
    assert_eq!(process.ask(&Ask::of("T\"1\\")).status, 502);
    let line = line(&process, "\"log\":\"access\"");
    assert_eq!((&line["error"], &line["status"], &line["outcome"]), (&"connect_failed".into(), &502.into(), &"error".into()));
    assert!(line["workspace"].as_str().is_some_and(|workspace| workspace.ends_with("T\"1\\")), "{line}");
}

#[test]
fn every_answered_request_is_in_the_log_after_a_drain_and_after_a_second_signal() {
    for drain in ["60s", "100ms"] {
        let blue = Upstream::scripted(|request, wire| {
            if request.line().contains("/hangs") {
                std::thread::sleep(std::time::Duration::from_secs(5));
            }
            let _ = wire.write(&ok("blue"));
            Then::KeepAlive
        });
        let mut process = Process::start(&split(&blue).log("access = \"full\"").drain(drain));
        let mut hangs = process.client();
        hangs.send(&Ask::new("POST", "/hangs").bytes());
        eventually("it hangs", || (blue.count() == 1).then_some(()));
        (0..5).for_each(|_| assert_eq!(process.ask(&Ask::of("T1")).status, 200));
        process.signal(libc::SIGTERM);
        if drain == "60s" {
            process.logged("draining");
            process.signal(libc::SIGTERM);
        }
        assert!(process.ended().success());
        eventually("a line for each", || (process.logged_times("\"log\":\"access\"") == 6).then_some(()));
    }
}

#[test]
fn a_panic_is_a_line_like_all_others() {
    let this = std::env::current_exe().unwrap();
    let output = std::process::Command::new(this).args(["--exact", "logs::panics", "--ignored", "--nocapture"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let line = said.lines().find(|line| line.contains("a broken worker")).unwrap_or_else(|| panic!("{said}"));
    let line: Value = serde_json::from_str(line).expect("a line of JSON");
    assert_eq!((&line["level"], &line["thread"]), (&"ERROR".into(), &"serin-7".into()), "{line}");
    assert!(line["at"].as_str().is_some_and(|at| at.contains("logs.rs:")), "{line}");
}

/// Run by the test above, in a process of its own.
#[test]
#[ignore = "it is the other half of a test"]
fn panics() {
    let text = "[log]\nformat = \"json\"\n[[bot]]\nname = \"a\"\nworkspace = \"json:/t\"\nupstreams = { a = \"http://a\" }\n";
    let config = serin::config::parse(text, std::path::Path::new("serin.toml")).unwrap();
    serin::logs::init(&config.log).unwrap();
    let worker = std::thread::Builder::new().name("serin-7".to_owned()).spawn(|| panic!("a broken worker"));
    assert!(worker.unwrap().join().is_err());
    serin::logs::flush();
}

#[test]
fn the_line_of_a_change_has_the_id_of_its_request() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&split(&blue));
    let ask = Ask::new("PUT", "/v1/bots/support/weight").json("{\"percent\": 5}").field("X-Request-Id", "deploy-7");
    let answer = process.admin(ask);
    assert_eq!((answer.status, answer.field("x-request-id")), (200, Some("deploy-7")), "{answer:?}");
    let line = line(&process, "change answered");
    assert_eq!((&line["bot"], &line["revision"]), (&"support".into(), &2.into()), "{line}");
    let span = &line["span"];
    let said = ["request_id", "method", "route"].map(|key| span[key].as_str().unwrap_or_default());
    assert_eq!(said, ["deploy-7", "PUT", "/v1/bots/{bot}/weight"], "{line}");
}

#[test]
fn the_line_of_a_rescue_names_the_upstream_that_answered() {
    let (blue, green) = (Upstream::answering("blue"), Closed::new());
    let process = Process::start(&Config::split(blue.address, green.address).weight("99.99%").log("access = \"full\""));
    assert_eq!(process.ask(&Ask::of("T1")).text(), "blue");
    let line = line(&process, "\"log\":\"access\"");
    let seen = (&line["track"], &line["upstream"], &line["rescued"], &line["outcome"], &line["status"]);
    assert_eq!(seen, (&"canary".into(), &"blue".into(), &true.into(), &"error".into(), &200.into()));
}

#[test]
fn a_reload_turns_the_access_log_and_the_level() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&split(&blue));
    assert_eq!(process.ask(&Ask::of("T1")).status, 200);
    process.replace_config(&split(&blue).log("access = \"full\"").log("level = \"warn\"").text());
    // The line that says so may be below the new level.
    let hash = process.config_hash();
    eventually("the access log", || {
        process.ask(&Ask::of("T1"));
        (process.logged_times("\"log\":\"access\"") > 0).then_some(())
    });
    assert_ne!(process.config_hash(), hash);
    let before = process.logged_times("\"level\":\"INFO\"");
    process.set_weight(5.0);
    process.replace_config(&split(&blue).text());
    eventually("the level of before", || (process.logged_times("config reloaded") > 0).then_some(()));
    assert_eq!(process.logged_times("\"level\":\"INFO\""), before + 1, "the change of weight was below the level");
    process.replace_config(&split(&blue).log("format = \"human\"").text());
    assert!(process.logged("config refused").contains("[log] format changed"), "that needs a restart");
}

#[test]
fn human_lines_where_they_are_wanted() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, split(&blue).log("format = \"human\"").text()).unwrap();
    let mut child = command(&["run", "--config"]).arg(&path).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let served = lines.find(|line| line.contains("serin serves")).expect("a line");
    assert!(served.contains(" INFO serin serves proxy=127.0.0.1:"), "{served}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn no_request_waits_if_nobody_reads_the_log() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    // One worker: its lines fill the queue in the order in which they are made.
    std::fs::write(&path, split(&blue).workers(1).log("access = \"full\"").text()).unwrap();
    let mut child = command(&["run", "--config"]).arg(&path).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let served = lines.by_ref().find(|line| line.contains("serin serves")).expect("a line");
    let served: Value = serde_json::from_str(&served).unwrap();
    let address = |key: &str| served[key].as_str().unwrap().parse().unwrap();
    let handle = Handle { proxy: address("proxy"), admin: address("admin"), token: None };
    let mut client: Client = handle.client();
    let lost = || handle.metrics().sum("serin_log_lines_dropped_total", &[("log", "access")]);
    let mut asked = 0.0;
    eventually("lost lines", || {
        for _ in 0..500 {
            assert_eq!(client.ask(&Ask::of("T1")).status, 200);
            asked += 1.0;
        }
        (lost() > 0.0).then_some(())
    });
    // The control thread serves on as well.
    handle.set_weight(5.0);
    let gone = lost();
    assert!(gone < asked, "{gone} of {asked}");
    // A reader reads again: the queued lines come, then a line with the number of the lost ones.
    let notice = lines.find(|line| line.contains("log lines were lost")).expect("a line");
    let notice: Value = serde_json::from_str(&notice).unwrap();
    assert_eq!((&notice["log"], notice["lines"].as_f64()), (&"access".into(), Some(gone)));
    drop(lines);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_last_line_says_why_serin_ended() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    let text = split(&blue).text().replacen("127.0.0.1:0", &taken.local_addr().unwrap().to_string(), 1);
    std::fs::write(&path, text).unwrap();
    let output = command(&["run", "--config"]).arg(&path).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.lines().last().is_some_and(|line| line.starts_with("serin: cannot listen on 127.0.0.1:")), "{error}");
}
