//! Decides which fields of a head pass on: hop-by-hop fields do not (RFC 9110, 7.6.1), fields like `Forwarded` are added, and all
//! others pass unchanged. A head is written to the next hop in one pass over the fields that were read.

use bytes::BytesMut;

use super::client::Origin;
use super::forwarded;
use crate::config::Underscores;
use crate::core::Said;
use crate::http1::{Field, Fields, Known, Trace, Version, write};

const VIA_SERIN: &[u8] = b"1.1 serin";

/// Why a request's head is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadHead {
    /// There is no Host, several, or an invalid one.
    Host,
    /// An expectation other than `100-continue`.
    Expectation,
    /// A name with an underscore.
    Underscore,
}

/// Refuses a head that two parsers could read in two ways, or that serin cannot pass on unchanged.
pub fn check(version: Version, fields: &Fields) -> Result<(), BadHead> {
    let mut hosts = fields.all(Known::Host);
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::Http10 => {}
        (Some(host), None) if is_authority(host) => {}
        (None | Some(_), _) => return Err(BadHead::Host),
    }
    if fields.has(Known::Expect) && !expects_continue(fields) {
        return Err(BadHead::Expectation);
    }
    Ok(())
}

/// Called for a head in which a name has an underscore.
pub fn on_underscores(fields: &mut Fields, underscores: Underscores) -> Result<(), BadHead> {
    match underscores {
        Underscores::Refuse => return Err(BadHead::Underscore),
        Underscores::Drop => fields.remove_underscores(),
        Underscores::Pass => {}
    }
    Ok(())
}

/// Returns `true` if the client waits for `100 Continue` before it sends its body.
pub fn expects_continue(fields: &Fields) -> bool {
    fields.get(Known::Expect).is_some_and(|expectation| expectation.eq_ignore_ascii_case(b"100-continue"))
}

/// Checks for `host[:port]` as in RFC 3986. Empty is allowed (RFC 9112, 3.2).
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

/// Appends a request's fields for the upstream, without those that frame its body. `host` replaces the client's Host, if it is set;
/// `trace` decides whether the client's own trace passes on.
pub fn write_request(fields: &Fields, origin: &Origin, host: Option<&[u8]>, trace: Trace, out: &mut BytesMut) {
    let nominated = nominated(fields);
    for field in fields.iter() {
        let passes = match field.known {
            // Written below, or with the body's framing.
            Some(Known::ContentLength | Known::XForwardedFor | Known::Forwarded | Known::Via) => false,
            Some(Known::XForwardedHost | Known::XForwardedProto | Known::XRealIp) => origin.trusted,
            Some(Known::Host) => host.is_none(),
            Some(Known::Traceparent | Known::Tracestate) => matches!(trace, Trace::Passes(_)),
            Some(known) if known.is_hop_by_hop() => false,
            None if !origin.trusted && forwarded::is_about_the_client(field.name) => false,
            Some(_) | None => nominated.is_empty() || !names(&nominated, field.name),
        };
        if passes {
            field.write(out);
        }
    }
    if let Some(host) = host {
        write::field(b"host", host, out);
    }
    if let Trace::Begins(begun) = trace {
        write::field(Known::Traceparent.name().as_bytes(), &begun.text(), out);
    }
    forwarded::write(fields, origin, out);
    write_via(fields, out);
    if fields.lists(Known::Te, b"trailers") {
        write_te(out);
    }
}

/// Appends the proxies that the request came through, then serin.
fn write_via(fields: &Fields, out: &mut BytesMut) {
    write::list(Known::Via.name().as_bytes(), fields.all(Known::Via), out);
    out.extend_from_slice(VIA_SERIN);
    out.extend_from_slice(write::LINE_END);
}

/// Repeats `TE: trailers` for the next hop.
fn write_te(out: &mut BytesMut) {
    write::field(b"te", b"trailers", out);
    write::field(b"connection", b"te", out);
}

/// Asks the next hop to change to this protocol, or tells it that serin does.
pub fn write_upgrade(protocol: &[u8], out: &mut BytesMut) {
    write::field(b"connection", b"upgrade", out);
    write::field(b"upgrade", protocol, out);
}

