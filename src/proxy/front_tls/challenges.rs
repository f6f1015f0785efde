//! The checks of an ACME authority that are pending: by a TLS handshake (RFC 8737) or by a request (RFC 8555, 8.3). serin answers
//! nothing of either kind while none is pending, and ordinary clients cost one load of a flag then.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

const ACME_TLS: &[u8] = b"acme-tls/1";
const PATH: &str = "/.well-known/acme-challenge/";

#[derive(Debug, Default)]
pub struct Challenges {
    any: AtomicBool,
    pending: ArcSwap<Pending>,
}

#[derive(Clone, Debug, Default)]
struct Pending {
    /// By the name that is checked.
    handshakes: HashMap<String, Arc<ServerConfig>>,
    /// By the token in the request's path.
    requests: HashMap<String, Bytes>,
}

/// A pending check. It is answered until this is dropped.
#[derive(Debug)]
pub struct PendingChallenge {
    challenges: Arc<Challenges>,
    of: Of,
}

#[derive(Debug)]
enum Of {
    Name(String),
    Token(String),
}

impl Challenges {
    /// A handshake for `name` that offers `acme-tls/1` and nothing else gets this certificate.
    pub fn await_handshake(self: &Arc<Self>, name: &str, certificate: CertifiedKey) -> PendingChallenge {
        let config = Arc::new(server(certificate));
        self.change(|pending| drop(pending.handshakes.insert(name.to_owned(), config.clone())));
        PendingChallenge { challenges: self.clone(), of: Of::Name(name.to_owned()) }
    }

    /// A request for the token gets this answer.
    pub fn await_request(self: &Arc<Self>, token: &str, answer: Bytes) -> PendingChallenge {
        self.change(|pending| drop(pending.requests.insert(token.to_owned(), answer.clone())));
        PendingChallenge { challenges: self.clone(), of: Of::Token(token.to_owned()) }
    }

    pub fn is_any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    /// The answer to a GET of this path, if a pending check asks for it.
    pub fn answer(&self, path: &str) -> Option<Bytes> {
        if !self.is_any() {
            return None;
        }
        self.pending.load().requests.get(path.strip_prefix(PATH)?).cloned()
    }

    /// The settings for a handshake by which an authority checks a name.
    pub(super) fn handshake(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let offered = hello.alpn()?;
        if !self.is_any() || !offered.eq([ACME_TLS]) {
            return None;
        }
        self.pending.load().handshakes.get(&hello.server_name()?.to_ascii_lowercase()).cloned()
    }

    fn change(&self, change: impl Fn(&mut Pending)) {
        self.pending.rcu(|pending| {
            let mut pending = Pending::clone(pending);
            change(&mut pending);
            pending
        });
        let pending = self.pending.load();
        self.any.store(!pending.handshakes.is_empty() || !pending.requests.is_empty(), Ordering::Relaxed);
    }
}

impl Drop for PendingChallenge {
    fn drop(&mut self) {
        self.challenges.change(|pending| match &self.of {
            Of::Name(name) => drop(pending.handshakes.remove(name)),
            Of::Token(token) => drop(pending.requests.remove(token)),
        });
    }
}

/// An authority connects once, so there is nothing to resume.
fn server(certificate: CertifiedKey) -> ServerConfig {
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring has the default versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certificate)));
    config.alpn_protocols = vec![ACME_TLS.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_answered_while_its_token_is_pending() {
        let challenges = Arc::new(Challenges::default());
        let ask = |token: &str| challenges.answer(&format!("{PATH}{token}"));
        assert!(!challenges.is_any() && ask("a").is_none());
        let a = challenges.await_request("a", Bytes::from_static(b"a.key"));
        let b = challenges.await_request("b", Bytes::from_static(b"b.key"));
        assert_eq!((ask("a"), ask("c"), ask(""), challenges.answer("/a")), (Some(Bytes::from_static(b"a.key")), None, None, None));
        drop(a);
        assert_eq!((ask("a"), ask("b")), (None, Some(Bytes::from_static(b"b.key"))));
        drop(b);
        assert!(!challenges.is_any() && ask("b").is_none());
    }
}
