//! Many silent connections to the admin listener, from one address and from several. Other clients do not wait for them.

use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::harness::{Ask, Client, Config, PATIENCE, Process, Upstream, eventually, unused_port};

const TOKEN: &str = "operate-operate-operate";
/// serin closes a silent connection after 5 s. An answer that comes earlier did not wait for that.
const SOON: Duration = Duration::from_secs(4);

/// From one of this machine's many loopback addresses.
fn connect(from: Ipv4Addr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((from, 0)).into())?;
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends the request on a new connection and returns the status, which must come soon.
fn status(from: Ipv4Addr, to: SocketAddr, ask: &Ask) -> u16 {
    let began = Instant::now();
    let stream = connect(from, to).unwrap();
    let copy = stream.try_clone().unwrap();
    let answer = Client::over(stream, copy).ask(&ask.clone().host(&to.to_string()).field("Connection", "close"));
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    answer.status
}

fn abort() -> Ask {
    Ask::new("POST", "/v1/bots/support/abort").json("{}").field("Authorization", &format!("Bearer {TOKEN}"))
}

fn put(percent: u32) -> Ask {
    let put = Ask::new("PUT", "/v1/bots/support/weight").json(&format!("{{\"percent\": {percent}}}"));
    put.field("Authorization", &format!("Bearer {TOKEN}"))
}

fn process(admin: &str) -> (Upstream, Process) {
    let blue = Upstream::answering("blue");
    let config = Config::split(blue.address, blue.address).admin("metrics_open = true").admin(admin);
    let process = Process::start(&config.token("ci", "operate", TOKEN));
    (blue, process)
}

fn local(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, last)
}

#[track_caller]
fn all_is_well(process: &Process) {
    for from in [local(1), local(2), local(77)] {
        assert_eq!(status(from, process.admin, &Ask::new("GET", "/livez")), 200);
        assert_eq!(status(from, process.admin, &Ask::new("GET", "/readyz")), 200);
        assert_eq!(status(from, process.admin, &put(5)), 200);
        assert_eq!(status(from, process.admin, &abort()), 200);
    }
}

#[test]
fn two_thousand_silent_connections_of_one_address_keep_no_other_client_out() {
    let (_blue, process) = process("");
    let silent: Vec<TcpStream> = (0..2_000).map(|_| connect(local(2), process.admin).unwrap()).collect();
    all_is_well(&process);
    drop(silent);
}

#[test]
fn silent_connections_of_many_addresses_keep_no_other_client_out() {
    let (_blue, process) = process("");
    let silent: Vec<TcpStream> = (0..2_000).map(|n| connect(local(10 + (n % 200) as u8), process.admin).unwrap()).collect();
    all_is_well(&process);
    process.logged("connections to the admin listener");
    drop(silent);
}

/// serin closes idle connections too before it refuses a new one.
#[test]
fn idle_connections_make_room() {
    let (_blue, process) = process("");
    let asks = |from: Ipv4Addr| {
        let stream = connect(from, process.admin).unwrap();
        let copy = stream.try_clone().unwrap();
        let mut client = Client::over(stream, copy);
        assert_eq!(client.ask(&Ask::new("GET", "/livez")).status, 200);
        client
    };
    let idle: Vec<Client> = (0..600).map(|n| asks(local(10 + (n % 60) as u8))).collect();
    all_is_well(&process);
    drop(idle);
}

/// A stream is a request in flight: serin does not close it to make room.
#[test]
fn streams_fill_their_address_and_probes_are_still_answered() {
    let (_blue, process) = process("");
    let stream = |from: Ipv4Addr| {
        let mut stream = connect(from, process.admin).unwrap();
        write!(stream, "GET /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n").unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        (&line == b"HTTP/1.1 200").then_some(stream)
    };
    let mut open: Vec<TcpStream> = (0..260).filter_map(|n| stream(local(10 + (n % 10) as u8))).collect();
    assert_eq!(open.len(), 256, "the others have no place for longer than an answer");
    all_is_well(&process);
    for stream in &mut open {
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0; 1_000]);
        assert!(!matches!(read, Ok(0)), "a stream was closed");
    }
}

#[test]
fn a_silent_connection_is_closed_after_five_seconds() {
    let (_blue, process) = process("");
    let (began, mut silent, mut slow) =
        (Instant::now(), connect(local(2), process.admin).unwrap(), connect(local(2), process.admin).unwrap());
    slow.write_all(b"GET /livez HTTP/1.1\r\nX: ").unwrap();
    for stream in [&mut silent, &mut slow] {
        let mut rest = Vec::new();
        let read = stream.read_to_end(&mut rest);
        assert!(read.is_ok() || read.is_err_and(|error| error.kind() == ErrorKind::ConnectionReset));
    }
    let took = began.elapsed();
    // An idle connection that has sent a request is closed after 30 s.
    assert!(took > Duration::from_secs(4) && took < Duration::from_secs(29), "{took:?}");
}

#[test]
fn a_listener_for_probes_answers_nothing_else() {
    let port = unused_port();
    // On all addresses; the admin listener has one.
    let (_blue, process) = process(&format!("probes = \"0.0.0.0:{port}\""));
    let probes = SocketAddr::from(([127, 0, 0, 1], port));
    let silent: Vec<TcpStream> = (0..1_000).map(|n| connect(local(2 + (n % 3) as u8), probes).unwrap()).collect();
    for from in [local(1), local(2)] {
        for path in ["/livez", "/readyz"] {
            assert_eq!(status(from, probes, &Ask::new("GET", path)), 200, "{path}");
        }
        for ask in
            [Ask::new("GET", "/v1/bots"), Ask::new("GET", "/metrics"), Ask::new("GET", "/"), Ask::new("GET", "/openapi.json"), abort()]
        {
            assert_eq!(status(from, probes, &ask), 404, "{ask:?}");
        }
    }
    drop(silent);
    let health = crate::harness::command(&["healthcheck", "--config"]).arg(&process.config).output().unwrap();
    assert!(health.status.success(), "{health:?}");
    let moved = std::fs::read_to_string(&process.config).unwrap().replace(&format!("probes = \"0.0.0.0:{port}\""), "");
    process.replace_config(&moved);
    process.logged("[admin] probes");
    process.reload_is(false);
    eventually("it serves on", || (status(local(1), probes, &Ask::new("GET", "/livez")) == 200).then_some(()));
}
