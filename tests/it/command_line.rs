//! The commands, as scripts see them: output, exit codes, and errors that say what to do.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Ask, Config, Process, Serin, Upstream, command, two_upstreams};

fn written(text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, text).expect("a writable directory");
    (directory, path)
}

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = command(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("serin is built");
    // A command that does not read its input has ended by then.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("a child can be waited for")
}

fn out(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

#[track_caller]
fn code(output: &Output, code: i32) {
    assert_eq!(output.status.code(), Some(code), "{}{}", out(output), err(output));
}

fn split() -> (Upstream, Upstream, Config) {
    let (blue, green) = two_upstreams();
    let config = Config::identified("preset = \"slack\"", blue.address, green.address);
    (blue, green, config)
}

#[test]
fn check_prints_what_a_config_means() {
    let (_blue, _green, config) = split();
    let (_directory, path) = written(&config.weight("5%").text());
    let output = run(&["check", path.to_str().unwrap()], "");
    code(&output, 0);
    let way = "rollout 1% 10m → 5% 10m → 10% 10m → 25% 10m → 50% 10m → 98% 4m → 100%, automatic\n";
    for part in ["support", "stable blue", "canary green at 5%", "workspace from preset slack", way, "ok"] {
        assert!(out(&output).contains(part), "{part}: {}", out(&output));
    }
}

#[test]
fn check_says_where_a_config_is_wrong() {
    let (_blue, _green, config) = split();
    let (_directory, path) = written(&config.bot("wieght = \"5%\"").text());
    let output = run(&["check", path.to_str().unwrap()], "");
    code(&output, 2);
    assert!(err(&output).contains("wieght") && err(&output).contains("serin.toml:"), "{}", err(&output));
    assert!(err(&output).contains("weight"), "did you mean: {}", err(&output));
    assert_eq!(out(&output), "");
}

#[test]
fn check_of_no_file_is_a_wrong_config() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["check", directory.path().join("none.toml").to_str().unwrap()], "");
    code(&output, 2);
    assert!(err(&output).contains("none.toml"), "{}", err(&output));
}

#[test]
fn run_without_a_config_shows_one_to_begin_with() {
    let directory = tempfile::tempdir().unwrap();
    let output = run(&["run", "--config", directory.path().join("none.toml").to_str().unwrap()], "");
    code(&output, 2);
    assert!(err(&output).contains("[[bot]]"), "{}", err(&output));
}

#[test]
fn run_with_a_wrong_config_says_where() {
    let (_directory, path) = written("[[bot]]\nname = \"Support\"\n");
    let output = run(&["run", "--config", path.to_str().unwrap()], "");
    code(&output, 2);
    assert!(err(&output).contains("serin.toml:2"), "{}", err(&output));
}

/// The kernel would share the port between the two, and half of the webhooks would go astray.
#[test]
fn run_on_a_port_that_is_taken_is_refused() {
    let (_blue, _green, config) = split();
    let serin = Serin::start(&config);
    let (_directory, path) = written(&config.text().replacen("127.0.0.1:0", &serin.proxy.to_string(), 1));
    let output = run(&["run", "--config", path.to_str().unwrap()], "");
    code(&output, 1);
    assert!(err(&output).contains(&serin.proxy.to_string()), "{}", err(&output));
    let (_directory, path) =
        written(&config.text().replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"{}\"", serin.admin)));
    let output = run(&["run", "--config", path.to_str().unwrap()], "");
    code(&output, 1);
    assert!(err(&output).contains(&serin.admin.to_string()), "{}", err(&output));
}

