//! TLS on the admin listener of a running process: with and without client certificates, and through their renewal.

use std::process::Output;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::harness::{Answer, Ask, Authority, Client, Config, Issued, Process, SecretVolume, TlsClient, Upstream, command, eventually};

const TOKEN: &str = "operate-operate-operate";
const YEAR: i32 = 2099;

fn files<'a>(own: &'a Issued, clients: &'a str) -> [(&'static str, &'a str); 3] {
    [("tls.crt", &own.certificate), ("tls.key", &own.key), ("ca.crt", clients)]
}

/// `more` are lines of `[admin.tls]`.
fn config(blue: &Upstream, volume: &SecretVolume, more: &str) -> Config {
    let path = |name: &str| volume.path(name).display().to_string();
    let tls = format!("[admin.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\n{more}", path("tls.crt"), path("tls.key"));
    Config::split(blue.address, blue.address).admin(&tls)
}

fn clients_of(volume: &SecretVolume) -> String {
    format!("client_ca_file = \"{}\"", volume.path("ca.crt").display())
}

fn get(client: &mut Client, path: &str) -> std::io::Result<Answer> {
    client.try_ask(&Ask::new("GET", path).field("Authorization", &format!("Bearer {TOKEN}")))
}

/// Sends the request on a new connection. An error if serin refuses the connection of this client.
fn ask(process: &Process, client: &TlsClient, ask: Ask) -> std::io::Result<Answer> {
    client.connect(process.admin)?.0.try_ask(&ask.host(&process.admin.to_string()))
}

fn shown(process: &Process, client: &TlsClient) -> CertificateDer<'static> {
    client.connect(process.admin).unwrap().1
}

fn der(issued: &Issued) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
}

#[test]
fn the_listener_speaks_tls_and_nothing_else() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let own = authority.issue("serin", YEAR);
    let volume = SecretVolume::new(&files(&own, ""));
    let process = Process::start(&config(&blue, &volume, "").token("ci", "operate", TOKEN));
    let client = authority.client(None);
    let (mut connection, shown) = client.connect(process.admin).unwrap();
    assert_eq!(shown, der(&own));
    assert_eq!(get(&mut connection, "/v1/bots/support").unwrap().status, 200);
    let metrics = get(&mut connection, "/metrics").unwrap();
    // 2099-12-31T00:00:00Z.
    let line = "serin_tls_certificate_expiry_timestamp_seconds{name=\"admin\"} 4102358400";
    assert!(metrics.text().contains(line), "{}", metrics.text());
    let wrong = Ask::new("GET", "/v1/bots").field("Authorization", "Bearer wrong");
    assert_eq!(connection.ask(&wrong).status, 401, "a token is needed all the same");
    assert_eq!(connection.ask(&Ask::new("GET", "/livez")).status, 200);
    let plain = Client::connect(process.admin).try_ask(&Ask::new("GET", "/livez"));
    assert!(plain.is_err(), "{plain:?}");
    assert!(Authority::new("other").client(None).connect(process.admin).is_err(), "the client's own check");
    process.end();
}

#[test]
fn without_tokens_a_local_page_is_one_of_https() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let volume = SecretVolume::new(&files(&authority.issue("serin", YEAR), ""));
    let process = Process::start(&config(&blue, &volume, ""));
    let client = authority.client(None);
    let from = |origin: &str| ask(&process, &client, Ask::new("GET", "/v1/bots").field("Origin", origin)).unwrap().status;
    assert_eq!(ask(&process, &client, Ask::new("GET", "/v1/bots")).unwrap().status, 200);
    assert_eq!((from(&format!("https://{}", process.admin)), from(&format!("http://{}", process.admin))), (200, 403));
    process.end();
}

