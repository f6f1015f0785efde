//! The owner of all changes completes each one, also if the client hangs up, the disk hangs, or the config is reloaded meanwhile.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::Value;
use serin::store;

use crate::harness::{Ask, Config, Gate, Handle, Process, Upstream, eventually, turns, two_upstreams};

fn bots(sides: &(Upstream, Upstream), names: &[&str]) -> Config {
    let upstreams = format!("upstreams = {{ blue = \"http://{}\", green = \"http://{}\" }}", sides.0.address, sides.1.address);
    names.iter().fold(Config::split(sides.0.address, sides.1.address), |config, name| {
        let (name, path) = (format!("name = \"{name}\""), format!("match = {{ path_prefix = \"/{name}\" }}"));
        config.add(&[&name, &path, "workspace = \"header:x-workspace\"", &upstreams, "stable = \"blue\""])
    })
}

fn put(bot: &str, percent: u32) -> Ask {
    Ask::new("PUT", &format!("/v1/bots/{bot}/weight")).json(&format!("{{\"percent\": {percent}}}"))
}

fn post(bot: &str, action: &str, body: &str) -> Ask {
    Ask::new("POST", &format!("/v1/bots/{bot}/{action}")).json(body)
}

fn bot(serin: &Handle, name: &str) -> Value {
    serin.admin(Ask::new("GET", &format!("/v1/bots/{name}"))).json()
}

fn newest(serin: &Handle, name: &str) -> Option<u64> {
    serin.admin(Ask::new("GET", &format!("/v1/bots/{name}/history?limit=1"))).json()["changes"][0]["revision"].as_u64()
}

#[test]
fn a_client_that_hangs_up_loses_no_change() {
    let sides = two_upstreams();
    let mut process = Process::start(&bots(&sides, &[]));
    for turn in 0..turns(120) as u64 {
        let body = format!("{{\"percent\": {}}}", [40, 10, 0, 25][turn as usize % 4]);
        let head = format!("PUT /v1/bots/support/weight HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", process.admin);
        let mut wire = TcpStream::connect(process.admin).unwrap();
        write!(wire, "{head}Content-Length: {}\r\n\r\n{body}", body.len()).unwrap();
        // How long the client waits before it hangs up: 0 to 20 ms.
        std::thread::sleep(Duration::from_micros(turn * 617 % 20_000));
    }
    let last = process.admin(put("support", 15)).json();
    assert_eq!((&last["weight_percent"], &last["durable"]), (&15.0.into(), &true.into()));
    assert_eq!(newest(&process, "support"), last["revision"].as_u64(), "what serves has its row");
    process.signal(libc::SIGKILL);
    process.ended();
    assert!(store::replay(&process.config.with_file_name("serin.db")).unwrap() > 2);
    let again = Process::start_with(&process.config);
    let found = bot(&again, "support");
    assert_eq!((&found["weight_percent"], &found["revision"]), (&15.0.into(), &last["revision"]));
}

#[test]
fn a_lowering_by_a_client_that_hung_up_survives_a_kill() {
    let (sides, directory) = (two_upstreams(), tempfile::tempdir().unwrap());
    let config = directory.path().join("serin.toml");
    std::fs::write(&config, bots(&sides, &[]).text()).unwrap();
    let (mut process, mut taken) = (Process::start_with(&config), 0);
    for patience in 0..turns(10) as u64 {
        assert_eq!(process.admin(put("support", 50)).status, 200);
        let mut wire = TcpStream::connect(process.admin).unwrap();
        let head = format!("POST /v1/bots/support/abort HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n", process.admin);
        write!(wire, "{head}Content-Length: 2\r\n\r\n{{}}").unwrap();
        std::thread::sleep(Duration::from_micros(patience * 300));
        drop(wire);
        // A request that is cut off before serin has read it changes nothing.
        let lowered = within(Duration::from_secs(2), || {
            Some(bot(&process, "support")).filter(|bot| bot["weight_percent"] == 0.0 && bot["durable"] == true)
        });
        taken += usize::from(lowered.is_some());
        process.signal(libc::SIGKILL);
        process.ended();
        process = Process::start_with(&config);
        let weight = if lowered.is_some() { 0.0 } else { 50.0 };
        assert_eq!(bot(&process, "support")["weight_percent"], weight, "after {lowered:?}");
    }
    assert!(taken > 0);
}

