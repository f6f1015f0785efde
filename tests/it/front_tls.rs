//! TLS on the webhook listener: certificates by name and their renewal, versions, resumption, and what is no TLS.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{HandshakeKind, ProtocolVersion};

use crate::harness::{Ask, Authority, Client, Config, Issued, Process, SecretVolume, Upstream, eventually};

const YEAR: i32 = 2099;

/// A line of `[proxy]` with the tables of TLS behind it: the certificates `a` and `b` of the volume.
fn tls(volume: &SecretVolume) -> String {
    let certificate = |name: &str| {
        let path = |end: &str| volume.path(&format!("{name}.{end}")).display().to_string();
        format!("[[proxy.tls.certificate]]\ncert_file = \"{}\"\nkey_file = \"{}\"\n", path("crt"), path("key"))
    };
    format!("[proxy.tls]\n{}{}", certificate("a"), certificate("b"))
}

fn files<'a>(a: &'a Issued, b: &'a Issued) -> [(&'static str, &'a str); 4] {
    [("a.crt", &a.certificate), ("a.key", &a.key), ("b.crt", &b.certificate), ("b.key", &b.key)]
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

fn name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

struct Front {
    process: Process,
    authority: Authority,
    volume: SecretVolume,
    a: Issued,
    b: Issued,
    blue: Upstream,
}

impl Front {
    fn start() -> Front {
        let (authority, blue) = (Authority::new("test"), Upstream::answering("blue"));
        let a = authority.issue_for("a", &["127.0.0.1", "a.example"], YEAR);
        let b = authority.issue_for("b", &["*.b.example", "c.example"], YEAR);
        let volume = SecretVolume::new(&files(&a, &b));
        let process = Process::start(&Config::split(blue.address, blue.address).proxy(&tls(&volume)));
        Front { process, authority, volume, a, b, blue }
    }
}

#[test]
fn a_client_gets_the_certificate_for_its_name() {
    let front = Front::start();
    let client = front.authority.client(None);
    for (asked, wanted) in [("a.example", &front.a), ("C.Example", &front.b), ("x.b.example", &front.b)] {
        let (mut connection, greeting) = client.greet(front.process.proxy, name(asked)).unwrap();
        assert_eq!(greeting.shown, der(wanted), "{asked}");
        assert_eq!(connection.ask(&Ask::of("T1")).status, 200, "{asked}");
    }
    let (mut unnamed, greeting) = client.greet(front.process.proxy, ServerName::from(front.process.proxy.ip())).unwrap();
    assert_eq!(greeting.shown, der(&front.a), "the first one");
    assert_eq!(unnamed.ask(&Ask::of("T1")).status, 200);
    let request = front.blue.requests().pop().unwrap();
    assert_eq!(request.field("x-forwarded-proto"), Some("https"));
    for stranger in ["other.example", "b.example", "x.y.b.example"] {
        assert!(client.greet(front.process.proxy, name(stranger)).is_err(), "{stranger}: the client's own check of the first one");
    }
    let series = |name| front.process.metrics().sum("serin_tls_certificate_expiry_timestamp_seconds", &[("name", name)]);
    // 2099-12-31T00:00:00Z.
    assert_eq!((series("a.example"), series("*.b.example")), (4_102_358_400.0, 4_102_358_400.0));
    front.process.end();
}

#[test]
fn both_versions_of_tls_resume_their_sessions() {
    let front = Front::start();
    for (version, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let client = front.authority.client_of(&[version], None);
        let mut kinds = Vec::new();
        for _ in 0..3 {
            let (mut connection, greeting) = client.greet(front.process.proxy, name("a.example")).unwrap();
            assert_eq!(connection.ask(&Ask::of("T1")).status, 200);
            assert_eq!(greeting.version, spoken);
            kinds.push(greeting.kind);
        }
        assert_eq!(kinds, [HandshakeKind::Full, HandshakeKind::Resumed, HandshakeKind::Resumed], "{spoken:?}");
    }
    front.process.end();
}

#[test]
fn a_renewed_certificate_is_shown_without_a_lost_request() {
    let mut front = Front::start();
    let client = front.authority.client(None);
    let (mut open, _) = client.greet(front.process.proxy, name("a.example")).unwrap();
    assert_eq!(open.ask(&Ask::of("T1")).status, 200);
    let renewed = front.authority.issue_for("a", &["127.0.0.1", "a.example"], YEAR + 1);
    front.volume.swap(&files(&renewed, &front.b));
    eventually("the renewed certificate is shown", || {
        assert_eq!(open.ask(&Ask::of("T1")).status, 200, "the open connection serves on");
        let (mut fresh, greeting) = front.authority.client(None).greet(front.process.proxy, name("a.example")).unwrap();
        assert_eq!(fresh.ask(&Ask::of("T1")).status, 200);
        (greeting.shown == der(&renewed)).then_some(())
    });
    let (_, greeting) = client.greet(front.process.proxy, name("a.example")).unwrap();
    assert_eq!(greeting.kind, HandshakeKind::Resumed, "sessions outlive certificates");
    let half = [("a.crt", front.a.certificate.as_str()), ("a.key", &front.b.key), ("b.crt", &front.b.certificate), ("b.key", &front.b.key)];
    front.volume.swap(&half);
    front.process.logged("is not taken");
    let (_, greeting) = front.authority.client(None).greet(front.process.proxy, name("a.example")).unwrap();
    assert_eq!(greeting.shown, der(&renewed), "a pair that does not fit is not taken");
    front.process.end();
}

#[test]
fn what_is_no_handshake_is_closed_and_counted() {
    let front = Front::start();
    let plain = Client::connect(front.process.proxy).ask(&Ask::of("T1"));
    assert_eq!(plain.status, 400, "a client that forgot the s in https sees why");
    let closed = || front.process.metrics().sum("serin_client_connections_closed_total", &[("reason", "handshake")]);
    eventually("the failed handshake is counted", || (closed() == 1.0).then_some(()));
    assert_eq!(front.blue.requests().len(), 0);
    front.process.end();
}

#[test]
fn tls_may_have_an_address_of_its_own() {
    let (authority, blue) = (Authority::new("test"), Upstream::answering("blue"));
    let a = authority.issue_for("a", &["127.0.0.1", "a.example"], YEAR);
    let b = authority.issue_for("b", &["b.example"], YEAR);
    let volume = SecretVolume::new(&files(&a, &b));
    let lines = tls(&volume).replace("[proxy.tls]", "[proxy.tls]\nlisten = \"127.0.0.1:0\"");
    let process = Process::start(&Config::split(blue.address, blue.address).proxy(&lines));
    assert_eq!(process.ask(&Ask::of("T1")).status, 200, "without TLS");
    let to = process.tls_address();
    let (mut connection, _) = authority.client(None).greet(to, name("b.example")).unwrap();
    assert_eq!(connection.ask(&Ask::of("T1")).status, 200, "with TLS");
    let text = std::fs::read_to_string(&process.config).unwrap();
    process.replace_config(&text.replace("listen = \"127.0.0.1:0\"\n[[proxy", "[[proxy"));
    process.signal(libc::SIGHUP);
    process.logged("TLS for webhooks");
    assert_eq!(connection.ask(&Ask::of("T1")).status, 200, "such a change needs a restart");
    process.end();
}