#[test]
fn explain_offline_prints_the_workspace_its_bucket_and_its_rank() {
    let (_blue, _green, config) = split();
    let (_directory, path) = written(&config.text());
    let explain =
        |input: &str| run(&["explain", "--offline", "--config", path.to_str().unwrap(), "-H", "Content-Type: application/json"], input);
    let output = explain("{\"team_id\":\"T1\"}");
    code(&output, 0);
    let rank = ", of a split by hand; a rollout's own rank only a running serin knows\n";
    for part in ["bot        support", "source     team:json:/team_id", "workspace  team:T1", "bucket     5947", "rank       ", rank] {
        assert!(out(&output).contains(part), "{part}: {}", out(&output));
    }
    assert!(!out(&output).contains("track"), "no serin was asked: {}", out(&output));
    let output = explain("{}");
    code(&output, 1);
    assert!(out(&output).contains("missing"), "{}", out(&output));
    let output = explain(r#"{"type":"url_verification"}"#);
    assert!(out(&output).contains("handshake"), "{}", out(&output));
}

#[test]
fn explain_asks_a_running_serin_where_the_workspace_goes() {
    let (_blue, _green, config) = split();
    let serin = Serin::start(&config);
    let (_directory, path) = written(&config.text());
    let explain = |admin: &str| run(&["explain", "--config", path.to_str().unwrap(), "--admin", admin], "{\"team_id\":\"T1\"}");
    for (percent, track) in [(0.0, "track      stable (blue)"), (100.0, "track      canary (green)")] {
        serin.set_weight(percent);
        let output = explain(&serin.admin.to_string());
        code(&output, 0);
        assert!(out(&output).contains(track), "{}", out(&output));
        assert!(out(&output).contains(&format!("weight     {percent} %")), "{}", out(&output));
    }
    let output = explain("127.0.0.1:1");
    code(&output, 0);
    for part in ["bucket     5947", "of a split by hand; a rollout's own", "track      unknown: no serin answers"] {
        assert!(out(&output).contains(part), "{part}: {}", out(&output));
    }
}

/// Each rollout has its own ranks, other than those of a split by hand.
#[test]
fn explain_prints_the_rank_in_the_rollout_that_is_in_force() {
    let (_blue, _green, config) = split();
    let serin = Serin::start(&config.clone().bot("rollout = { steps = [\"50%\", \"100%\"], bake = \"1h\" }"));
    let (_directory, path) = written(&config.text());
    let explain = || run(&["explain", "--config", path.to_str().unwrap(), "--admin", &serin.admin.to_string()], "{\"team_id\":\"T1\"}");
    let rank = |of: &str| format!("rank       {}, of {of}\n", serin.explain("T1")["rank"].as_str().unwrap());
    let by_hand = rank("a split by hand");
    assert!(out(&explain()).contains(&by_hand), "{}", out(&explain()));
    assert_eq!(serin.admin(Ask::new("POST", "/v1/bots/support/rollouts").json("{\"version\": \"v2\"}")).status, 200);
    let in_rollout = rank("rollout 1");
    assert_ne!(by_hand.split(',').next(), in_rollout.split(',').next());
    assert!(out(&explain()).contains(&in_rollout), "{}", out(&explain()));
    serin.set_weight(0.0);
    assert!(out(&explain()).contains(&in_rollout), "paused at 0 %: {}", out(&explain()));
}

#[test]
fn explain_finds_the_bot_as_the_proxy_does() {
    let blue = Upstream::answering("blue");
    let upstreams = format!("upstreams = {{ blue = \"http://{}\" }}", blue.address);
    let lines = ["name = \"support\"", "match = { path_prefix = \"/slack\" }", "workspace = \"header:X-Workspace\"", &upstreams];
    let (_directory, path) = written(&Config::new().add(&lines).text());
    let explain =
        |more: &[&str]| run(&[&["explain", "--offline", "--config", path.to_str().unwrap(), "-H", "X-Workspace: T1"], more].concat(), "");
    let output = explain(&["--path", "/slack/events"]);
    code(&output, 0);
    assert!(out(&output).contains("support"), "{}", out(&output));
    let output = explain(&["--path", "/other"]);
    code(&output, 1);
    assert!(err(&output).contains("no bot is configured for /other"), "{}", err(&output));
    let output = explain(&["--bot", "nobody"]);
    code(&output, 1);
    assert!(err(&output).contains("support"), "{}", err(&output));
}

#[test]
fn status_prints_what_serves() {
    let (_blue, _green, config) = split();
    let serin = Serin::start(&config.weight("5%"));
    let admin = serin.admin.to_string();
    serin.ask(&Ask::new("POST", "/").json("{\"team_id\":\"T1\"}"));
    serin.counted_in_all(1);
    for arguments in [&["status", "--admin", &admin][..], &["status", "support", "--admin", &format!("http://{admin}/")]] {
        let output = run(arguments, "");
        code(&output, 0);
        for part in ["support", "manual", "5 %", "stable", "blue", "canary", "green"] {
            assert!(out(&output).contains(part), "{part}: {}", out(&output));
        }
    }
    let output = run(&["status", "support", "--json", "--admin", &admin], "");
    code(&output, 0);
    // The evidence is another one with each tick.
    let lasting = |mut document: Value| {
        document["evidence"].take();
        document
    };
    assert_eq!(lasting(serde_json::from_str(out(&output)).unwrap()), lasting(serin.bot()));
    let output = run(&["status", "nobody", "--admin", &admin], "");
    code(&output, 1);
    assert!(err(&output).contains("there is no bot \"nobody\""), "{}", err(&output));
    let output = run(&["status", "--admin", "127.0.0.1:1"], "");
    code(&output, 1);
    assert!(err(&output).contains("no serin answers at http://127.0.0.1:1"), "{}", err(&output));
}

#[test]
fn weight_sets_the_share() {
    let (_blue, _green, config) = split();
    let serin = Serin::start(&config.bot("max = \"50%\""));
    let admin = serin.admin.to_string();
    let weight = |arguments: &[&str]| run(&[&["weight", "support", "--admin", &admin], arguments].concat(), "");
    let output = weight(&["12.5%"]);
    code(&output, 0);
    assert!(out(&output).contains("About 12.5 % of the workspaces are on green"), "{}", out(&output));
    assert_eq!(serin.bot()["weight_percent"], 12.5);
    let output = weight(&["5", "--if-match", "1"]);
    code(&output, 1);
    assert!(err(&output).contains("based on revision 1, but 2 serves"), "{}", err(&output));
    code(&weight(&["5", "--if-match", "2", "--json"]), 0);
    assert_eq!(serin.bot()["weight_percent"], 5.0);
    let output = weight(&["51%"]);
    code(&output, 1);
    assert!(err(&output).contains("max = \"50%\""), "{}", err(&output));
    for wrong in ["five", "101%", "0.001%"] {
        code(&weight(&[wrong]), 2);
    }
    assert_eq!(serin.bot()["weight_percent"], 5.0);
}

#[test]
fn a_token_comes_from_a_file_or_the_environment() {
    let (_blue, _green, config) = split();
    let serin = Serin::with_token(&config.token("ci", "operate", "operate-operate-op"), Some("operate-operate-op"));
    let admin = serin.admin.to_string();
    let output = run(&["weight", "support", "5%", "--admin", &admin], "");
    code(&output, 1);
    assert!(err(&output).contains("Bearer"), "{}", err(&output));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, "operate-operate-op\n").unwrap();
    code(&run(&["weight", "support", "5%", "--admin", &admin, "--token-file", file.to_str().unwrap()], ""), 0);
    let output =
        command(&["weight", "support", "6%"]).env("SERIN_ADMIN", &admin).env("SERIN_TOKEN", "operate-operate-op").output().unwrap();
    code(&output, 0);
    assert_eq!(serin.bot()["weight_percent"], 6.0);
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [&[][..], &["nothing"], &["weight", "support"], &["status", "--what"]] {
        code(&run(arguments, ""), 2);
    }
    code(&run(&["--version"], ""), 0);
    code(&run(&["--help"], ""), 0);
}

