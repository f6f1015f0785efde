//! Heads on the wire: a request's written, an answer's read. Reading is strict where two readers could differ.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, MAX_FORWARDS, SET_COOKIE, TRAILER, TRANSFER_ENCODING,
};
use http::{Method, Request, StatusCode};
use hyper::ext::ReasonPhrase;

use super::decode::Decoder;
use crate::proxy::body::RequestBody;
use crate::proxy::headers::{Minded, settle_framing};

/// No bot's answer has a larger head; one that does is not read to its end.
pub const HEAD_MAX: usize = 64 * 1024;
const FIELDS_MAX: usize = 100;

/// How a request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length,
    Chunked,
}

/// Appends the head. Names go out in lower case, as they are kept; nothing else is changed.
pub fn write(request: &Request<RequestBody>, out: &mut BytesMut) -> Framing {
    out.extend_from_slice(request.method().as_str().as_bytes());
    out.extend_from_slice(b" ");
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    if target.starts_with('?') {
        out.extend_from_slice(b"/");
    }
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    for (name, value) in request.headers() {
        if name != CONTENT_LENGTH {
            write_field(name, value.as_bytes(), out);
        }
    }
    let framing = write_framing(request, out);
    out.extend_from_slice(b"\r\n");
    framing
}

fn write_framing(request: &Request<RequestBody>, out: &mut BytesMut) -> Framing {
    match http_body::Body::size_hint(request.body()).exact() {
        // A body that is not there is only said of methods that usually have one (RFC 9110, 8.6), or if the client did.
        Some(0) if !request.headers().contains_key(CONTENT_LENGTH) && !usually_has_body(request.method()) => Framing::Length,
        Some(length) => {
            let mut digits = itoa::Buffer::new();
            write_field(&CONTENT_LENGTH, digits.format(length).as_bytes(), out);
            Framing::Length
        }
        None => {
            write_field(&TRANSFER_ENCODING, b"chunked", out);
            Framing::Chunked
        }
    }
}

fn usually_has_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}

fn write_field(name: &HeaderName, value: &[u8], out: &mut BytesMut) {
    out.reserve(name.as_str().len() + value.len() + 4);
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Beside those that serin minds: what an upstream that merges trailers into the head must not learn from them.
const NO_TRAILERS: [HeaderName; 8] =
    [AUTHORIZATION, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, MAX_FORWARDS, SET_COOKIE, TRAILER];

/// Trailers that may pass on: none that frame or address a message, say who sent it or how to read it (RFC 9110, 6.5.1).
pub fn write_trailers(trailers: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in trailers {
        if !Minded::is_minded(name) && !NO_TRAILERS.contains(name) {
            write_field(name, value.as_bytes(), out);
        }
    }
}

/// An answer's head, and what it says of the message around it.
pub struct Head {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub minded: Minded,
    /// Where it is not the usual one for the status.
    pub reason: Option<ReasonPhrase>,
    /// May the connection serve again once the answer has ended?
    pub keep_alive: bool,
    pub body: Decoder,
}

/// What is not HTTP, or not HTTP that can be passed on.
#[derive(Debug)]
pub struct Invalid;

/// Takes a head from the buffer's front; `None` while it is not whole.
pub fn read(buffer: &mut BytesMut, to_head_request: bool) -> Result<Option<Head>, Invalid> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let mut config = httparse::ParserConfig::default();
    config.allow_obsolete_multiline_headers_in_responses(true);
    let length = match config.parse_response(&mut parsed, buffer) {
        Ok(httparse::Status::Complete(length)) if length <= HEAD_MAX => length,
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) | Err(_) => return Err(Invalid),
    };
    let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Invalid)?;
    let version_1_1 = parsed.version == Some(1);
    let reason = unusual(status, parsed.reason.unwrap_or(""))?;
    let spans = Spans::of(parsed.headers, buffer);
    let headers = spans.into_headers(buffer.split_to(length).freeze())?;
    finish(status, version_1_1, reason, headers, to_head_request).map(Some)
}

/// Where fields stand in the buffer: the buffer is cut off once they are known, so that values need no copy.
struct Spans {
    spans: [(Span, Span); FIELDS_MAX],
    count: usize,
}

type Span = (u32, u32);

