//! Tokens that name their bots: they see and change these, and nothing tells them that there are others.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::harness::{Answer, Ask, Config, Process, Upstream, command};

const ALL: &str = "all-all-all-all-all";
const OWN: &str = "own-own-own-own-own";
const OWN_READ: &str = "own-read-own-read-own-read";
const OWN_REPORT: &str = "own-report-own-report-own-report";

fn process() -> (Upstream, Process) {
    let blue = Upstream::answering("blue");
    let upstreams = format!("upstreams = {{ blue = \"http://{0}\", green = \"http://{0}\" }}", blue.address);
    let secret =
        ["name = \"secret-project\"", "match = { path_prefix = \"/x\" }", "workspace = \"header:X\"", &upstreams, "stable = \"blue\""];
    let config = Config::split(blue.address, blue.address).add(&secret).token("all", "operate", ALL);
    let config = [("own", "operate", OWN), ("own-read", "read", OWN_READ), ("own-report", "report", OWN_REPORT)]
        .into_iter()
        .fold(config, |config, (name, scope, secret)| config.token(name, scope, secret).admin("bots = [\"support\"]"));
    let process = Process::start(&config);
    (blue, process)
}

fn ask(process: &Process, token: &str, ask: Ask) -> Answer {
    process.admin(ask.field("Authorization", &format!("Bearer {token}")))
}

fn get(process: &Process, token: &str, path: &str) -> Answer {
    ask(process, token, Ask::new("GET", path))
}

#[test]
fn a_list_shows_a_token_its_own_bots() {
    let (_blue, process) = process();
    let names = |token: &str| -> Vec<String> {
        let bots = get(&process, token, "/v1/bots").json();
        bots["bots"].as_array().unwrap().iter().map(|bot| bot["bot"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names(OWN_READ), ["support"]);
    assert_eq!(names(OWN), ["support"]);
    assert_eq!(names(ALL).len(), 2);
    process.end();
}

#[test]
fn other_bots_are_as_unknown_as_those_that_do_not_exist() {
    let (_blue, process) = process();
    let report = "{\"outcomes\": [{\"workspace\": \"T1\", \"ok\": true}]}";
    let asks = |bot: &str| {
        let below = |rest: &str| format!("/v1/bots/{bot}{rest}");
        let mut asks: Vec<Ask> = ["", "/history", "/explain?workspace=T1", "/traffic"].map(|rest| Ask::new("GET", &below(rest))).into();
        asks.push(Ask::new("GET", &format!("/v1/events?bot={bot}")));
        asks.push(Ask::new("PUT", &below("/weight")).json("{\"percent\": 5}"));
        let actions = ["rollouts", "pause", "resume", "advance", "promote", "abort", "undo", "switch", "adopt", "freeze", "thaw", "drill"];
        asks.extend(actions.map(|action| Ask::new("POST", &below(&format!("/{action}"))).json("{}")));
        asks.push(Ask::new("POST", &below("/outcomes")).json(report));
        asks
    };
    for (other, none) in asks("secret-project").into_iter().zip(asks("absent-project")) {
        let (other, none) = (ask(&process, OWN, other), ask(&process, OWN, none));
        assert_eq!(other.status, 404, "{other:?}");
        other.is_problem_document("unknown_bot");
        assert_eq!(other.text().replace("secret-project", "absent-project"), none.text());
        assert!(!none.text().contains("secret-project") && none.text().contains("support"), "{none:?}");
    }
    for path in ["/v1/bots/secret%2Dproject", "/v1/bots/%73ecret-project/history", "/v1/bots/support%2F..%2Fsecret-project"] {
        assert_eq!(get(&process, OWN, path).status, 404, "{path}");
    }
    // Nothing of it was done.
    let history = get(&process, ALL, "/v1/bots/secret-project/history").json();
    assert_eq!(history["changes"].as_array().map(Vec::len), Some(1), "its begin alone: {history}");
    process.end();
}

#[test]
fn its_own_bots_are_its_own() {
    let (_blue, process) = process();
    let put = Ask::new("PUT", "/v1/bots/support/weight").json("{\"percent\": 5}");
    assert_eq!(ask(&process, OWN, put.clone()).status, 200);
    assert_eq!(ask(&process, OWN_READ, put).status, 403, "the scope counts as well");
    for path in ["", "/history", "/explain?workspace=T1", "/traffic"] {
        assert_eq!(get(&process, OWN_READ, &format!("/v1/bots/support{path}")).status, 200, "{path}");
    }
    let row = get(&process, OWN, "/v1/bots/support/history?limit=1").json()["changes"][0].clone();
    assert_eq!(row["actor"], "own");
    let report = |bot: &str| Ask::new("POST", &format!("/v1/bots/{bot}/outcomes")).json("{\"outcomes\": []}");
    assert_eq!(ask(&process, OWN_REPORT, report("support")).status, 200);
    assert_eq!(ask(&process, OWN_REPORT, report("secret-project")).status, 404);
    process.end();
}

#[test]
fn an_action_on_all_bots_needs_a_token_for_all_bots() {
    let (_blue, process) = process();
    for ask_for in [Ask::new("GET", "/metrics"), Ask::new("POST", "/v1/notifications/test").json("{}")] {
        let refused = ask(&process, OWN, ask_for.clone());
        assert_eq!(refused.status, 403, "{refused:?}");
        refused.is_problem_document("forbidden");
        assert!(refused.text().contains("without `bots`"), "{refused:?}");
        assert_eq!(ask(&process, ALL, ask_for).status, 200);
    }
    assert_eq!(get(&process, OWN, "/openapi.json").status, 200);
    process.end();
}

#[test]
fn events_are_of_its_own_bots() {
    let (_blue, process) = process();
    let mut stream = TcpStream::connect(process.admin).unwrap();
    stream.set_read_timeout(Some(crate::harness::PATIENCE)).unwrap();
    write!(stream, "GET /v1/events?status=true HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {OWN_READ}\r\n\r\n", process.admin).unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    assert!(lines.next().unwrap().contains("200"));
    let put = |bot: &str| {
        let put = Ask::new("PUT", &format!("/v1/bots/{bot}/weight")).json("{\"percent\": 5}");
        assert_eq!(ask(&process, ALL, put).status, 200);
    };
    put("secret-project");
    put("support");
    let mut kinds = Vec::new();
    for line in lines {
        assert!(!line.contains("secret-project"), "{line}");
        kinds.extend(line.strip_prefix("event: ").map(str::to_owned));
        // A status after the change has seen all bots since.
        if kinds.iter().position(|kind| kind == "change").is_some_and(|at| kinds[at..].iter().any(|kind| kind == "status")) {
            break;
        }
    }
    process.end();
}

#[test]
fn the_commands_show_its_own_bots() {
    let (_blue, process) = process();
    let run = |arguments: &[&str]| {
        let admin = format!("http://{}", process.admin);
        let output = command(&[arguments, &["--admin", &admin]].concat()).env("SERIN_TOKEN", OWN).output().unwrap();
        (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
    };
    let (code, said) = run(&["status"]);
    assert!(code == Some(0) && said.contains("support") && !said.contains("secret"), "{said}");
    let (code, said) = run(&["abort", "secret-project"]);
    assert!(code == Some(1) && said.contains("there is no bot") && said.contains("support"), "{said}");
    let (code, said) = run(&["notify", "--test"]);
    assert!(code == Some(1) && said.contains("without `bots`"), "{said}");
    process.end();
}
