//! The PROXY header, versions 1 and 2, that a proxy in front of serin sends before the client's own bytes.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use std::net::IpAddr;

use proxy_header::{Error, ParseConfig, Protocol, ProxyHeader};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::meters::Closed;
use crate::proxy::client::Scheme;

/// The most bytes of a header. An address and all registered additions take some hundred.
const BYTES_MAX: usize = 4 * 1024;

/// The most bytes of a header of version 1, with its line end, by the protocol's text.
const LINE_BYTES_MAX: usize = 107;

/// What is known of a connection's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Announced {
    pub address: IpAddr,
    pub scheme: Scheme,
}

/// Reads the header, and no byte behind it. `otherwise` is returned for a header that names no client: the proxy itself asks.
pub async fn read(stream: &mut TcpStream, otherwise: Announced) -> Result<Announced, Closed> {
    let mut header = Vec::new();
    let mut ahead = [0; 512];
    loop {
        let arrived = stream.peek(&mut ahead).await.map_err(|_| Closed::ProxyHeader)?;
        if arrived == 0 {
            return Err(Closed::ProxyHeader);
        }
        let before = header.len();
        header.extend_from_slice(&ahead[..arrived]);
        let parsed = parse(&header, otherwise)?;
        // All of an incomplete header belongs to it.
        let ours = parsed.map_or(arrived, |(_, length)| length - before);
        // Does not wait: these bytes have arrived.
        stream.read_exact(&mut ahead[..ours]).await.map_err(|_| Closed::ProxyHeader)?;
        if let Some((announced, _)) = parsed {
            return Ok(announced);
        }
    }
}

/// What a header says, and its length; `None` while it is not complete.
fn parse(bytes: &[u8], otherwise: Announced) -> Result<Option<(Announced, usize)>, Closed> {
    // The library takes any byte for the space after the first word, and needs none after `UNKNOWN`.
    let goes_on = |word: &[u8], with: &[u8]| bytes.strip_prefix(word).and_then(<[u8]>::first).is_some_and(|byte| !with.contains(byte));
    if goes_on(b"PROXY", b" ") || goes_on(b"PROXY UNKNOWN", b" \r") {
        return Err(Closed::ProxyHeader);
    }
    // The library ends a line at CR and LF, and takes an LF alone for a part of it. Another reader would end the line there.
    if is_line(bytes) && memchr::memchr(b'\n', bytes).is_some_and(|at| bytes[at - 1] != b'\r') {
        return Err(Closed::ProxyHeader);
    }
    let (header, length) = match ProxyHeader::parse(bytes, ParseConfig::default()) {
        Ok(parsed) => parsed,
        // The library also asks for more behind the end of a line that is wrong.
        Err(Error::BufferTooShort) if bytes.len() < BYTES_MAX && !is_whole_line(bytes) => return Ok(None),
        Err(_) => return Err(Closed::ProxyHeader),
    };
    // The library waits for no longer line, but takes one that has arrived.
    if is_line(bytes) && length > LINE_BYTES_MAX {
        return Err(Closed::ProxyHeader);
    }
    let announced = match header.proxied_address() {
        None => otherwise,
        Some(proxied) if proxied.protocol == Protocol::Stream => {
            let encrypted = header.ssl().is_some_and(|ssl| ssl.client_ssl());
            Announced { address: proxied.source.ip(), scheme: if encrypted { Scheme::Https } else { Scheme::Http } }
        }
        Some(_) => return Err(Closed::ProxyHeader),
    };
    Ok(Some((announced, length)))
}

/// Whether the bytes are a header of version 1, which is a line. Version 2 begins with an empty line.
fn is_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"P")
}

