//! Links in messages: opening one changes nothing, and its action works once, only while the bot is as it was when the link was made.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};

use crate::harness::{Answer, Ask, Client, Config, Handle, Process, SHORT_BAKE, Upstream, eventually, two_upstreams};

const TOKEN: &str = "a-token-of-the-operators";
const PUBLIC: &str = "https://serin.example.com/canary";

struct Room {
    sides: (Upstream, Upstream),
    receiver: Upstream,
}

impl Room {
    fn new() -> Room {
        Room { sides: two_upstreams(), receiver: Upstream::answering("ok") }
    }

    fn config(&self, admin: &str) -> Config {
        let url = format!("url = \"http://{}/x\"", self.receiver.address);
        let config = Config::split(self.sides.0.address, self.sides.1.address).bot(SHORT_BAKE);
        let config = config.notify(&["name = \"ops\"", "kind = \"webhook\"", &url, "secret = \"a-key-of-more-than-16\""]);
        config.admin(&format!("public_url = \"{PUBLIC}\"")).admin(admin).token("ops", "operate", TOKEN)
    }

    /// Waits for message `number`, which is 1 for the first one.
    #[track_caller]
    fn message(&self, number: usize) -> Value {
        eventually(&format!("message {number}"), || (self.receiver.count() >= number).then_some(()));
        serde_json::from_slice(&self.receiver.requests()[number - 1].body).unwrap()
    }

    /// The links of message `number`: each link's action and its path on the admin listener.
    #[track_caller]
    fn links(&self, number: usize) -> Vec<(String, String)> {
        let document = self.message(number);
        let path = |link: &Value| link["url"].as_str().unwrap().strip_prefix(PUBLIC).unwrap().to_owned();
        let links = document["links"].as_array().unwrap();
        links.iter().map(|link| (link["action"].as_str().unwrap().to_owned(), path(link))).collect()
    }
}

/// A serin that sends its messages to the room's receiver.
fn started() -> (Room, Process) {
    let room = Room::new();
    let process = Process::start(&room.config("")).asking_with(TOKEN);
    (room, process)
}

/// Opens a link as a browser on another machine does: by the public name, without a token, and with the Origin `null`.
fn knock(serin: &Handle, method: &'static str, path: &str) -> Answer {
    let ask = Ask::new(method, path).host("serin.example.com").field("Connection", "close");
    let ask = match method {
        "POST" => ask.field("Origin", "null").field("Content-Type", "application/x-www-form-urlencoded").body(b""),
        _ => ask,
    };
    Client::connect(serin.admin).ask(&ask)
}

#[track_caller]
fn says(answer: &Answer, status: u16, text: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(answer.text().contains(text), "{}", answer.text());
    assert_eq!((answer.field("referrer-policy"), answer.field("cache-control")), (Some("no-referrer"), Some("no-store")));
    assert!(answer.field("content-security-policy").is_some() && answer.field("content-type") == Some("text/html; charset=utf-8"));
}

fn newest(serin: &Handle) -> Value {
    serin.admin(Ask::new("GET", "/v1/bots/support/history?limit=1")).json()["changes"][0].clone()
}

#[test]
fn opening_a_link_changes_nothing_and_approving_works_once() {
    let (room, process) = started();
    process.act("rollouts", "{\"version\": \"v2\"}");
    let links = room.links(1);
    assert_eq!(links.iter().map(|(action, _)| action.as_str()).collect::<Vec<_>>(), ["advance", "abort"]);
    let (approve, abort) = (&links[0].1, &links[1].1);
    for _ in 0..3 {
        let page = knock(&process, "GET", approve);
        says(&page, 200, "support: send 75 % of the workspaces to v2 on green?");
        assert!(
            page.text().contains("<form method=\"post\">")
                && page.text().contains("The deadline has passed without enough requests to judge by"),
            "{}",
            page.text()
        );
        assert_eq!(knock(&process, "HEAD", approve).status, 200);
    }
    assert_eq!((process.bot()["revision"].as_u64(), process.bot()["weight_percent"].as_f64()), (Some(2), Some(50.0)));
    // Of two clicks at the same time, one acts.
    let path = approve.as_str();
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let clicks: Vec<_> = (0..2).map(|_| scope.spawn(|| knock(&process, "POST", path).status)).collect();
        clicks.into_iter().map(|click| click.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 410]);
    assert_eq!(process.bot()["weight_percent"], 75.0);
    let row = newest(&process);
    assert_eq!((&row["actor"], &row["actor_kind"], &row["decision"]), (&"link:ops".into(), &"operator".into(), &"advance".into()));
    says(&knock(&process, "POST", approve), 410, "This link was used already");
    says(&knock(&process, "GET", approve), 410, "link:ops did this: v2 goes from 50 % to 75 %");
    says(&knock(&process, "POST", abort), 410, "This link is out of date");
    assert_eq!(process.bot()["weight_percent"], 75.0);
    assert_eq!(process.logged_times(path.trim_start_matches("/act/")), 0, "a link in the log");
    // A page with a link that is out of date offers the action for the current state, except an action that a link has done.
    let page = knock(&process, "GET", abort);
    says(&page, 410, "As things stand now: support: send everybody back to blue?");
    assert!(!knock(&process, "GET", approve).text().contains("<form"), "it was used");
    let fresh = page.text().split("action=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    says(&knock(&process, "POST", &format!("/act/{fresh}")), 200, "Done: abort");
    assert_eq!(process.bot()["phase"], "aborted");
    assert!(!knock(&process, "GET", abort).text().contains("<form"), "there is nothing to abort any more");
}

