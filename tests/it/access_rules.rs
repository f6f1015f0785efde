//! Which clients need no token, and which open connections serin closes when the config changes the permissions.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::harness::{Answer, Ask, Authority, Client, Config, PATIENCE, Process, SecretVolume, Upstream, eventually, unused_port};

const OLD: &str = "old-old-old-old-old";
const NEW: &str = "new-new-new-new-new";

fn config(blue: &Upstream) -> Config {
    Config::split(blue.address, blue.address).admin("metrics_open = true")
}

/// A connection that asked once, and is open and idle.
struct Idle(TcpStream);

impl Idle {
    fn new(admin: SocketAddr, token: Option<&str>) -> Idle {
        let mut stream = TcpStream::connect(admin).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let token = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        write!(stream, "HEAD /v1/bots HTTP/1.1\r\nHost: {admin}\r\n{token}\r\n").unwrap();
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
        Idle(stream)
    }

    /// serin closes it before anything is asked on it.
    #[track_caller]
    fn ends(mut self) {
        let began = Instant::now();
        assert!(matches!(self.0.read(&mut [0]), Ok(0)), "the connection stays open");
        // After 30 s serin closes every idle connection.
        assert!(began.elapsed() < Duration::from_secs(29), "{:?}", began.elapsed());
    }

    #[track_caller]
    fn stays(&mut self) {
        self.0.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let read = self.0.read(&mut [0]);
        assert!(matches!(&read, Err(error) if error.kind() == ErrorKind::WouldBlock), "{read:?}");
    }
}

#[test]
fn a_request_that_a_proxy_forwards_is_not_local() {
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
    process.apply_config(&config(&blue).token("ci", "operate", OLD).text());
    let forwarded = Ask::new("GET", "/v1/bots").field("X-Forwarded-For", "192.0.2.1").field("Authorization", &format!("Bearer {OLD}"));
    assert_eq!(process.admin(forwarded).status, 200);
}

#[test]
fn a_first_token_closes_connections_that_needed_none() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&config(&blue));
    let idle = Idle::new(process.admin, None);
    process.replace_config(&config(&blue).token("ci", "operate", OLD).text());
    idle.ends();
    assert_eq!(process.admin(Ask::new("GET", "/v1/bots")).status, 401);
}

#[test]
fn another_secret_scope_or_bot_of_a_token_closes_connections_and_nothing_else_does() {
    let blue = Upstream::answering("blue");
    let both = |token: &str, scope: &str, more: &str| config(&blue).token("ci", scope, token).admin(more);
    let process = Process::start(&both(OLD, "operate", ""));
    let mut idle = Idle::new(process.admin, Some(OLD));
    process.apply_config(&both(OLD, "operate", "").bot("max = \"50%\"").text());
    idle.stays();
    for (token, scope, more) in [(OLD, "read", ""), (NEW, "read", ""), (NEW, "read", "bots = [\"support\"]")] {
        process.replace_config(&both(token, scope, more).text());
        idle.ends();
        idle = eventually("the new rule", || (with(&process, token).status == 200).then(|| Idle::new(process.admin, Some(token))));
    }
}

fn with(process: &Process, token: &str) -> Answer {
    process.admin(Ask::new("GET", "/v1/bots/support").field("Authorization", &format!("Bearer {token}")))
}

#[test]
fn a_request_in_flight_is_answered_under_the_rules_that_it_came_under() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&config(&blue).token("ci", "operate", OLD));
    let body = b"{\"percent\": 5}";
    let ask = Ask::new("PUT", "/v1/bots/support/weight").host(&process.admin.to_string()).json("{\"percent\": 5}");
    let bytes = ask.field("Authorization", &format!("Bearer {OLD}")).field("Expect", "100-continue").bytes();
    let mut client = Client::connect(process.admin);
    client.send(&bytes[..bytes.len() - body.len()]);
    // serin wants the body: the request was allowed.
    assert!(client.wire.head().unwrap().unwrap().contains("100 Continue"));
    process.apply_config(&config(&blue).token("ci", "operate", NEW).text());
    client.send(body);
    let answer = client.answer().unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(client.try_ask(&Ask::new("GET", "/livez")).is_err(), "and then the connection is closed");
}

#[test]
fn an_event_stream_ends_when_other_authorities_vouch_for_clients() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("servers"));
    let (own, old, new) = (authority.issue("serin", 2099), Authority::new("old"), Authority::new("new"));
    let files = |clients: &str| [("tls.crt", own.certificate.clone()), ("tls.key", own.key.clone()), ("ca.crt", clients.to_owned())];
    let volume_files = |files: &[(&'static str, String); 3]| files.clone().map(|(name, text)| (name, text));
    let first = volume_files(&files(&old.pem()));
    let mut volume = SecretVolume::new(&first.each_ref().map(|(name, text)| (*name, text.as_str())));
    let path = |name: &str| volume.path(name).display().to_string();
    let tls = format!(
        "[admin.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\nclient_ca_file = \"{}\"",
        path("tls.crt"),
        path("tls.key"),
        path("ca.crt")
    );
    let process = Process::start(&Config::split(blue.address, blue.address).admin(&tls));
    let mut stream = authority.client(Some(&old.issue("ana", 2099))).connect(process.admin).unwrap().0;
    stream.send(&Ask::new("GET", "/v1/events?status=true").host(&process.admin.to_string()).bytes());
    // Renewing serin's own certificate ends nothing; other authorities do.
    let second = files(&new.pem());
    volume.swap(&second.each_ref().map(|(name, text)| (*name, text.as_str())));
    assert_eq!(stream.answer().unwrap().status, 200, "whole, to its last chunk");
    process.end();
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

/// No other test listens on all addresses.
#[test]
fn only_a_loopback_address_needs_no_token() {
    let blue = Upstream::answering("blue");
    let port = unused_port();
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
