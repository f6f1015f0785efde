//! Reloads of a running process: serin applies the changed file as a whole or refuses it as a whole, and no request fails.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::harness::{Ask, Config, Handle, Process, Then, Upstream, command, eventually, ok, send_signal, two_upstreams};

#[track_caller]
fn weight_becomes(process: &Process, percent: f64) {
    eventually(&format!("a weight of {percent} %"), || (process.bot()["weight_percent"] == percent).then_some(()));
}

/// Writes a config that serin must refuse for this reason.
#[track_caller]
fn refused(process: &Process, text: &str, says: &str) {
    let hash = process.config_hash();
    process.replace_config(text);
    process.reload_is(false);
    let line = process.logged(says);
    assert!(line.contains("the old one serves on"), "{line}");
    assert_eq!(process.config_hash(), hash, "the old one serves");
}

#[test]
fn a_file_that_is_replaced_takes_effect() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    let before = process.config_hash();
    for percent in ["100%", "0%", "25%"] {
        process.replace_config(&config.clone().weight(percent).text());
        weight_becomes(&process, percent.trim_end_matches('%').parse().unwrap());
    }
    assert_ne!(process.config_hash(), before);
    process.reload_is(true);
}

#[test]
fn a_file_that_is_written_in_place_takes_effect() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    fs::write(&process.config, config.weight("100%").text()).unwrap();
    weight_becomes(&process, 100.0);
    process.is_served_by("green");
}

/// `config/serin.toml` → `..data/serin.toml`, `..data` → a directory with a date, which is swapped by a rename.
#[test]
fn a_config_map_that_is_swapped_takes_effect_each_time() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let directory = tempfile::tempdir().unwrap();
    let volume = directory.path();
    let swap = |turn: usize, text: &str| {
        let dated = format!("..2024_{turn}");
        fs::create_dir(volume.join(&dated)).unwrap();
        fs::write(volume.join(&dated).join("serin.toml"), text).unwrap();
        symlink(&dated, volume.join("..data_tmp")).unwrap();
        fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
        if turn > 0 {
            fs::remove_dir_all(volume.join(format!("..2024_{}", turn - 1))).unwrap();
        }
    };
    swap(0, &config.text());
    symlink("..data/serin.toml", volume.join("serin.toml")).unwrap();
    let process = Process::start_with(&volume.join("serin.toml"));
    for (turn, percent) in [1.0, 50.0, 100.0, 0.0].into_iter().enumerate() {
        swap(turn + 1, &config.clone().weight(&format!("{percent}%")).text());
        weight_becomes(&process, percent);
    }
}

/// The file is a link itself, to one in another directory.
#[test]
fn a_link_that_is_turned_takes_effect() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("releases")).unwrap();
    fs::create_dir(at("etc")).unwrap();
    fs::write(at("releases/1.toml"), config.text()).unwrap();
    fs::write(at("releases/2.toml"), config.weight("100%").text()).unwrap();
    symlink(at("releases/1.toml"), at("etc/serin.toml")).unwrap();
    let process = Process::start_with(&at("etc/serin.toml"));
    symlink(at("releases/2.toml"), at("etc/new")).unwrap();
    fs::rename(at("etc/new"), at("etc/serin.toml")).unwrap();
    weight_becomes(&process, 100.0);
}

#[test]
fn sighup_reads_the_files_that_the_config_names_again() {
    let blue = Upstream::answering("blue");
    let directory = tempfile::tempdir().unwrap();
    let secrets = tempfile::tempdir().unwrap();
    let secret = secrets.path().join("ci");
    fs::write(&secret, "first-first-first-first\n").unwrap();
    let token = format!("[[admin.token]]\nname = \"ci\"\nscope = \"operate\"\nfile = \"{}\"", secret.display());
    let path = directory.path().join("serin.toml");
    fs::write(&path, Config::split(blue.address, blue.address).admin("metrics_open = true").admin(&token).text()).unwrap();
    let process = Process::start_with(&path);
    let status = |token: &str| process.admin(Ask::new("GET", "/v1/bots").field("Authorization", &format!("Bearer {token}"))).status;
    assert_eq!((status("first-first-first-first"), status("second-second-second")), (200, 401));
    fs::write(&secret, "second-second-second").unwrap();
    process.signal(libc::SIGHUP);
    eventually("the new secret", || (status("second-second-second") == 200).then_some(()));
    assert_ne!(status("first-first-first-first"), 200, "the first secret is refused");
}

#[test]
fn a_hangup_without_a_change_changes_nothing() {
    let (blue, green) = two_upstreams();
    let process = Process::start(&Config::split(blue.address, green.address));
    process.set_weight(50.0);
    let before = process.bot();
    process.signal(libc::SIGHUP);
    process.logged("no change in it");
    assert_eq!(process.bot(), before);
}