#[test]
fn simulate_prints_how_rollouts_end() {
    let output = run(&["simulate", "-s", "R_hardfail", "-v", "9rps", "-n", "2", "--rules", "serin,argo,oracle", "--json"], "");
    code(&output, 0);
    let lines: Vec<Value> = out(&output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.iter().map(|line| line["rule"].as_str().unwrap_or("")).collect::<Vec<_>>(), ["serin", "argo", "oracle"]);
    for line in &lines {
        assert_eq!((&line["scenario"], &line["volume"], &line["seeds"]), (&"R_hardfail".into(), &"9rps".into(), &2.into()));
        assert!(line["bad_requests_mean"].as_f64().is_some_and(|mean| mean > 0.0) && line["caught"] == line["rolled_back"], "{line}");
    }
    let table = run(&["simulate", "-s", "AA_plain", "-v", "small", "-n", "1", "--rules", "argo,codedeploy"], "");
    assert!(out(&table).contains("AA_plain") && out(&table).contains("good releases rolled back"), "{}", out(&table));
}

#[test]
fn simulate_takes_the_policy_from_a_config() {
    let (_blue, _green, config) = split();
    let rollout = "[bot.rollout]\nsteps = [\"50%\", \"100%\"]\nbake = \"2m\"";
    let (_directory, path) = written(&format!("{}\n{rollout}\n", config.text()));
    let path = path.to_str().unwrap();
    let output = run(&["simulate", "-s", "AA_plain", "-v", "20", "-n", "1", "--rules", "serin", "--json", "--config", path], "");
    code(&output, 0);
    let line: Value = serde_json::from_str(out(&output)).expect("JSON");
    assert!(line["minutes_to_full_median"].as_f64().is_some_and(|minutes| minutes < 20.0), "{line}");
    let nobody = run(&["simulate", "--config", path, "--bot", "nobody"], "");
    code(&nobody, 2);
    assert!(err(&nobody).contains("has no bot nobody, but support"), "{}", err(&nobody));
}

