//! The history over the end of a process: real processes that are killed, disks that refuse writes, and files that are broken or gone.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Flock, FlockType, Pid, Resource, Rlimit, fcntl_getlk, prlimit};
use serde_json::Value;
use serin::store;

use crate::harness::{
    Ask, Closed, Config, Handle, LONG_BAKE, PATIENCE, Process, Upstream, command, eventually, post_action, two_upstreams,
};

fn config(sides: &(Upstream, Upstream)) -> Config {
    Config::of(sides).bot(LONG_BAKE)
}

fn database(process: &Process) -> PathBuf {
    process.config.with_file_name("serin.db")
}

/// The parts of a status that a restart must restore.
fn lasting(bot: &Value) -> Vec<Value> {
    ["revision", "phase", "weight_percent", "stable", "step", "quarantine", "frozen", "previous", "desired"]
        .map(|key| match key {
            "previous" => bot[key]["upstream"].clone(),
            "stable" => bot[key]["version"].clone(),
            key => bot[key].clone(),
        })
        .to_vec()
}

/// A client that sends webhooks until it is stopped.
struct Load {
    stop: Arc<AtomicBool>,
    failed: Arc<AtomicUsize>,
    answered: Arc<AtomicUsize>,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn on(serin: &Handle) -> Load {
        let load = Load { stop: Arc::default(), failed: Arc::default(), answered: Arc::default(), thread: None };
        let (stop, failed, answered, proxy) = (load.stop.clone(), load.failed.clone(), load.answered.clone(), serin.proxy);
        let thread = std::thread::spawn(move || {
            let mut wire = TcpStream::connect(proxy).expect("serin listens");
            let mut answer = [0; 4096];
            for number in 0usize.. {
                let sent = wire.write_all(&Ask::of(&format!("T{}", number % 40)).bytes()).and_then(|()| wire.read(&mut answer));
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match sent {
                    Ok(read) if answer[..read].starts_with(b"HTTP/1.1 200 ") => answered.fetch_add(1, Ordering::Relaxed),
                    _ => failed.fetch_add(1, Ordering::Relaxed),
                };
            }
        });
        Load { thread: Some(thread), ..load }
    }

    /// Stops, and returns how many requests failed.
    fn ends(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
        self.failed.load(Ordering::Relaxed)
    }
}

/// The next number below `of` from a generator with a fixed seed.
fn dice(state: &mut u64, of: u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*state >> 33) % of
}

fn some_action(state: &mut u64) -> (&'static str, &'static str) {
    [
        ("rollouts", "{\"upstream\": \"green\", \"version\": \"v2\", \"retry\": true, \"reason\": \"a test\"}"),
        ("rollouts", "{\"upstream\": \"green\", \"version\": \"v3\", \"retry\": true, \"reason\": \"a test\", \"replace\": true}"),
        ("advance", "{\"force\": true, \"reason\": \"a test\"}"),
        ("pause", "{}"),
        ("resume", "{}"),
        ("promote", "{}"),
        ("abort", "{\"reason\": \"a test\"}"),
        ("undo", "{}"),
        ("switch", "{}"),
        ("freeze", "{}"),
        ("thaw", "{}"),
        ("thaw", "{}"),
        ("thaw", "{}"),
    ][dice(state, 13) as usize]
}

/// The status of the bot, once the disk has its last row. serin serves before the disk has the first row, and answers a lowering
/// that the disk does not have within 0.5 s.
#[track_caller]
fn on_the_disk(process: &Process) -> Value {
    eventually("the last row on the disk", || Some(process.bot()).filter(|bot| bot["durable"] == true))
}