#[test]
fn a_config_with_an_error_is_refused_as_a_whole() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    // The first bot's weight is fine; the second bot is not.
    let half = config.clone().weight("100%").add(&["name = \"second\"", "match = { path_prefix = \"/second\" }"]);
    refused(&process, &half.text(), "second");
    assert_eq!(process.bot()["weight_percent"], 0.0);
    refused(&process, "[proxy", "config refused");
    refused(&process, &config.clone().bot("wieght = \"5%\"").text(), "wieght");
    assert_eq!(process.ask(&Ask::of("T1")).text(), "blue");
    process.replace_config(&config.weight("100%").text());
    process.reload_is(true);
    assert_eq!(process.ask(&Ask::of("T1")).text(), "green");
}

#[test]
fn a_config_that_is_gone_leaves_all_as_it_is() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config.clone().weight("100%"));
    fs::remove_file(&process.config).unwrap();
    process.signal(libc::SIGHUP);
    process.reload_is(false);
    assert_eq!(process.ask(&Ask::of("T1")).text(), "green");
    fs::write(&process.config, config.weight("0%").text()).unwrap();
    weight_becomes(&process, 0.0);
    process.reload_is(true);
}

#[test]
fn a_request_in_flight_survives_a_reload() {
    let (release, blue) = Upstream::on_demand("blue");
    let green = Upstream::answering("green");
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    let mut client = process.client();
    client.send(&Ask::of("T1").bytes());
    eventually("the request at the upstream", || (blue.count() == 1).then_some(()));
    // The new config does not have the upstream of the request.
    process.apply_config(&Config::split(green.address, green.address).text());
    assert_eq!(process.ask(&Ask::of("T2")).text(), "green");
    release.send(()).unwrap();
    assert_eq!(client.answer().unwrap().text(), "blue");
    assert_eq!(client.ask(&Ask::of("T1")).text(), "green", "the same connection obeys the new config");
}

#[test]
fn a_weight_that_the_file_does_not_change_is_the_operators() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).weight("10%");
    let process = Process::start(&config);
    assert_eq!(process.bot()["weight_percent"], 10.0);
    process.set_weight(40.0);
    process.apply_config(&config.clone().bot("timeout = \"9s\"").text());
    assert_eq!(process.bot()["weight_percent"], 40.0, "an unchanged value never overrides");
    let changed = Config::split(blue.address, green.address).weight("20%");
    let hash = process.config_hash();
    process.replace_config(&changed.text());
    weight_becomes(&process, 20.0);
    eventually("the new config", || (process.config_hash() != hash).then_some(()));
    let hash = process.config_hash();
    process.set_weight(60.0);
    process.replace_config(&changed.bot("max = \"30%\"").text());
    eventually("the new config", || (process.config_hash() != hash).then_some(()));
    assert_eq!(process.bot()["weight_percent"], 30.0, "within the new cap");
}

/// An unrelated reload does not begin the evidence anew.
#[test]
fn an_unrelated_change_keeps_the_split_and_its_tallies() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).weight("100%");
    let process = Process::start(&config);
    process.ask(&Ask::of("T1"));
    process.evidence_is("canary", [1, 0, 0, 0]);
    process.apply_config(&config.limit("idle_timeout = \"30s\"").text());
    assert_eq!(process.evidence("canary"), [1, 0, 0, 0]);
}

#[test]
fn a_reload_cannot_change_what_a_split_in_force_depends_on() {
    let (blue, green) = two_upstreams();
    let other = Upstream::answering("other");
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    process.set_weight(5.0);
    let changes = [
        (Config::split(other.address, green.address), "the stable upstream"),
        (Config::split(blue.address, other.address), "the canary upstream"),
        (config.clone().proxy("salt = \"another\""), "the salt"),
        (Config::identified("workspace = \"json:/id\"", blue.address, green.address), "the workspace's sources"),
        (config.clone().bot("mixed = \"first\""), "the workspace's sources"),
    ];
    for (change, what) in &changes {
        refused(&process, &change.text(), what);
        assert_eq!(process.bot()["weight_percent"], 5.0);
        process.replace_config(&config.text());
        process.reload_is(true);
    }
    let text = config.text().replace("\"support\"", "\"renamed\"");
    refused(&process, &text, "the name");
    process.set_weight(0.0);
    process.replace_config(&changes[0].0.text());
    process.reload_is(true);
    assert_eq!(process.ask(&Ask::of("T1")).text(), "other", "without a split nothing stands in its way");
}

