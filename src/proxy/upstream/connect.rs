//! From an upstream's name to an open connection, plain or TLS, within the connect timeout.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use socket2::SockRef;
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Config, UpstreamUrl};
use crate::proxy::io::read_into;
use crate::proxy::resolve::{Addresses, Resolver};

/// How to reach one upstream.
#[derive(Debug)]
pub struct Target {
    pub url: UpstreamUrl,
    pub addresses: Addresses,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    timeout: Duration,
    /// Whose turn it is among several addresses.
    turn: Cell<usize>,
}

/// Why there is no connection. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    Refused,
    Unreachable,
    TimedOut,
    Tls,
    Unresolved,
}

/// An open connection: hyper owns `io`, the pool asks `socket` whether it is still open.
pub struct Connected {
    pub io: Io,
    pub socket: Rc<Socket>,
    pub address: SocketAddr,
}

impl Target {
    pub fn new(url: &UpstreamUrl, timeout: Duration, resolver: &Resolver, tls: &TlsClients) -> Result<Target, TlsError> {
        let tls = match url.tls {
            false => None,
            true => Some((tls.client(url.ca_file.as_deref())?, server_name(url)?)),
        };
        let addresses = resolver.addresses(&url.host, url.port);
        Ok(Target { url: url.clone(), addresses, tls, timeout, turn: Cell::new(0) })
    }

    /// Tries the addresses in turn, each at most once, until the timeout for all of them has passed.
    pub async fn connect(&self) -> Result<Connected, ConnectError> {
        let all = async {
            let addresses = self.addresses.known().await;
            let first = self.turn.get();
            self.turn.set(first.wrapping_add(1));
            let mut last = ConnectError::Unreachable;
            for i in 0..addresses.len() {
                match self.connect_to(addresses[(first.wrapping_add(i)) % addresses.len()]).await {
                    Ok(connected) => return Ok(connected),
                    Err(error) => last = error,
                }
            }
            Err(last)
        };
        match tokio::time::timeout(self.timeout, all).await {
            Ok(result) => result,
            Err(_) if !self.addresses.is_known() => Err(ConnectError::Unresolved),
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    async fn connect_to(&self, address: SocketAddr) -> Result<Connected, ConnectError> {
        let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectError::Refused,
            io::ErrorKind::TimedOut => ConnectError::TimedOut,
            _ => ConnectError::Unreachable,
        })?;
        // Small messages must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                Stream::Tls(Box::new(connector.connect(name.clone(), stream).await.map_err(|error| {
                    tracing::warn!(upstream = %self.url.authority, %error, "the TLS handshake failed");
                    ConnectError::Tls
                })?))
            }
        };
        let socket = Rc::new(Socket(RefCell::new(stream)));
        Ok(Connected { io: Io(socket.clone()), socket, address })
    }
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection's socket. Its two holders are on one thread, and neither holds the borrow across an await.
#[derive(Debug)]
pub struct Socket(RefCell<Stream>);

/// The same, as hyper reads and writes it.
#[derive(Debug)]
pub struct Io(Rc<Socket>);

impl Socket {
    /// Asks the kernel. A plain connection with something to read is not idle as HTTP means it; below TLS there may be
    /// a session ticket.
    pub fn is_open(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let (peeked, plain) = match &*self.0.borrow() {
            Stream::Plain(stream) => (SockRef::from(stream).peek(&mut byte), true),
            Stream::Tls(stream) => (SockRef::from(stream.get_ref().0).peek(&mut byte), false),
        };
        match peeked {
            Ok(0) => false,
            Ok(_) => !plain,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}

impl Read for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        ready!(match &mut *self.0.0.borrow_mut() {
            Stream::Plain(stream) => read_into(Pin::new(stream), cx, buffer),
            Stream::Tls(stream) => read_into(Pin::new(stream.as_mut()), cx, buffer),
        })?;
        Poll::Ready(Ok(()))
    }
}

impl Write for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self.0.0.borrow_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match &mut *self.0.0.borrow_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &*self.0.0.borrow() {
            Stream::Plain(_) => true,
            Stream::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.0.borrow_mut() {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self.0.0.borrow_mut() {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}

#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{0} is no name that a TLS certificate could be for")]
    Name(String),
    #[error("cannot read the authorities in {path}: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("the system has no certificate authorities to trust: install ca-certificates or set ca_file")]
    NoRoots,
}

/// TLS settings by the authorities they trust; made once, shared by all workers.
#[derive(Debug, Default)]
pub struct TlsClients(Mutex<HashMap<Option<PathBuf>, Arc<ClientConfig>>>);

impl TlsClients {
    /// Could every upstream be set up? Asked before a config is taken.
    pub fn check(&self, config: &Config) -> Result<(), TlsError> {
        // Anew each time: a file of authorities may have been replaced since.
        self.0.lock().expect("no panic under this lock").clear();
        for upstream in config.bots.iter().flat_map(|bot| &bot.upstreams).filter(|upstream| upstream.url.tls) {
            server_name(&upstream.url)?;
            self.client(upstream.url.ca_file.as_deref())?;
        }
        Ok(())
    }

    fn client(&self, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
        let key = ca_file.map(Path::to_owned);
        let mut clients = self.0.lock().expect("no panic under this lock");
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has the default protocol versions")
            .with_root_certificates(roots(ca_file)?)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let client = Arc::new(config);
        clients.insert(key, client.clone());
        Ok(client)
    }
}

fn server_name(url: &UpstreamUrl) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(url.host.clone()).map_err(|_| TlsError::Name(url.host.clone()))
}

fn roots(ca_file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(TlsError::NoRoots);
            }
        }
        Some(path) => {
            let unreadable = |reason: String| TlsError::CaFile { path: path.to_owned(), reason };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| unreadable(error.to_string()))? {
                let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
                roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(unreadable("no certificate in it".into()));
            }
        }
    }
    Ok(roots)
}
