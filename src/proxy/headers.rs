//! What of a head passes on: hop-by-hop fields end here (RFC 9110, 7.6.1), `Forwarded`-like ones are added, all else
//! passes as it came.

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
    VIA,
};

use crate::core::Said;

pub const SERIN_ERROR: HeaderName = HeaderName::from_static("serin-error");
pub const SERIN_OUTCOME: HeaderName = HeaderName::from_static("serin-outcome");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const PROXY_AUTHORIZATION: HeaderName = HeaderName::from_static("proxy-authorization");
const VIA_SERIN: HeaderValue = HeaderValue::from_static("1.1 serin");
const HTTP: HeaderValue = HeaderValue::from_static("http");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");

/// What is wrong with a request's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHead {
    NoHost,
    ManyHosts,
    InvalidHost,
    /// A transfer coding other than `chunked`, which serin would have to undo.
    TransferCoding,
    /// An expectation other than `100-continue`.
    Expectation,
}

/// Which of the fields that serin minds a head has. Most heads have few of them, so one pass that looks at each name
/// once is cheaper than asking the map for each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Minded(u16);

const MINDED: [HeaderName; 14] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHORIZATION,
    HOST,
    EXPECT,
    VIA,
    CONTENT_LENGTH,
    X_FORWARDED_FOR,
    X_FORWARDED_HOST,
    X_FORWARDED_PROTO,
];
const HOP_BY_HOP: usize = 7;

impl Minded {
    pub fn of(headers: &HeaderMap) -> Minded {
        let mut minded = Minded(0);
        for name in headers.keys() {
            if let Some(at) = place(name) {
                minded.0 |= 1 << at;
            }
        }
        minded
    }

    /// Does serin mind fields of this name at all?
    pub fn is_minded(name: &HeaderName) -> bool {
        place(name).is_some()
    }

    pub fn has(self, name: &HeaderName) -> bool {
        place(name).is_some_and(|at| self.0 & (1 << at) != 0)
    }

    pub fn has_host(self) -> bool {
        self.has(&HOST)
    }

    fn any_hop_by_hop(self) -> bool {
        self.0 & ((1 << HOP_BY_HOP) - 1) != 0
    }
}

/// Where a name stands in `MINDED`. By its text: the compiler sorts these by length, and few lengths have more than one.
fn place(name: &HeaderName) -> Option<usize> {
    Some(match name.as_str() {
        "connection" => 0,
        "te" => 1,
        "transfer-encoding" => 2,
        "upgrade" => 3,
        "keep-alive" => 4,
        "proxy-connection" => 5,
        "proxy-authorization" => 6,
        "host" => 7,
        "expect" => 8,
        "via" => 9,
        "content-length" => 10,
        "x-forwarded-for" => 11,
        "x-forwarded-host" => 12,
        "x-forwarded-proto" => 13,
        _ => return None,
    })
}

/// Refuses what two parsers could read in two ways, or what serin cannot pass on unchanged.
pub fn check(version: http::Version, minded: Minded, headers: &HeaderMap) -> Result<(), BadHead> {
    if minded.has(&HOST) {
        let mut hosts = headers.get_all(HOST).iter();
        match (hosts.next(), hosts.next()) {
            (Some(_), Some(_)) => return Err(BadHead::ManyHosts),
            (Some(host), None) if !is_authority(host.as_bytes()) => return Err(BadHead::InvalidHost),
            (Some(_) | None, _) => {}
        }
    } else if version >= http::Version::HTTP_11 {
        return Err(BadHead::NoHost);
    }
    if minded.has(&TRANSFER_ENCODING) && !only_chunked(headers) {
        return Err(BadHead::TransferCoding);
    }
    let known = |expect: &HeaderValue| expect.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if minded.has(&EXPECT) && !headers.get(EXPECT).is_some_and(known) {
        return Err(BadHead::Expectation);
    }
    Ok(())
}

/// `Transfer-Encoding` is exactly `chunked`, once.
fn only_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Is the answer framed in a way that can be passed on? A coding that was not asked for cannot be undone here, and two
/// lengths that disagree are two readings of where it ends (RFC 9112, 6.3).
pub fn settle_framing(minded: Minded, headers: &mut HeaderMap) -> bool {
    (!minded.has(&TRANSFER_ENCODING) || only_chunked(headers)) && (!minded.has(&CONTENT_LENGTH) || settle_length(headers))
}

