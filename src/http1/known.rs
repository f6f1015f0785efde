//! The fields that serin uses. A head's names are compared with these once, when it is read; after that a known field is a number.

/// A field that serin uses. The first ones are about the connection and end at each hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Known {
    Connection,
    Te,
    TransferEncoding,
    Upgrade,
    KeepAlive,
    ProxyConnection,
    ProxyAuthorization,
    Host,
    Expect,
    Via,
    ContentLength,
    XForwardedFor,
    XForwardedHost,
    XForwardedProto,
    XRealIp,
    Forwarded,
    ContentType,
    Trailer,
    Date,
    MaxForwards,
    SerinOutcome,
    Traceparent,
    Tracestate,
}

impl Known {
    #[rustfmt::skip]
    pub const ALL: [Known; 23] = [
        Known::Connection, Known::Te, Known::TransferEncoding, Known::Upgrade, Known::KeepAlive, Known::ProxyConnection,
        Known::ProxyAuthorization, Known::Host, Known::Expect, Known::Via, Known::ContentLength, Known::XForwardedFor,
        Known::XForwardedHost, Known::XForwardedProto, Known::XRealIp, Known::Forwarded, Known::ContentType, Known::Trailer, Known::Date, Known::MaxForwards,
        Known::SerinOutcome, Known::Traceparent, Known::Tracestate,
    ];

    /// In lower case.
    pub fn name(self) -> &'static str {
        match self {
            Known::Connection => "connection",
            Known::Te => "te",
            Known::TransferEncoding => "transfer-encoding",
            Known::Upgrade => "upgrade",
            Known::KeepAlive => "keep-alive",
            Known::ProxyConnection => "proxy-connection",
            Known::ProxyAuthorization => "proxy-authorization",
            Known::Host => "host",
            Known::Expect => "expect",
            Known::Via => "via",
            Known::ContentLength => "content-length",
            Known::XForwardedFor => "x-forwarded-for",
            Known::XForwardedHost => "x-forwarded-host",
            Known::XForwardedProto => "x-forwarded-proto",
            Known::XRealIp => "x-real-ip",
            Known::Forwarded => "forwarded",
            Known::ContentType => "content-type",
            Known::Trailer => "trailer",
            Known::Date => "date",
            Known::MaxForwards => "max-forwards",
            Known::SerinOutcome => "serin-outcome",
            Known::Traceparent => "traceparent",
            Known::Tracestate => "tracestate",
        }
    }

    /// Whether the field is about the connection, so that it ends at each hop (RFC 9110, 7.6.1).
    pub fn is_hop_by_hop(self) -> bool {
        (self as u8) < Known::Host as u8
    }

    /// The field of this name, in any case.
    pub fn of(name: &[u8]) -> Option<Known> {
        // Length and first letter leave at most one name to compare with.
        let known = match (name.len(), name.first()? | 0x20) {
            (2, b't') => Known::Te,
            (3, b'v') => Known::Via,
            (4, b'h') => Known::Host,
            (4, b'd') => Known::Date,
            (6, b'e') => Known::Expect,
            (7, b'u') => Known::Upgrade,
            (7, b't') => Known::Trailer,
            (9, b'f') => Known::Forwarded,
            (9, b'x') => Known::XRealIp,
            (10, b'c') => Known::Connection,
            (10, b't') => Known::Tracestate,
            (11, b't') => Known::Traceparent,
            (10, b'k') => Known::KeepAlive,
            (12, b'c') => Known::ContentType,
            (12, b'm') => Known::MaxForwards,
            (13, b's') => Known::SerinOutcome,
            (14, b'c') => Known::ContentLength,
            (15, b'x') => Known::XForwardedFor,
            (16, b'x') => Known::XForwardedHost,
            (16, b'p') => Known::ProxyConnection,
            (17, b't') => Known::TransferEncoding,
            (17, b'x') => Known::XForwardedProto,
            (19, b'p') => Known::ProxyAuthorization,
            _ => return None,
        };
        is_in_lower_case(name, known.name().as_bytes()).then_some(known)
    }
}

/// Whether the first name, in lower case, equals the second, which has the same length. It does not stop early, so that many bytes
/// are compared at once. The bit makes letters lower case; it also changes control characters, which no name has.
fn is_in_lower_case(name: &[u8], known: &[u8]) -> bool {
    name.iter().zip(known).fold(0, |differs, (byte, known)| differs | ((byte | 0x20) ^ known)) == 0
}

/// A set of known fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Set(u32);

impl Set {
    pub(super) fn add(&mut self, known: Known) {
        self.0 |= 1 << known as u8;
    }

    pub(super) fn remove(&mut self, known: Known) {
        self.0 &= !(1 << known as u8);
    }

    pub(super) fn has(self, known: Known) -> bool {
        self.0 & (1 << known as u8) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_name_in_any_case() {
        for known in Known::ALL {
            assert_eq!(Known::of(known.name().as_bytes()), Some(known));
            assert_eq!(Known::of(known.name().to_uppercase().as_bytes()), Some(known));
        }
        assert_eq!((Known::of(b"hos"), Known::of(b"hosts"), Known::of(b"hast"), Known::of(b"")), (None, None, None, None));
    }

    #[test]
    fn those_of_the_connection_come_first() {
        let (hop_by_hop, others): (Vec<Known>, Vec<Known>) = Known::ALL.iter().partition(|known| known.is_hop_by_hop());
        assert_eq!((hop_by_hop.len(), others[0]), (7, Known::Host));
    }

    #[test]
    fn a_set_has_what_was_added_and_not_removed() {
        for known in Known::ALL {
            let mut set = Set::default();
            set.add(known);
            assert_eq!(Known::ALL.into_iter().filter(|other| set.has(*other)).collect::<Vec<_>>(), [known]);
            set.remove(known);
            assert_eq!(set, Set::default());
        }
    }
}
