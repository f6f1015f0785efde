//! The admin API: the rules of the weight, the permissions, and problem documents that say what to do.

use crate::harness::{Answer, Ask, Client, Config, Handle, Serin, Upstream, two_upstreams};

fn split() -> (Upstream, Upstream, Serin) {
    split_with(|config| config)
}

fn split_with(more: impl Fn(Config) -> Config) -> (Upstream, Upstream, Serin) {
    let (blue, green) = two_upstreams();
    let serin = Serin::start(&more(Config::split(blue.address, green.address)));
    (blue, green, serin)
}

const WEIGHT: &str = "/v1/bots/support/weight";

fn put(body: &str) -> Ask {
    Ask::new("PUT", WEIGHT).json(body)
}

#[track_caller]
fn refused(answer: &Answer, status: u16, code: &str, says: &str) {
    assert_eq!(answer.status, status, "{answer:?}");
    answer.is_problem_document(code);
    assert!(answer.json()["detail"].as_str().unwrap().contains(says), "{}", answer.text());
}

#[test]
fn a_weight_is_answered_by_the_bots_document_and_its_etag() {
    let (_blue, _green, serin) = split();
    let before = serin.admin(Ask::new("GET", "/v1/bots/support"));
    assert_eq!(before.field("etag"), Some("\"1\""));
    let answer = serin.admin(put("{\"percent\": 12.5}").field("If-Match", "\"1\""));
    assert_eq!((answer.status, answer.field("etag")), (200, Some("\"2\"")), "{answer:?}");
    let document = answer.json();
    assert_eq!((&document["weight_percent"], &document["phase"], &document["revision"]), (&12.5.into(), &"manual".into(), &2.into()));
    assert_eq!((&document["stable"]["upstream"], &document["canary"]["upstream"]), (&"blue".into(), &"green".into()));
    assert_eq!(serin.metrics().sum("serin_canary_weight_ratio", &[("bot", "support")]), 0.125);
    // The evidence is another one with each tick.
    let lasting = |mut document: serde_json::Value| {
        document["evidence"].take();
        document
    };
    assert_eq!(lasting(serin.bot()), lasting(document));
    serin.set_weight(0.0);
    assert_eq!(serin.bot()["phase"], "idle");
    assert_eq!(serin.metrics().sum("serin_rollout_phase", &[("phase", "idle")]), 1.0);
}

#[test]
fn a_change_based_on_an_old_revision_is_refused() {
    let (_blue, _green, serin) = split();
    serin.set_weight(5.0);
    refused(&serin.admin(put("{\"percent\": 50}").field("If-Match", "\"1\"")), 412, "stale", "revision 1, but 2");
    assert_eq!(serin.bot()["weight_percent"], 5.0);
    assert_eq!(serin.admin(put("{\"percent\": 50}").field("If-Match", "\"2\"")).status, 200);
    assert_eq!(serin.admin(put("{\"percent\": 51}").field("If-Match", "*")).status, 200);
    for bad in ["2", "\"x\"", "W/\"3\"", "\"-1\""] {
        refused(&serin.admin(put("{\"percent\": 1}").field("If-Match", bad)), 400, "if_match", "quotes");
    }
    assert_eq!(serin.bot()["weight_percent"], 51.0);
}

#[test]
fn a_weight_that_is_no_percentage_is_refused_with_the_reason() {
    let (_blue, _green, serin) = split();
    for body in ["{\"percent\": 100.01}", "{\"percent\": -1}", "{\"percent\": 0.001}", "{\"percent\": 1e9}"] {
        let answer = serin.admin(put(body));
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        answer.is_problem_document("weight");
    }
    for body in ["{\"percent\": \"5\"}", "{}", "5", "{\"percent\": null}", "{\"percent\": 5, \"more\": 1}"] {
        refused(&serin.admin(put(body)), 422, "body", "percent");
    }
    for body in ["", "{", "percent=5", "{\"percent\": NaN}"] {
        refused(&serin.admin(put(body)), 400, "json", "not JSON");
    }
    assert_eq!((&serin.bot()["weight_percent"], &serin.bot()["revision"]), (&0.0.into(), &1.into()), "nothing has changed");
    for (body, percent) in [("{\"percent\": 0.01}", 0.01), ("{\"percent\": 100}", 100.0), ("{\"percent\": 0.07}", 0.07)] {
        assert_eq!(serin.admin(put(body)).json()["weight_percent"], percent);
    }
}

