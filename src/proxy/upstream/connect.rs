//! Connects to an upstream, plain or over TLS, within the connect timeout.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::resolve::{Addresses, Resolver};
use super::tls::{TlsClients, TlsError, server_name};
use crate::config::UpstreamUrl;
use crate::proxy::wire::stream::Stream;

/// What serin needs to connect to one upstream.
#[derive(Debug)]
pub struct Endpoint {
    pub url: UpstreamUrl,
    pub addresses: Addresses,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    timeout: Duration,
    /// Counts connections, to begin each with another of the addresses.
    turn: AtomicUsize,
    /// Whether the last TLS handshake failed. Only the first failure in a row is logged.
    tls_fails: AtomicBool,
}

/// Why there is no connection. Nothing was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    Refused,
    Unreachable,
    TimedOut,
    Tls,
    Unresolved,
    /// This machine has no file descriptor, port or memory for one more connection. The upstream is not to blame.
    Exhausted,
}

/// Errors of `socket` and `connect` that say something about this machine. With EADDRNOTAVAIL all local ports are in use.
fn is_exhausted(error: i32) -> bool {
    [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM, libc::EADDRNOTAVAIL].contains(&error)
}

impl Endpoint {
    pub fn new(url: &UpstreamUrl, timeout: Duration, resolver: &Resolver, tls: &TlsClients) -> Result<Endpoint, TlsError> {
        let tls = match url.tls {
            false => None,
            true => Some((tls.client(url.ca_file.as_deref())?, server_name(url)?)),
        };
        let addresses = resolver.addresses(&url.host, url.port);
        Ok(Endpoint { url: url.clone(), addresses, tls, timeout, turn: AtomicUsize::new(0), tls_fails: AtomicBool::new(false) })
    }

    /// Tries each address once, beginning with another one each time. The timeout is for all of them together.
    pub async fn connect(&self) -> Result<(Stream, SocketAddr), ConnectError> {
        let all = async {
            let addresses = self.addresses.known().await;
            let first = self.turn.fetch_add(1, Relaxed);
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

    async fn connect_to(&self, address: SocketAddr) -> Result<(Stream, SocketAddr), ConnectError> {
        let stream = TcpStream::connect(address).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectError::Refused,
            io::ErrorKind::TimedOut => ConnectError::TimedOut,
            _ if error.raw_os_error().is_some_and(is_exhausted) => ConnectError::Exhausted,
            _ => ConnectError::Unreachable,
        })?;
        // Otherwise a small message could wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some((config, name)) => {
                let connector = TlsConnector::from(config.clone());
                let connected = connector.connect(name.clone(), stream).await;
                let failed_before = self.tls_fails.swap(connected.is_err(), Relaxed);
                let connected = connected.map_err(|error| {
                    if !failed_before {
                        tracing::warn!(upstream = %self.url.authority, %error, "the TLS handshake failed");
                    }
                    ConnectError::Tls
                })?;
                Stream::Tls(Box::new(connected.into()))
            }
        };
        Ok((stream, address))
    }
}
