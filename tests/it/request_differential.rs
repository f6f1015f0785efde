//! serin's own HTTP/1.1 server against hyper's. A client sends random bytes, cut at a random place. An upstream must receive through
//! serin what hyper's server receives of the same bytes. `PROPTEST_CASES` says how many requests are tried.
//!
//! Both parse heads with httparse, so only framing, targets, limits and the end of the connection can differ. serin is stricter in the
//! cases that `stricter` lists, and more lenient only with a length that is given twice.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use tokio::io::AsyncWriteExt;

use crate::differential::{BETWEEN_PIECES, OF_THE_HOP, cases, comparable, mutate, named_by_connection};
use crate::harness::{Config, Serin, Upstream};

/// A request as the other side sees it: method, path, fields, body.
type Seen = (String, String, Vec<(String, String)>, Vec<u8>);

/// Why serin refuses a request that hyper accepts; `None` if there is no reason.
fn stricter(head: &http::request::Parts, wire: &[u8]) -> Option<&'static str> {
    let all = |name: &str| head.headers.get_all(name).iter().map(|value| value.as_bytes().to_ascii_lowercase()).collect::<Vec<_>>();
    let (hosts, codings) = (all("host"), all("transfer-encoding"));
    let text = String::from_utf8_lossy(wire).to_lowercase();
    let line = text.trim_start().lines().next().unwrap_or_default();
    match () {
        _ if [Method::CONNECT, Method::TRACE].contains(&head.method) => Some("not for webhooks"),
        _ if hosts.len() > 1 || (hosts.is_empty() && head.version == Version::HTTP_11) => Some("one Host"),
        _ if hosts.iter().any(|host| !host.iter().all(|b| b.is_ascii_alphanumeric() || b".-".contains(b))) => {
            Some("a Host that looks like one")
        }
        _ if !codings.is_empty() && codings != [b"chunked"] => Some("one coding"),
        _ if !codings.is_empty() && text.contains("content-length") => Some("a length beside chunks"),
        _ if head.headers.contains_key("expect") && all("expect") != [b"100-continue"] => Some("one expectation"),
        _ if line.contains('#') || !line.contains('/') || line.contains(" * ") => Some("a target is a path or a whole URL"),
        _ if head.uri.authority().is_some() => Some("an authority may have a user in it, or be none"),
        _ if text.contains("0\r\n") && text.contains("\n\n") || text.contains("x-sum: 1\n") => Some("lines within chunks end with CRLF"),
        _ => None,
    }
}

fn field() -> impl Strategy<Value = &'static str> {
    select(vec![
        "Content-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 6",
        "Content-Length: +5",
        "Content-Length:",
        "Transfer-Encoding: chunked",
        "transfer-encoding: CHUNKED",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Connection: close",
        "Connection: X-Hop",
        "X-Hop: 1",
        "Expect: 100-continue",
        "Host: other",
        "X-Empty:",
        "X-Blank: \t ",
        "X-Two: 1",
        "x-two: 2",
        "X-Fold: a\r\n b",
        "Bad Name: 1",
        "X-Bare: 1\nX-After: 2",
        "Cookie: a=b; c",
    ])
}

fn wire() -> impl Strategy<Value = Vec<u8>> {
    let line = select(vec![
        "POST /a?b=%20 HTTP/1.1",
        "POST / HTTP/1.1",
        "GET /x HTTP/1.1",
        "PUT //a/../b HTTP/1.0",
        "OPTIONS * HTTP/1.1",
        "POST http://bot.example/p?q HTTP/1.1",
        "POST /a#b HTTP/1.1",
        "GET a.example HTTP/1.1",
        "BREW /a HTTP/1.1",
        "POST / HTTP/2.0",
    ]);
    let sized = Just(("Content-Length: 5\r\n", &b"hello"[..]));
    let chunked = select(vec![
        &b"5\r\nhello\r\n0\r\n\r\n"[..],
        b"5;a=\"b\"\r\nhello\r\n000\r\n\r\n",
        b"2 \r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\r\n\r\n",
        b"2\r\nhe\r\n3\r\nllo\r\n0\r\nX-Sum: 1\n\r\n",
        b"5\r\nhello0\r\n\r\n",
        b"g\r\nhello\r\n0\r\n\r\n",
        b"5\r\nhel",
    ])
    .prop_map(|chunks| ("Transfer-Encoding: chunked\r\n", chunks));
    let body = prop_oneof![2 => sized, 3 => chunked, 1 => Just(("", &b""[..])), 1 => Just(("", &b"hello"[..]))];
    (line, vec(field(), 0..4), body).prop_map(|(line, fields, (framing, body))| {
        let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        [format!("{line}\r\nHost: bot.example\r\n{fields}{framing}\r\n").as_bytes(), body].concat()
    })
}

