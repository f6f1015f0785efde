//! The admin listener. Few use it, but it is the last one to close and the first to be asked when something is wrong: so
//! whoever holds a connection without using it is bounded in time and in number. A connection is served by the rules that it
//! was opened under: once the config has others it is closed after the request in flight; a renewed certificate of serin's own
//! closes none.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::keys::Keys;
use super::rules::Rules;
use crate::config::{Admin, Certificate};
use crate::telemetry::Metrics;

/// Scrapers, probes and operators of a large installation, several times over.
const CONNECTIONS_MAX: usize = 256;
/// From a connection's begin, or from an answer's end, to the end of the next head. It bounds who sends slowly and who
/// sends nothing; above the 15 s between two scrapes that are usual, so that a scraper keeps its connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that takes nothing of its answer for this long is cut off, by the kernel.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// A client's certificate is looked at when its connection begins, so no connection lasts for ever, nor a stream of
/// events on it.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// What the request in flight has when its connection is to end; no action takes as long.
const GRACE: Duration = Duration::from_secs(60);
/// Request line and header fields; more is answered 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// When no connection can be taken, or no more: try again, and say so, this often.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const LOG_EVERY: Duration = Duration::from_secs(5);

/// Who is at the other end of a connection.
#[derive(Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// The address that it has connected to.
    pub local: IpAddr,
    pub tls: bool,
    /// As the history names the client's certificate, which was made by one of the authorities that the config names.
    pub certificate: Option<String>,
    /// Those that the connection was opened under.
    pub rules: Rules,
}

/// Serves until `stop` changes, and then until the requests in flight are answered.
pub async fn serve(listener: TcpListener, router: Router, keys: Arc<Keys>, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    let (mut said, mut stopped) = (None, stop.clone());
    loop {
        let accepted = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &places, &mut said) => accepted,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, from, place)) => {
                let connection = Connection { router: router.clone(), keys: keys.follow(), metrics: metrics.clone(), stop: stop.clone() };
                connections.spawn(async move {
                    connection.run(stream, from).await;
                    drop(place);
                });
            }
            Err(error) => {
                say(&mut said, &format!("cannot take a connection to the admin listener: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    said: &mut Option<Instant>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    if places.available_permits() == 0 {
        say(said, &format!("{CONNECTIONS_MAX} connections to the admin listener: others wait in the kernel's queue"));
    }
    let place = places.clone().acquire_owned().await.expect("never closed");
    let (stream, from) = listener.accept().await?;
    Ok((stream, from, place))
}

fn say(said: &mut Option<Instant>, what: &str) {
    if said.is_none_or(|at| at.elapsed() > LOG_EVERY) {
        tracing::error!("{what}");
        *said = Some(Instant::now());
    }
}

struct Connection {
    router: Router,
    keys: watch::Receiver<Arc<Admin>>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
}

impl Connection {
    async fn run(mut self, stream: TcpStream, from: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(WRITE_TIMEOUT));
        let admin = self.keys.borrow_and_update().clone();
        let (rules, address) = (Rules::of(&admin), from.ip().to_canonical());
        // Whose own address cannot be known is no local client.
        let local = stream.local_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |local| local.ip().to_canonical());
        let Some(tls) = &admin.tls else {
            return self.drive(stream, Peer { address, local, tls: false, certificate: None, rules }).await;
        };
        let acceptor = TlsAcceptor::from(tls.loaded.server.clone());
        let handshake = tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => None,
            handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => Some(handshake),
        };
        let failed = match handshake {
            None => return,
            Some(Ok(Ok(stream))) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(name);
                return self.drive(stream, Peer { address, local, tls: true, certificate, rules }).await;
            }
            Some(Ok(Err(error))) => {
                // Who connects and leaves, as probes of a port do, asked for nothing.
                if error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>()) {
                    self.metrics.denied("handshake");
                }
                error.to_string()
            }
            Some(Err(_)) => "it took too long".to_owned(),
        };
        tracing::debug!(%address, "no TLS with a client of the admin listener: {failed}");
    }

    /// Answers one request after the other.
    async fn drive(mut self, stream: impl AsyncRead + AsyncWrite + Unpin, peer: Peer) {
        let (rules, peer, router) = (peer.rules.clone(), Arc::new(peer), TowerToHyperService::new(self.router));
        let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer.clone());
            router.call(request)
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT).max_header_size(HEAD_BYTES_MAX);
        let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
        tokio::select! {
            // What went wrong here, the client knows.
            _ = &mut connection => return,
            _ = self.stop.wait_for(|stop| *stop) => {}
            _ = self.keys.wait_for(|admin| Rules::of(admin) != rules) => {}
            () = tokio::time::sleep(LIFETIME) => {}
        }
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(GRACE, connection).await;
    }
}

/// As the history names a client by its certificate; one without a name has its hash, which no name can look like.
fn name(certificate: &CertificateDer<'_>) -> String {
    match Certificate::read(certificate).and_then(|certificate| certificate.name) {
        Some(name) => format!("cert:{name}"),
        None => {
            let hash = ring::digest::digest(&ring::digest::SHA256, certificate);
            let hex: String = hash.as_ref()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
            format!("cert-sha256:{hex}")
        }
    }
}
