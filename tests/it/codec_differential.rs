//! serin's own HTTP/1.1 client against hyper's. An upstream sends random bytes, cut at random places. A client must receive through
//! serin what hyper's client receives of the same bytes. `PROPTEST_CASES` says how many answers are tried.
//!
//! Both parse heads with httparse, so only framing, limits and the end of the connection can differ. serin is stricter in the cases
//! that `stricter` lists, and never more lenient.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Method, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::differential::{BETWEEN_PIECES, OF_THE_HOP, cases, comparable, mutate, named_by_connection};
use crate::harness::{Ask, Config, Serin, Upstream};

const PAIR_CASES_MAX: usize = 200;

/// What an upstream sends to one request before it closes, and where its pieces end.
#[derive(Clone)]
struct Script {
    method: &'static str,
    wire: Vec<u8>,
    cuts: Vec<Index>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?}", self.method, String::from_utf8_lossy(&self.wire))
    }
}

/// What a client sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Whole {
        status: u16,
        fields: Vec<(String, String)>,
        body: Vec<u8>,
    },
    /// A head, and a body that broke off.
    Broken,
    Refused,
}

/// The head as hyper parsed it, for `stricter`.
struct HyperHead {
    status: StatusCode,
    version: Version,
    headers: HeaderMap,
}

/// Why serin refuses an answer that hyper accepts; `None` if there is no reason.
fn stricter(wire: &[u8], head: Option<&HyperHead>) -> Option<&'static str> {
    let text = String::from_utf8_lossy(wire).to_lowercase();
    if text.starts_with("http/1.1 1") || text.starts_with("http/1.0 1") {
        let interim = text.split("\r\n\r\n").next().unwrap_or_default();
        if interim.contains("transfer-encoding") || interim.contains("content-length") {
            return Some("an interim answer has no body, so what frames one badly is a message cut in two");
        }
    }
    let head = head?;
    let all = |name: &str| head.headers.get_all(name).iter().map(|value| value.as_bytes().to_ascii_lowercase()).collect::<Vec<_>>();
    let (codings, lengths) = (all("transfer-encoding"), all("content-length"));
    if head.status == StatusCode::SWITCHING_PROTOCOLS {
        return Some("the request did not ask to switch protocols");
    }
    if !codings.is_empty() && codings != [b"chunked"] {
        return Some("a coding that was not asked for cannot be passed on; hyper reads to the end, or the chunks of the last one");
    }
    if !codings.is_empty() && head.version < Version::HTTP_11 {
        return Some("HTTP/1.0 has no codings, with a body (hyper refuses that, too) or without");
    }
    let mut lengths = lengths.iter().flat_map(|value| value.split(|b| *b == b',')).map(<[u8]>::trim_ascii);
    if let Some(first) = lengths.next()
        && (first.is_empty() || !first.iter().all(u8::is_ascii_digit) || lengths.any(|length| length != first))
    {
        return Some("lengths that disagree are refused even where there is no body; `5` and `05` disagree");
    }
    let long = |line: &str| line.bytes().take_while(u8::is_ascii_hexdigit).count() > 16;
    if text.split('\n').any(long) {
        return Some("a chunk's size of more than 16 digits, though they be zeros");
    }
    None
}

fn field() -> impl Strategy<Value = String> {
    let known = [
        "Content-Length: 5",
        "Content-Length: 5, 5",
        "Content-Length: 05",
        "Content-Length: 0",
        "Content-Length: 6",
        "Content-Length: +5",
        "Content-Length:",
        "Transfer-Encoding: chunked",
        "transfer-encoding: CHUNKED",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding:\r\n chunked",
        "Connection: close",
        "Connection: Keep-Alive",
        "Connection: X-Hop , close",
        "X-Hop: 1",
        "X-Folded: one\r\n\ttwo \r\n   three",
        "X-Empty:",
        "X-Empty: \t ",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "Trailer: X-Sum",
        "Bad Name: 1",
        "X-Bare: 1\nX-After: 2",
    ];
    prop_oneof![6 => select(known.to_vec()).prop_map(str::to_owned), 1 => "X-[a-z]{1,9}: [ -~]{0,20}"]
}