fn mutated() -> impl Strategy<Value = Vec<u8>> {
    // Only ASCII is inserted: the harness reads heads as text.
    let byte = select(b"\r\n\t :;,0159afgX-\0\x0c#*/".to_vec());
    (wire(), 0u8..12, any::<Index>(), byte).prop_map(|(wire, how, at, byte)| mutate(wire, how, at, byte))
}

/// The request as hyper's server received it, and its head even if the body was broken.
async fn by_hyper(wire: &[u8]) -> (Option<Seen>, Option<http::request::Parts>) {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    client.write_all(wire).await.expect("there is room");
    client.shutdown().await.expect("an open pipe can be closed");
    let heard = Arc::new(Mutex::new((None, None)));
    let service = service_fn(|request: Request<Incoming>| {
        let heard = heard.clone();
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.ok().map(|body| body.to_bytes().to_vec());
            let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
            let named = named_by_connection(&parts.headers);
            let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
            let seen = body.map(|body| (parts.method.to_string(), path, plain(fields, &named), body));
            *heard.lock().unwrap() = (seen, Some(parts));
            // Only the first request counts: the rest may be cut out of it in other ways.
            Ok::<_, Infallible>(Response::builder().header("connection", "close").body(Empty::<Bytes>::new()).unwrap())
        }
    });
    let _ = http1::Builder::new().half_close(true).serve_connection(TokioIo::new(server), service).await;
    let heard = heard.lock().unwrap();
    (heard.0.clone(), heard.1.clone())
}

/// The fields that must pass unchanged: without those that serin adds or replaces. `named` are those that the request's `Connection`
/// lists.
fn plain<'f>(fields: impl Iterator<Item = (&'f str, String)>, named: &[String]) -> Vec<(String, String)> {
    const REPLACED: [&str; 6] = ["via", "host", "expect", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    comparable(fields, |name| !OF_THE_HOP.contains(&name) && !REPLACED.contains(&name) && !named.iter().any(|named| named == name))
}

fn by_serin(serin: &Serin, upstream: &Upstream, wire: &[u8], cut: usize) -> Option<Seen> {
    let before = upstream.count();
    let mut client = serin.client();
    let _ = client.wire.write(&wire[..cut]);
    std::thread::sleep(BETWEEN_PIECES);
    let _ = client.wire.write(&wire[cut..]);
    client.finish_sending();
    let method = if wire.starts_with(b"HEAD") { "HEAD" } else { "POST" };
    let answer = client.answer_to(method).ok().filter(|answer| answer.field("serin-error").is_none());
    answer?;
    let request = upstream.requests().get(before).cloned().expect("the upstream has received what was answered");
    let mut line = request.line().split(' ');
    let (method, path) = (line.next().unwrap_or_default().to_owned(), line.next().unwrap_or_default().to_owned());
    let fields = crate::harness::fields(&request.head).map(|(name, value)| (name, value.to_owned()));
    Some((method, path, plain(fields, &[]), request.body))
}

#[test]
fn an_upstream_receives_through_serin_what_hyper_receives() {
    let upstream = Upstream::answering("heard");
    let serin = Serin::start(&Config::split(upstream.address, upstream.address).workers(1).proxy("trace = false"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    proptest!(cases(), |(wire in mutated(), cut in any::<Index>())| {
        let ours = by_serin(&serin, &upstream, &wire, cut.index(wire.len() + 1));
        let (theirs, head) = runtime.block_on(by_hyper(&wire));
        if ours != theirs {
            let text = String::from_utf8_lossy(&wire);
            match (&ours, &theirs) {
                // The same length twice in one field is one length (RFC 9112, 6.3).
                (Some(_), None) => prop_assert!(text.contains("5, 5"), "more lenient: {ours:?}\n{text:?}"),
                (None, Some(_)) => prop_assert!(head.is_some_and(|head| stricter(&head, &wire).is_some()), "stricter: {theirs:?}\n{text:?}"),
                (None, None) | (Some(_), Some(_)) => prop_assert!(false, "serin: {ours:?}\nhyper: {theirs:?}\n{text:?}"),
            }
        }
    });
    assert!(upstream.count() > 10, "only {} were taken", upstream.count());
}
