//! What the fuzz target checks of PROXY headers: any bytes at the front of a connection.

use std::net::{IpAddr, Ipv4Addr};

use super::{Announced, BYTES_MAX, parse};
use crate::proxy::client::Scheme;

/// Not an address that a mutation finds soon.
const OTHERWISE: Announced = Announced { address: IpAddr::V4(Ipv4Addr::new(198, 51, 100, 203)), scheme: Scheme::Http };

/// More bytes than this reach nothing new, and each costs a parse.
const TRIED_MAX: usize = 600;

/// A header is complete at the same byte however it arrives, no part of it is refused, what follows it changes nothing, and a header of
/// version 1 says what its words say.
pub fn proxy_header(data: &[u8]) {
    let data = &data[..data.len().min(BYTES_MAX + TRIED_MAX)];
    let Ok(Some((announced, length))) = parse(data, OTHERWISE) else {
        // More bytes are no remedy for a wrong header.
        if parse(data, OTHERWISE).is_err() {
            assert!(parse(&[data, b"\r\n\0"].concat(), OTHERWISE).is_err());
        }
        return;
    };
    assert!(length > 0 && length <= data.len());
    for cut in 0..length.min(TRIED_MAX) {
        assert_eq!(parse(&data[..cut], OTHERWISE), Ok(None), "{cut} of {length} bytes");
    }
    assert_eq!(parse(&data[..length], OTHERWISE), Ok(Some((announced, length))));
    if let Some(line) = data[..length].strip_prefix(b"PROXY ") {
        assert_eq!(by_words(line), Some(announced));
    }
}

/// A second reader of version 1, of a line that the first one has taken.
fn by_words(line: &[u8]) -> Option<Announced> {
    let line = String::from_utf8_lossy(line.strip_suffix(b"\r\n")?);
    let mut words = line.split(' ');
    match words.next()? {
        "UNKNOWN" => Some(OTHERWISE),
        "TCP4" => Some(Announced { address: IpAddr::V4(words.next()?.parse().ok()?), scheme: Scheme::Http }),
        "TCP6" => Some(Announced { address: IpAddr::V6(words.next()?.parse().ok()?), scheme: Scheme::Http }),
        _ => None,
    }
}