/// serde accepts a sequence for a struct unless the code refuses it.
#[test]
fn an_array_is_no_weight() {
    let (_blue, _green, serin) = split();
    refused(&serin.admin(put("[5]")), 422, "body", "percent");
    assert_eq!(serin.bot()["weight_percent"], 0.0);
}

#[test]
fn an_unknown_bot_is_named_with_those_that_are_known() {
    let (_blue, _green, serin) = split();
    refused(&serin.admin(Ask::new("PUT", "/v1/bots/nobody/weight").json("{\"percent\": 5}")), 404, "unknown_bot", "support");
    refused(&serin.admin(Ask::new("GET", "/v1/bots/nobody")), 404, "unknown_bot", "support");
    refused(&serin.admin(Ask::new("GET", "/v1/bots/nobody/explain?workspace=T1")), 404, "unknown_bot", "support");
}

#[test]
fn one_upstream_has_nothing_to_share_with() {
    let blue = Upstream::answering("blue");
    let upstreams = format!("upstreams = {{ blue = \"http://{}\" }}", blue.address);
    let serin = Serin::start(&Config::new().add(&["name = \"support\"", "workspace = \"header:X-Workspace\"", &upstreams]));
    refused(&serin.put_weight(5.0), 409, "one_upstream", "only one upstream");
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    assert!(serin.bot()["canary"].is_null());
}

#[test]
fn several_upstreams_without_a_canary_are_named() {
    let blue = Upstream::answering("blue");
    let upstreams = format!("upstreams = {{ blue = \"http://{0}\", green = \"http://{0}\", red = \"http://{0}\" }}", blue.address);
    let lines = ["name = \"support\"", "workspace = \"header:X-Workspace\"", &upstreams, "stable = \"blue\""];
    let serin = Serin::start(&Config::new().add(&lines));
    let answer = serin.put_weight(5.0);
    refused(&answer, 409, "which_canary", "\"green\", \"red\"");
    drop(serin);
    let serin = Serin::start(&Config::new().add(&lines).bot("canary = \"red\""));
    serin.set_weight(5.0);
    assert_eq!(serin.bot()["canary"]["upstream"], "red");
}

#[test]
fn no_weight_above_the_cap_is_taken() {
    let (_blue, _green, serin) = split_with(|config| config.bot("max = \"25%\""));
    serin.set_weight(25.0);
    refused(&serin.put_weight(25.01), 422, "above_max", "25%");
    assert_eq!((&serin.bot()["weight_percent"], &serin.bot()["max_percent"]), (&25.0.into(), &25.0.into()));
}

#[test]
fn without_tokens_a_change_is_json_from_this_machine_and_from_no_other_page() {
    let (_blue, _green, serin) = split();
    let put = |kind: &str| Ask::new("PUT", WEIGHT).field("Content-Type", kind).body(b"{\"percent\": 5}");
    refused(&serin.admin(Ask::new("PUT", WEIGHT).body(b"{\"percent\": 5}")), 415, "content_type", "application/json");
    for kind in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        refused(&serin.admin(put(kind)), 415, "content_type", "application/json");
    }
    let own = format!("http://{}", serin.admin);
    for origin in ["http://evil.example", "null", "https://127.0.0.1"] {
        refused(&serin.admin(put("application/json").field("Origin", origin)), 403, "forbidden", "origin");
        refused(&serin.admin(Ask::new("GET", "/v1/bots").field("Origin", origin)), 403, "forbidden", "origin");
    }
    let port = serin.admin.port();
    for host in ["evil.example", &format!("evil.example:{port}"), "localhost:1", &format!("127.0.0.1.evil.example:{port}")] {
        let answer = Client::connect(serin.admin).ask(&put("application/json").host(host));
        refused(&answer, 403, "forbidden", "Host");
    }
    assert_eq!(serin.bot()["weight_percent"], 0.0);
    let local = Client::connect(serin.admin).ask(&put("application/json").host(&format!("localhost:{port}")).field("Origin", &own));
    assert_eq!(local.status, 200, "{local:?}");
    for host in ["localhost", "127.0.0.1"] {
        let local = Client::connect(serin.admin).ask(&put("application/json").host(host));
        assert_eq!(local.status, 200, "without a port: {local:?}");
    }
}