#[test]
fn simulate_takes_scenarios_from_a_file_and_says_where_it_is_wrong() {
    let (directory, path) = written("[[scenario]]\nname = \"own\"\n[[scenario.effect]]\nstatus = 503\n");
    let drawing = directory.path().join("run.svg");
    let (path, drawn) = (path.to_str().unwrap(), drawing.to_str().unwrap());
    let output = run(&["simulate", "-s", path, "-v", "9rps", "--plot", drawn], "");
    code(&output, 0);
    assert!(out(&output).contains("rolled back from 1%"), "{}", out(&output));
    let svg = std::fs::read_to_string(&drawing).expect("it was drawn");
    assert!(svg.starts_with("<svg ") && svg.trim_end().ends_with("</svg>") && svg.matches("<polyline").count() == 4, "{svg}");
    std::fs::write(path, "[[scenario]]\nname = \"own\"\n[[scenario.effect]]\nstatus = 200\n").expect("a writable file");
    let wrong = run(&["simulate", "-s", path], "");
    code(&wrong, 2);
    assert!(err(&wrong).contains("serin.toml:4:10") && err(&wrong).contains("is a success"), "{}", err(&wrong));
    let unknown = run(&["simulate", "-s", "R_err5p"], "");
    code(&unknown, 2);
    assert!(err(&unknown).contains("did you mean R_err5pp?"), "{}", err(&unknown));
}

