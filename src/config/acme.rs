//! `[proxy.tls.acme]`: the certificates that serin orders itself from an authority that speaks ACME (RFC 8555).

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;

use super::notifier::Hidden;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acme {
    /// In lower case and in the order of the file. A name for which a file has a certificate is not among them.
    pub domains: Vec<String>,
    /// The e-mail address that the authority may write to.
    pub contact: Option<String>,
    /// The URL of the authority's directory.
    pub directory: String,
    /// The folder for the account's key and the certificates, as written. `None`: beside the history.
    pub folder: Option<PathBuf>,
    /// The authorities that the ACME server's own certificate may be of; `None`: those of the system.
    pub authorities: Option<Vec<CertificateDer<'static>>>,
    pub external_account: Option<ExternalAccount>,
    pub challenge: ChallengeKind,
}

/// An account that the operator has at the authority already, to which the new one is bound (RFC 8555, 7.3.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalAccount {
    pub key_id: String,
    /// The key for HMAC, as base64url without padding.
    pub key: Hidden,
}

/// How the authority checks that a name leads to this serin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChallengeKind {
    /// By a TLS handshake (RFC 8737).
    TlsAlpn,
    /// By a request without TLS (RFC 8555, 8.3).
    Http,
}

impl ChallengeKind {
    /// As RFCs and the config write it.
    pub fn name(self) -> &'static str {
        match self {
            ChallengeKind::TlsAlpn => "tls-alpn-01",
            ChallengeKind::Http => "http-01",
        }
    }
}