/// Leaves an answer at most one plain `Content-Length`, which is what its body was read by: none beside chunks, one
/// where the same stood twice. False where two lengths disagree (RFC 9112, 6.3).
fn settle_length(headers: &mut HeaderMap) -> bool {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(first) = lengths.next() else { return true };
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        return true;
    }
    if lengths.next().is_none() && first.as_bytes().iter().all(u8::is_ascii_digit) {
        return true;
    }
    let plain = first.as_bytes().split(|b| *b == b',').next().unwrap_or_default().trim_ascii().to_vec();
    let agree = !plain.is_empty()
        && plain.iter().all(u8::is_ascii_digit)
        && headers.get_all(CONTENT_LENGTH).iter().all(|value| value.as_bytes().split(|b| *b == b',').all(|one| one.trim_ascii() == plain));
    if agree {
        headers.insert(CONTENT_LENGTH, HeaderValue::from_bytes(&plain).expect("digits are a header value"));
    }
    agree
}

/// `host[:port]` as RFC 3986 spells it; empty is allowed (RFC 9112, 3.2).
fn is_authority(host: &[u8]) -> bool {
    let (name, port) = match host.iter().rposition(|b| *b == b':') {
        Some(at) if !host.ends_with(b"]") => (&host[..at], &host[at + 1..]),
        Some(_) | None => (host, &b""[..]),
    };
    if !port.iter().all(u8::is_ascii_digit) {
        return false;
    }
    match name.strip_prefix(b"[").map(|rest| rest.strip_suffix(b"]")) {
        Some(Some(ip)) => !ip.is_empty() && ip.iter().all(|b| b.is_ascii_hexdigit() || b":.".contains(b)),
        Some(None) => false,
        None => name.iter().all(|b| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(b)),
    }
}

/// Takes out the fields that are about the connection, and those that `Connection` names. `TE: trailers` may stay: it
/// is made anew for the next hop.
pub fn strip_hop_by_hop(minded: Minded, headers: &mut HeaderMap) {
    if !minded.any_hop_by_hop() {
        return;
    }
    let trailers = minded.has(&TE) && headers.get_all(TE).iter().any(|te| lists(te, b"trailers"));
    if minded.has(&CONNECTION) {
        strip_nominated(headers);
    }
    for name in MINDED[..HOP_BY_HOP].iter().filter(|name| minded.has(name)) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, TRAILERS);
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

fn strip_nominated(headers: &mut HeaderMap) {
    let says_nothing_more = |value: &HeaderValue| {
        let value = value.as_bytes();
        value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close")
    };
    if headers.get_all(CONNECTION).iter().all(says_nothing_more) {
        return;
    }
    let options = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let named: Vec<HeaderName> = options.filter_map(nominated).collect();
    for name in named {
        headers.remove(name);
    }
}

/// A field that `Connection` may take away. Those that frame or address the message, or say whom it came from, are not
/// its to name.
fn nominated(option: &[u8]) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(option.trim_ascii()).ok()?;
    let protected = [TE, CONTENT_TYPE, TRAILER];
    (!protected.contains(&name) && !MINDED[HOP_BY_HOP..].contains(&name)).then_some(name)
}

fn lists(value: &HeaderValue, wanted: &[u8]) -> bool {
    value
        .as_bytes()
        .split(|b| *b == b',')
        .any(|item| item.split(|b| *b == b';').next().unwrap_or(item).trim_ascii().eq_ignore_ascii_case(wanted))
}

/// Says who asked, of whom, and how. A proxy in front may have said so already: its list grows, its word stands.
pub fn add_forwarded(minded: Minded, headers: &mut HeaderMap, peer: &HeaderValue) {
    append_to_list(minded, headers, X_FORWARDED_FOR, peer);
    if !minded.has(&X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HTTP);
    }
    if !minded.has(&X_FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    append_to_list(minded, headers, VIA, &VIA_SERIN);
}

fn append_to_list(minded: Minded, headers: &mut HeaderMap, name: HeaderName, last: &HeaderValue) {
    if !minded.has(&name) {
        headers.insert(name, last.clone());
        return;
    }
    let mut list: Vec<u8> = headers.get_all(&name).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b", "[..]);
    list.extend_from_slice(b", ");
    list.extend_from_slice(last.as_bytes());
    headers.insert(name, HeaderValue::from_bytes(&list).expect("header values joined by a comma are a header value"));
}