fn head(statuses: Vec<&'static str>, fields: impl Strategy<Value = Vec<String>>) -> impl Strategy<Value = Vec<u8>> {
    (select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0"]), select(statuses), fields).prop_map(
        |(version, status, fields)| {
            let fields: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
            format!("{version} {status}\r\n{fields}\r\n").into_bytes()
        },
    )
}

fn chunks() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (vec(any::<u8>(), 1..40), select(vec!["", ";a", ";a=\"b\"", " ", " ;x", "\t", ";\u{e9}", "g", "\r"]), 0usize..20, 0u8..8);
    let end = select(vec![
        "0\r\n\r\n",
        "0\r\n\r\n",
        "000\r\n\r\n",
        "0;last\r\n\r\n",
        "0\r\nX-Sum: 1\r\n\r\n",
        "0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
        "0\r\nX-Sum: 1\n\r\n",
        "0\r\nX Sum\r\n\r\n",
        "0\r\n X: 1\r\n\r\n",
        "0\r\n",
        "",
    ]);
    (vec(chunk, 0..6), end).prop_map(|(chunks, end)| {
        let mut wire = Vec::new();
        for (data, extension, zeros, odd) in chunks {
            // Most are as they should be.
            let (extension, zeros) = if odd == 0 { (extension, zeros) } else { ("", 0) };
            wire.extend_from_slice(format!("{}{:X}{extension}\r\n", "0".repeat(zeros), data.len()).as_bytes());
            wire.extend_from_slice(&data);
            wire.extend_from_slice(b"\r\n");
        }
        [&wire, end.as_bytes()].concat()
    })
}

fn answer() -> impl Strategy<Value = Vec<u8>> {
    let finals =
        vec!["200 OK", "200", "299 Odd one", "204 No Content", "304 Not Modified", "500 Oh", "999 X", "099 X", "101 Switching", "20 X"];
    let interims = vec(head(vec!["100 Continue", "103 Early Hints", "199 X"], Just(vec!["Link: </a>".to_owned()])), 0..2);
    let any = (head(finals, vec(field(), 0..5)), prop_oneof![Just(b"hello".to_vec()), chunks(), vec(any::<u8>(), 0..20)]);
    let framed =
        |with: &'static str| head(vec!["200 OK"], vec(select(vec!["X-A: 1", "Set-Cookie: a", with]).prop_map(str::to_owned), 1..4));
    let chunked = (framed("Transfer-Encoding: chunked"), chunks());
    let sized = (framed("Content-Length: 5"), Just(b"hello".to_vec()));
    (interims, prop_oneof![2 => any, 3 => chunked, 1 => sized])
        .prop_map(|(interims, (head, body))| [interims.concat(), head, body].concat())
}

fn script() -> impl Strategy<Value = Script> {
    // Only ASCII is inserted: the harness reads heads as text.
    let mutation = (0u8..10, any::<Index>(), select(b"\r\n\t :;,0159afgX-\0\x0c".to_vec()));
    (select(vec!["GET", "GET", "POST", "HEAD"]), answer(), mutation, vec(any::<Index>(), 0..6))
        .prop_map(|(method, wire, (how, at, byte), cuts)| Script { method, wire: mutate(wire, how, at, byte), cuts })
}

/// A serin, and the upstream that answers both serin and hyper with the script that a request's path names.
struct Pair {
    serin: Serin,
    upstream: Upstream,
    scripts: Arc<Mutex<HashMap<String, Script>>>,
    count: AtomicUsize,
    runtime: tokio::runtime::Runtime,
}

impl Pair {
    fn new() -> Pair {
        let scripts = Arc::<Mutex<HashMap<String, Script>>>::default();
        let said = scripts.clone();
        let upstream = Upstream::raw(move |mut wire| {
            let Ok(Some(head)) = wire.head() else { return };
            let path = head.split(' ').nth(1).expect("a target").to_owned();
            if head.starts_with("POST") {
                let _ = wire.exactly(2);
            }
            let script = said.lock().unwrap()[&path].clone();
            let mut cuts: Vec<usize> = script.cuts.iter().map(|cut| cut.index(script.wire.len() + 1)).collect();
            cuts.extend([0, script.wire.len()]);
            cuts.sort_unstable();
            for piece in cuts.windows(2) {
                if wire.write(&script.wire[piece[0]..piece[1]]).is_err() {
                    return;
                }
                std::thread::sleep(BETWEEN_PIECES);
            }
        });
        // A new connection for each request, so that no request crosses the close of the upstream.
        let serin = Serin::start(&Config::split(upstream.address, upstream.address).workers(1).bot("upstream_idle = \"0s\""));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Pair { serin, upstream, scripts, count: AtomicUsize::new(0), runtime }
    }

