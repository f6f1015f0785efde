//! What of a head passes on: hop-by-hop fields end here (RFC 9110, 7.6.1), `Forwarded`-like ones are added, all else
//! passes as it came.

use http::header::{CONNECTION, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE, VIA};

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

/// What serin must know of a request's head before it goes on.
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

/// Refuses what two parsers could read in two ways, or what serin cannot pass on unchanged.
pub fn check(version: http::Version, headers: &HeaderMap) -> Result<(), BadHead> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version >= http::Version::HTTP_11 => return Err(BadHead::NoHost),
        (None, _) => {}
        (Some(_), Some(_)) => return Err(BadHead::ManyHosts),
        (Some(host), None) if !is_authority(host.as_bytes()) => return Err(BadHead::InvalidHost),
        (Some(_), None) => {}
    }
    only_chunked(headers).then_some(()).ok_or(BadHead::TransferCoding)?;
    match headers.get(EXPECT) {
        Some(expect) if !expect.as_bytes().eq_ignore_ascii_case(b"100-continue") => Err(BadHead::Expectation),
        Some(_) | None => Ok(()),
    }
}

/// `Transfer-Encoding` is absent or exactly `chunked`, once.
pub fn only_chunked(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
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
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let mut found = [false; HOPS];
    let mut any = false;
    // One pass that only looks: most messages have none of them, or only `Connection`.
    for name in headers.keys() {
        if let Some(at) = HOP_BY_HOP.iter().position(|hop| hop == name) {
            found[at] = true;
            any = true;
        }
    }
    if !any {
        return;
    }
    let trailers = found[AT_TE] && headers.get_all(TE).iter().any(|te| lists(te, b"trailers"));
    if found[AT_CONNECTION] {
        let named: Vec<HeaderName> =
            headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b',')).filter_map(nominated).collect();
        for name in named {
            headers.remove(name);
        }
    }
    for (name, _) in HOP_BY_HOP.iter().zip(found).filter(|(_, found)| *found) {
        headers.remove(name);
    }
    if trailers {
        headers.insert(TE, TRAILERS);
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

const HOPS: usize = 7;
const HOP_BY_HOP: [HeaderName; HOPS] = [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE, KEEP_ALIVE, PROXY_CONNECTION, PROXY_AUTHORIZATION];
const AT_CONNECTION: usize = 0;
const AT_TE: usize = 1;

/// A field that `Connection` may take away. Those that frame or address the message are not its to name.
fn nominated(option: &[u8]) -> Option<HeaderName> {
    let name = HeaderName::from_bytes(option.trim_ascii()).ok()?;
    let protected = [HOST, http::header::CONTENT_LENGTH, http::header::CONTENT_TYPE, TE, http::header::TRAILER];
    (!protected.contains(&name)).then_some(name)
}

fn lists(value: &HeaderValue, wanted: &[u8]) -> bool {
    value
        .as_bytes()
        .split(|b| *b == b',')
        .any(|item| item.split(|b| *b == b';').next().unwrap_or(item).trim_ascii().eq_ignore_ascii_case(wanted))
}

/// Says who asked, of whom, and how. A proxy in front may have said so already: its list grows, its word stands.
pub fn add_forwarded(headers: &mut HeaderMap, peer: &HeaderValue) {
    append_to_list(headers, X_FORWARDED_FOR, peer);
    if !headers.contains_key(&X_FORWARDED_PROTO) {
        headers.insert(X_FORWARDED_PROTO, HTTP);
    }
    if !headers.contains_key(&X_FORWARDED_HOST)
        && let Some(host) = headers.get(HOST).cloned()
    {
        headers.insert(X_FORWARDED_HOST, host);
    }
    append_to_list(headers, VIA, &VIA_SERIN);
}

fn append_to_list(headers: &mut HeaderMap, name: HeaderName, last: &HeaderValue) {
    if !headers.contains_key(&name) {
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
    fn hop_by_hop_fields_end_here() {
        let mut headers = map(&[
            ("connection", "close, X-Mine , host, content-length"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-mine", "1"),
            ("host", "a"),
            ("content-length", "0"),
            ("x-other", "2"),
        ]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["content-length", "host", "x-other"]);
    }

    #[test]
    fn te_trailers_is_said_again_to_the_next_hop() {
        let mut headers = map(&[("te", "gzip, trailers;q=0.5"), ("trailer", "x-sum")]);
        strip_hop_by_hop(&mut headers);
        assert_eq!(names(&headers), ["connection", "te", "trailer"]);
        assert_eq!(headers[TE], "trailers");
    }

    #[test]
    fn who_asked_is_appended_to_what_stands_there() {
        let peer = HeaderValue::from_static("10.0.0.9");
        let mut headers =
            map(&[("host", "bot.example"), ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "2.2.2.2"), ("x-forwarded-proto", "https")]);
        headers.append("x-forwarded-for", HeaderValue::from_static("3.3.3.3"));
        add_forwarded(&mut headers, &peer);
        assert_eq!(headers.get_all("x-forwarded-for").iter().collect::<Vec<_>>().len(), 1);
        assert!(headers["x-forwarded-for"].as_bytes().ends_with(b", 3.3.3.3, 10.0.0.9"));
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(headers["x-forwarded-host"], "bot.example");
        assert_eq!(headers["via"], "1.1 serin");
    }

    #[test]
    fn what_two_parsers_could_read_in_two_ways_is_refused() {
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
    fn the_bots_word_is_taken_out() {
        for (value, said) in [("ok", Some(Said::Ok)), ("error", Some(Said::Error)), ("maybe", None)] {
            let mut headers = map(&[("serin-outcome", value)]);
            assert_eq!(take_outcome(&mut headers), said);
            assert!(headers.is_empty());
        }
    }
}
