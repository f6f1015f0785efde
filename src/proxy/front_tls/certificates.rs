//! The certificates that serin shows to its clients, by the name that a client asks for. They change while serin runs: a handshake
//! takes those of its moment.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use crate::config::tls::Pair;

/// A name for which serin orders certificates.
#[derive(Clone, Debug)]
pub struct OrderedCertificate {
    /// In lower case.
    pub name: String,
    /// `None`: the first one is still to come.
    pub pair: Option<Arc<Pair>>,
}

#[derive(Debug, Default)]
pub struct Certificates {
    named: ArcSwap<Named>,
    /// Whether a name has no certificate yet.
    lacks_any: AtomicBool,
}

#[derive(Debug, Default)]
struct Named {
    by_name: HashMap<String, Arc<CertifiedKey>>,
    /// For clients that name no server, or an unknown one.
    usual: Option<Arc<CertifiedKey>>,
    /// Names whose certificate is still to come. Another name's certificate is not shown for them.
    without: HashSet<String>,
}

impl Certificates {
    /// Shows these from now on. The first one is the usual one. Those of files win for their names.
    pub fn set(&self, files: &[Arc<Pair>], ordered: &[OrderedCertificate]) {
        let named = Named::of(files, ordered);
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
    fn of(files: &[Arc<Pair>], ordered: &[OrderedCertificate]) -> Named {
        let come = ordered.iter().filter_map(|ordered| Some((&ordered.name, ordered.pair.as_ref()?)));
        let of_files = files.iter().flat_map(|pair| pair.dns_names.iter().map(move |name| (name, pair)));
        // Later ones replace earlier ones of the same name.
        let by_name = come.clone().chain(of_files).map(|(name, pair)| (name.clone(), pair.certified.clone())).collect();
        let usual = files.iter().chain(come.map(|(_, pair)| pair)).next().map(|pair| pair.certified.clone());
        let without = ordered.iter().filter(|ordered| ordered.pair.is_none()).map(|ordered| ordered.name.clone()).collect();
        Named { by_name, usual, without }
    }

    /// The certificate for a name, which a client writes in any case. A wildcard is for exactly one more label.
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(&name).or_else(wildcard)
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = self.named.load();
        hello.server_name().and_then(|name| named.find(name)).or(named.usual.as_ref()).cloned()
    }
}
