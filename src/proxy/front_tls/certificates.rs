//! The certificates that serin shows to its clients, by the name that a client asks for. They change while serin runs: a handshake
//! takes those of its moment.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::tls::Pair;

#[derive(Debug, Default)]
pub struct Certificates(ArcSwap<Named>);

#[derive(Debug, Default)]
struct Named {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name no server, or an unknown one.
    usual: Option<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Shows these from now on. The first one is the usual one.
    pub fn set(&self, pairs: &[Arc<Pair>]) {
        let by_name = pairs.iter().flat_map(|pair| pair.dns_names.iter().map(|name| (name.clone(), pair.certified.clone())));
        let named = Named { by_name: by_name.collect(), usual: pairs.first().map(|pair| pair.certified.clone()) };
        self.0.store(Arc::new(named));
    }
}

impl Named {
    /// The certificate for a name, which a client writes in any case. A wildcard is for exactly one more label.
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(&name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.0.load();
        hello.server_name().and_then(|name| named.find(name)).or(named.usual.as_ref()).cloned()
    }
}