#[test]
fn a_hundred_kills_under_load_lose_no_acknowledged_change() {
    let sides = two_upstreams();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, config(&sides).text()).unwrap();
    let (mut seed, mut known) = (7u64, None::<Value>);
    for kill in 0..100 {
        let mut process = Process::start_with(&path);
        let found = on_the_disk(&process);
        if let Some(known) = known.take() {
            let (was, is) = (known["revision"].as_u64().unwrap(), found["revision"].as_u64().unwrap());
            // The action that was sent just before the kill is in the history or not.
            assert!(is == was || is == was + 1 || is == was + 2, "kill {kill}: {was} became {is}");
            if is == was {
                assert_eq!(lasting(&found), lasting(&known), "kill {kill}");
            }
        }
        let load = Load::on(&process);
        let mut last = found;
        for _ in 0..dice(&mut seed, 4) {
            let (action, body) = some_action(&mut seed);
            let answer = process.admin(post_action(action, body));
            // 503 is the answer to a raise if a busy disk takes 3 s: nothing has changed then.
            assert!([200, 409, 503].contains(&answer.status), "{action}: {answer:?}");
            if answer.status == 200 {
                last = on_the_disk(&process);
            }
        }
        let (action, body) = some_action(&mut seed);
        let mut wire = TcpStream::connect(process.admin).unwrap();
        wire.write_all(&post_action(action, body).host(&process.admin.to_string()).bytes()).unwrap();
        std::thread::sleep(Duration::from_micros(dice(&mut seed, 4_000)));
        load.stop.store(true, Ordering::Relaxed);
        process.signal(libc::SIGKILL);
        process.ended();
        load.ends();
        known = Some(last);
    }
    let changes = store::replay(&directory.path().join("serin.db")).unwrap();
    assert!(changes > 40, "{changes}");
}

#[test]
fn a_rollout_goes_on_after_a_kill_with_its_bake_and_its_evidence() {
    let sides = two_upstreams();
    let mut process = Process::start(&config(&sides));
    let webhooks = |process: &Process| {
        let mut client = process.client();
        (0..400).for_each(|number| assert_eq!(client.ask(&Ask::of(&format!("T{number}"))).status, 200));
    };
    webhooks(&process);
    process.act("rollouts", "{\"version\": \"v2\"}");
    webhooks(&process);
    let judged =
        || Some(process.bot()).filter(|bot| bot["evidence"]["e_value"].is_f64() && bot["rollout"]["in_step_seconds"].as_u64() >= Some(3));
    let before = eventually("evidence that was judged, and some seconds of bake", judged);
    // A kill loses only what came after the last snapshot.
    let written = snapshot_clock(&process);
    eventually("the next snapshot", || (snapshot_clock(&process) > written).then_some(()));
    process.signal(libc::SIGKILL);
    process.ended();
    let again = Process::start_with(&process.config);
    let after = eventually("the evidence", || Some(again.bot()).filter(|bot| bot["evidence"]["e_value"].is_f64()));
    assert_eq!(lasting(&after), lasting(&before));
    let e = |bot: &Value| bot["evidence"]["e_value"].as_f64().unwrap();
    assert!((e(&after) / e(&before) - 1.0).abs() < 0.5, "{} became {}", e(&before), e(&after));
    let in_step = |bot: &Value| bot["rollout"]["in_step_seconds"].as_u64().unwrap();
    assert!((in_step(&before)..in_step(&before) + 12).contains(&in_step(&after)), "{} became {}", in_step(&before), in_step(&after));
    drop(again);
    assert_eq!(store::replay(&database(&process)), Ok(2));
}

/// The bot's clock, in microseconds, in the snapshot that was written last; `None` before the first one.
fn snapshot_clock(process: &Process) -> Option<i64> {
    let history = rusqlite::Connection::open(database(process)).unwrap();
    history.busy_timeout(PATIENCE).unwrap();
    history.query_row("SELECT clock_us FROM snapshot WHERE bot = 'support'", (), |row| row.get(0)).ok()
}

#[test]
fn sqlite_keeps_its_lock_on_the_history_while_serin_runs() {
    let process = Process::start(&config(&two_upstreams()));
    // SQLite's lock of who uses the file (`SHARED_FIRST`, `SHARED_SIZE`). Without it an older sqlite3 that only reads takes itself for the
    // last one when it ends, and deletes the log in which the newest rows are.
    let shared = Flock { start: 0x4000_0002, length: 510, ..Flock::from(FlockType::WriteLock) };
    let held = fcntl_getlk(File::open(database(&process)).unwrap(), &shared).unwrap();
    assert_eq!(held.and_then(|held| held.pid), Pid::from_raw(process.id() as i32));
}