fn is_whole_line(bytes: &[u8]) -> bool {
    is_line(bytes) && bytes.contains(&b'\n')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proxy_header::{ProxiedAddress, SslInfo, Tlv};

    use super::*;

    const OTHERWISE: Announced = Announced { address: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), scheme: Scheme::Http };

    fn read(bytes: &[u8]) -> Result<Option<(Announced, usize)>, Closed> {
        parse(bytes, OTHERWISE)
    }

    fn from(address: &str, scheme: Scheme) -> Announced {
        Announced { address: address.parse().unwrap(), scheme }
    }

    fn version_2(change: impl FnOnce(&mut ProxyHeader<'_>)) -> Vec<u8> {
        let address = ProxiedAddress::stream("192.0.2.7:5000".parse().unwrap(), "10.0.0.1:443".parse().unwrap());
        let mut header = ProxyHeader::with_address(address);
        change(&mut header);
        let mut bytes = vec![0; 1024];
        let length = header.encode_to_slice_v2(&mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    #[test]
    fn both_versions_name_the_client() {
        let first = b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n";
        assert_eq!(read(&[&first[..], b"GET /"].concat()), Ok(Some((from("192.0.2.7", Scheme::Http), first.len()))));
        let sixth = b"PROXY TCP6 2001:db8::7 ::1 5000 443\r\n";
        assert_eq!(read(sixth), Ok(Some((from("2001:db8::7", Scheme::Http), sixth.len()))));
        let second = version_2(|_| {});
        assert_eq!(read(&second), Ok(Some((from("192.0.2.7", Scheme::Http), second.len()))));
        let encrypted = version_2(|header| header.append_tlv(Tlv::Ssl(SslInfo::new(true, false, false, 0))));
        assert_eq!(read(&encrypted), Ok(Some((from("192.0.2.7", Scheme::Https), encrypted.len()))));
    }

    #[test]
    fn a_header_without_a_client_is_from_the_proxy_itself() {
        assert_eq!(read(b"PROXY UNKNOWN\r\n"), Ok(Some((OTHERWISE, 15))));
        let local = [&b"\r\n\r\n\0\r\nQUIT\n"[..], b"\x20\0\0\0"].concat();
        assert_eq!(read(&local), Ok(Some((OTHERWISE, 16))));
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let datagram = [&b"\r\n\r\n\0\r\nQUIT\n"[..], b"\x21\x12\0\x0c", &[1; 12]].concat();
        let version_3 = [&b"\r\n\r\n\0\r\nQUIT\n"[..], b"\x31\x11\0\x0c", &[1; 12]].concat();
        for bytes in [
            &b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..],
            b"PROXYTTCP4 192.0.2.7 10.0.0.1 5000 443\r\n",
            b"PROXY TCP5 192.0.2.7 10.0.0.1 5000 443\r\n",
            b"PROXY TCP4 192.0.2.777 10.0.0.1 5000 443\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 65536\r\n",
            b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\n\n",
            b"PROXY TCP4 nobody\r\n",
            b"PROXY UNKNOWN f\n\r\n",
            b"PROXY UNKNOWNTCP4 192.0.2.7 10.0.0.1 5000 443\r\n",
            &datagram,
            &version_3,
        ] {
            assert_eq!(read(bytes), Err(Closed::ProxyHeader), "{:?}", String::from_utf8_lossy(bytes));
        }
        let endless = [&b"PROXY TCP4 "[..], &[b'1'; 200]].concat();
        assert_eq!(read(&endless), Err(Closed::ProxyHeader));
        let line = |length: usize| [b"PROXY UNKNOWN ", &vec![b'x'; length - 16][..], b"\r\n"].concat();
        assert_eq!(read(&line(LINE_BYTES_MAX)), Ok(Some((OTHERWISE, LINE_BYTES_MAX))));
        assert_eq!(read(&line(LINE_BYTES_MAX + 1)), Err(Closed::ProxyHeader));
        let long = [&b"\r\n\r\n\0\r\nQUIT\n"[..], b"\x21\x11\xff\xff", &[1; BYTES_MAX]].concat();
        assert_eq!(read(&long), Err(Closed::ProxyHeader));
    }

    proptest! {
        /// A header is complete at the same byte however it arrives, and arbitrary bytes are no panic.
        #[test]
        fn a_part_of_a_header_is_not_one(cut in 0_usize..60, noise in prop::collection::vec(any::<u8>(), 0..60)) {
            for whole in [b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n".to_vec(), version_2(|_| {})] {
                let cut = cut.min(whole.len());
                let expected = (cut == whole.len()).then(|| (from("192.0.2.7", Scheme::Http), cut));
                prop_assert_eq!(read(&whole[..cut]), Ok(expected));
            }
            let _ = read(&noise);
            let _ = read(&[&b"\r\n\r\n\0\r\nQUIT\n"[..], &noise].concat());
            let _ = read(&[&b"PROXY TCP6 "[..], &noise].concat());
        }
    }
}
