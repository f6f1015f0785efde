//! The certificates that serin shows to its clients, by the name that a client asks for. They change while serin runs: a handshake
//! takes those of its moment.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

#[derive(Debug, Default)]
pub struct Certificates {
    named: ArcSwap<Named>,
    /// Whether a name has no certificate yet.
    lacks_any: AtomicBool,
}

#[derive(Debug, Default)]
pub struct Named {
    pub by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name no server, or an unknown one.
    pub usual: Option<Arc<CertifiedKey>>,
    /// Names whose certificate is still to come. Another name's certificate is not shown for them.
    pub without: HashSet<String>,
}

impl Certificates {
    /// Shows these from now on.
    pub fn set(&self, named: Named) {
        self.lacks_any.store(!named.without.is_empty(), Ordering::Relaxed);
        self.named.store(Arc::new(named));
    }

    pub fn lacks_any(&self) -> bool {
        self.lacks_any.load(Ordering::Relaxed)
    }

    /// The name that a client asks for, if its certificate is still to come.
    pub fn lacking(&self, hello: &ClientHello<'_>) -> Option<String> {
        let (named, name) = (self.named.load(), hello.server_name()?.to_ascii_lowercase());
        (named.without.contains(&name) && named.find(&name).is_none()).then_some(name)
    }
}

impl Named {
    /// The certificate for a name in lower case. A wildcard is for exactly one more label.
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.named.load();
        let own = hello.server_name().and_then(|name| named.find(&name.to_ascii_lowercase()));
        own.or(named.usual.as_ref()).cloned()
    }
}