#[test]
fn a_change_that_needs_a_restart_is_refused() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    let text = config.text();
    refused(&process, &text.replacen("127.0.0.1:0", "127.0.0.1:1", 1), "[proxy] listen");
    refused(&process, &text.replace("workers = 2", "workers = 3"), "[proxy] workers");
    let admin = text.rfind("127.0.0.1:0").map(|at| format!("{}127.0.0.1:2{}", &text[..at], &text[at + 11..])).unwrap();
    refused(&process, &admin, "[admin] listen");
    refused(&process, &config.clone().log("format = \"human\"").text(), "[log] format");
    refused(&process, &format!("{text}[history]\nkeep = \"30d\"\n"), "[history]");
    assert_eq!(process.ask(&Ask::of("T1")).text(), "blue");
}

#[test]
fn a_bot_that_is_added_serves_and_one_that_is_gone_does_not() {
    let (blue, green) = two_upstreams();
    let lines = |name: &str, upstream: &Upstream| {
        let upstreams = format!("upstreams = {{ only = \"http://{}\" }}", upstream.address);
        [format!("name = \"{name}\""), format!("match = {{ path_prefix = \"/{name}\" }}"), "workspace = \"header:X\"".to_owned(), upstreams]
    };
    let add = |config: Config, name: &str, upstream| config.add(&lines(name, upstream).each_ref().map(String::as_str));
    let one = add(Config::new(), "one", &blue);
    let process = Process::start(&one);
    let ask = |path: &str| process.ask(&Ask::new("POST", path).body(b"{}"));
    assert_eq!((ask("/one").text(), ask("/two").status), ("blue", 404));
    process.replace_config(&add(one, "two", &green).text());
    eventually("the second bot", || (ask("/two").text() == "green").then_some(()));
    assert_eq!(ask("/one").text(), "blue");
    process.replace_config(&add(Config::new(), "two", &green).text());
    eventually("the first bot's end", || (ask("/one").status == 404).then_some(()));
    assert_eq!(ask("/two").text(), "green");
}

/// Is SIGHUP ignored or caught? At first it is the end, which no program can help.
fn minds_hangups(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let mask = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a mask of signals");
        u64::from_str_radix(line.trim(), 16).expect("a number")
    };
    (mask("SigIgn:") | mask("SigCgt:")) & 1 == 1
}

#[test]
fn a_change_and_a_sighup_during_the_start_are_obeyed() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).log("format = \"json\"");
    for delay in [0, 1, 2, 4, 8, 16] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("serin.toml");
        fs::write(&path, config.text()).unwrap();
        let mut child = command(&["run", "--config"]).arg(&path).stderr(Stdio::piped()).spawn().unwrap();
        eventually("the program has begun", || minds_hangups(child.id()).then_some(()));
        std::thread::sleep(Duration::from_millis(delay));
        fs::write(path.with_extension("new"), config.clone().weight("7%").text()).unwrap();
        fs::rename(path.with_extension("new"), &path).unwrap();
        send_signal(&child, libc::SIGHUP);
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
        let serves = lines.by_ref().find(|line| line.contains("serin serves")).expect("it serves");
        let serves: serde_json::Value = serde_json::from_str(&serves).unwrap();
        let address = |key: &str| serves[key].as_str().unwrap().parse().unwrap();
        let handle = Handle { proxy: address("proxy"), admin: address("admin"), token: None };
        std::thread::spawn(move || lines.for_each(drop));
        eventually("the last config", || (handle.bot()["weight_percent"] == 7.0).then_some(()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_bot_that_comes_back_goes_on_with_its_history() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    let change = |action: &str, document: &str| {
        let answer = process.admin(Ask::new("POST", &format!("/v1/bots/support/{action}")).json(document));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    change("switch", "{\"upstream\": \"green\"}");
    let before = process.bot();
    let other = config.clone().text().replace("name = \"support\"", "name = \"other\"");
    let is_known = || process.admin(Ask::new("GET", "/v1/bots/support")).status == 200;
    process.replace_config(&other);
    eventually("the bot is gone", || (!is_known()).then_some(()));
    process.replace_config(&config.text());
    eventually("the bot is back", || is_known().then_some(()));
    let back = process.bot();
    for field in ["revision", "stable", "previous"] {
        let known = |bot: &serde_json::Value| match field {
            "previous" => bot[field]["upstream"].clone(),
            _ => bot[field].clone(),
        };
        assert_eq!(known(&back), known(&before), "{field}");
    }
    process.is_served_by("green");
    change("freeze", "{}");
    assert_eq!((&process.bot()["durable"], &process.bot()["history_error"]), (&true.into(), &serde_json::Value::Null));
}

#[test]
fn a_renamed_bot_is_a_new_bot_with_a_warning() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address).log("format = \"json\"");
    let process = Process::start(&config);
    assert_eq!(process.admin(Ask::new("POST", "/v1/bots/support/switch").json("{\"upstream\": \"green\"}")).status, 200);
    process.replace_config(&config.text().replace("\"support\"", "\"renamed\""));
    let line: serde_json::Value = serde_json::from_str(&process.logged("a renamed bot is a new bot")).unwrap();
    assert_eq!((&line["level"], &line["bot"]), (&"WARN".into(), &"support".into()), "{line}");
    process.is_served_by("blue");
}

