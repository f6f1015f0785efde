//! A request's head, read from the front of a buffer.

use bytes::BytesMut;
use http::Method;

use super::Version;
use super::decode::Decoder;
use super::fields::{Fields, Found, room};
use super::framing::{BadFraming, keeps_alive, of_request};
use super::target::{BadTarget, Target};

/// The limit of a target. No platform's URL is this long.
const TARGET_BYTES_MAX: usize = u16::MAX as usize - 1;

#[derive(Debug)]
pub struct RequestHead {
    pub method: Method,
    /// The target. An invalid one is kept here, because the method may be refused first.
    pub target: Result<Target, BadTarget>,
    pub version: Version,
    pub fields: Fields,
    /// Finds the end of the body.
    pub body: Decoder,
    /// Whether the client wants to keep the connection.
    pub keep_alive: bool,
}

/// Why a head is refused. The bytes after it cannot be read as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedHead {
    /// It is not HTTP/1.
    Malformed,
    Framing(BadFraming),
    TargetTooLong,
    /// Too many fields, or too many bytes.
    TooLarge,
}

impl RequestHead {
    /// Takes a head from the buffer's front. Returns `None` while it is not complete.
    pub fn read(buffer: &mut BytesMut, bytes_max: usize) -> Result<Option<RequestHead>, RefusedHead> {
        // The limit must not depend on how many bytes have arrived.
        let seen = &buffer[..buffer.len().min(bytes_max)];
        let mut fields = room();
        let mut parsed = httparse::Request::new(&mut []);
        let length = match parsed.parse_with_uninit_headers(seen, &mut fields) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) if buffer.len() < bytes_max => return Ok(None),
            Ok(httparse::Status::Partial) => return Err(too_large(seen)),
            Err(httparse::Error::TooManyHeaders) => return Err(RefusedHead::TooLarge),
            Err(_) => return Err(RefusedHead::Malformed),
        };
        let (Some(method), Some(path)) = (parsed.method, parsed.path) else { return Err(RefusedHead::Malformed) };
        if path.len() > TARGET_BYTES_MAX {
            return Err(RefusedHead::TargetTooLong);
        }
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| RefusedHead::Malformed)?;
        let version = if parsed.version == Some(1) { Version::Http11 } else { Version::Http10 };
        let (at, end) = span(path.as_bytes(), seen);
        let found = Found::of(parsed.headers, seen);
        let fields = Fields::take(buffer, length, found);
        let target = Target::parse(fields.text().slice(at..end));
        let body = of_request(version, &fields).map_err(RefusedHead::Framing)?;
        let keep_alive = keeps_alive(version, &fields);
        Ok(Some(RequestHead { method, target, version, fields, body, keep_alive }))
    }
}

/// The begin and the end of a piece in its buffer.
fn span(piece: &[u8], buffer: &[u8]) -> (usize, usize) {
    let at = (piece.as_ptr() as usize).saturating_sub(buffer.as_ptr() as usize);
    (at, at + piece.len())
}

