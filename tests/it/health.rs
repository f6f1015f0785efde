//! `serin healthcheck`, as a container's runtime calls it.

use std::io::Write;
use std::process::Output;

use crate::harness::{Ask, Authority, Config, Process, SecretVolume, Upstream, command, eventually};

fn check(process: &Process, more: &[&str]) -> Output {
    check_with(process, more, "")
}

/// With these lines at the config's end.
fn check_with(process: &Process, more: &[&str], lines: &str) -> Output {
    // The port is the system's choice, so the config that is checked is another one that names it.
    let port = process.admin.port();
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let text = std::fs::read_to_string(&process.config)
        .expect("the config")
        .replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"0.0.0.0:{port}\"\n"));
    file.write_all((text + lines).as_bytes()).expect("a writable file");
    command(&["healthcheck", "--config"]).arg(file.path()).args(more).output().expect("serin is built")
}

#[track_caller]
fn says(output: &Output, code: i32, text: &str) {
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()), (Some(code), text), "{output:?}");
}

#[test]
fn a_ready_serin_is_healthy_and_one_that_drains_is_not() {
    let blue = Upstream::answering("blue");
    let config = Config::split(blue.address, blue.address).token("ci", "operate", "operate-operate-operate").proxy("lame_duck = \"60s\"");
    let mut process = Process::start(&config);
    says(&check(&process, &[]), 0, "ready\n");
    says(&check(&process, &["--live"]), 0, "ok\n");
    process.signal(libc::SIGTERM);
    eventually("not ready", || (process.admin(Ask::new("GET", "/readyz")).status == 503).then_some(()));
    says(&check(&process, &[]), 1, "not ready\n");
    says(&check(&process, &["--live"]), 0, "ok\n");
    process.signal(libc::SIGTERM);
    assert!(process.ended().success());
    let gone = check(&process, &[]);
    says(&gone, 1, "");
    assert!(String::from_utf8_lossy(&gone.stderr).contains("no serin answers at http://127.0.0.1:"), "{gone:?}");
}

#[test]
fn a_refused_config_does_not_change_health() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&Config::split(blue.address, blue.address));
    for lines in ["[[bot]]\nname = \"no upstreams\"\n", "[bot.guard\n", "nothing at all\n", "x = \"\n"] {
        says(&check_with(&process, &[], lines), 0, "ready\n");
    }
    process.end();
}

#[test]
fn a_listener_that_says_nothing_is_not_waited_for() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let admin = format!("http://{}", silent.local_addr().unwrap());
    let output = command(&["healthcheck", "--timeout", "50ms", "--admin", &admin]).output().unwrap();
    says(&output, 1, "");
}

#[test]
fn it_speaks_tls_and_shows_a_certificate() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let own = authority.issue("serin.example", 2099);
    let pem = authority.pem();
    let client = authority.issue("ci", 2099);
    let files =
        [("tls.crt", &*own.certificate), ("tls.key", &own.key), ("ca.crt", &pem), ("ci.crt", &client.certificate), ("ci.key", &client.key)];
    let volume = SecretVolume::new(&files);
    let path = |name: &str| volume.path(name).display().to_string();
    let tls = format!("[admin.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n", path("tls.crt"), path("tls.key"));
    let config = Config::split(blue.address, blue.address).token("ci", "operate", "operate-operate-operate");
    let process = Process::start(&config.clone().admin(&tls));
    says(&check(&process, &[]), 0, "ready\n");
    process.end();

    let process = Process::start(&config.admin(&format!("{tls}client_ca_file = \"{}\"\n", path("ca.crt"))));
    says(&check(&process, &[]), 1, "");
    says(&check(&process, &["--cert-file", &path("ci.crt"), "--key-file", &path("ci.key")]), 0, "ready\n");
    process.end();
}