/// The bot's own word on its answer, taken out of it.
pub fn take_outcome(headers: &mut HeaderMap) -> Option<Said> {
    let value = headers.remove(&SERIN_OUTCOME)?;
    match value.as_bytes().trim_ascii() {
        b"ok" => Some(Said::Ok),
        b"error" => Some(Said::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn each_minded_name_is_where_its_bit_is() {
        for (at, name) in MINDED.iter().enumerate() {
            assert_eq!(place(name), Some(at), "{name}");
        }
    }

    #[test]
    fn hop_by_hop_fields_end_here() {
        let mut headers = map(&[
            ("connection", "close, X-Mine , host, content-length, x-forwarded-for"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-mine", "1"),
            ("x-forwarded-for", "1.1.1.1"),
            ("host", "a"),
            ("content-length", "0"),
            ("x-other", "2"),
        ]);
        strip_hop_by_hop(Minded::of(&headers), &mut headers);
        assert_eq!(names(&headers), ["content-length", "host", "x-forwarded-for", "x-other"]);
    }

    #[test]
    fn te_trailers_is_said_again_to_the_next_hop() {
        let mut headers = map(&[("te", "gzip, trailers;q=0.5"), ("trailer", "x-sum")]);
        strip_hop_by_hop(Minded::of(&headers), &mut headers);
        assert_eq!(names(&headers), ["connection", "te", "trailer"]);
        assert_eq!(headers[TE], "trailers");
    }

    #[test]
    fn who_asked_is_appended_to_what_stands_there() {
        let peer = HeaderValue::from_static("10.0.0.9");
        let mut headers =
            map(&[("host", "bot.example"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("x-forwarded-proto", "https")]);
        headers.append("x-forwarded-for", HeaderValue::from_static("3.3.3.3"));
        add_forwarded(Minded::of(&headers), &mut headers, &peer);
        assert_eq!(headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>().len(), 1);
        assert!(headers["x-forwarded-for"].as_bytes().ends_with(b", 3.3.3.3, 10.0.0.9"));
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "bot.example");
        assert_eq!(headers["via"], "1.1 serin");
    }

    #[test]
    fn what_two_parsers_could_read_in_two_ways_is_refused() {
        let check = |version, headers: &HeaderMap| check(version, Minded::of(headers), headers);
        let v11 = http::Version::HTTP_11;
        assert_eq!(check(v11, &map(&[])), Err(BadHead::NoHost));
        assert_eq!(check(http::Version::HTTP_10, &map(&[])), Ok(()));
        let mut two = map(&[("host", "a")]);
        two.append(HOST, HeaderValue::from_static("b"));
        assert_eq!(check(v11, &two), Err(BadHead::ManyHosts));
        for (host, ok) in [
            ("a", true),
            ("", true),
            ("a:80", true),
            ("[::1]:80", true),
            ("[::1]", true),
            ("a b", false),
            ("a/b", false),
            ("a:x", false),
            ("a@b", false),
            ("[::1", false),
            ("1.2.3.4:", true),
        ] {
            assert_eq!(check(v11, &map(&[("host", host)])).is_ok(), ok, "{host}");
        }
        assert_eq!(check(v11, &map(&[("host", "a"), ("transfer-encoding", "gzip, chunked")])), Err(BadHead::TransferCoding));
        assert_eq!(check(v11, &map(&[("host", "a"), ("transfer-encoding", "Chunked")])), Ok(()));
        assert_eq!(check(v11, &map(&[("host", "a"), ("expect", "bread")])), Err(BadHead::Expectation));
    }

    #[test]
    fn an_answer_has_one_plain_length_or_none() {
        let settled = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, HeaderValue::from_static(value));
            }
            let ok = settle_length(&mut headers);
            (ok, headers.get_all(CONTENT_LENGTH).iter().map(|v| v.to_str().unwrap().to_owned()).collect::<Vec<_>>())
        };
        let one = |length: &str| (true, vec![length.to_owned()]);
        assert_eq!(settled(&[("content-length", "2")]), one("2"));
        assert_eq!(settled(&[("content-length", "2, 2")]), one("2"));
        assert_eq!(settled(&[("content-length", "2"), ("content-length", "2")]), one("2"));
        assert_eq!(settled(&[("content-length", "7"), ("transfer-encoding", "chunked")]), (true, vec![]));
        assert!(!settled(&[("content-length", "2, 3")]).0);
        assert!(!settled(&[("content-length", "2"), ("content-length", "3")]).0);
    }

    #[test]
    fn the_bots_word_is_taken_out() {
        for (value, said) in [("ok", Some(Said::Ok)), ("error", Some(Said::Error)), ("maybe", None)] {
            let mut headers = map(&[("serin-outcome", value)]);
            assert_eq!(take_outcome(&mut headers), said);
            assert!(headers.is_empty());
        }
    }
}