#[test]
fn a_client_without_a_certificate_of_the_authorities_gets_nothing() {
    let (blue, authority, clients) = (Upstream::answering("blue"), Authority::new("servers"), Authority::new("clients"));
    let volume = SecretVolume::new(&files(&authority.issue("serin", YEAR), &clients.pem()));
    let process = Process::start(&config(&blue, &volume, &clients_of(&volume)));
    let stranger = Authority::new("strangers").issue("ana", YEAR);
    for issued in [None, Some(&stranger), Some(&clients.issue("ana", 2020))] {
        for path in ["/livez", "/readyz", "/metrics", "/v1/bots"] {
            let answer = ask(&process, &authority.client(issued), Ask::new("GET", path));
            assert!(answer.is_err(), "{path}: {answer:?}");
        }
    }
    let ana = authority.client(Some(&clients.issue("ana", YEAR)));
    for path in ["/livez", "/readyz", "/metrics", "/v1/bots"] {
        assert_eq!(ask(&process, &ana, Ask::new("GET", path)).unwrap().status, 200, "{path}");
    }
    let metrics = ask(&process, &ana, Ask::new("GET", "/metrics")).unwrap();
    assert!(metrics.text().contains("serin_admin_denied_total{reason=\"handshake\"} 12"), "{}", metrics.text());
    process.end();
}

#[test]
fn a_certificate_can_read_and_can_operate_only_if_the_config_says_so() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let volume = SecretVolume::new(&files(&authority.issue("serin", YEAR), &authority.pem()));
    let put = |process: &Process, name: &str| {
        let client = authority.client(Some(&authority.issue(name, YEAR)));
        ask(process, &client, Ask::new("PUT", "/v1/bots/support/weight").json("{\"percent\": 7}"))
    };
    let process = Process::start(&config(&blue, &volume, &clients_of(&volume)));
    let refused = put(&process, "ana").unwrap();
    refused.is_problem_document("forbidden");
    assert!(refused.text().contains("ana") && refused.text().contains("operate"), "{refused:?}");
    let operate = format!("{}\nclient_scope = \"operate\"", clients_of(&volume));
    process.replace_config(&config(&blue, &volume, &operate).text());
    eventually("the new scope", || put(&process, "ana").is_ok_and(|answer| answer.status == 200).then_some(()));
    process.logged("\"actor\":\"cert:ana\"");
    process.end();
}

#[test]
fn a_renewed_certificate_serves_new_connections_and_closes_no_old_one() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let (first, second) = (authority.issue("first", YEAR), authority.issue("second", YEAR - 1));
    let mut volume = SecretVolume::new(&files(&first, &authority.pem()));
    let process = Process::start(&config(&blue, &volume, &clients_of(&volume)).token("ci", "operate", TOKEN));
    let client = authority.client(Some(&authority.issue("ana", YEAR)));
    let (mut open, shown_first) = client.connect(process.admin).unwrap();
    assert_eq!((get(&mut open, "/v1/bots").unwrap().status, shown_first), (200, der(&first)));
    volume.swap(&files(&second, &authority.pem()));
    eventually("the second certificate", || (shown(&process, &client) == der(&second)).then_some(()));
    let metrics = get(&mut open, "/metrics").unwrap();
    // A year of 365 days less.
    assert!(metrics.text().contains("{name=\"admin\"} 4070822400"), "{}", metrics.text());
    process.end();
}

#[test]
fn a_broken_renewal_leaves_the_old_certificate_and_says_so() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let (first, second) = (authority.issue("first", YEAR), authority.issue("second", YEAR));
    let mut volume = SecretVolume::new(&files(&first, ""));
    let process = Process::start(&config(&blue, &volume, "").token("ci", "operate", TOKEN));
    let client = authority.client(None);
    let mixed = Issued { certificate: second.certificate.clone(), key: first.key.clone() };
    for (broken, says) in
        [(mixed, "is not the key of"), (Issued { certificate: String::new(), ..first.clone() }, "has no certificate in it")]
    {
        volume.swap(&files(&broken, ""));
        let line = process.logged(says);
        assert!(line.contains("ERROR") && line.contains("what was read before serves on"), "{line}");
        assert_eq!(shown(&process, &client), der(&first));
    }
    assert_eq!(process.logged_times("is not the key of"), 1);
    volume.swap(&files(&second, ""));
    eventually("the second certificate", || (shown(&process, &client) == der(&second)).then_some(()));
    process.end();
}