#[test]
fn a_pipeline_waits_for_a_release_and_learns_by_the_exit_code() {
    let (blue, green) = two_upstreams();
    let rollout = "rollout = { steps = [\"50%\", \"100%\"], bake = \"1h\" }";
    let process = Process::start(&Config::split(blue.address, green.address).bot(rollout));
    let admin = format!("http://{}", process.admin);
    let wait = |more: &[&str]| {
        let arguments = [&["wait", "support", "--admin", &admin], more].concat();
        let output = command(&arguments).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout))
    };
    let does = |action: &str| {
        let answer = process.admin(Ask::new("POST", &format!("/v1/bots/support/{action}")).json("{\"version\": \"v2\"}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let (code, said) = wait(&["--version", "v2", "--timeout", "1s"]);
    assert!(code == Some(4) && said.contains("v2 is not there after 1s"), "{code:?} {said}");
    does("rollouts");
    assert_eq!(wait(&["--version", "v2", "--until", "step:50%"]).0, Some(0));
    process.admin(Ask::new("POST", "/v1/bots/support/abort").json("{}"));
    let (code, said) = wait(&["--version", "v2"]);
    assert!(code == Some(3) && said.contains("aborted on request"), "{code:?} {said}");
    assert_eq!(wait(&["--version", "v2", "--until", "aborted"]).0, Some(0));
    let (code, said) = wait(&["--drill-younger-than", "30d"]);
    assert!(code == Some(1) && said.contains("no drill has gone well yet"), "{code:?} {said}");
    process.admin(Ask::new("POST", "/v1/bots/support/drill").json("{}"));
    assert_eq!(wait(&["--drill-younger-than", "30d"]).0, Some(0));
    assert_eq!(wait(&["--version", "v2", "--until", "step:200%"]).0, Some(2));
}

#[test]
fn explain_of_a_workspace_needs_no_config() {
    let (_blue, _green, config) = split();
    let serin = Serin::start(&config);
    let admin = serin.admin.to_string();
    let output = run(&["explain", "T1", "--admin", &admin], "");
    code(&output, 0);
    for part in ["bot        support", "workspace  team:T1", "bucket     5947", "track      stable (blue)"] {
        assert!(out(&output).contains(part), "{part}: {}", out(&output));
    }
    let output = run(&["explain", "T1", "--json", "--admin", &admin], "");
    code(&output, 0);
    assert_eq!(serde_json::from_str::<Value>(out(&output)).unwrap(), serin.explain("T1"));
    code(&run(&["explain", "--json", "--admin", &admin], ""), 2);
}

#[test]
fn an_action_can_be_tried_without_doing_it_and_a_refusal_names_the_command_that_helps() {
    let (_blue, _green, config) = split();
    let serin = Serin::start(&config.bot("rollout = { steps = [\"50%\", \"100%\"], bake = \"1h\" }"));
    let admin = serin.admin.to_string();
    let run_it = |arguments: &[&str]| run(&[arguments, &["--admin", &admin]].concat(), "");
    let output = run_it(&["start", "support", "--version", "v2", "--dry-run"]);
    code(&output, 0);
    assert!(out(&output).contains("nothing is done") && out(&output).contains("v2 starts at 50 % of the workspaces"), "{}", out(&output));
    assert_eq!((serin.bot()["phase"].as_str(), serin.bot()["revision"].as_u64()), (Some("idle"), Some(1)));
    let output = run_it(&["weight", "support", "5%", "--dry-run"]);
    assert!(out(&output).contains("green goes from 0 % to 5 % of the workspaces"), "{}", out(&output));
    code(&run_it(&["freeze", "support", "--reason", "a test"]), 0);
    let output = run_it(&["start", "support", "--version", "v2"]);
    code(&output, 1);
    assert!(err(&output).contains("serin thaw support, or serin start support --force --reason"), "{}", err(&output));
    // Without a bot it says that all of them can be meant.
    let output = run_it(&["freeze"]);
    code(&output, 2);
    assert!(err(&output).contains("--all"), "{}", err(&output));
    // In a pipe there are no escapes.
    let output = run_it(&["status"]);
    assert!(!out(&output).contains('\u{1b}') && out(&output).contains("Nothing rises: it is frozen by local: a test."), "{}", out(&output));
}