#[test]
fn one_history_has_one_writer() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    let second = command(&["run", "--config"]).arg(&process.config).output().unwrap();
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("one history has one writer"), "{said}");
    assert_eq!(process.ask(&Ask::of("T1")).text(), "blue");
}

/// Limits the size of the files that this process writes to 0, or ends that limit.
pub fn disk_is_full(process: &Process, full: bool) {
    let limit = Rlimit { current: full.then_some(0), maximum: None };
    prlimit(Pid::from_raw(process.id() as i32), Resource::Fsize, limit).expect("a limit that can be set");
}

#[test]
fn with_a_full_disk_every_weight_can_fall_and_none_can_rise() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    process.act("rollouts", "{\"version\": \"v2\"}");
    disk_is_full(&process, true);
    process.admin(post_action("advance", "{}")).is_refusal(503, "not_durable", "the history cannot be written");
    assert_eq!(process.bot()["weight_percent"], 50.0, "it was not done");
    // serin knows now that the disk refuses writes: `force` does not help.
    process.admin(post_action("promote", "{\"force\": true, \"reason\": \"now\"}")).is_refusal(
        409,
        "frozen",
        "the history cannot be written",
    );
    let bot = process.act("abort", "{}");
    assert_eq!((&bot["phase"], &bot["weight_percent"], &bot["durable"]), (&"aborted".into(), &0.0.into(), &false.into()));
    assert!(bot["history_error"].is_string(), "{bot}");
    assert!(process.metrics().sum("serin_store_errors_total", &[("op", "append")]) >= 1.0);
    disk_is_full(&process, false);
    let bot = eventually("it is written after all", || Some(process.bot()).filter(|bot| bot["durable"] == true));
    assert_eq!((&bot["history_error"], &bot["revision"]), (&Value::Null, &3.into()));
    assert_eq!(process.act("rollouts", "{\"version\": \"v3\"}")["weight_percent"], 50.0);
    let path = database(&process);
    let kept = process.directory_of_its_own();
    assert_eq!(store::replay(&path), Ok(4));
    drop(kept);
}

#[test]
fn a_history_that_cannot_be_read_is_set_aside_and_the_roles_file_names_stable() {
    let sides = two_upstreams();
    let mut process = Process::start(&config(&sides));
    process.act("switch", "{\"version\": \"v2\"}");
    process.signal(libc::SIGKILL);
    process.ended();
    let path = database(&process);
    std::fs::write(&path, b"this is no database, and it never was one; it is long enough to be looked at").unwrap();
    let _ = std::fs::remove_file(path.with_extension("db-wal"));
    let again = Process::start_with(&process.config);
    again.logged("cannot be read");
    assert_eq!(again.ask(&Ask::of("T1")).text(), "green", "the roles file names stable");
    let bot = again.bot();
    assert_eq!((&bot["phase"], &bot["revision"]), (&"idle".into(), &1.into()));
    let aside = |name: &Path| name.to_string_lossy().contains("serin.db.unreadable-");
    assert!(path.parent().unwrap().read_dir().unwrap().any(|entry| aside(&entry.unwrap().path())));
}

#[test]
fn a_deleted_history_leaves_the_roles_file_which_names_stable() {
    let sides = two_upstreams();
    let mut process = Process::start(&config(&sides));
    process.act("switch", "{}");
    process.signal(libc::SIGTERM);
    process.ended();
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{ending}", database(&process).display()));
    }
    let again = Process::start_with(&process.config);
    again.logged("is gone");
    assert_eq!(again.ask(&Ask::of("T1")).text(), "green");
}

