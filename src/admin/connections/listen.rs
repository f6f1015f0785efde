//! The admin listener and the listener for probes. They have few clients, but must work when something is wrong. So connections that
//! are not used are limited in time and number, and give way to connections with requests. A connection is served under the access
//! rules that it was opened under: when the config changes them, the connection is closed after the request in flight. A renewed
//! certificate of serin's own closes none.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use hyper::body::{Frame, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::peer::Peer;
use super::places::{Bounds, Full, InFlight, Kind, Place, Places};
use crate::admin::access::{Keys, Rules};
use crate::admin::health;
use crate::config::{Admin, Certificate};
use crate::meters::Metrics;

/// Several times as many as the scrapers, probes and operators of a large installation need.
const CONNECTIONS_MAX: usize = 256;
/// A quarter of them. A browser opens 6, and one address may be a whole office or a proxy.
const CONNECTIONS_PER_SOURCE_MAX: usize = 64;
/// For probes and urgent actions, when all other connections wait for answers.
const CONNECTIONS_RESERVED: usize = 16;
/// From the start of a connection to the end of its first request head.
const FIRST_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// From the end of an answer to the end of the next head. More than the usual 15 s between two scrapes, so that a scraper keeps its
/// connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// After this time the kernel closes a connection whose client does not take the answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest life of a connection, because the client's certificate is only checked at its start. It also ends streams of events.
const LIFETIME: Duration = Duration::from_secs(60 * 60);
/// The time for the request in flight when its connection is to end; no action takes that long.
const GRACE: Duration = Duration::from_secs(60);
/// Request line and header fields; more is answered 431.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// The pause before the next attempt to accept a connection, and the least time between two log lines about it.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const LOG_EVERY: Duration = Duration::from_secs(5);

const BOUNDS: Bounds = Bounds { connections: CONNECTIONS_MAX, per_source: CONNECTIONS_PER_SOURCE_MAX, reserved: CONNECTIONS_RESERVED };

/// Serves until `stop` changes, and then until the requests in flight are answered.
pub async fn serve(listener: TcpListener, router: Router, keys: Arc<Keys>, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    Server { name: "the admin listener", router, keys: Some(keys), metrics, stop, places: Places::new(BOUNDS) }.run(listener).await;
}

/// Answers `/livez` and `/readyz`, for everybody and without TLS, until `stop` changes.
pub async fn serve_probes(listener: TcpListener, ready: Arc<AtomicBool>, metrics: Arc<Metrics>, stop: watch::Receiver<bool>) {
    let (name, router) = ("the listener for probes", health::probes(ready));
    Server { name, router, keys: None, metrics, stop, places: Places::new(BOUNDS) }.run(listener).await;
}

struct Server {
    name: &'static str,
    router: Router,
    /// `None`: everybody is admitted.
    keys: Option<Arc<Keys>>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
    places: Arc<Places>,
}

impl Server {
    async fn run(self, listener: TcpListener) {
        let mut connections = JoinSet::new();
        let (mut last_logged, mut stopped) = (None, self.stop.clone());
        loop {
            let accepted = tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => break,
                accepted = listener.accept() => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, from)) => {
                    if let Some(place) = self.place(from, &mut last_logged) {
                        connections.spawn(self.connection(place).run(stream, from));
                    }
                }
                Err(error) => {
                    log_seldom(&mut last_logged, &format!("cannot take a connection to {}: {error}", self.name));
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        while connections.join_next().await.is_some() {}
    }

    /// Returns `None` if there is no place; then the connection is closed at once.
    fn place(&self, from: SocketAddr, last_logged: &mut Option<Instant>) -> Option<Arc<Place>> {
        match self.places.take(from.ip()) {
            Ok((place, shed)) => {
                if shed {
                    self.metrics.denied("shed");
                    let few = "the oldest that have sent no request, or else are idle, are closed";
                    log_seldom(last_logged, &format!("too many connections to {}, the last one from {}: {few}", self.name, from.ip()));
                }
                Some(Arc::new(place))
            }
            Err(Full) => {
                self.metrics.denied("full");
                log_seldom(last_logged, &format!("all connections to {} wait for answers: one from {} is closed", self.name, from.ip()));
                None
            }
        }
    }

