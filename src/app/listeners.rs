//! The sockets that serin listens on. serin binds them, or they are open already when it starts: a supervisor or an older serin has
//! opened them. serin keeps a descriptor of each, to pass them on to a newer serin.

use std::net::{SocketAddr, TcpListener};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::systemd;
use crate::config::{self, Config, ProxyTls};
use crate::proxy::{self, Door};

/// The purpose of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
    Proxy,
    /// For webhooks, if TLS has an address of its own.
    Tls,
    Admin,
    Probes,
}

/// The sockets of one listener: those for webhooks are several, each with its own queue in the kernel.
#[derive(Debug)]
pub struct Listening {
    pub sockets: Vec<TcpListener>,
    /// The config's address for which serin has bound them; `None` if a supervisor opened them, at whatever address.
    pub bound_for: Option<SocketAddr>,
}

/// Listeners that are open already.
#[derive(Debug, Default)]
pub struct Open {
    pub proxy: Option<Listening>,
    pub tls: Option<Listening>,
    pub admin: Option<Listening>,
    pub probes: Option<Listening>,
}

/// All listeners of a running serin.
#[derive(Debug)]
pub struct Listeners {
    pub proxy: Listening,
    /// Whether the connections to `proxy` begin with a TLS handshake.
    door: Door,
    pub tls: Option<Listening>,
    pub admin: Listening,
    pub probes: Option<Listening>,
    /// Those that were open already.
    pub kept: Vec<Name>,
}

impl Listeners {
    /// Uses what is open already, and binds what is not. Open listeners that the config does not ask for are closed.
    pub async fn open(config: &Config, open: Open) -> anyhow::Result<Listeners> {
        let Open { proxy, tls, admin, probes } = open;
        let mut kept = Vec::new();
        let mut keep = |name: Name, listening: Option<Listening>, wanted: SocketAddr| {
            let fits = listening.filter(|listening| listening.is_for(wanted));
            kept.extend(fits.as_ref().map(|_| name));
            fits
        };
        let workers = config.proxy.workers;
        let address = config.proxy.listen;
        let proxy = match keep(Name::Proxy, proxy, address) {
            Some(open) => open,
            None => Listening::for_webhooks(address, workers)?,
        };
        let (door, address) = match &config.proxy.tls {
            None => (Door::Plain, None),
            Some(ProxyTls { listen: None, .. }) => (Door::Tls, None),
            Some(ProxyTls { listen, .. }) => (Door::Plain, *listen),
        };
        let tls = match address {
            None => None,
            Some(address) => match keep(Name::Tls, tls, address) {
                Some(open) => Some(open),
                None => Some(Listening::for_webhooks(address, workers)?),
            },
        };
        let admin = match keep(Name::Admin, admin, config.admin.listen) {
            Some(open) => protected(&config.admin, open)?,
            None => Listening::bind(config.admin.listen, "the admin API").await?,
        };
        let probes = match config.admin.probes {
            None => None,
            Some(address) => match keep(Name::Probes, probes, address) {
                Some(open) => Some(open),
                None => Some(Listening::bind(address, "probes").await?),
            },
        };
        Ok(Listeners { proxy, door, tls, admin, probes, kept })
    }

    /// Every socket, with its listener's name and the address that it was bound for.
    pub fn all(&self) -> impl Iterator<Item = (Name, Option<SocketAddr>, &TcpListener)> {
        let named = [
            (Name::Proxy, Some(&self.proxy)),
            (Name::Tls, self.tls.as_ref()),
            (Name::Admin, Some(&self.admin)),
            (Name::Probes, self.probes.as_ref()),
        ];
        named
            .into_iter()
            .filter_map(|(name, listening)| Some((name, listening?)))
            .flat_map(|(name, listening)| listening.sockets.iter().map(move |socket| (name, listening.bound_for, socket)))
    }
}

impl Listeners {
    pub fn names_for_webhooks(&self) -> impl Iterator<Item = Name> {
        [Name::Proxy].into_iter().chain(self.tls.as_ref().map(|_| Name::Tls))
    }

