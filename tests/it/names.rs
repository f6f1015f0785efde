//! Names of failing workspaces: only if the config allows them, only with a token that can read the bot, and in no other place.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::Value;

use crate::harness::{Ask, Config, PATIENCE, Process, Then, Upstream, eventually, ok};

const OPERATES: &str = "operate-operate-operate";
const READS: &str = "read-read-read-read-read";
const OTHER: &str = "other-other-other-other";
/// A part of every workspace id, and of nothing else.
const MARK: &str = "UNMISTAKABLE";

fn id(number: usize) -> String {
    format!("{MARK}-{number}")
}

/// Two versions. The second one answers 500 to a request with `X-Fail`.
struct Room {
    _blue: Upstream,
    green: Upstream,
    process: Process,
}

impl Room {
    fn new(show: bool) -> Room {
        let blue = Upstream::answering("blue");
        let green = Upstream::scripted(|request, wire| {
            let fails = b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n";
            let _ = match request.field("X-Fail") {
                Some(_) => wire.write(fails),
                None => wire.write(&ok("green")),
            };
            Then::KeepAlive
        });
        let process = Process::start(&config(&blue, &green, show)).asking_with(OPERATES);
        Room { _blue: blue, green, process }
    }

    fn shows(&self, show: bool) {
        self.process.apply_config(&config(&self._blue, &self.green, show).text());
    }

    fn get(&self, token: &str, path: &str) -> String {
        let process = &self.process;
        let ask = Ask::new("GET", path).field("Authorization", &format!("Bearer {token}")).host(&process.admin.to_string());
        crate::harness::Client::connect(process.admin).ask(&ask.field("Connection", "close")).text().to_owned()
    }

    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(READS, path)).unwrap()
    }

    /// A request of each of 40 workspaces, and eight of one on the canary that fail there. Answers its id and bucket.
    fn one_workspace_fails(&self) -> (String, Value) {
        self.process.set_weight(50.0);
        (0..40).for_each(|number| assert_eq!(self.process.ask(&Ask::of(&id(number))).status, 200));
        let on_canary = |id: &String| self.process.explain(&format!("team:{id}"))["track"] == "canary";
        let fails = (0..40).map(id).find(on_canary).expect("half of them are on the canary");
        (0..8).for_each(|_| assert_eq!(self.process.ask(&Ask::of(&fails).field("X-Fail", "yes")).status, 500));
        let bucket = self.process.explain(&format!("team:{fails}"))["bucket"].clone();
        eventually("the controller has seen it", || {
            let bot = self.json("/v1/bots/support");
            (bot["concentration"]["bucket"] == bucket && bot["tracks"]["canary"]["errors"] == 8).then_some(())
        });
        (fails, bucket)
    }

    fn never(&self, token: &str, paths: &[&str]) {
        for path in paths {
            let said = self.get(token, path);
            assert!(!said.contains(MARK), "{path}: {said}");
        }
    }

    /// What a listener is told from its first moment on, until the bot's status has this in it.
    fn told(&self, token: &str, until: &str) -> String {
        let admin = self.process.admin;
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(stream, "GET /v1/events?status=true HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {token}\r\n\r\n").unwrap();
        let mut said = String::new();
        for line in BufReader::new(stream).lines() {
            said += &line.unwrap();
            if said.contains(until) {
                return said;
            }
        }
        panic!("the stream has ended: {said}");
    }
}

fn config(blue: &Upstream, green: &Upstream, show: bool) -> Config {
    let url = format!("upstreams = {{ blue = \"http://{}\" }}", blue.address);
    let other = ["name = \"other\"", "match = { path_prefix = \"/other\" }", "workspace = \"header:X-Workspace\"", &url];
    let config = Config::identified("workspace = [\"header:X-Nobody\", \"team:header:X-Workspace\"]", blue.address, green.address);
    let config = config.add(&other).log("level = \"debug\"").admin(&format!("show_workspaces = {show}"));
    let config = config.token("operates", "operate", OPERATES).token("reads", "read", READS).token("other", "read", OTHER);
    config.admin("bots = [\"other\"]")
}