    fn connection(&self, place: Arc<Place>) -> Connection {
        let keys = self.keys.as_ref().map(|keys| keys.follow());
        Connection { router: self.router.clone(), keys, metrics: self.metrics.clone(), stop: self.stop.clone(), place }
    }
}

fn log_seldom(last_logged: &mut Option<Instant>, what: &str) {
    if last_logged.is_none_or(|at| at.elapsed() > LOG_EVERY) {
        tracing::error!("{what}");
        *last_logged = Some(Instant::now());
    }
}

struct Connection {
    router: Router,
    keys: Option<watch::Receiver<Arc<Admin>>>,
    metrics: Arc<Metrics>,
    stop: watch::Receiver<bool>,
    place: Arc<Place>,
}

impl Connection {
    async fn run(mut self, stream: TcpStream, from: SocketAddr) {
        let _ = stream.set_nodelay(true);
        let _ = socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(WRITE_TIMEOUT));
        let admin = self.keys.as_mut().map(|keys| keys.borrow_and_update().clone());
        let rules = admin.as_deref().map(Rules::of).unwrap_or_default();
        // If the local address is unknown, the client does not count as local.
        let local = stream.local_addr().map_or(Ipv4Addr::UNSPECIFIED.into(), |local| local.ip().to_canonical());
        let (address, place) = (from.ip().to_canonical(), self.place.clone());
        let peer = Peer { address, local, tls: false, certificate: None, rules, place };
        let Some(tls) = admin.as_ref().and_then(|admin| admin.tls.as_ref()) else {
            return self.drive(stream, peer).await;
        };
        let acceptor = TlsAcceptor::from(tls.loaded.server.clone());
        let handshake = tokio::select! {
            () = peer.place.lost() => None,
            _ = self.stop.wait_for(|stop| *stop) => None,
            handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)) => Some(handshake),
        };
        let failed = match handshake {
            None => return,
            Some(Ok(Ok(stream))) => {
                let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first()).map(name);
                return self.drive(stream, Peer { tls: true, certificate, ..peer }).await;
            }
            Some(Ok(Err(error))) => {
                // A client that connects and leaves, such as a port probe, is not counted.
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
        let (peer, router) = (Arc::new(peer), TowerToHyperService::new(self.router));
        let service = service_fn(|mut request: hyper::Request<hyper::body::Incoming>| {
            request.extensions_mut().insert(peer.clone());
            let begun = self.place.begin_request().map(|in_flight| (in_flight, router.call(request)));
            async move {
                let (in_flight, answer) = begun.ok_or_else(|| io::Error::other("its place was given to another connection"))?;
                let Ok(answer) = answer.await;
                Ok::<_, io::Error>(answer.map(|body| Answer { body, _in_flight: in_flight }))
            }
        });
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(IDLE_TIMEOUT).max_header_size(HEAD_BYTES_MAX);
        builder.keep_alive(self.place.kind() == Kind::Ordinary);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let (mut first, mut lifetime) = (pin!(tokio::time::sleep(FIRST_HEAD_TIMEOUT)), pin!(tokio::time::sleep(LIFETIME)));
        let mut has_time = false;
        loop {
            tokio::select! {
                // Before anything is read: no request may begin on a place that is lost.
                biased;
                () = self.place.lost() => return,
                // The client knows about the error.
                _ = &mut connection => return,
                () = &mut first, if !has_time => match self.place.is_silent() {
                    true => return,
                    false => has_time = true,
                },
                _ = self.stop.wait_for(|stop| *stop) => break,
                () = rules_changed(self.keys.as_mut(), &peer.rules) => break,
                () = &mut lifetime => break,
            }
        }
        connection.as_mut().graceful_shutdown();
        tokio::select! {
            biased;
            () = self.place.lost() => {}
            _ = tokio::time::timeout(GRACE, connection) => {}
        }
    }
}

/// Returns when the config's access rules differ from these.
async fn rules_changed(keys: Option<&mut watch::Receiver<Arc<Admin>>>, rules: &Rules) {
    match keys {
        // Without a sender serin ends, and the connection with it.
        Some(keys) => drop(keys.wait_for(|admin| Rules::of(admin) != *rules).await),
        None => std::future::pending().await,
    }
}

/// An answer's body. It holds the request as in flight until the body is sent.
struct Answer {
    body: Body,
    _in_flight: InFlight,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The certificate's name as the history shows it; a certificate without a name is shown by its hash, in a form that no name has.
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
