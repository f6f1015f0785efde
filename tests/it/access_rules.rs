//! Who is trusted without a token.

use std::net::{SocketAddr, TcpListener};

use crate::harness::{Answer, Ask, Client, Config, Process, Upstream, eventually};

const OLD: &str = "old-old-old-old-old";

fn config(blue: &Upstream) -> Config {
    Config::split(blue.address, blue.address).admin("metrics_open = true")
}

#[track_caller]
fn taken(process: &Process, config: &str) {
    let hash = process.config_hash();
    process.replace_config(config);
    eventually("the new config", || (process.config_hash() != hash).then_some(()));
}

#[test]
fn what_a_proxy_passes_on_is_not_local() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&Config::split(blue.address, blue.address));
    for (field, value) in [
        ("Forwarded", "for=192.0.2.1"),
        ("X-Forwarded-For", "192.0.2.1"),
        ("x-forwarded-host", "serin.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Real-IP", "192.0.2.1"),
        ("Via", "1.1 nginx"),
    ] {
        for ask in
            [Ask::new("GET", "/v1/bots"), Ask::new("PUT", "/v1/bots/support/weight").json("{\"percent\": 5}"), Ask::new("GET", "/metrics")]
        {
            let answer = process.admin(ask.field(field, value));
            assert_eq!(answer.status, 403, "{field}: {answer:?}");
            answer.is_problem_document("forbidden");
            assert!(answer.text().contains("[[admin.token]]"), "{answer:?}");
        }
        assert_eq!(process.admin(Ask::new("GET", "/livez").field(field, value)).status, 200, "a probe tells nothing");
    }
    assert_eq!(process.admin(Ask::new("GET", "/v1/bots")).status, 200);
    // With a token it does not matter where a request comes from.
    taken(&process, &config(&blue).token("ci", "operate", OLD).text());
    let forwarded = Ask::new("GET", "/v1/bots").field("X-Forwarded-For", "192.0.2.1").field("Authorization", &format!("Bearer {OLD}"));
    assert_eq!(process.admin(forwarded).status, 200);
}

fn with(process: &Process, token: &str) -> Answer {
    process.admin(Ask::new("GET", "/v1/bots/support").field("Authorization", &format!("Bearer {token}")))
}

#[test]
fn a_public_url_that_a_reload_leaves_without_tokens_is_refused() {
    let blue = Upstream::answering("blue");
    let public = |config: Config| config.admin("public_url = \"https://serin.example.com\"");
    let process = Process::start(&public(config(&blue)).token("ci", "operate", OLD));
    process.replace_config(&public(config(&blue)).text());
    process.logged("config refused");
    process.reload_is(false);
    assert_eq!((process.admin(Ask::new("GET", "/v1/bots")).status, with(&process, OLD).status), (401, 200));
}

/// Nobody else's test listens on all addresses.
#[test]
fn only_a_loopback_address_needs_no_token() {
    let blue = Upstream::answering("blue");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let text = |token: bool| {
        let config = config(&blue);
        let config = if token { config.token("ci", "operate", OLD) } else { config };
        config.text().replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"0.0.0.0:{port}\""))
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, text(true)).unwrap();
    let process = Process::start_with(&path);
    process.replace_config(&text(false));
    process.logged("is open to others");
    let local = SocketAddr::from(([127, 0, 0, 1], port));
    let answer = Client::connect(local).ask(&Ask::new("GET", "/v1/bots").host(&local.to_string()));
    assert_eq!(answer.status, 401, "{answer:?}");
    process.end();
}