/// An answer's fields for the client, without those that frame its body. `Trailer` passes with a body in pieces only.
pub fn of_answer(fields: &Fields, in_pieces: bool) -> impl Iterator<Item = Field<'_>> {
    let nominated = nominated(fields);
    fields.iter().filter(move |field| match field.known {
        Some(Known::ContentLength | Known::SerinOutcome) => false,
        Some(Known::Trailer) => in_pieces,
        Some(known) if known.is_hop_by_hop() => false,
        Some(_) | None => nominated.is_empty() || !names(&nominated, field.name),
    })
}

pub fn write_answer(fields: &Fields, in_pieces: bool, out: &mut BytesMut) {
    of_answer(fields, in_pieces).for_each(|field| field.write(out));
}

/// The fields that `Connection` names, which must not pass on. Fields that frame or address the message, or name its sender, are
/// protected: `Connection` cannot remove them.
fn nominated(fields: &Fields) -> Vec<&[u8]> {
    let says_nothing_more = |value: &[u8]| value.eq_ignore_ascii_case(b"keep-alive") || value.eq_ignore_ascii_case(b"close");
    if fields.all(Known::Connection).all(says_nothing_more) {
        return Vec::new();
    }
    let options = fields.all(Known::Connection).flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    options.filter(|name| !name.is_empty() && !is_protected(name)).collect()
}

fn is_protected(name: &[u8]) -> bool {
    match Known::of(name) {
        Some(Known::Date | Known::MaxForwards | Known::SerinOutcome) | None => false,
        Some(_) => true,
    }
}

fn names(nominated: &[&[u8]], name: &[u8]) -> bool {
    nominated.iter().any(|nominated| nominated.eq_ignore_ascii_case(name))
}

/// Fields that must not come in trailers, besides those in `Known`: a reader that merges trailers into the head would obey them.
const NO_TRAILERS: [&[u8]; 5] = [b"authorization", b"cache-control", b"content-encoding", b"content-range", b"set-cookie"];

/// The trailers that may pass on: not those that frame or address a message, name its sender or say how to read it (RFC 9110, 6.5.1).
pub fn of_trailers(trailers: &Fields) -> impl Iterator<Item = Field<'_>> {
    trailers.iter().filter(|field| matches!(field.known, None | Some(Known::Date)) && !names(&NO_TRAILERS, field.name))
}

pub fn write_trailers(trailers: &Fields, out: &mut BytesMut) {
    of_trailers(trailers).for_each(|field| field.write(out));
}

