//! TLS to upstreams: the authorities to trust, loaded once and shared by all workers.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

use crate::config::{Config, UpstreamUrl};

#[derive(Clone, Debug, thiserror::Error)]
pub enum TlsError {
    #[error("{0} is no name that a TLS certificate could be for")]
    Name(String),
    #[error("cannot read the authorities in {path}: {reason}")]
    CaFile { path: PathBuf, reason: String },
    #[error("the system has no certificate authorities to trust: install ca-certificates or set ca_file")]
    NoRoots,
}

/// TLS settings by file of authorities; `None` is the system's authorities.
#[derive(Debug, Default)]
pub struct TlsClients(Mutex<HashMap<Option<PathBuf>, Arc<ClientConfig>>>);

impl TlsClients {
    /// Errors if an upstream's TLS cannot be set up. Called before a config is put in force.
    pub fn check(&self, config: &Config) -> Result<(), TlsError> {
        // Loads the authorities again, because the file may have changed.
        self.0.lock().expect("no panic under this lock").clear();
        for upstream in config.bots.iter().flat_map(|bot| &bot.upstreams).filter(|upstream| upstream.url.tls) {
            server_name(&upstream.url)?;
            self.client(upstream.url.ca_file.as_deref())?;
        }
        Ok(())
    }

    pub fn client(&self, ca_file: Option<&Path>) -> Result<Arc<ClientConfig>, TlsError> {
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

pub(super) fn server_name(url: &UpstreamUrl) -> Result<ServerName<'static>, TlsError> {
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