#[test]
fn other_client_authorities_end_connections_of_the_old_ones() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("servers"));
    let (own, old, new) = (authority.issue("serin", YEAR), Authority::new("old"), Authority::new("new"));
    let mut volume = SecretVolume::new(&files(&own, &old.pem()));
    let process = Process::start(&config(&blue, &volume, &clients_of(&volume)));
    let (ana, bea) = (authority.client(Some(&old.issue("ana", YEAR))), authority.client(Some(&new.issue("bea", YEAR))));
    let mut open = ana.connect(process.admin).unwrap().0;
    assert_eq!(get(&mut open, "/v1/bots").unwrap().status, 200);
    volume.swap(&files(&own, &new.pem()));
    let get_bots = || Ask::new("GET", "/v1/bots");
    eventually("the new authority", || ask(&process, &bea, get_bots()).is_ok_and(|answer| answer.status == 200).then_some(()));
    assert!(get(&mut open, "/v1/bots").is_err(), "made under the old authority");
    assert!(ask(&process, &ana, get_bots()).is_err());
    process.end();
}

#[test]
fn tls_can_be_turned_on_and_off_by_the_config() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let volume = SecretVolume::new(&files(&authority.issue("serin", YEAR), ""));
    let plain = Config::split(blue.address, blue.address).token("ci", "operate", TOKEN);
    let process = Process::start(&plain);
    let mut open = Client::connect(process.admin);
    assert_eq!(get(&mut open, "/v1/bots").unwrap().status, 200);
    process.replace_config(&config(&blue, &volume, "").token("ci", "operate", TOKEN).text());
    let client = authority.client(None);
    eventually("TLS", || client.connect(process.admin).ok().map(drop));
    assert!(get(&mut open, "/v1/bots").is_err(), "not readable any more");
    process.replace_config(&plain.text());
    eventually("no TLS", || get(&mut Client::connect(process.admin), "/metrics").ok().map(drop));
    process.end();
}

fn status(process: &Process, arguments: &[&str]) -> Output {
    let admin = format!("https://{}", process.admin);
    command(&[&["status", "--admin", &admin], arguments].concat()).output().expect("serin is built")
}

#[test]
fn the_commands_speak_tls_and_show_a_certificate() {
    let (blue, authority) = (Upstream::answering("blue"), Authority::new("test"));
    let volume = SecretVolume::new(&files(&authority.issue("serin", YEAR), &authority.pem()));
    let process = Process::start(&config(&blue, &volume, &clients_of(&volume)));
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        std::fs::write(directory.path().join(name), text).unwrap();
        directory.path().join(name).to_str().unwrap().to_owned()
    };
    let (ana, bea) = (authority.issue("ana", YEAR), authority.issue("bea", YEAR));
    let (ca, crt, key) = (write("ca", &authority.pem()), write("crt", &ana.certificate), write("key", &ana.key));
    let other = write("other", &bea.key);
    let run = |arguments: &[&str]| {
        let output = status(&process, arguments);
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };
    let (code, said) = run(&["--ca-file", &ca, "--cert-file", &crt, "--key-file", &key]);
    assert!(code == Some(0) && said.contains("support"), "{said}");
    for (arguments, says, exit) in [
        (vec!["--cert-file", &crt, "--key-file", &key], "no serin answers at https://", 1),
        (vec!["--ca-file", &ca], "no serin answers at https://", 1),
        (vec!["--ca-file", &ca, "--cert-file", &crt, "--key-file", &other], "is not the key of", 1),
        (vec!["--ca-file", "/nowhere"], "/nowhere cannot be read", 1),
        (vec!["--ca-file", &key], "has no certificate in it", 1),
        (vec!["--ca-file", &ca, "--cert-file", &crt], "--key-file", 2),
    ] {
        let (code, said) = run(&arguments.iter().map(|argument| argument.as_ref()).collect::<Vec<&str>>());
        assert!(code == Some(exit) && said.contains(says), "{arguments:?}: {code:?} {said}");
    }
    process.end();
}