impl Spans {
    fn of(fields: &[httparse::Header<'_>], buffer: &BytesMut) -> Spans {
        let start = buffer.as_ptr() as usize;
        let span = |piece: &[u8]| {
            let at = (piece.as_ptr() as usize).saturating_sub(start) as u32;
            (at, at + piece.len() as u32)
        };
        let mut spans = Spans { spans: [((0, 0), (0, 0)); FIELDS_MAX], count: fields.len() };
        for (slot, field) in spans.spans.iter_mut().zip(fields) {
            *slot = (span(field.name.as_bytes()), span(field.value));
        }
        spans
    }

    fn into_headers(self, head: Bytes) -> Result<HeaderMap, Invalid> {
        let mut headers = HeaderMap::with_capacity(self.count);
        for (name, value) in &self.spans[..self.count] {
            let name = HeaderName::from_bytes(&head[name.0 as usize..name.1 as usize]).map_err(|_| Invalid)?;
            let value = head.slice(value.0 as usize..value.1 as usize);
            headers.append(name, field_value(value)?);
        }
        Ok(headers)
    }
}

/// A value that was folded over lines becomes one line (RFC 9112, 5.2).
fn field_value(value: Bytes) -> Result<HeaderValue, Invalid> {
    if memchr::memchr2(b'\r', b'\n', &value).is_none() {
        return HeaderValue::from_maybe_shared(value).map_err(|_| Invalid);
    }
    let lines: Vec<&[u8]> = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii).collect();
    HeaderValue::from_bytes(lines.join(&b" "[..]).trim_ascii()).map_err(|_| Invalid)
}

fn unusual(status: StatusCode, reason: &str) -> Result<Option<ReasonPhrase>, Invalid> {
    if status.canonical_reason() == Some(reason) || reason.is_empty() {
        return Ok(None);
    }
    ReasonPhrase::try_from(reason.as_bytes().to_vec()).map(Some).map_err(|_| Invalid)
}

fn finish(
    status: StatusCode,
    version_1_1: bool,
    reason: Option<ReasonPhrase>,
    mut headers: HeaderMap,
    to_head_request: bool,
) -> Result<Head, Invalid> {
    let minded = Minded::of(&headers);
    let chunked = minded.has(&TRANSFER_ENCODING);
    // HTTP/1.0 has no codings: what says so came through a hop that did not know it (RFC 9112, 6.1).
    if !settle_framing(minded, &mut headers) || (chunked && !version_1_1) {
        return Err(Invalid);
    }
    let bodiless = to_head_request || status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let length = match headers.get(CONTENT_LENGTH) {
        Some(length) => Some(length.to_str().ok().and_then(|length| length.parse().ok()).ok_or(Invalid)?),
        None => None,
    };
    let body = match (bodiless, chunked, length) {
        (true, _, _) => Decoder::length(0),
        (false, true, _) => Decoder::chunked(),
        (false, false, Some(length)) => Decoder::length(length),
        (false, false, None) => Decoder::until_close(),
    };
    // A length beside chunks may be an answer split in two (RFC 9112, 6.3): the chunks count, and nothing after them.
    let in_doubt = body.is_until_close() || (chunked && minded.has(&CONTENT_LENGTH));
    let keep_alive = !in_doubt && wants_keep_alive(version_1_1, minded, &headers);
    Ok(Head { status, headers, minded, reason, keep_alive, body })
}

fn wants_keep_alive(version_1_1: bool, minded: Minded, headers: &HeaderMap) -> bool {
    if !minded.has(&CONNECTION) {
        return version_1_1;
    }
    let says = |wanted: &[u8]| {
        let options = headers.get_all(CONNECTION).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
        options.map(<[u8]>::trim_ascii).any(|option| option.eq_ignore_ascii_case(wanted))
    };
    !says(b"close") && (version_1_1 || says(b"keep-alive"))
}