#[test]
fn a_failing_workspace_has_a_name_that_explain_accepts() {
    let room = Room::new(true);
    let (fails, bucket) = room.one_workspace_fails();
    let name = format!("team:{fails}");
    let found = room.json("/v1/bots/support")["concentration"].clone();
    assert_eq!(
        (&found["metric"], &found["in_bucket"], &found["of"], &found["over"]),
        (&"errors".into(), &8.into(), &8.into(), &false.into())
    );
    assert_eq!(found["workspace"], name.as_str());
    let text = found["text"].as_str().unwrap();
    assert!(text.starts_with(&format!("8 of 8 errors come from one workspace (bucket {bucket})")) && !text.contains(MARK), "{text}");
    let traffic = room.json("/v1/bots/support/traffic");
    for list in ["largest", "failing"] {
        let worst = &traffic[list][0];
        assert_eq!((&worst["workspace"], &worst["bucket"], &worst["errors"]), (&name.as_str().into(), &bucket, &8.into()), "{list}");
        assert_eq!(room.process.explain(worst["workspace"].as_str().unwrap())["bucket"], bucket);
    }
    assert_eq!(traffic["failing"].as_array().unwrap().len(), 1);
    assert!(traffic["failing"][0]["text"].as_str().unwrap().starts_with("8 errors in 9 requests on the canary; "), "{traffic}");
    assert!(traffic["largest"].as_array().unwrap().iter().all(|large| large["workspace"].as_str().unwrap().contains(MARK)));
    assert!(room.told(READS, &name).contains("concentration"));
    // A token for another bot gets no names. Metrics, the history and the API document hold none.
    room.never(
        OTHER,
        &["/v1/bots", "/v1/bots/support", "/v1/bots/support/traffic", "/v1/bots/other", "/v1/bots/other/traffic", "/metrics"],
    );
    assert!(!room.told(OTHER, "\"bot\":\"other\"").contains(MARK));
    room.never(READS, &["/metrics", "/v1/bots/support/history", "/openapi.json"]);
    assert_eq!(room.process.admin(Ask::new("POST", "/v1/bots/support/abort").json("{}")).status, 200);
    room.never(READS, &["/metrics", "/v1/bots/support", "/v1/bots/support/traffic", "/v1/bots/support/history"]);
    let last = room.json("/v1/bots/support")["concentration"].clone();
    assert_eq!((&last["over"], &last["workspace"]), (&true.into(), &Value::Null), "a name goes with its split");
    assert_eq!(room.process.logged_times(MARK), 0);
}

#[test]
fn without_the_option_there_are_no_names_and_the_facts_are_the_same() {
    let room = Room::new(false);
    let (_, bucket) = room.one_workspace_fails();
    let everything = ["/v1/bots", "/v1/bots/support", "/v1/bots/support/traffic", "/v1/bots/support/history", "/metrics", "/v1/bots/other"];
    room.never(READS, &everything);
    assert!(!room.told(READS, "\"concentration\":{").contains(MARK));
    let found = room.json("/v1/bots/support")["concentration"].clone();
    assert_eq!((&found["bucket"], &found["in_bucket"], &found["workspace"]), (&bucket, &8.into(), &Value::Null));
    let failing = room.json("/v1/bots/support/traffic")["failing"][0].clone();
    assert_eq!((&failing["bucket"], &failing["workspace"]), (&bucket, &Value::Null));
    assert_eq!(room.process.logged_times(MARK), 0);
    // What came before it was wanted has no name, what comes then has one.
    room.shows(true);
    room.never(READS, &everything);
    assert_eq!(room.process.ask(&Ask::of(&id(7))).status, 200);
    eventually("a name", || room.get(READS, "/v1/bots/support/traffic").contains(&format!("team:{}\"", id(7))).then_some(()));
}

#[test]
fn a_reload_that_turns_it_off_takes_the_names_away() {
    let room = Room::new(true);
    let (fails, _) = room.one_workspace_fails();
    let paths = ["/v1/bots", "/v1/bots/support", "/v1/bots/support/traffic"];
    assert!(paths.iter().all(|path| room.get(READS, path).contains(&fails)));
    room.shows(false);
    room.never(READS, &paths);
    room.process.ask(&Ask::of(&fails).field("X-Fail", "yes"));
    room.never(READS, &paths);
    // Nor does it bring those of before back.
    room.shows(true);
    room.never(READS, &paths);
}
