//! TLS on the webhook listener: one setting for the life of the process, so that clients resume their sessions however often the
//! certificates change.

mod certificates;
mod challenges;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustls::ServerConfig;
use rustls::server::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{LazyConfigAcceptor, TlsAcceptor};

use self::certificates::Certificates;
pub use self::certificates::OrderedCertificate;
#[cfg(any(test, fuzzing))]
pub use self::certificates::fuzzing;
pub use self::challenges::{Challenges, PendingChallenge};
use crate::config::tls::Pair;
use crate::config::{Http2, ProxyTls, ServedCertificate};
use crate::logs::Complaints;
use crate::meters::{Closed, Metrics};
use crate::proxy::client::Protocol;
use crate::proxy::wire::stream::Stream;

const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";
/// The answer to a client that forgot the `s` of `https`.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 44\r\nconnection: close\r\n\r\n\
    This port speaks TLS: use https, not http.\r\n";
/// What such a client may still send before its connection is closed.
const DECLINED_BYTES_MAX: u64 = 64 * 1024;

/// A fatal alert, `unrecognized_name` (RFC 6066, 3): the first and only record of such a connection.
const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 3, 3, 0, 2, 2, 112];
/// The least time between two log lines about names without a certificate.
const SAY_LACKING_EVERY_SECS: u64 = 60;

/// The certificates and the settings of all workers.
pub struct FrontTls {
    certificates: Arc<Certificates>,
    challenges: Arc<Challenges>,
    /// With HTTP/2 and without.
    acceptors: [TlsAcceptor; 2],
    shown: Mutex<Shown>,
    complaints: Complaints,
    metrics: Arc<Metrics>,
    started: Instant,
    /// When the log last named a name without a certificate, in seconds since `started`, counted from 1.
    said_lacking: AtomicU64,
}

/// What is shown, by where it comes from.
#[derive(Default)]
struct Shown {
    /// Those of the config's files.
    files: Vec<ServedCertificate>,
    ordered: Vec<OrderedCertificate>,
}

impl FrontTls {
    pub fn new(tls: Option<&ProxyTls>, metrics: Arc<Metrics>) -> FrontTls {
        let certificates = Arc::new(Certificates::default());
        let config = server(certificates.clone());
        let with = |protocols: &[&[u8]]| {
            let mut config = config.clone();
            config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
            TlsAcceptor::from(Arc::new(config))
        };
        let acceptors = [with(&[H2, HTTP1]), with(&[HTTP1])];
        let front = FrontTls {
            certificates,
            challenges: Arc::default(),
            acceptors,
            shown: Mutex::default(),
            complaints: Complaints::default(),
            metrics,
            started: Instant::now(),
            said_lacking: AtomicU64::new(0),
        };
        front.take(tls);
        front
    }

    /// The checks of an authority that are pending.
    pub fn challenges(&self) -> &Arc<Challenges> {
        &self.challenges
    }

    /// Shows the certificates of a config that is now in force. The config has just read the files.
    pub fn take(&self, tls: Option<&ProxyTls>) {
        self.complaints.clear_all();
        let files = tls.map_or(Vec::new(), |tls| tls.certificates.clone());
        self.show(|shown| shown.files = files);
    }

    /// Shows these beside those of the files, which win for their names.
    pub fn take_ordered(&self, ordered: Vec<OrderedCertificate>) {
        self.show(|shown| shown.ordered = ordered);
    }

    /// The files that are read again.
    pub fn files(&self) -> Vec<PathBuf> {
        self.shown().files.iter().flat_map(|served| [served.certificate.clone(), served.key.clone()]).collect()
    }