#[test]
fn a_cap_that_is_set_while_serin_is_down_limits_the_weight_and_drills() {
    let sides = two_upstreams();
    let mut process = Process::start(&config(&sides).weight("50%"));
    process.signal(libc::SIGTERM);
    process.ended();
    std::fs::write(&process.config, config(&sides).weight("10%").bot("max = \"10%\"").text()).unwrap();
    let again = Process::start_with(&process.config);
    assert_eq!(eventually("the cap", || Some(again.bot()).filter(|bot| bot["weight_percent"] == 10.0))["phase"], "manual");
    again.set_weight(0.0);
    again.admin(post_action("drill", "{\"share_percent\": 100}")).is_refusal(422, "above_max", "10%");
}

#[test]
fn a_rollout_is_replaced_only_by_one_that_can_start() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    process.act("rollouts", "{\"version\": \"v2\"}");
    process.act("abort", "{}");
    process.act("rollouts", "{\"version\": \"v3\"}");
    process.admin(post_action("rollouts", "{\"version\": \"v2\", \"replace\": true}")).is_refusal(409, "quarantined", "v2 on green");
    assert_eq!((process.bot()["weight_percent"].as_f64(), &process.bot()["canary"]["version"]), (Some(50.0), &"v3".into()));
    assert_eq!(process.act("rollouts", "{\"version\": \"v4\", \"replace\": true}")["canary"]["version"], "v4");
}

#[test]
fn a_weight_of_the_config_waits_for_the_end_of_a_freeze() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    process.act("freeze", "{}");
    process.apply_config(&config(&sides).weight("25%").text());
    assert_eq!(process.bot()["weight_percent"], 0.0);
    process.act("thaw", "{}");
    eventually("the weight", || (process.bot()["weight_percent"] == 25.0).then_some(()));
}

#[test]
fn a_first_start_begins_no_rollout_before_an_operator_adopts_a_version() {
    let sides = two_upstreams();
    let release = "release = { upstream = \"green\", version = \"v2\" }";
    let process = Process::start(&config(&sides).bot(release));
    let bot = process.bot();
    assert_eq!(
        (&bot["phase"], &bot["desired"]["held_by"], &bot["desired"]["effective"]),
        (&"idle".into(), &"no_history".into(), &false.into())
    );
    process.two_ticks_pass();
    assert_eq!(process.bot()["weight_percent"], 0.0);
    let bot = process.act("adopt", "{\"upstream\": \"green\", \"version\": \"v2\"}");
    assert_eq!((&bot["desired"]["effective"], &bot["stable"]["upstream"]), (&true.into(), &"green".into()));
    assert_eq!(process.ask(&Ask::of("T1")).text(), "green");
}

#[test]
fn the_configs_release_serves_if_stable_is_gone_and_there_is_no_history() {
    let (gone, green) = (Closed::new(), Upstream::answering("green"));
    let release = "release = { upstream = \"green\", version = \"v2\" }";
    let process = Process::start(&Config::split(gone.address, green.address).bot(LONG_BAKE).bot(release));
    process.logged("nothing is known of before");
    let bot = eventually("green serves", || Some(process.bot()).filter(|bot| bot["stable"]["upstream"] == "green"));
    assert_eq!(bot["desired"]["effective"], true);
    process.is_served_by("green");
}

#[test]
fn pins_that_change_while_serin_is_down_make_a_new_split() {
    let sides = two_upstreams();
    let mut process = Process::start(&config(&sides).weight("50%"));
    let revision = |process: &Process| process.bot()["revision"].as_u64().unwrap();
    assert_eq!(revision(&process), 2, "the bot, and its weight");
    process.signal(libc::SIGTERM);
    process.ended();
    let again = Process::start_with(&process.config);
    assert_eq!(revision(&again), 2, "nothing has changed");
    drop(again);
    std::fs::write(&process.config, config(&sides).weight("50%").table("pins", &["canary = [\"T1\"]"]).text()).unwrap();
    let again = Process::start_with(&process.config);
    again.logged("salt, sources or pins have changed");
    assert_eq!((revision(&again), again.ask(&Ask::of("T1")).text()), (3, "green"));
}