/// The outcome that the bot itself states on its answer.
pub fn outcome(fields: &Fields) -> Option<Said> {
    match fields.get(Known::SerinOutcome)? {
        b"ok" => Some(Said::Ok),
        b"error" => Some(Said::Error),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::client::Scheme;
    use std::rc::Rc;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        lines.iter().for_each(|(name, value)| fields.push(name, value.as_bytes()).unwrap());
        fields
    }

    fn origin(trusted: bool) -> Origin {
        Origin::new([10, 0, 0, 9].into(), Scheme::Http, (!trusted).then(Rc::default))
    }

    /// What a trusted proxy's request becomes.
    fn sent(lines: &[(&str, &str)], host: Option<&[u8]>) -> Vec<String> {
        let mut out = BytesMut::new();
        write_request(&fields(lines), &origin(true), host, Trace::Passes(None), &mut out);
        String::from_utf8(out.to_vec()).unwrap().lines().map(str::to_owned).collect()
    }

    const FORWARDED: [&str; 3] = ["x-forwarded-for: 10.0.0.9", "x-forwarded-proto: http", "via: 1.1 serin"];

    #[test]
    fn hop_by_hop_fields_end_here() {
        let lines = [
            ("Connection", "close, X-Mine , host, content-length, x-forwarded-for"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "x"),
            ("proxy-authorization", "x"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-mine", "1"),
            ("X-Forwarded-For", "1.1.1.1"),
            ("Host", "a"),
            ("content-length", "0"),
            ("X-Other", "2"),
        ];
        assert_eq!(
            sent(&lines, None),
            ["Host: a", "X-Other: 2", "x-forwarded-for: 1.1.1.1, 10.0.0.9", FORWARDED[1], "x-forwarded-host: a", FORWARDED[2]]
        );
    }

    #[test]
    fn te_trailers_is_said_again_to_the_next_hop() {
        let lines = sent(&[("te", "gzip, trailers;q=0.5"), ("trailer", "x-sum")], None);
        assert_eq!(lines, ["trailer: x-sum", FORWARDED[0], FORWARDED[1], FORWARDED[2], "te: trailers", "connection: te"]);
    }

    #[test]
    fn who_asked_is_appended_to_what_stands_there() {
        let lines = [
            ("host", "bot.example"),
            ("x-forwarded-for", "1.1.1.1"),
            ("x-forwarded-for", "2.2.2.2, 3.3.3.3"),
            ("x-forwarded-proto", "https"),
            ("Via", "1.0 front"),
        ];
        assert_eq!(
            sent(&lines, Some(b"up:80")),
            [
                "x-forwarded-proto: https",
                "host: up:80",
                "x-forwarded-for: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9",
                "x-forwarded-host: bot.example",
                "via: 1.0 front, 1.1 serin"
            ]
        );
    }

    #[test]
    fn a_trace_passes_or_begins_anew_without_the_state_of_the_old_one() {
        let written = |trace: Trace| {
            let mut out = BytesMut::new();
            write_request(&fields(&[("Traceparent", "what came"), ("tracestate", "a=1")]), &origin(false), None, trace, &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert!(written(Trace::Passes(None)).starts_with("Traceparent: what came\r\ntracestate: a=1\r\n"));
        let begun = crate::http1::TraceParent::from_random(0xabc, 0xdef, false);
        let anew = written(Trace::Begins(begun));
        assert!(anew.starts_with("traceparent: 00-00000000000000000000000000000abc-0000000000000def-02\r\nx-forwarded-for"), "{anew}");
    }

    #[test]
    fn names_with_underscores_are_refused_dropped_or_passed() {
        let after = |underscores| {
            let mut fields = fields(&[("X_Team", "1"), ("X-Team", "2")]);
            assert!(fields.has_underscores());
            on_underscores(&mut fields, underscores).map(|()| fields.len())
        };
        assert_eq!(after(Underscores::Refuse), Err(BadHead::Underscore));
        assert_eq!((after(Underscores::Drop), after(Underscores::Pass)), (Ok(1), Ok(2)));
        assert!(!fields(&[("X-Team", "a_b")]).has_underscores(), "values may have them");
    }

    #[test]
    fn what_two_parsers_could_read_in_two_ways_is_refused() {
        let check = |version, lines: &[(&str, &str)]| check(version, &fields(lines));
        let v11 = Version::Http11;
        assert_eq!(check(v11, &[]), Err(BadHead::Host));
        assert_eq!(check(Version::Http10, &[]), Ok(()));
        assert_eq!(check(v11, &[("host", "a"), ("Host", "a")]), Err(BadHead::Host));
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
            assert_eq!(check(v11, &[("host", host)]).is_ok(), ok, "{host}");
        }
        assert_eq!(check(v11, &[("host", "a"), ("expect", "100-Continue")]), Ok(()));
        assert_eq!(check(v11, &[("host", "a"), ("expect", "bread")]), Err(BadHead::Expectation));
    }

    #[test]
    fn of_an_answer_passes_what_is_for_the_client() {
        let lines = [
            ("Connection", "X-Hop"),
            ("X-Hop", "1"),
            ("Serin-Outcome", "ok"),
            ("content-length", "5"),
            ("Trailer", "X-Sum"),
            ("Server", "bot"),
        ];
        let passed = |chunked: bool| {
            let mut out = BytesMut::new();
            write_answer(&fields(&lines), chunked, &mut out);
            String::from_utf8(out.to_vec()).unwrap()
        };
        assert_eq!((passed(true), passed(false)), ("Trailer: X-Sum\r\nServer: bot\r\n".into(), "Server: bot\r\n".into()));
    }

    #[test]
    fn trailers_cannot_say_what_only_a_head_may_say() {
        let names =
            ["transfer-encoding", "content-length", "host", "connection", "trailer", "content-type", "Content-Encoding", "authorization"];
        let mut trailers = fields(&names.map(|name| (name, "x")));
        trailers.push("X-Sum", b"7").unwrap();
        let mut out = BytesMut::new();
        write_trailers(&trailers, &mut out);
        assert_eq!(out, "X-Sum: 7\r\n");
    }

    #[test]
    fn the_bots_word_is_one_of_two() {
        assert_eq!(outcome(&fields(&[("Serin-Outcome", "error")])), Some(Said::Error));
        assert_eq!(outcome(&fields(&[("serin-outcome", "maybe")])), None);
    }
}