/// The first result of `look` within this time, if there is one.
fn within<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        let seen = look();
        if seen.is_some() || began.elapsed() > time {
            return seen;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

#[test]
fn a_disk_that_hangs_delays_no_lowering() {
    let (sides, directory) = (two_upstreams(), tempfile::tempdir().unwrap());
    let names = ["b1", "b2", "b3", "b4", "b5", "b6"];
    let config = directory.path().join("serin.toml");
    std::fs::write(&config, bots(&sides, &names).text()).unwrap();
    let gate = Gate::new(directory.path());
    let mut process = gate.start(&config);
    for name in names {
        assert_eq!(process.admin(put(name, 50)).status, 200);
    }
    gate.shut();
    let began = Instant::now();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let abort = |name| {
            let process = &process;
            scope.spawn(move || (process.admin(post(name, "abort", "{}")).json(), began.elapsed()))
        };
        names.map(abort).into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for (answer, took) in &answers {
        assert_eq!((&answer["weight_percent"], &answer["durable"]), (&0.0.into(), &false.into()), "{answer}");
        // A raise waits 3 s for the disk; what lowers must not.
        assert!(*took < Duration::from_secs(3), "{took:?}");
    }
    // A raise is not done, and says so; readers are answered all the while.
    let raise = process.admin(put("support", 20));
    assert_eq!((raise.status, raise.json()["code"].as_str().map(str::to_owned)), (503, Some("not_durable".to_owned())));
    assert_eq!(bot(&process, "support")["weight_percent"], 0.0);
    assert!(newest(&process, "b1").is_some());
    gate.open();
    for name in names {
        eventually("the disk has it", || (bot(&process, name)["durable"] == true).then_some(()));
        assert_eq!(newest(&process, name), bot(&process, name)["revision"].as_u64());
    }
    let raised = eventually("raises go on", || Some(process.admin(put("support", 20))).filter(|answer| answer.status == 200));
    assert_eq!((&raised.json()["weight_percent"], newest(&process, "support")), (&20.0.into(), raised.json()["revision"].as_u64()));
    process.signal(libc::SIGKILL);
    process.ended();
    assert!(store::replay(&config.with_file_name("serin.db")).unwrap() > 12);
}

#[test]
fn a_lowering_overtakes_a_raise_that_waits_for_the_disk() {
    let (sides, directory) = (two_upstreams(), tempfile::tempdir().unwrap());
    let config = directory.path().join("serin.toml");
    std::fs::write(&config, bots(&sides, &[]).text()).unwrap();
    let gate = Gate::new(directory.path());
    let process = gate.start(&config);
    assert_eq!(process.admin(put("support", 10)).status, 200);
    gate.shut();
    std::thread::scope(|scope| {
        let raise = scope.spawn(|| process.admin(put("support", 50)));
        eventually("the raise waits for the disk", || gate.is_reached().then_some(()));
        let lowered = process.admin(post("support", "abort", "{}"));
        assert_eq!((lowered.status, lowered.json()["weight_percent"].as_f64()), (200, Some(0.0)));
        let raise = raise.join().unwrap();
        assert_eq!((raise.status, raise.json()["code"].as_str().map(str::to_owned)), (409, Some("overtaken".to_owned())));
    });
    gate.open();
    eventually("the disk has it", || (bot(&process, "support")["durable"] == true).then_some(()));
    let rows = process.admin(Ask::new("GET", "/v1/bots/support/history")).json();
    let decisions: Vec<_> = rows["changes"].as_array().unwrap().iter().map(|row| row["decision"].as_str().unwrap().to_owned()).collect();
    assert_eq!(decisions, ["abort", "set_weight", "begin"]);
}

#[test]
fn a_drill_stays_with_its_bot_over_a_reload() {
    let sides = two_upstreams();
    let with = |names: &[&str]| bots(&sides, names).text();
    let process = Process::start(&bots(&sides, &["first", "drilled", "other"]));
    assert_eq!(process.admin(put("other", 50)).status, 200);
    std::thread::scope(|scope| {
        let drill = scope.spawn(|| process.admin(post("drilled", "drill", "{\"share_percent\": 100, \"seconds\": 2}")));
        eventually("customers are on the idle side", || (bot(&process, "drilled")["weight_percent"] == 100.0).then_some(()));
        for names in [&["drilled", "other"][..], &["zero", "other", "first", "drilled"], &["other", "drilled"]] {
            process.apply_config(&with(names));
        }
        let drilled = drill.join().unwrap();
        assert_eq!((drilled.status, drilled.json()["moved_percent"].as_f64()), (200, Some(100.0)));
    });
    assert_eq!((&bot(&process, "drilled")["weight_percent"], &bot(&process, "other")["weight_percent"]), (&0.0.into(), &50.0.into()));
}

#[test]
fn a_row_of_another_writer_freezes_nothing() {
    let sides = two_upstreams();
    let process = Process::start(&bots(&sides, &["other"]));
    let raised = process.admin(put("support", 5)).json();
    let database = rusqlite::Connection::open(process.config.with_file_name("serin.db")).unwrap();
    let copied = database.execute(
        "INSERT INTO history SELECT bot, revision + 1, at_unix_ms, clock_us, actor_kind, actor, decision, phase, from_bp, to_bp, stable, canary, why,
         reason, evidence, before, input, guard, state FROM history WHERE bot = 'support' AND revision = ?1",
        [raised["revision"].as_u64()],
    );
    assert_eq!(copied, Ok(1));
    for name in ["support", "other"] {
        let answer = process.admin(put(name, 10));
        assert_eq!((answer.status, &answer.json()["durable"]), (200, &true.into()), "{answer:?}");
        assert_eq!(newest(&process, name), answer.json()["revision"].as_u64());
    }
}