#[test]
fn the_config_starts_the_release_that_it_names_and_a_revert_takes_it_back_at_once() {
    let sides = two_upstreams();
    let of = |upstream: &str, version: &str| {
        config(&sides).bot(&format!("release = {{ upstream = \"{upstream}\", version = \"{version}\" }}")).text()
    };
    let process = Process::start(&config(&sides));
    process.replace_config(&of("blue", "v1"));
    eventually("v1 is wanted", || (process.bot()["desired"]["version"] == "v1").then_some(()));
    process.act("adopt", "{\"version\": \"v1\"}");
    process.replace_config(&of("green", "v2"));
    let bot = eventually("v2 is on its way", || Some(process.bot()).filter(|bot| bot["phase"] == "progressing"));
    assert_eq!(
        (&bot["canary"]["version"], &bot["weight_percent"], &bot["desired"]["effective"]),
        (&"v2".into(), &50.0.into(), &true.into())
    );
    process.replace_config(&of("blue", "v1"));
    let bot = eventually("the revert", || Some(process.bot()).filter(|bot| bot["weight_percent"] == 0.0));
    assert_eq!((&bot["phase"], &bot["desired"]["effective"]), (&"aborted".into(), &true.into()));
    // A release that is named while serin is down is started as well.
    let mut process = process;
    process.signal(libc::SIGTERM);
    process.ended();
    std::fs::write(&process.config, of("green", "v3")).unwrap();
    let again = Process::start_with(&process.config);
    eventually("v3 is on its way", || Some(again.bot()).filter(|bot| bot["canary"]["version"] == "v3" && bot["phase"] == "progressing"));
    // An operator's abort counts until the config names another release.
    again.act("abort", "{\"reason\": \"not today\"}");
    again.two_ticks_pass();
    let bot = again.bot();
    assert_eq!((&bot["phase"], &bot["desired"]["held_by"]), (&"aborted".into(), &"abort".into()));
    let newest = &history(&again, "")["changes"][0];
    let of = |key: &str| newest[key].as_str().unwrap_or("").to_owned();
    assert_eq!((of("decision"), of("actor_kind"), of("reason")), ("abort".into(), "operator".into(), "not today".into()));
}

#[track_caller]
fn history(serin: &Handle, query: &str) -> Value {
    let answer = serin.admin(Ask::new("GET", &format!("/v1/bots/support/history{query}")));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

#[test]
fn the_history_is_read_in_pages() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    for _ in 0..3 {
        process.act("freeze", "{}");
        process.act("thaw", "{}");
    }
    let first = history(&process, "?limit=4");
    let revisions =
        |page: &Value| page["changes"].as_array().unwrap().iter().map(|row| row["revision"].as_u64().unwrap()).collect::<Vec<_>>();
    assert_eq!((revisions(&first), first["before"].as_u64()), (vec![7, 6, 5, 4], Some(4)));
    let second = history(&process, "?limit=4&before=4");
    assert_eq!((revisions(&second), second["before"].as_u64()), (vec![3, 2, 1], None));
    process.admin(Ask::new("GET", "/v1/bots/support/history?limit=0")).is_refusal(422, "limit", "1 to 1000");
}

#[test]
fn an_undo_under_load_fails_nothing_and_takes_less_than_a_tenth_of_a_second() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    let load = Load::on(&process);
    // On a busy machine a single undo may have to wait for a core.
    let quickest = (2..7).map(|version| {
        process.act("switch", &format!("{{\"upstream\": \"green\", \"version\": \"v{version}\"}}"));
        assert_eq!(process.ask(&Ask::of("T1")).text(), "green");
        let began = Instant::now();
        let bot = process.act("undo", "{}");
        let took = began.elapsed();
        assert_eq!(process.ask(&Ask::of("T1")).text(), "blue");
        assert_eq!((&bot["phase"], &bot["stable"]["upstream"]), (&"aborted".into(), &"blue".into()));
        took
    });
    let quickest = quickest.min().unwrap();
    assert!(quickest < Duration::from_millis(100), "{quickest:?}");
    process.admin(post_action("undo", "{}")).is_refusal(409, "undone", "taken back already, by local");
    eventually("some traffic", || (load.answered.load(Ordering::Relaxed) > 100).then_some(()));
    assert_eq!(load.ends(), 0);
}