/// A rollout keeps the steps of its start. The guard's limits are those of the current config.
#[test]
fn a_config_that_is_edited_during_a_rollout_changes_its_guard_and_not_its_steps() {
    let blue = Upstream::answering("blue");
    let green = Upstream::scripted(|_, wire| {
        std::thread::sleep(Duration::from_millis(60));
        let _ = wire.write(&ok("green"));
        Then::KeepAlive
    });
    let config = |steps: &str, guard: &str| {
        Config::split(blue.address, green.address).bot(&format!("rollout = {{ {steps} }}")).bot(&format!("guard = {{ {guard} }}"))
    };
    let process = Process::start(&config("steps = [\"50%\", \"75%\", \"100%\"], bake = \"1h\"", "abort_at = 1000000"));
    assert_eq!(process.admin(Ask::new("POST", "/v1/bots/support/rollouts").json("{\"version\": \"v2\"}")).status, 200);
    (0..40).for_each(|n| assert_eq!(process.ask(&Ask::of(&format!("T{n}"))).status, 200));
    let way = |bot: &serde_json::Value| ["steps_percent", "bake_seconds", "policy"].map(|key| bot["rollout"][key].clone());
    let before = process.bot();
    assert_eq!((&before["phase"], &before["evidence"]["abort_at"]), (&"progressing".into(), &1_000_000.0.into()));
    let others = "steps = [\"10%\", \"100%\"], bake = \"1s\", policy = \"manual\"";
    process.replace_config(&config(others, "abort_at = 900000").text());
    let after = eventually("another guard", || Some(process.bot()).filter(|bot| bot["evidence"]["abort_at"] == 900_000.0));
    assert_eq!((way(&after), &after["weight_percent"], &after["phase"]), (way(&before), &50.0.into(), &"progressing".into()));
    assert_eq!(
        (after["step"].as_u64(), after["tracks"]["canary"]["requests"].clone()),
        (Some(0), before["tracks"]["canary"]["requests"].clone())
    );
    process.replace_config(&config(others, "p50 = { most = \"50ms\", least_requests = 10 }").text());
    let bot = eventually("the abort", || Some(process.bot()).filter(|bot| bot["phase"] == "aborted"));
    assert!(bot["quarantine"][0]["why"].as_str().unwrap().starts_with("p50 is 0.0"), "{bot}");
}

#[test]
fn requests_flow_on_through_many_reloads() {
    let (blue, green) = two_upstreams();
    let config = Config::split(blue.address, green.address);
    let process = Process::start(&config);
    let ended = std::sync::atomic::AtomicBool::new(false);
    let asked: usize = std::thread::scope(|scope| {
        let (process, ended) = (&process, &ended);
        let ask = move || {
            let mut client = process.client();
            let mut asked = 0;
            while !ended.load(std::sync::atomic::Ordering::Acquire) {
                assert_eq!(client.ask(&Ask::of(&format!("T{asked}"))).status, 200);
                asked += 1;
            }
            asked
        };
        let threads = [scope.spawn(ask), scope.spawn(ask)];
        for percent in [100.0, 0.0, 50.0, 100.0, 0.0] {
            process.replace_config(&config.clone().weight(&format!("{percent}%")).text());
            weight_becomes(process, percent);
        }
        ended.store(true, std::sync::atomic::Ordering::Release);
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    process.counted_in_all(asked);
    assert_eq!(blue.count() + green.count(), asked);
}

#[test]
fn a_directory_full_of_other_files_is_no_reload() {
    let (blue, green) = two_upstreams();
    let process = Process::start(&Config::split(blue.address, green.address));
    let at = |metric: &str| process.metrics().sum(metric, &[]);
    let before = at("serin_config_last_reload_success_timestamp_seconds");
    let beside: &Path = process.config.parent().unwrap();
    (0..20).for_each(|i| fs::write(beside.join(format!("{i}")), "x").unwrap());
    process.replace_config(&Config::split(blue.address, green.address).weight("1%").text());
    weight_becomes(&process, 1.0);
    eventually("the time of the reload", || (at("serin_config_last_reload_success_timestamp_seconds") > before).then_some(()));
    process.reload_is(true);
}
