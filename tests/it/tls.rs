//! HTTPS upstreams: a certificate of the authorities that the config names, and no other.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use socket2::SockRef;

use crate::harness::{Ask, Config, Process, Serin, Then, Upstream, Wire, eventually, ok};

/// An upstream with a certificate of its own for these names, and that certificate as PEM.
fn https(text: &'static str, names: &[&str]) -> (Upstream, String) {
    https_that(names, Duration::ZERO, move |wire| {
        let _ = wire.write(&ok(text));
        Then::KeepAlive
    })
}

/// One that takes little at once, and waits for so long between the handshake and its first look at the request, and then does this.
fn https_that(names: &[&str], wait: Duration, answer: impl Fn(&mut Wire) -> Then + Send + Sync + 'static) -> (Upstream, String) {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("the default versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a key for its certificate");
    let config = Arc::new(config);
    let layer = move |mut stream: TcpStream| {
        let _ = SockRef::from(&stream).set_recv_buffer_size(64 * 1024);
        let mut tls = ServerConnection::new(config.clone()).expect("a server");
        let _ = tls.complete_io(&mut stream);
        std::thread::sleep(wait);
        Wire::new(Polite(StreamOwned::new(tls, stream)))
    };
    (Upstream::layered(layer, move |_, wire| answer(wire)), made.cert.pem())
}

/// TLS that says that it ends before it ends.
struct Polite(StreamOwned<ServerConnection, TcpStream>);

impl Read for Polite {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Polite {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for Polite {
    fn drop(&mut self) {
        self.0.conn.send_close_notify();
        let _ = self.0.flush();
    }
}

fn upstream(name: &str, url: &str, ca: &Path) -> String {
    format!("{name} = {{ url = \"{url}\", ca_file = \"{}\" }}", ca.display())
}

fn config(upstreams: &[String]) -> Config {
    let upstreams = format!("upstreams = {{ {} }}", upstreams.join(", "));
    Config::new().add(&["name = \"support\"", "workspace = \"header:X-Workspace\"", &upstreams, "stable = \"blue\""]).workers(1)
}

#[test]
fn an_upstream_with_a_trusted_certificate_answers() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (blue, pem) = https("secret", &["localhost", "127.0.0.1"]);
    std::fs::write(&ca, pem).unwrap();
    for host in ["localhost", "127.0.0.1"] {
        let url = format!("https://{host}:{}", blue.address.port());
        let serin = Serin::start(&config(&[upstream("blue", &url, &ca)]).bot("host = \"upstream\""));
        let mut client = serin.client();
        let body = vec![b'x'; 300_000];
        for _ in 0..5 {
            assert_eq!(client.ask(&Ask::of("T1").body(&body)).text(), "secret", "{url}");
        }
        serin.counted("stable", "ok", 5);
        let last = blue.requests().pop().unwrap();
        assert_eq!(last.field("host"), Some(format!("{host}:{}", blue.address.port()).as_str()));
        assert!(last.body == body);
    }
    assert_eq!((blue.count(), blue.connections()), (10, 2), "connections are used again");
}

/// After the file is replaced, a reload or SIGHUP applies it: new connections trust its authorities, and old connections end.
#[test]
fn authorities_that_were_replaced_under_the_same_name_count_with_the_next_reload() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (blue, right) = https("secret", &["127.0.0.1"]);
    let (_other, wrong) = https("other", &["127.0.0.1"]);
    std::fs::write(&ca, &wrong).unwrap();
    let process = Process::start(&config(&[upstream("blue", &format!("https://{}", blue.address), &ca)]));
    let mut client = process.client();
    client.ask(&Ask::of("T1")).is_problem(502, "tls_failed");
    for (authorities, trusted) in [(&right, true), (&wrong, false), (&right, true)] {
        std::fs::write(&ca, authorities).unwrap();
        assert_eq!(client.ask(&Ask::of("T1")).status == 200, !trusted, "not by itself");
        process.signal(libc::SIGHUP);
        eventually("the authorities", || ((client.ask(&Ask::of("T1")).status == 200) == trusted).then_some(()));
    }
}

