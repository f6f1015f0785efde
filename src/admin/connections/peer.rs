//! The client of a connection, as every request of the connection has it.

use std::net::IpAddr;
use std::sync::Arc;

use super::places::Place;
#[cfg(test)]
use super::places::{Bounds, Places};
use crate::admin::access::Rules;

/// The client of a connection.
#[derive(Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// The local address that the client connected to.
    pub local: IpAddr,
    pub tls: bool,
    /// The name of the client's certificate as the history shows it. The certificate was issued by one of the config's authorities.
    pub certificate: Option<String>,
    /// The access rules that the connection was opened under.
    pub rules: Rules,
    pub place: Arc<Place>,
}

impl Peer {
    #[cfg(test)]
    pub fn of_test(address: IpAddr, local: IpAddr) -> Peer {
        let place = Places::new(Bounds { connections: 1, per_source: 1, reserved: 0 }).take(address).expect("a new listener has places").0;
        Peer { address, local, tls: false, certificate: None, rules: Rules::default(), place: Arc::new(place) }
    }
}
