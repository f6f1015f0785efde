//! TLS for serin's listeners. The files are read with the config, so that their errors are errors of the config, and again while
//! serin runs, because certificates are renewed more often than configs change.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::digest::{Context, SHA256};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};

use super::certificate::Certificate;

/// The limit of a file. A chain has some kilobytes, a bundle of all public authorities a quarter of this.
const PEM_BYTES_MAX: u64 = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// If set, a client without a certificate of these authorities gets no connection.
    pub client_authorities: Option<PathBuf>,
}

/// The content of the files, checked and ready to serve.
#[derive(Clone, Debug)]
pub struct TlsLoaded {
    pub server: Arc<ServerConfig>,
    /// The last second in which serin's certificate is valid, in Unix time.
    pub not_after: i64,
    /// The hashes of the content: of all files, and of the clients' authorities.
    pub contents: Hash,
    pub client_authorities: Option<Hash>,
}

pub type Hash = [u8; 32];

/// A file that cannot be used, and the reason.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{} {reason}", path.display())]
pub struct PemFileError {
    pub role: Role,
    pub path: PathBuf,
    pub reason: String,
}

/// The role of a file. One file may have two roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Certificate,
    Key,
    Authorities,
}

/// A file and its role, for errors.
#[derive(Clone, Copy)]
struct At<'a>(Role, &'a Path);

/// A certificate with the chain to its authority, and its key.
#[derive(Debug)]
pub struct Pair {
    pub chain: Vec<CertificateDer<'static>>,
    /// The first and the last second in which the certificate is valid, in Unix time.
    pub not_before: i64,
    pub not_after: i64,
    /// The DNS names that it is for, in lower case; `*.example.com` is for one more label.
    pub dns_names: Vec<String>,
    pub certified: Arc<CertifiedKey>,
    /// The hash of the content of both files.
    pub contents: Hash,
}

impl TlsFiles {
    pub fn all(&self) -> impl Iterator<Item = &Path> {
        [&self.certificate, &self.key].into_iter().chain(&self.client_authorities).map(PathBuf::as_path)
    }

    /// Reads and checks the files.
    pub fn load(&self) -> Result<TlsLoaded, PemFileError> {
        let (certificate_at, key_at) = (At(Role::Certificate, &self.certificate), At(Role::Key, &self.key));
        let (certificate, key) = (read(certificate_at)?, read(key_at)?);
        let pair = Pair::of((certificate_at, &certificate), (key_at, &key))?;
        let authorities = self.client_authorities.as_deref().map(|path| At(Role::Authorities, path));
        let authorities = authorities.map(|at| Ok((at, read(at)?))).transpose()?;
        let mut contents = vec![certificate.as_slice(), &key];
        let provider = Arc::new(provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring has the default versions");
        let builder = match &authorities {
            None => builder.with_no_client_auth(),
            Some((at, pem)) => {
                contents.push(pem);
                let roots = Arc::new(roots(*at, &certificates_in(*at, pem)?)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.map_err(|error| wrong(*at, error.to_string()))?)
            }
        };
        let mut server = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(CertifiedKey::clone(&pair.certified))));
        // rustls does not check the certificate of a resumed session, so an expired certificate would still be accepted.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsLoaded {
            server: Arc::new(server),
            not_after: pair.not_after,
            contents: hash(&contents),
            client_authorities: authorities.map(|(_, pem)| hash(&[&pem])),
        })
    }
}

impl Pair {
    pub fn load(certificate: &Path, key: &Path) -> Result<Pair, PemFileError> {
        let (certificate, key) = (At(Role::Certificate, certificate), At(Role::Key, key));
        Pair::of((certificate, &read(certificate)?), (key, &read(key)?))
    }

    /// A certificate that serin has ordered: the chain and its key in one PEM file.
    pub fn load_both(path: &Path) -> Result<Pair, PemFileError> {
        let text = read(At(Role::Certificate, path))?;
        Pair::of((At(Role::Certificate, path), &text), (At(Role::Key, path), &text))
    }

    /// Whether it is for this name, which is in lower case. A wildcard is for exactly one more label.
    pub fn is_for(&self, name: &str) -> bool {
        let wildcard = name.split_once('.').map(|(_, rest)| format!("*.{rest}"));
        self.dns_names.iter().any(|own| own == name || Some(own) == wildcard.as_ref())
    }

    /// Errors do not contain the library's text where that could quote the key.
    fn of((certificate_at, certificate): (At<'_>, &[u8]), (key_at, key): (At<'_>, &[u8])) -> Result<Pair, PemFileError> {
        let chain = certificates_in(certificate_at, certificate)?;
        let contents = hash(&[certificate, key]);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            PemError::NoItemsFound => wrong(key_at, "has no private key in it"),
            _ => wrong(key_at, "is no PEM"),
        })?;
        let read = Certificate::read(&chain[0]).ok_or_else(|| wrong(certificate_at, "has a certificate that cannot be read"))?;
        let certified = CertifiedKey::from_der(chain.clone(), key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => wrong(key_at, format!("is not the key of {}", certificate_at.1.display())),
            // `openssl x509 -req` makes version 1 if it gets no extensions.
            rustls::Error::InvalidCertificate(_) => {
                wrong(certificate_at, "has a certificate that cannot be used: it must be X.509 of version 3")
            }
            _ => wrong(key_at, "has a key of a kind that serin does not know"),
        })?;
        Ok(Pair {
            chain,
            not_before: read.not_before,
            not_after: read.not_after,
            dns_names: read.dns_names,
            certified: Arc::new(certified),
            contents,
        })
    }
}

/// The authorities in a PEM file: at least one, and all usable.
pub fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemFileError> {
    let at = At(Role::Authorities, path);
    let certificates = certificates_in(at, &read(at)?)?;
    roots(at, &certificates).map(|_| certificates)
}

fn roots(at: At<'_>, certificates: &[CertificateDer<'static>]) -> Result<RootCertStore, PemFileError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate.clone()).map_err(|_| wrong(at, "has a certificate that cannot be read"))?;
    }
    Ok(roots)
}

/// The certificates in the PEM text. Errors if there is none.
fn certificates_in(at: At<'_>, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PemFileError> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let certificates = certificates.map_err(|_| wrong(at, "is no PEM"))?;
    match certificates.is_empty() {
        true => Err(wrong(at, "has no certificate in it")),
        false => Ok(certificates),
    }
}

fn read(at: At<'_>) -> Result<Vec<u8>, PemFileError> {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(at.1)?.take(PEM_BYTES_MAX + 1).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let bytes = read().map_err(|error| wrong(at, format!("cannot be read: {error}")))?;
    match bytes.len() as u64 > PEM_BYTES_MAX {
        true => Err(wrong(at, format!("has more than {PEM_BYTES_MAX} bytes"))),
        false => Ok(bytes),
    }
}

fn wrong(At(role, path): At<'_>, reason: impl Into<String>) -> PemFileError {
    PemFileError { role, path: path.to_owned(), reason: reason.into() }
}

/// Hashes the files with their lengths, so that the borders between files count.
fn hash(files: &[&[u8]]) -> Hash {
    let mut context = Context::new(&SHA256);
    for file in files {
        context.update(&(file.len() as u64).to_le_bytes());
        context.update(file);
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}
