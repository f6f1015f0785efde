//! The fields that say whom a request is from: `X-Forwarded-*`, `Forwarded` (RFC 7239) and `X-Real-IP`. A proxy of the operator's own
//! is believed: its lists get one more element, and its single values pass. From other clients these fields are dropped, since
//! anybody can write them, and serin states what it knows itself.

use std::net::IpAddr;

use bytes::BytesMut;

use super::client::Origin;
use crate::config::Networks;
use crate::http1::{Fields, Known, write};

const PREFIX: &[u8] = b"x-forwarded-";

/// Whether a field that serin does not know by name belongs to the `X-Forwarded-*` fields.
pub fn is_about_the_client(name: &[u8]) -> bool {
    name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}

/// The client of a trusted proxy's request: the last address in `X-Forwarded-For` that is no trusted proxy's. Each proxy appends the
/// address that it sees, so that what comes before that address is the client's own word.
pub fn client(fields: &Fields, proxy: &Origin, trusted: &Networks) -> IpAddr {
    let said: Vec<&[u8]> = fields.all(Known::XForwardedFor).flat_map(|value| value.split(|b| *b == b',')).collect();
    let mut last = proxy.address;
    for address in said.iter().rev() {
        let Some(address) = std::str::from_utf8(address).ok().and_then(|address| address.trim().parse::<IpAddr>().ok()) else { break };
        last = address.to_canonical();
        if !trusted.contains(last) {
            break;
        }
    }
    last
}

/// Appends the client's address, the scheme and the host. `Forwarded` is written only if the client sent one: bots that read it get
/// a true one, and others get one field less.
pub fn write(fields: &Fields, origin: &Origin, out: &mut BytesMut) {
    let said = |known| if origin.trusted { fields.get(known) } else { None };
    list(fields, Known::XForwardedFor, origin, out);
    out.extend_from_slice(origin.text.as_bytes());
    out.extend_from_slice(write::LINE_END);
    if said(Known::XForwardedProto).is_none() {
        write::field(Known::XForwardedProto.name().as_bytes(), origin.scheme.name().as_bytes(), out);
    }
    let host = fields.get(Known::Host);
    if let (None, Some(host)) = (said(Known::XForwardedHost), host) {
        write::field(Known::XForwardedHost.name().as_bytes(), host, out);
    }
    if fields.has(Known::Forwarded) {
        list(fields, Known::Forwarded, origin, out);
        element(origin, host, out);
        out.extend_from_slice(write::LINE_END);
    }
}

/// Begins the field with the elements that are believed.
fn list(fields: &Fields, known: Known, origin: &Origin, out: &mut BytesMut) {
    write::list(known.name().as_bytes(), fields.all(known).filter(|_| origin.trusted), out);
}

/// One element of `Forwarded`. An IPv6 address is in brackets, and what is no token is quoted (RFC 7239, 4 and 6).
fn element(origin: &Origin, host: Option<&[u8]>, out: &mut BytesMut) {
    out.extend_from_slice(b"for=");
    match origin.address.is_ipv6() {
        true => out.extend_from_slice(format!("\"[{}]\"", origin.text).as_bytes()),
        false => out.extend_from_slice(origin.text.as_bytes()),
    }
    // A valid Host has no quotation mark and no backslash.
    if let Some(host) = host.filter(|host| !host.is_empty()) {
        out.extend_from_slice(b";host=\"");
        out.extend_from_slice(host);
        out.extend_from_slice(b"\"");
    }
    out.extend_from_slice(b";proto=");
    out.extend_from_slice(origin.scheme.name().as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::client::Scheme;
    use std::rc::Rc;

    fn written(lines: &[(&str, &str)], origin: &Origin) -> Vec<String> {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.push(name, value.as_bytes()).unwrap());
        let mut out = BytesMut::new();
        write(&fields, origin, &mut out);
        String::from_utf8(out.to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    const SAID: [(&str, &str); 6] = [
        ("host", "bot.example:8443"),
        ("x-forwarded-for", "1.1.1.1"),
        ("X-Forwarded-For", "2.2.2.2"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "front.example"),
        ("forwarded", "for=1.1.1.1"),
    ];

    #[test]
    fn a_trusted_proxy_is_believed() {
        let proxy = Origin::new([10, 0, 0, 9].into(), Scheme::Http, None);
        assert_eq!(
            written(&SAID, &proxy),
            ["x-forwarded-for: 1.1.1.1, 2.2.2.2, 10.0.0.9", "forwarded: for=1.1.1.1, for=10.0.0.9;host=\"bot.example:8443\";proto=http"],
            "the single values pass with the other fields"
        );
        assert_eq!(written(&[("host", "a")], &proxy), ["x-forwarded-for: 10.0.0.9", "x-forwarded-proto: http", "x-forwarded-host: a"]);
    }

    #[test]
    fn another_client_is_not() {
        let client = Origin::new("2001:db8::7".parse().unwrap(), Scheme::Https, Some(Rc::default()));
        assert_eq!(
            written(&SAID, &client),
            [
                "x-forwarded-for: 2001:db8::7",
                "x-forwarded-proto: https",
                "x-forwarded-host: bot.example:8443",
                "forwarded: for=\"[2001:db8::7]\";host=\"bot.example:8443\";proto=https"
            ]
        );
    }

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_is() {
        let proxy = Origin::new([10, 0, 0, 9].into(), Scheme::Http, None);
        let trusted = Networks::new(vec!["10.0.0.0/8".parse().unwrap()]);
        for (lines, address) in [
            (&[][..], "10.0.0.9"),
            (&["192.0.2.7"][..], "192.0.2.7"),
            (&["198.51.100.1, 192.0.2.7,10.0.0.3 "], "192.0.2.7"),
            (&["198.51.100.1", "192.0.2.7", "10.0.0.3"], "192.0.2.7"),
            (&["192.0.2.7, unknown"], "10.0.0.9"),
            (&["10.0.0.4, 10.0.0.3"], "10.0.0.4"),
            (&["::ffff:192.0.2.7"], "192.0.2.7"),
        ] {
            let mut fields = Fields::default();
            lines.iter().for_each(|value| fields.push("x-forwarded-for", value.trim().as_bytes()).unwrap());
            assert_eq!(client(&fields, &proxy, &trusted), address.parse::<IpAddr>().unwrap(), "{lines:?}");
        }
    }

    #[test]
    fn the_names_are_a_family() {
        for (name, is_one) in [("X-Forwarded-Port", true), ("x-forwarded-", true), ("x-forwarded", false), ("x-forward-for", false)] {
            assert_eq!(is_about_the_client(name.as_bytes()), is_one, "{name}");
        }
    }
}
