//! An authority, the certificates that it issues, and a client that speaks TLS. And a folder of secrets as Kubernetes mounts it.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, IsCa, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned, SupportedProtocolVersion};
use tempfile::TempDir;

use super::{Client, PATIENCE};

pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// As PEM.
#[derive(Clone)]
pub struct Issued {
    pub certificate: String,
    pub key: String,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate with this common name for 127.0.0.1 and localhost, valid until the end of this year.
    pub fn issue(&self, name: &str, until_year: i32) -> Issued {
        self.issue_for(name, &["127.0.0.1", "localhost"], until_year)
    }

    /// The same for these names.
    pub fn issue_for(&self, name: &str, names: &[&str], until_year: i32) -> Issued {
        let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).expect("names");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_after = rcgen::date_time_ymd(until_year, 12, 31);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Issued { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// A client that trusts this authority, and shows a certificate if it has one.
    pub fn client(&self, issued: Option<&Issued>) -> TlsClient {
        self.client_of(rustls::DEFAULT_VERSIONS, issued)
    }

    /// The same with these versions of TLS alone.
    pub fn client_of(&self, versions: &[&'static SupportedProtocolVersion], issued: Option<&Issued>) -> TlsClient {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions of the library")
            .with_root_certificates(roots);
        let config = match issued {
            None => builder.with_no_client_auth(),
            Some(issued) => {
                let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a key for its certificate")
            }
        };
        TlsClient(Arc::new(config))
    }
}

pub struct TlsClient(Arc<ClientConfig>);

impl TlsClient {
    /// For clients that do not use `Client`.
    pub fn config(self) -> ClientConfig {
        Arc::unwrap_or_clone(self.0)
    }

    /// Connects, and returns the server's certificate as well.
    pub fn connect(&self, to: SocketAddr) -> io::Result<(Client, CertificateDer<'static>)> {
        let (client, tls) = self.greet(to, ServerName::from(to.ip()))?;
        assert_eq!(tls.kind, HandshakeKind::Full, "serin checks the client certificate on each connection");
        Ok((client, tls.shown))
    }

    /// Connects to a server of this name.
    pub fn greet(&self, to: SocketAddr, name: ServerName<'static>) -> io::Result<(Client, Greeting)> {
        let mut socket = TcpStream::connect(to)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let mut tls = ClientConnection::new(self.0.clone(), name).expect("a client");
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        let greeting = Greeting {
            kind: tls.handshake_kind().expect("the handshake is done"),
            version: tls.protocol_version().expect("the handshake is done"),
            shown: tls.peer_certificates().expect("a server shows one")[0].clone().into_owned(),
        };
        let copy = socket.try_clone()?;
        Ok((Client::over(StreamOwned::new(tls, socket), copy), greeting))
    }
}

/// What a handshake agreed on.
#[derive(Debug)]
pub struct Greeting {
    pub kind: HandshakeKind,
    pub version: ProtocolVersion,
    /// The server's certificate.
    pub shown: CertificateDer<'static>,
}

/// Files that are links into `..data`, which is a link to a folder with a date and is swapped as a whole.
pub struct SecretVolume {
    directory: TempDir,
    turn: usize,
}

impl SecretVolume {
    pub fn new(files: &[(&str, &str)]) -> SecretVolume {
        let mut volume = SecretVolume { directory: tempfile::tempdir().expect("a temporary directory"), turn: 0 };
        volume.swap(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), volume.path(name)).expect("a link");
        }
        volume
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// All files at once.
    pub fn swap(&mut self, files: &[(&str, &str)]) {
        self.turn += 1;
        let dated = format!("..2024_{}", self.turn);
        fs::create_dir(self.path(&dated)).expect("a writable directory");
        for (name, text) in files {
            fs::write(self.path(&dated).join(name), text).expect("a writable directory");
        }
        symlink(&dated, self.path("..data_tmp")).expect("a link");
        fs::rename(self.path("..data_tmp"), self.path("..data")).expect("a rename within a directory");
        let _ = fs::remove_dir_all(self.path(&format!("..2024_{}", self.turn - 1)));
    }
}