#[test]
fn the_last_approval_promotes_and_its_page_says_so() {
    let (_room, process) = started();
    process.act("rollouts", "{\"version\": \"v2\"}");
    process.act("advance", "");
    let approve =
        forge(&process, |ticket| (ticket["a"], ticket["r"], ticket["s"]) = (json!("advance"), json!(3), json!(["v2 on green", 7500])));
    says(&knock(&process, "GET", &approve), 200, "support: promote v2 on green, and send everybody to it?");
    says(&knock(&process, "POST", &approve), 200, "Done: promote");
    assert_eq!((&newest(&process)["decision"], process.bot()["phase"].as_str()), (&"promote".into(), Some("promoted")));
    says(&knock(&process, "POST", &approve), 410, "This link was used already");
}

#[test]
fn links_end_with_the_history_that_they_are_about() {
    let (room, mut process) = started();
    process.act("rollouts", "{\"version\": \"v2\"}");
    let abort = forge(&process, |_| ());
    process.act("abort", "");
    let id = |number: usize| room.message(number)["id"].clone();
    let first_id = id(1);
    process.signal(libc::SIGKILL);
    process.ended();
    for ending in ["", "-wal", "-shm"] {
        let _ = std::fs::remove_file(process.config.with_file_name(format!("serin.db{ending}")));
    }
    let again = Process::start_with(&process.config.clone()).asking_with(TOKEN);
    // The same revision, the same release, the same weight.
    again.act("rollouts", "{\"version\": \"v2\"}");
    assert_eq!(again.bot()["revision"], 2);
    says(&knock(&again, "POST", &abort), 404, "There is no such link");
    says(&knock(&again, "GET", &forge(&again, |_| ())), 200, "send everybody back to blue?");
    // The same change of another history is another message.
    again.act("abort", "");
    assert_ne!(id(2), first_id);
}

#[test]
fn a_link_acts_after_a_restart_and_then_never_again() {
    let (_room, mut process) = started();
    process.act("rollouts", "{\"version\": \"v2\"}");
    let abort = forge(&process, |_| ());
    process.signal(libc::SIGKILL);
    process.ended();
    let mut process = Process::start_with(&process.config.clone()).asking_with(TOKEN);
    says(&knock(&process, "POST", &abort), 200, "Done: abort");
    assert_eq!(process.bot()["phase"], "aborted");
    process.signal(libc::SIGKILL);
    process.ended();
    let process = Process::start_with(&process.config.clone()).asking_with(TOKEN);
    says(&knock(&process, "POST", &abort), 410, "used already");
    assert_eq!(process.bot()["revision"], 3);
}

#[test]
fn the_message_about_a_promotion_has_a_link_to_undo_it() {
    let (room, process) = started();
    process.act("switch", "{\"version\": \"v2\"}");
    let links = room.links(1);
    assert_eq!(links[0].0, "undo");
    says(&knock(&process, "GET", &links[0].1), 200, "support: send everybody back to blue?");
    says(&knock(&process, "POST", &links[0].1), 200, "Done: undo");
    assert_eq!(process.bot()["stable"]["upstream"], "blue");
}