/// The end of a request may wait in TLS's own buffer until the upstream takes more.
#[test]
fn a_long_request_reaches_an_upstream_that_reads_late() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (blue, pem) = https_that(&["127.0.0.1"], Duration::from_millis(150), |wire| {
        let _ = wire.write(&ok("late"));
        Then::KeepAlive
    });
    std::fs::write(&ca, pem).unwrap();
    let config =
        config(&[upstream("blue", &format!("https://{}", blue.address), &ca)]).bot("timeout = \"5s\"").bot("upstream_idle = \"0s\"");
    let serin = Serin::start(&config);
    // How much the kernel takes is its own affair: one of these lengths is just a little more.
    std::thread::scope(|scope| {
        for first in 1..=8 {
            let serin = &serin;
            scope.spawn(move || {
                for length in (96 + first..=152).step_by(8).map(|n| n * 32 * 1024) {
                    assert_eq!(serin.ask(&Ask::of("T1").body(&vec![b'x'; length])).text(), "late", "{length}");
                }
            });
        }
    });
    serin.counted("stable", "ok", 56);
}

#[test]
fn a_connection_that_was_closed_while_idle_is_not_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (blue, pem) = https_that(&["127.0.0.1"], Duration::ZERO, |wire| {
        let _ = wire.write(&ok("once"));
        Then::Close
    });
    std::fs::write(&ca, pem).unwrap();
    let serin = Serin::start(&config(&[upstream("blue", &format!("https://{}", blue.address), &ca)]));
    let mut client = serin.client();
    for turn in 1..=5 {
        assert_eq!(client.ask(&Ask::of("T1")).text(), "once", "turn {turn}");
        eventually("the upstream's close", || (blue.closed() == turn).then_some(()));
        std::thread::sleep(Duration::from_millis(30));
    }
    serin.counted("stable", "ok", 5);
}

#[test]
fn a_certificate_of_a_stranger_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (blue, _) = https("secret", &["localhost", "127.0.0.1"]);
    let (_other, pem) = https("other", &["localhost", "127.0.0.1"]);
    std::fs::write(&ca, pem).unwrap();
    let serin = Serin::start(&config(&[upstream("blue", &format!("https://{}", blue.address), &ca)]));
    serin.ask(&Ask::of("T1")).is_problem(502, "tls_failed");
    serin.counted("stable", "error", 1);
    assert_eq!(blue.count(), 0, "nothing was said to it");
}

#[test]
fn a_certificate_for_another_name_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (blue, pem) = https("secret", &["bot.example"]);
    std::fs::write(&ca, pem).unwrap();
    let serin = Serin::start(&config(&[upstream("blue", &format!("https://{}", blue.address), &ca)]));
    serin.ask(&Ask::of("T1")).is_problem(502, "tls_failed");
    assert_eq!(blue.count(), 0);
}

#[test]
fn a_canary_whose_certificate_is_wrong_is_rescued() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (green, _) = https("secret", &["localhost"]);
    let (_other, pem) = https("other", &["localhost"]);
    std::fs::write(&ca, pem).unwrap();
    let blue = Upstream::answering("blue");
    let upstreams =
        [format!("blue = \"http://{}\"", blue.address), upstream("green", &format!("https://localhost:{}", green.address.port()), &ca)];
    let serin = Serin::start(&config(&upstreams).weight("99.99%"));
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    serin.evidence_is("canary", [1, 1, 0, 0]);
    assert_eq!(serin.metrics().sum("serin_rescues_total", &[("reason", "tls")]), 1.0);
}

/// The upstream speaks plain HTTP where TLS was expected.
#[test]
fn an_upstream_without_tls_is_rescued() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (_other, pem) = https("other", &["localhost"]);
    std::fs::write(&ca, pem).unwrap();
    let (blue, green) = (Upstream::answering("blue"), Upstream::raw(|mut wire| drop(wire.write(b"HTTP/1.1 400 No\r\n\r\n"))));
    let upstreams = [format!("blue = \"http://{}\"", blue.address), upstream("green", &format!("https://{}", green.address), &ca)];
    let serin = Serin::start(&config(&upstreams).weight("99.99%"));
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    assert_eq!(serin.metrics().sum("serin_rescues_total", &[("reason", "tls")]), 1.0);
}

/// The connection is there, the handshake is not: the connect timeout is for both.
#[test]
fn an_upstream_that_says_nothing_in_the_handshake_is_rescued_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let ca = directory.path().join("ca.pem");
    let (_other, pem) = https("other", &["localhost"]);
    std::fs::write(&ca, pem).unwrap();
    let (blue, green) = (Upstream::answering("blue"), Upstream::raw(|mut wire| while wire.exactly(1).is_ok() {}));
    let upstreams = [format!("blue = \"http://{}\"", blue.address), upstream("green", &format!("https://{}", green.address), &ca)];
    let serin = Serin::start(&config(&upstreams).weight("99.99%").bot("connect_timeout = \"200ms\""));
    assert_eq!(serin.ask(&Ask::of("T1")).text(), "blue");
    assert_eq!(serin.metrics().sum("serin_rescues_total", &[("reason", "connect_timeout")]), 1.0);
}
