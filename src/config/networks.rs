//! Sets of IP networks.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;

use super::units::UnitError;

/// IP networks, in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(Vec<IpNet>);

impl Networks {
    pub fn new(networks: Vec<IpNet>) -> Networks {
        Networks(networks)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an address is in one of the networks. An IPv4 address that is written as IPv6 counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// What counts as one source: an IPv4 address, or the /64 network of an IPv6 address, which one client has for itself.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
    }
}

/// Reads `10.0.0.0/8`, or one address.
pub fn network(text: &str) -> Result<IpNet, UnitError> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Ok(address.to_canonical().into());
    }
    let network: IpNet =
        text.parse().map_err(|_| UnitError("write a network such as \"10.0.0.0/8\" or \"fd00::/8\", or one IP address".to_owned()))?;
    match network.trunc() == network {
        true => Ok(network),
        false => Err(UnitError(format!("this is an address inside a network: write \"{}\"", network.trunc()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_in_its_network_in_both_ways_of_writing_it() {
        let networks = Networks::new(["10.0.0.0/8", "fd00::/8", "192.0.2.7", "::1"].map(|text| network(text).unwrap()).to_vec());
        for (address, inside) in [
            ("10.255.0.1", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("::1", true),
        ] {
            assert_eq!(networks.contains(address.parse().unwrap()), inside, "{address}");
        }
        assert!(!Networks::default().contains("127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn what_is_no_network_is_refused_with_what_to_write() {
        for (text, said) in
            [("10.0.0.1/8", "write \"10.0.0.0/8\""), ("proxy.example", "10.0.0.0/8"), ("10.0.0.0/33", "10.0.0.0/8"), ("", "10.0.0.0/8")]
        {
            let UnitError(error) = network(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