#[test]
fn a_start_and_an_undo_are_refused_if_the_target_side_does_not_answer() {
    let blue = Upstream::answering("blue");
    let green = Upstream::saying("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let config = Config::split(blue.address, green.address).bot(LONG_BAKE).bot("preflight = { path = \"/healthz\" }");
    let process = Process::start(&config);
    process.admin(post_action("rollouts", "{}")).is_refusal(409, "preflight", "GET /healthz answered 503, 2xx is right");
    process.admin(post_action("switch", "{}")).is_refusal(409, "preflight", "GET /healthz answered 503");
    process.act("switch", "{\"force\": true}");
    drop(blue);
    eventually("blue is gone", || (process.admin(post_action("undo", "{}")).status == 409).then_some(()));
    process.admin(post_action("undo", "{}")).is_refusal(409, "preflight", "it refuses connections");
    assert_eq!(process.act("undo", "{\"force\": true}")["stable"]["upstream"], "blue");
}

#[test]
fn a_freeze_takes_a_reason_to_go_against() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    process.act("freeze", "{\"reason\": \"the board meets\"}");
    process.admin(post_action("rollouts", "{}")).is_refusal(409, "frozen", "the board meets");
    process.admin(post_action("rollouts", "{\"force\": true}")).is_refusal(422, "reason", "takes a reason");
    process.act("rollouts", "{\"force\": true, \"reason\": \"a fix for the board\"}");
    assert_eq!(process.act("abort", "{}")["weight_percent"], 0.0);
    let process = Process::start(&config(&sides).bot("freeze = { windows = [\"00:00 - 24:00\"], time_zone = \"Europe/Berlin\" }"));
    process.admin(post_action("switch", "{}")).is_refusal(409, "frozen", "00:00 - 24:00 (Europe/Berlin)");
}

#[test]
fn a_drill_moves_no_workspace_by_default_and_every_workspace_back_at_its_end() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides));
    let went = process.act("drill", "{}");
    assert_eq!((&went["moved_percent"], &went["side"]), (&0.0.into(), &"green".into()));
    assert!(went["back_ms"].as_f64().unwrap() < 100.0, "{went}");
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    let drilled = process.metrics().sum("serin_drill_last_success_timestamp_seconds", &[("bot", "support")]);
    assert!((now - drilled).abs() < 10.0, "{drilled}");
    let went = process.act("drill", "{\"share_percent\": 100, \"seconds\": 1}");
    assert_eq!((&went["moved_percent"], process.bot()["weight_percent"].as_f64()), (&100.0.into(), Some(0.0)));
    assert_eq!(process.ask(&Ask::of("T1")).text(), "blue");
    process.act("rollouts", "{\"version\": \"v2\"}");
    process.admin(post_action("drill", "{}")).is_refusal(409, "under_way", "abort it first");
    let decisions: Vec<Value> = history(&process, "")["changes"].as_array().unwrap().iter().map(|row| row["decision"].clone()).collect();
    assert_eq!(decisions, ["start", "drilled", "withdraw", "drill", "drilled", "begin"]);
}

#[test]
fn a_read_only_api_still_lets_operators_take_back() {
    let sides = two_upstreams();
    let process = Process::start(&config(&sides).admin("read_only = true").weight("10%"));
    process.put_weight(20.0).is_refusal(403, "read_only", "only the config changes");
    process.admin(post_action("switch", "{}")).is_refusal(403, "read_only", "abort, undo, pause and freeze");
    assert_eq!(process.act("abort", "{}")["weight_percent"], 0.0);
    process.act("freeze", "{}");
}