    fn agree(&self, script: &Script) -> Result<(), TestCaseError> {
        let path = format!("/{}", self.count.fetch_add(1, Ordering::Relaxed));
        self.scripts.lock().unwrap().insert(path.clone(), script.clone());
        let by_serin = self.by_serin(script.method, &path);
        let (by_hyper, head) = self.runtime.block_on(by_hyper(self.upstream.address, script.method, &path));
        self.scripts.lock().unwrap().remove(&path);
        if by_serin != by_hyper {
            let reason = stricter(&script.wire, head.as_ref());
            let text = String::from_utf8_lossy(&script.wire);
            prop_assert!(reason.is_some(), "serin: {by_serin:?}\nhyper: {by_hyper:?}\n{text:?}");
            let refused = !matches!(by_serin, Seen::Whole { .. });
            prop_assert!(refused, "more lenient ({reason:?})\nserin: {by_serin:?}\nhyper: {by_hyper:?}\n{text:?}");
        }
        Ok(())
    }

    fn by_serin(&self, method: &'static str, path: &str) -> Seen {
        let ask = Ask::new(method, path).field("X-Workspace", "T1").field("TE", "trailers");
        let ask = if method == "POST" { ask.body(b"{}") } else { ask };
        match self.serin.client().try_ask(&ask) {
            Err(_) => Seen::Broken,
            Ok(answer) if answer.field("serin-error").is_some() => Seen::Refused,
            Ok(answer) => {
                let fields = answer.fields().into_iter().map(|(name, value)| (name, value.to_owned()));
                Seen::Whole { status: answer.status, fields: plain(fields, &[]), body: answer.body }
            }
        }
    }
}

async fn by_hyper(address: SocketAddr, method: &str, path: &str) -> (Seen, Option<HyperHead>) {
    let stream = tokio::net::TcpStream::connect(address).await.expect("the upstream listens");
    let mut builder = http1::Builder::new();
    builder.allow_obsolete_multiline_headers_in_responses(true);
    let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await.expect("nothing to fail");
    tokio::spawn(connection);
    let body = Full::new(bytes::Bytes::from_static(if method == "POST" { b"{}" } else { b"" }));
    let request = http::Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(path).body(body).unwrap();
    let Ok(response) = sender.send_request(request).await else { return (Seen::Refused, None) };
    let (parts, body) = response.into_parts();
    let head = HyperHead { status: parts.status, version: parts.version, headers: parts.headers };
    let Ok(body) = body.collect().await else { return (Seen::Broken, Some(head)) };
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()));
    let fields = plain(fields, &named_by_connection(&head.headers));
    (Seen::Whole { status: head.status.as_u16(), fields, body: body.to_bytes().to_vec() }, Some(head))
}

/// The fields that must pass unchanged. `named` are those that the answer's `Connection` lists.
fn plain<'f>(fields: impl Iterator<Item = (&'f str, String)>, named: &[String]) -> Vec<(String, String)> {
    const KEPT: [&str; 6] = ["content-type", "host", "expect", "via", "x-forwarded-for", "x-forwarded-host"];
    let passes = |name: &str| !OF_THE_HOP.contains(&name) && (KEPT.contains(&name) || !named.iter().any(|named| named == name));
    // A folded value may be joined with any white space.
    let fields = fields.map(|(name, value)| (name, value.split_ascii_whitespace().collect::<Vec<_>>().join(" ")));
    comparable(fields, passes)
}

#[test]
fn a_client_receives_through_serin_what_hyper_receives() {
    let pair = RefCell::new(Pair::new());
    proptest!(cases(), |(script in script())| {
        // An upstream keeps what it has of each connection: a new one before the descriptors run out.
        if pair.borrow().count.load(Ordering::Relaxed) == PAIR_CASES_MAX {
            pair.replace(Pair::new());
        }
        pair.borrow().agree(&script)?
    });
}