/// Fields after the last chunk; `None` while they are not whole. They end with an empty line.
pub fn read_trailers(buffer: &mut BytesMut) -> Result<Option<HeaderMap>, Invalid> {
    if buffer.starts_with(b"\r\n") {
        buffer.advance(2);
        return Ok(Some(HeaderMap::new()));
    }
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let (length, count) = match httparse::parse_headers(buffer, &mut fields) {
        Ok(httparse::Status::Complete((length, fields))) if length <= HEAD_MAX => (length, fields.len()),
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Complete(_) | httparse::Status::Partial) | Err(_) => return Err(Invalid),
    };
    let spans = Spans::of(&fields[..count], buffer);
    let whole = buffer.split_to(length).freeze();
    // Chunks' other lines end with CRLF or are refused: so do these.
    let bare = memchr::memchr_iter(b'\n', &whole).any(|at| at == 0 || whole[at - 1] != b'\r');
    if bare { Err(Invalid) } else { spans.into_headers(whole).map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(wire: &[u8]) -> Result<Head, Invalid> {
        read(&mut BytesMut::from(wire), false).map(|head| head.expect("the head is whole"))
    }

    fn written(request: Request<RequestBody>) -> String {
        let mut out = BytesMut::new();
        write(&request, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn only_a_connection_whose_framing_is_beyond_doubt_serves_again() {
        for (head, keep_alive) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\nConnection: x, Close\r\n\r\n", false),
            ("HTTP/1.1 200 OK\r\n\r\n", false),
            ("HTTP/1.1 204 No\r\n\r\n", true),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: Keep-Alive\r\n\r\n", true),
        ] {
            assert_eq!(whole(head.as_bytes()).unwrap().keep_alive, keep_alive, "{head}");
        }
    }

    #[test]
    fn a_head_that_could_be_framed_in_two_ways_is_refused() {
        for head in [
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        ] {
            assert!(whole(head.as_bytes()).is_err(), "{head}");
        }
    }

    #[test]
    fn the_limit_of_a_head_does_not_depend_on_how_it_arrives() {
        let of_length = |length: usize| {
            let (start, end) = ("HTTP/1.1 200 OK\r\nX: ", "\r\n\r\n");
            [start, &"x".repeat(length - start.len() - end.len()), end].concat().into_bytes()
        };
        assert!(whole(&of_length(HEAD_MAX)).is_ok());
        assert!(whole(&of_length(HEAD_MAX + 1)).is_err());
        assert!(read(&mut BytesMut::from(&of_length(HEAD_MAX)[..HEAD_MAX - 1]), false).is_ok_and(|head| head.is_none()));
        assert!(read(&mut BytesMut::from(&of_length(HEAD_MAX + 1)[..HEAD_MAX]), false).is_err());
    }

    #[test]
    fn a_folded_value_becomes_one_line() {
        let head = whole(b"HTTP/1.1 200 OK\r\nX: a\r\n\t b \r\n c\r\nY: \r\nZ:\r\n a\r\n \r\n\r\n").unwrap();
        let value = |name: &str| head.headers[name].to_str().unwrap();
        assert_eq!((value("x"), value("y"), value("z")), ("a b c", "", "a"));
    }

    /// `http://host?x` has a query and no path.
    #[test]
    fn a_target_begins_with_a_slash() {
        for (uri, line) in
            [("/a?x", "GET /a?x HTTP/1.1\r\n"), ("http://a?x=1", "GET /?x=1 HTTP/1.1\r\n"), ("http://a", "GET / HTTP/1.1\r\n")]
        {
            let uri: http::Uri = uri.parse().unwrap();
            let mut request = Request::new(RequestBody::Empty);
            *request.uri_mut() = http::Uri::from(uri.path_and_query().cloned().unwrap());
            assert!(written(request).starts_with(line), "{line}");
        }
    }

    #[test]
    fn an_empty_body_has_a_length_where_one_is_expected() {
        for (method, length) in
            [(Method::POST, true), (Method::PUT, true), (Method::PATCH, true), (Method::GET, false), (Method::DELETE, false)]
        {
            let mut request = Request::new(RequestBody::Empty);
            *request.method_mut() = method.clone();
            assert_eq!(written(request).contains("content-length: 0\r\n"), length, "{method}");
        }
    }

    #[test]
    fn trailers_cannot_say_what_only_a_head_may_say() {
        let mut trailers = HeaderMap::new();
        for name in
            ["transfer-encoding", "content-length", "host", "connection", "trailer", "content-type", "content-encoding", "authorization"]
        {
            trailers.insert(name, HeaderValue::from_static("x"));
        }
        trailers.insert("x-sum", HeaderValue::from_static("7"));
        let mut out = BytesMut::new();
        write_trailers(&trailers, &mut out);
        assert_eq!(out, "x-sum: 7\r\n");
    }
}