/// A link as serin would make it, with the key that lies beside the history and the history's own id.
fn forge(process: &Process, change: impl Fn(&mut Value)) -> String {
    let key = std::fs::read(process.config.with_file_name("serin.db.key")).unwrap();
    let history = rusqlite::Connection::open(process.config.with_file_name("serin.db")).unwrap();
    let id: Vec<u8> = history.query_row("SELECT id FROM identity", (), |row| row.get(0)).unwrap();
    let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), &[b"serin history 1\0", id.as_slice()].concat());
    let expires = 4_000_000_000_u64;
    let mut ticket = json!({ "a": "abort", "b": "support", "r": 2, "s": ["v2 on green", 5000], "n": "ops", "x": expires });
    change(&mut ticket);
    let payload = URL_SAFE_NO_PAD.encode(ticket.to_string());
    let seal = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), format!("serin link 1\0{payload}").as_bytes());
    format!("/act/{payload}.{}", URL_SAFE_NO_PAD.encode(seal))
}

#[test]
fn only_links_that_this_serin_sealed_and_that_are_still_valid_work() {
    let (_room, process) = started();
    process.act("rollouts", "{\"version\": \"v2\"}");
    says(&knock(&process, "GET", &forge(&process, |_| ())), 200, "send everybody back to blue?");
    let expired = knock(&process, "POST", &forge(&process, |ticket| ticket["x"] = json!(1_700_000_000)));
    says(&expired, 410, "This link has expired");
    assert!(!expired.text().contains("blue"), "an expired link does not show what serves: {}", expired.text());
    says(&knock(&process, "POST", &forge(&process, |ticket| ticket["r"] = json!(1))), 410, "This link is out of date");
    says(&knock(&process, "POST", &forge(&process, |ticket| ticket["s"] = json!(["v1 on green", 5000]))), 410, "out of date");
    says(&knock(&process, "POST", &forge(&process, |ticket| ticket["b"] = json!("other"))), 410, "This bot is gone");
    let good = forge(&process, |_| ());
    let forged = format!("{}A", &good[..good.len() - 1]);
    let denied = || process.metrics().sum("serin_admin_denied_total", &[("reason", "bad_link")]);
    says(&knock(&process, "POST", if forged == good { "/act/x.y" } else { &forged }), 404, "There is no such link");
    assert_eq!(denied(), 1.0);
    let last = (0..15).map(|_| knock(&process, "GET", "/act/a.b")).collect::<Vec<_>>().pop().unwrap();
    says(&last, 429, "Too many wrong links");
    assert!(last.field("retry-after").is_some());
    assert_eq!((denied(), process.bot()["revision"].as_u64()), (10.0, Some(2)));
    says(&knock(&process, "POST", &good), 200, "Done: abort");
}

#[test]
fn with_a_read_only_api_a_link_can_only_take_back() {
    let (room, process) = started();
    process.act("rollouts", "{\"version\": \"v2\"}");
    let abort = forge(&process, |_| ());
    process.apply_config(&room.config("read_only = true").text());
    says(&knock(&process, "POST", &forge(&process, |ticket| ticket["a"] = json!("advance"))), 403, "only the config changes what serves");
    says(&knock(&process, "POST", &abort), 200, "Done: abort");
}

#[test]
fn a_link_is_refused_where_the_api_refuses() {
    let room = Room::new();
    let process = Process::start(&room.config("").bot("freeze = { windows = [\"00:00 - 24:00\"] }")).asking_with(TOKEN);
    process.act("rollouts", "{\"version\": \"v2\", \"force\": true, \"reason\": \"a test\"}");
    says(&knock(&process, "POST", &forge(&process, |ticket| ticket["a"] = json!("advance"))), 409, "nothing rises now: 00:00 - 24:00");
    says(&knock(&process, "POST", &forge(&process, |_| ())), 200, "Done: abort");
}

#[test]
fn without_its_notifier_a_link_is_gone() {
    let (room, process) = started();
    process.act("switch", "{\"version\": \"v2\"}");
    let undo = room.links(1)[0].1.clone();
    process.apply_config(&room.config("").text().replace("name = \"ops\"", "name = \"others\""));
    for method in ["GET", "POST"] {
        says(&knock(&process, method, &undo), 404, "There is no such link");
    }
}

#[test]
fn without_a_public_url_there_are_no_links() {
    let (room, process) = started();
    process.act("switch", "{\"version\": \"v2\"}");
    let undo = room.links(1)[0].1.clone();
    process.apply_config(&room.config("").text().replace(&format!("public_url = \"{PUBLIC}\""), ""));
    says(&knock(&process, "POST", &undo), 404, "There is no such link");
}