fn too_large(seen: &[u8]) -> RefusedHead {
    let in_first_line = memchr::memchr(b'\n', seen.trim_ascii_start()).is_none();
    if in_first_line { RefusedHead::TargetTooLong } else { RefusedHead::TooLarge }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 1_000;

    fn read(wire: &[u8]) -> Result<Option<RequestHead>, RefusedHead> {
        RequestHead::read(&mut BytesMut::from(wire), MAX)
    }

    fn whole(wire: &[u8]) -> RequestHead {
        read(wire).unwrap().expect("the head is whole")
    }

    /// Everything in a head, to compare.
    fn told(head: &RequestHead) -> impl PartialEq + std::fmt::Debug + use<> {
        (head.method.clone(), head.target.clone(), head.version, head.fields.clone(), head.body.remaining(), head.keep_alive)
    }

    #[test]
    fn a_head_is_taken_and_what_follows_is_left() {
        let mut buffer = BytesMut::from(&b"\r\n\nPOST /a?b HTTP/1.1\r\nHost:  x \r\nContent-Length: 5\r\n\r\nhello"[..]);
        let head = RequestHead::read(&mut buffer, MAX).unwrap().unwrap();
        assert_eq!((head.method, head.target.unwrap().path.as_str(), head.version), (Method::POST, "/a?b", Version::Http11));
        assert_eq!((head.body.remaining(), head.keep_alive, &buffer[..]), (Some(5), true, &b"hello"[..]));
        assert_eq!(head.fields.named("host").collect::<Vec<_>>(), [b"x"]);
    }

    #[test]
    fn line_ends_may_lack_their_cr_and_old_clients_their_host() {
        let head = whole(b"GET / HTTP/1.0\nConnection: keep-alive\n\n");
        assert_eq!((head.version, head.keep_alive, head.body.is_done()), (Version::Http10, true, true));
    }

    #[test]
    fn what_is_no_head_is_refused() {
        for wire in [
            &b"GET /\r\n"[..],
            b"GET / HTTP/2.0\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET /a b HTTP/1.1\r\n\r\n",
            b"GE(T / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\n Host: x\r\n\r\n",
            b"GET / HTTP/1.1\r\nX-A : b\r\n\r\n",
            b"GET / HTTP/1.1\r\nX-A: a\r\n b\r\n\r\n",
            b"GET / HTTP/1.1\r\nX-A: a\rb\r\n\r\n",
            b"GET / HTTP/1.1\r\nX-A: a\0b\r\n\r\n",
            b"GET / HTTP/1.1\r\n: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nX-A\r\n\r\n",
        ] {
            assert_eq!(read(wire).unwrap_err(), RefusedHead::Malformed, "{:?}", String::from_utf8_lossy(wire));
        }
    }

    #[test]
    fn the_limits_of_a_head_do_not_depend_on_how_it_arrives() {
        let of_length = |length: usize| {
            let (start, end) = ("GET / HTTP/1.1\r\nX: ", "\r\n\r\n");
            [start, &"x".repeat(length - start.len() - end.len()), end].concat().into_bytes()
        };
        assert!(read(&of_length(MAX)).is_ok_and(|head| head.is_some()));
        assert_eq!(read(&of_length(MAX + 1)).unwrap_err(), RefusedHead::TooLarge);
        assert!(read(&of_length(MAX)[..MAX - 1]).is_ok_and(|head| head.is_none()));
        assert_eq!(read(&of_length(MAX + 1)[..MAX]).unwrap_err(), RefusedHead::TooLarge);
        let line = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(MAX));
        assert_eq!(read(line.as_bytes()).unwrap_err(), RefusedHead::TargetTooLong);
        assert_eq!(read(&line.as_bytes()[..MAX]).unwrap_err(), RefusedHead::TargetTooLong);
        let longest = |length: usize| format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1)).into_bytes();
        assert!(RequestHead::read(&mut BytesMut::from(&longest(TARGET_BYTES_MAX)[..]), 1 << 20).is_ok());
        let too_long = RequestHead::read(&mut BytesMut::from(&longest(TARGET_BYTES_MAX + 1)[..]), 1 << 20);
        assert_eq!(too_long.unwrap_err(), RefusedHead::TargetTooLong);
        let many = |n: usize| ["GET / HTTP/1.1\r\n", &"a:\r\n".repeat(n), "\r\n"].concat();
        assert!(read(many(100).as_bytes()).is_ok());
        assert_eq!(read(many(101).as_bytes()).unwrap_err(), RefusedHead::TooLarge);
    }

    #[test]
    fn a_bad_target_does_not_hide_the_method() {
        let head = whole(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!((head.method, head.target), (Method::CONNECT, Err(BadTarget)));
    }

    /// Bytes that are mostly heads, some of them broken.
    fn wires() -> impl Strategy<Value = Vec<u8>> {
        let line = prop::sample::select(vec![
            "GET / HTTP/1.1",
            "POST /a?b=%20 HTTP/1.1",
            "OPTIONS * HTTP/1.1",
            "GET http://h/p HTTP/1.0",
            "BREW /\u{e4} HTTP/1.1",
            "GET / HTTP/1.2",
            "GET /",
            "CONNECT a:1 HTTP/1.1",
        ]);
        let field = prop_oneof![
            6 => prop::sample::select(vec![
                "Host: a", "content-length: 5", "Content-Length: 6", "Transfer-Encoding: chunked", "Connection: close", "X-A:", "X-A: \t b ",
                "X-A: caf\u{e9}", "Expect: 100-continue", "X A: b", " folded",
            ]).prop_map(str::to_owned),
            1 => "[!-~]{1,6}:[ -~]{0,9}",
        ];
        let end = prop::sample::select(vec!["\r\n", "\r\n", "\r\n", "\n", "\r"]);
        (line, prop::collection::vec((field, end), 0..8), any::<Option<(prop::sample::Index, u8)>>()).prop_map(
            |(line, fields, mutation)| {
                let fields: String = fields.into_iter().map(|(field, end)| field + end).collect();
                let mut wire = format!("{line}\r\n{fields}\r\nbody").into_bytes();
                if let Some((at, byte)) = mutation.filter(|(_, byte)| byte % 3 == 0) {
                    let at = at.index(wire.len());
                    wire[at] = byte;
                }
                wire
            },
        )
    }

    proptest! {
        /// hyper's server reads heads with httparse.
        #[test]
        fn what_is_found_is_what_httparse_finds(wire in wires()) {
            let mut fields = [httparse::EMPTY_HEADER; 100];
            let mut theirs = httparse::Request::new(&mut fields);
            let parsed = theirs.parse(&wire);
            match (read(&wire), parsed) {
                (Ok(Some(ours)), Ok(httparse::Status::Complete(_))) => {
                    prop_assert_eq!(Some(ours.method.as_str()), theirs.method);
                    if let Ok(Target { path, authority: None }) = &ours.target {
                        prop_assert_eq!(Some(path.as_str()), theirs.path);
                    }
                    let ours: Vec<_> = ours.fields.iter().map(|field| (field.name.to_vec(), field.value.to_vec())).collect();
                    let theirs: Vec<_> = theirs.headers.iter().map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect();
                    prop_assert_eq!(ours, theirs);
                }
                (Ok(None), Ok(httparse::Status::Partial)) | (Err(_), Err(_)) => {}
                (Err(RefusedHead::Framing(_)), Ok(httparse::Status::Complete(_))) => {}
                (ours, theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }

        #[test]
        fn where_a_head_is_cut_changes_nothing(wire in wires(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5)) {
            let at_once = read(&wire);
            let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(wire.len() + 1)).collect();
            cuts.extend([0, wire.len()]);
            cuts.sort_unstable();
            let (mut buffer, mut cut) = (BytesMut::new(), Ok(None));
            for piece in cuts.windows(2) {
                buffer.extend_from_slice(&wire[piece[0]..piece[1]]);
                if matches!(cut, Ok(None)) {
                    cut = RequestHead::read(&mut buffer, MAX);
                }
            }
            match (at_once, cut) {
                (Ok(Some(one)), Ok(Some(other))) => prop_assert_eq!(told(&one), told(&other)),
                (Ok(None), Ok(None)) => {}
                (Err(one), Err(other)) => prop_assert_eq!(one, other),
                (one, other) => prop_assert!(false, "{one:?} {other:?}"),
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }
    }
}
