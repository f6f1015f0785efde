//! serin's listeners for clients, with and without TLS, and the certificate that they show.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::harness::{Authority, Config, Process};

/// A folder with a config, a certificate and a history.
pub struct Place {
    pub config: PathBuf,
    _folder: TempDir,
    authority: Authority,
}

/// What a client needs to connect.
#[derive(Clone)]
pub struct Front {
    pub plain: SocketAddr,
    pub tls: SocketAddr,
    http1: Arc<ClientConfig>,
    http2: Arc<ClientConfig>,
    /// Of clients that never continue an earlier session.
    stranger: Arc<ClientConfig>,
}

impl Place {
    pub fn new() -> Place {
        let folder = tempfile::tempdir().expect("a temporary directory");
        let authority = Authority::new("test");
        let issued = authority.issue("serin", 2099);
        for (name, text) in [("tls.crt", &issued.certificate), ("tls.key", &issued.key)] {
            std::fs::write(folder.path().join(name), text).expect("a writable directory");
        }
        Place { config: folder.path().join("serin.toml"), _folder: folder, authority }
    }

    /// The config, with TLS and HTTP/2 wherever it can be.
    pub fn text(&self, config: &Config) -> String {
        let tls = "[proxy.tls]\nlisten = \"127.0.0.1:0\"\n[[proxy.tls.certificate]]\ncert_file = \"tls.crt\"\nkey_file = \"tls.key\"";
        config.clone().proxy("http2 = \"all\"").proxy(tls).text()
    }

    pub fn front(&self, serin: &Process) -> Front {
        let speaks = |protocol: &[u8]| {
            let mut config = self.authority.client(None).config();
            config.alpn_protocols = vec![protocol.to_vec()];
            Arc::new(config)
        };
        let mut stranger = self.authority.client(None).config();
        stranger.resumption = Resumption::disabled();
        Front {
            plain: serin.proxy,
            tls: serin.tls_address(),
            http1: speaks(b"http/1.1"),
            http2: speaks(b"h2"),
            stranger: Arc::new(stranger),
        }
    }
}

impl Front {
    pub async fn plain(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.plain).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    pub async fn http1_tls(&self) -> io::Result<TlsStream<TcpStream>> {
        self.tls(&self.http1).await
    }

    pub async fn http2_tls(&self) -> io::Result<TlsStream<TcpStream>> {
        self.tls(&self.http2).await
    }

    /// A connection that needs a handshake with a signature.
    pub async fn whole_handshake(&self) -> io::Result<TlsStream<TcpStream>> {
        self.tls(&self.stranger).await
    }

    async fn tls(&self, config: &Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.tls).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(config.clone()).connect(ServerName::from(self.tls.ip()), stream).await
    }
}