#[test]
fn with_tokens_the_scope_decides() {
    let tokens = |config: Config| {
        config.token("look", "read", "read-read-read-read").token("ci", "operate", "operate-operate-op").token(
            "bot",
            "report",
            "report-report-report",
        )
    };
    let blue = Upstream::answering("blue");
    let serin = Serin::with_token(&tokens(Config::split(blue.address, blue.address)), Some("operate-operate-op"));
    let with = |token: Option<&str>, ask: Ask| Handle { token: token.map(str::to_owned), ..Handle::clone(&serin) }.admin(ask);
    let (get, put) = (Ask::new("GET", "/v1/bots"), put("{\"percent\": 5}"));
    for token in [None, Some("wrong"), Some("read-read-read-rea"), Some("")] {
        for ask in [&get, &put, &Ask::new("GET", "/metrics")] {
            let answer = with(token, ask.clone());
            refused(&answer, 401, "unauthorized", "");
            assert_eq!(answer.field("www-authenticate"), Some("Bearer"));
        }
    }
    assert_eq!(with(Some("read-read-read-read"), get.clone()).status, 200);
    assert_eq!(with(Some("read-read-read-read"), Ask::new("GET", "/metrics")).status, 200);
    refused(&with(Some("read-read-read-read"), put.clone()), 403, "forbidden", "operate");
    refused(&with(Some("report-report-report"), get), 403, "forbidden", "bot");
    refused(&with(Some("report-report-report"), put.clone()), 403, "forbidden", "operate");
    assert_eq!(serin.bot()["weight_percent"], 0.0);
    assert_eq!(with(Some("operate-operate-op"), put).status, 200);
    for open in ["/livez", "/readyz"] {
        assert_eq!(with(None, Ask::new("GET", open)).status, 200, "{open}");
    }
}

#[test]
fn metrics_open_opens_the_metrics_alone() {
    let blue = Upstream::answering("blue");
    let config = Config::split(blue.address, blue.address).admin("metrics_open = true").token("ci", "operate", "operate-operate-op");
    let serin = Serin::start(&config);
    assert!(serin.metrics().has("serin_build_info"));
    assert_eq!(serin.admin(Ask::new("GET", "/v1/bots")).status, 401);
}

#[test]
fn an_unknown_path_is_answered_with_a_problem_document() {
    let (_blue, _green, serin) = split();
    refused(&serin.admin(Ask::new("GET", "/v2")), 404, "not_found", "/v1/bots");
    refused(&serin.admin(Ask::new("DELETE", WEIGHT).json("{}")), 405, "method", "method");
    refused(&serin.admin(Ask::new("POST", "/v1/bots").json("{}")), 405, "method", "method");
}

#[test]
fn a_question_without_its_parameter_is_a_problem_document() {
    let (_blue, _green, serin) = split();
    let answer = serin.admin(Ask::new("GET", "/v1/bots/support/explain"));
    assert_eq!((answer.status, answer.field("content-type")), (400, Some("application/problem+json")), "{answer:?}");
}

#[test]
fn a_body_that_is_too_large_is_a_problem_document() {
    let (_blue, _green, serin) = split();
    let answer = serin.admin(put(&format!("{{\"percent\": 5{}}}", " ".repeat(270_000))));
    assert_eq!((answer.status, answer.field("content-type")), (413, Some("application/problem+json")), "{answer:?}");
}

#[test]
fn changes_come_one_after_the_other_and_each_has_a_revision() {
    let (_blue, _green, serin) = split();
    let answers: Vec<_> = std::thread::scope(|scope| {
        let serin = &serin;
        let change = |i: u64| scope.spawn(move || serin.put_weight(i as f64 + 1.0));
        let threads: Vec<_> = (0..16).map(change).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    // What lowers does not wait for a raise that is on its way to the disk: that one is told so, and was not done.
    let (done, overtaken): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    overtaken.iter().for_each(|answer| assert_eq!((answer.status, &answer.json()["code"]), (409, &"overtaken".into()), "{answer:?}"));
    let last = done.len() as u64 + 1;
    assert_eq!(serin.bot()["revision"], last);
    assert!(done.iter().all(|answer| (2..=last).contains(&answer.json()["revision"].as_u64().unwrap())), "{done:?}");
}

/// Of many changes that are based on the same revision, one succeeds.
#[test]
fn of_two_changes_based_on_the_same_revision_one_is_refused() {
    let (_blue, _green, serin) = split();
    let mut statuses: Vec<u16> = std::thread::scope(|scope| {
        let serin = &serin;
        let change = || scope.spawn(move || serin.admin(put("{\"percent\": 5}").field("If-Match", "\"1\"")).status);
        let threads: Vec<_> = (0..8).map(|_| change()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 412, 412, 412, 412, 412, 412, 412]);
}