    /// The sockets for webhooks, and what the connections to each begin with.
    pub fn for_webhooks(&self) -> Vec<(Door, &[TcpListener])> {
        let tls = self.tls.as_ref().map(|tls| (Door::Tls, tls.sockets.as_slice()));
        [(self.door, self.proxy.sockets.as_slice())].into_iter().chain(tls).collect()
    }
}

impl Open {
    /// Adds a socket to a listener.
    pub fn add(&mut self, name: Name, bound_for: Option<SocketAddr>, socket: TcpListener) {
        let place = match name {
            Name::Proxy => &mut self.proxy,
            Name::Tls => &mut self.tls,
            Name::Admin => &mut self.admin,
            Name::Probes => &mut self.probes,
        };
        place.get_or_insert_with(|| Listening { sockets: Vec::new(), bound_for }).sockets.push(socket);
    }

    /// For each listener these sockets, or the other ones if there are none.
    pub fn or(self, other: Open) -> Open {
        Open {
            proxy: self.proxy.or(other.proxy),
            tls: self.tls.or(other.tls),
            admin: self.admin.or(other.admin),
            probes: self.probes.or(other.probes),
        }
    }
}

impl From<systemd::Open> for Open {
    fn from(open: systemd::Open) -> Open {
        let listening = |socket| Listening { sockets: vec![socket], bound_for: None };
        Open { proxy: open.proxy.map(listening), tls: None, admin: open.admin.map(listening), probes: None }
    }
}

impl Listening {
    fn for_webhooks(address: SocketAddr, workers: usize) -> anyhow::Result<Listening> {
        let sockets = proxy::listen(address, workers).with_context(|| format!("cannot listen on {address}"))?;
        Ok(Listening { sockets, bound_for: Some(address) })
    }

    async fn bind(address: SocketAddr, what: &str) -> anyhow::Result<Listening> {
        let bind = async { tokio::net::TcpListener::bind(address).await?.into_std() };
        let socket = bind.await.with_context(|| format!("cannot listen on {address} for {what}"))?;
        Ok(Listening { sockets: vec![socket], bound_for: Some(address) })
    }

    /// Whether these sockets are those of this address in the config. The real address differs from it if its port is 0.
    fn is_for(&self, wanted: SocketAddr) -> bool {
        self.bound_for.is_none_or(|bound_for| bound_for == wanted) || self.address().is_ok_and(|address| address == wanted)
    }

    /// The real address.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.sockets[0].local_addr()
    }

    /// Another descriptor of the first socket, for the runtime.
    pub fn listener(&self) -> std::io::Result<tokio::net::TcpListener> {
        tokio::net::TcpListener::from_std(self.sockets[0].try_clone()?)
    }
}

/// A socket from elsewhere must be protected like an address in the config, because the API can move customers.
fn protected(admin: &config::Admin, open: Listening) -> anyhow::Result<Listening> {
    let address = open.address()?;
    if admin.is_open_to_others_on(address.ip()) {
        bail!("the admin socket that systemd hands over is open to others: it listens on {address}, and there is no [[admin.token]]");
    }
    Ok(open)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(bound_for: Option<&str>) -> (Listening, SocketAddr) {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        (Listening { sockets: vec![socket], bound_for: bound_for.map(|address| address.parse().unwrap()) }, address)
    }

    #[test]
    fn a_socket_is_kept_for_the_address_that_it_was_bound_for_or_has() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let other: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let (bound, address) = listening(Some("127.0.0.1:0"));
        assert!(bound.is_for(any) && bound.is_for(address) && !bound.is_for(other));
        let (given, _) = listening(None);
        assert!(given.is_for(other), "a supervisor's socket is used whatever the config says");
    }

    #[test]
    fn sockets_of_an_older_serin_go_before_those_of_a_supervisor() {
        let mut passed = Open::default();
        for _ in 0..3 {
            passed.add(Name::Proxy, None, TcpListener::bind("127.0.0.1:0").unwrap());
        }
        let own = Open { proxy: Some(listening(None).0), admin: Some(listening(None).0), ..Open::default() };
        let all = passed.or(own);
        assert_eq!((all.proxy.unwrap().sockets.len(), all.admin.unwrap().sockets.len(), all.probes.is_none()), (3, 1, true));
    }
}
