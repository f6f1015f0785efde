//! Resolves the names of upstreams again and again, because platforms move bots between hosts without notice. All workers share one
//! resolver. While a name cannot be resolved, its last good addresses stay.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// The interval between two lookups of a name. The system's resolver does not tell the record's TTL; 5 s is short enough for a
/// fail-over and long enough for any name server.
const REFRESH: Duration = Duration::from_secs(5);
/// The interval until a name has its first address.
const RETRY: Duration = Duration::from_millis(500);

/// Looks up all names of the process, on the runtime that `new` received.
#[derive(Debug)]
pub struct Resolver {
    runtime: Handle,
    names: Mutex<HashMap<(String, u16), Weak<Name>>>,
}

/// The addresses of one upstream.
#[derive(Clone, Debug)]
pub enum Addresses {
    Fixed(SocketAddr),
    Named(Arc<Name>),
}

/// A host name and its last good answer.
#[derive(Debug)]
pub struct Name {
    host: String,
    port: u16,
    answer: ArcSwap<Box<[SocketAddr]>>,
    /// Counts the changes of `answer`; 0 means that there is no answer yet.
    changes: AtomicU64,
    /// Wakes those who wait for the first answer.
    first: Notify,
}

/// The addresses of a name at one moment.
pub type Known = Arc<Box<[SocketAddr]>>;

impl Resolver {
    pub fn new(runtime: Handle) -> Resolver {
        Resolver { runtime, names: Mutex::default() }
    }

    pub fn addresses(&self, host: &str, port: u16) -> Addresses {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Addresses::Fixed(SocketAddr::new(ip, port));
        }
        let mut names = self.names.lock().expect("no panic under this lock");
        names.retain(|_, name| name.strong_count() > 0);
        let key = (host.to_owned(), port);
        if let Some(name) = names.get(&key).and_then(Weak::upgrade) {
            return Addresses::Named(name);
        }
        let name = Arc::new(Name::new(host.to_owned(), port));
        names.insert(key, Arc::downgrade(&name));
        // The task ends once no upstream uses the name.
        self.runtime.spawn(keep_asking(Arc::downgrade(&name)));
        Addresses::Named(name)
    }
}

async fn keep_asking(name: Weak<Name>) {
    let mut failing = false;
    while let Some(name) = name.upgrade() {
        match tokio::net::lookup_host((name.host.as_str(), name.port)).await {
            Ok(found) => {
                name.answered(found.collect());
                failing = false;
            }
            // Logged once for each time that the lookups begin to fail.
            Err(error) if !failing => {
                tracing::warn!(host = name.host, %error, "cannot resolve an upstream's name; its last addresses stay");
                failing = true;
            }
            Err(_) => {}
        }
        let pause = if name.changes() == 0 { RETRY } else { REFRESH };
        drop(name);
        tokio::time::sleep(pause).await;
    }
}

impl Name {
    fn new(host: String, port: u16) -> Name {
        Name { host, port, answer: ArcSwap::default(), changes: AtomicU64::new(0), first: Notify::new() }
    }

    /// Called by the name's task alone.
    fn answered(&self, mut found: Vec<SocketAddr>) {
        found.sort_unstable();
        found.dedup();
        let before = self.answer();
        // An empty answer counts as a failed lookup.
        if found.is_empty() || **before == *found {
            return;
        }
        if !before.is_empty() {
            tracing::info!(host = self.host, addresses = ?found, "an upstream's addresses changed");
        }
        self.answer.store(Arc::new(found.into()));
        self.changes.fetch_add(1, Ordering::Release);
        self.first.notify_waiters();
    }

    fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    fn answer(&self) -> Known {
        self.answer.load_full()
    }
}

impl Addresses {
    /// Rises with each change. Equal numbers mean equal addresses.
    pub fn changes(&self) -> u64 {
        match self {
            Addresses::Fixed(_) => 0,
            Addresses::Named(name) => name.changes(),
        }
    }

    /// The known addresses. Waits for the first answer; the caller sets the timeout.
    pub async fn known(&self) -> Known {
        match self {
            Addresses::Fixed(address) => Arc::new(Box::from([*address])),
            Addresses::Named(name) => {
                // The notification is registered when it is made, so an answer between the two lines is not missed.
                let first = name.first.notified();
                if name.changes() == 0 {
                    first.await;
                }
                name.answer()
            }
        }
    }

    pub fn is_known(&self) -> bool {
        match self {
            Addresses::Fixed(_) => true,
            Addresses::Named(name) => name.changes() > 0,
        }
    }

    /// Whether this is one of the addresses known now. A pool does not use an idle connection to any other address again.
    pub fn contains(&self, address: SocketAddr) -> bool {
        match self {
            Addresses::Fixed(fixed) => *fixed == address,
            Addresses::Named(name) => name.answer().contains(&address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name() -> Arc<Name> {
        Arc::new(Name::new("bot".into(), 80))
    }

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    #[test]
    fn the_last_good_answer_stays_while_there_is_none() {
        let name = name();
        name.answered(vec![address(2), address(1)]);
        name.answered(vec![]);
        assert_eq!(**name.answer(), [address(1), address(2)]);
        assert_eq!(name.changes(), 1);
        name.answered(vec![address(1), address(2)]);
        assert_eq!(name.changes(), 1, "the same addresses in another order are no change");
        name.answered(vec![address(3)]);
        let addresses = Addresses::Named(name);
        assert!(addresses.contains(address(3)) && !addresses.contains(address(1)));
    }

    #[tokio::test]
    async fn a_request_waits_for_the_first_answer() {
        let name = name();
        let waiting = tokio::spawn({
            let addresses = Addresses::Named(name.clone());
            async move { addresses.known().await }
        });
        tokio::task::yield_now().await;
        name.answered(vec![address(1)]);
        assert_eq!(**waiting.await.unwrap(), [address(1)]);
    }

    #[tokio::test]
    async fn localhost_is_resolved_and_a_literal_needs_no_resolving() {
        let resolver = Resolver::new(Handle::current());
        assert!(resolver.addresses("localhost", 80).known().await.iter().all(|a| a.ip().is_loopback()));
        assert!(matches!(resolver.addresses("127.0.0.1", 80), Addresses::Fixed(_)));
    }
}
