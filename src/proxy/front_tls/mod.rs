//! TLS on the webhook listener: one setting for the life of the process, so that clients resume their sessions however often the
//! certificates change.

mod certificates;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use self::certificates::Certificates;
#[cfg(any(test, fuzzing))]
pub use self::certificates::fuzzing;
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

/// The certificates and the settings of all workers.
pub struct FrontTls {
    certificates: Arc<Certificates>,
    /// With HTTP/2 and without.
    acceptors: [TlsAcceptor; 2],
    served: Mutex<Vec<ServedCertificate>>,
    complaints: Complaints,
    metrics: Arc<Metrics>,
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
        let (served, complaints) = (Mutex::default(), Complaints::default());
        let front = FrontTls { certificates, acceptors, served, complaints, metrics };
        front.take(tls);
        front
    }

    /// Shows the certificates of a config that is now in force. The config has just read the files.
    pub fn take(&self, tls: Option<&ProxyTls>) {
        self.complaints.clear_all();
        self.show(tls.map_or(Vec::new(), |tls| tls.certificates.clone()));
    }

    /// The files that are read again.
    pub fn files(&self) -> Vec<PathBuf> {
        self.served().iter().flat_map(|served| [served.certificate.clone(), served.key.clone()]).collect()
    }

    /// Reads the files again, and shows what has changed. A pair that cannot be used stays as it was.
    pub fn refresh(&self) {
        let mut served = self.served();
        let mut changed = false;
        for one in &mut served {
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
            self.show(served);
        }
    }

    fn served(&self) -> Vec<ServedCertificate> {
        self.served.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn show(&self, new: Vec<ServedCertificate>) {
        let pairs: Vec<Arc<Pair>> = new.iter().map(|served| served.pair.clone()).collect();
        self.certificates.set(&pairs);
        let old = std::mem::replace(&mut *self.served.lock().unwrap_or_else(PoisonError::into_inner), new);
        old.iter().for_each(|served| self.metrics.certificate(&label(served), None));
        let new = self.served();
        new.iter().for_each(|served| self.metrics.certificate(&label(served), Some(served.pair.not_after)));
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
        let stream = acceptor.accept(socket).await.map_err(|_| Closed::Handshake)?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(H2) => Protocol::Http2,
            Some(_) | None => Protocol::Http1,
        };
        Ok((Stream::Tls(Box::new(stream.into())), protocol))
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
        f.debug_struct("FrontTls").field("served", &self.served().len()).finish_non_exhaustive()
    }
}

/// The metric's label: the first name that the certificate is for, or else its file.
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