    /// Reads the files again, and shows what has changed. A pair that cannot be used stays as it was.
    pub fn refresh(&self) {
        let mut files = self.shown().files.clone();
        let mut changed = false;
        for one in &mut files {
            let file = one.certificate.display().to_string();
            match Pair::load(&one.certificate, &one.key) {
                Ok(pair) => {
                    self.complaints.clear(&file);
                    if pair.contents != one.pair.contents {
                        tracing::info!(file, not_after = pair.not_after, "the webhook listener has a new certificate");
                        one.pair = Arc::new(pair);
                        changed = true;
                    }
                }
                Err(error) => self.complaints.report(&file, &format!("a new certificate of the webhook listener is not taken: {error}")),
            }
        }
        if changed {
            self.show(|shown| shown.files = files);
        }
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn show(&self, change: impl FnOnce(&mut Shown)) {
        let mut shown = self.shown();
        shown.ends().for_each(|(label, _)| self.metrics.certificate(&label, None));
        change(&mut shown);
        shown.ends().for_each(|(label, not_after)| self.metrics.certificate(&label, Some(not_after)));
        let files: Vec<Arc<Pair>> = shown.files.iter().map(|served| served.pair.clone()).collect();
        self.certificates.set(&files, &shown.ordered);
    }

    /// Does the handshake. Which protocols are offered depends on the config of the moment.
    pub async fn accept(&self, mut socket: TcpStream, http2: Http2) -> Result<(Stream, Protocol), Closed> {
        let mut first = [0];
        // A method's first byte, which no record of TLS has.
        if socket.peek(&mut first).await.is_ok_and(|read| read > 0) && first[0].is_ascii_uppercase() {
            let _ = decline(&mut socket).await;
            return Err(Closed::Handshake);
        }
        let acceptor = &self.acceptors[usize::from(http2 == Http2::Off)];
        let stream = match self.challenges.is_any() || self.certificates.lacks_any() {
            false => acceptor.accept(socket).await.map_err(|_| Closed::Handshake)?,
            true => Box::pin(self.accept_by_hello(socket, acceptor)).await?,
        };
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(H2) => Protocol::Http2,
            Some(_) | None => Protocol::Http1,
        };
        Ok((Stream::Tls(Box::new(stream.into())), protocol))
    }

    /// Does the handshake as the client's first message wants it: that of an authority which checks a name ends the connection.
    async fn accept_by_hello(&self, socket: TcpStream, acceptor: &TlsAcceptor) -> Result<TlsStream<TcpStream>, Closed> {
        let mut start = LazyConfigAcceptor::new(Acceptor::default(), socket).await.map_err(|_| Closed::Handshake)?;
        let hello = start.client_hello();
        if let Some(config) = self.challenges.handshake(&hello) {
            let mut stream = start.into_stream(config).await.map_err(|_| Closed::Handshake)?;
            let _ = stream.shutdown().await;
            return Err(Closed::Challenge);
        }
        if let Some(name) = self.certificates.lacking(&hello) {
            self.say_lacking(&name);
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
            return Err(Closed::NoCertificate);
        }
        start.into_stream(acceptor.config().clone()).await.map_err(|_| Closed::Handshake)
    }

    /// Logs at most once a minute. `name` is one of the config's.
    fn say_lacking(&self, name: &str) {
        let (now, last) = (1 + self.started.elapsed().as_secs(), self.said_lacking.load(Ordering::Relaxed));
        if last == 0 || now - last >= SAY_LACKING_EVERY_SECS {
            self.said_lacking.store(now, Ordering::Relaxed);
            tracing::warn!(name, "a client was refused: there is no certificate for the name yet");
        }
    }
}

impl Shown {
    /// The metric's label of each certificate, and its end. The label is the name that it is ordered for, or else the first name that
    /// it is for, or else its file.
    fn ends(&self) -> impl Iterator<Item = (String, i64)> {
        let files = self.files.iter().map(|served| (label(served), served.pair.not_after));
        let ordered = self.ordered.iter().filter_map(|ordered| Some((ordered.name.clone(), ordered.pair.as_ref()?.not_after)));
        files.chain(ordered)
    }
}

/// Tells a client that speaks HTTP without TLS why it is not served, and reads what it still sends: a close with unread bytes is a
/// reset, after which the client could lose the answer. The caller limits the time.
async fn decline(socket: &mut TcpStream) -> io::Result<()> {
    socket.write_all(NOT_TLS).await?;
    socket.shutdown().await?;
    tokio::io::copy(&mut socket.take(DECLINED_BYTES_MAX), &mut tokio::io::sink()).await?;
    Ok(())
}

impl std::fmt::Debug for FrontTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontTls").field("files", &self.shown().files.len()).finish_non_exhaustive()
    }
}

fn label(served: &ServedCertificate) -> String {
    match served.pair.dns_names.first() {
        Some(name) => name.clone(),
        None => served.certificate.display().to_string(),
    }
}

/// TLS 1.2 and 1.3 with the library's cipher suites. Clients resume sessions by tickets, which serin seals with keys that it makes
/// anew every six hours; there is no early data, because an attacker could send it a second time.
fn server(certificates: Arc<Certificates>) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    match rustls::crypto::ring::Ticketer::new() {
        Ok(ticketer) => config.ticketer = ticketer,
        // Without randomness there are no handshakes either.
        Err(error) => tracing::error!(%error, "clients cannot resume TLS sessions"),
    }
    config
}
