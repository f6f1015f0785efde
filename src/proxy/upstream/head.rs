//! Heads on the wire: a request's written, an answer's read. Reading is strict where two readers could differ.

use bytes::{Buf, Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
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
    out.extend_from_slice(request.uri().path_and_query().map_or("/", |target| target.as_str()).as_bytes());
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

/// Trailers that may pass on: none that frame or address a message (RFC 9110, 6.5.1).
pub fn write_trailers(trailers: &HeaderMap, out: &mut BytesMut) {
    for (name, value) in trailers {
        if !Minded::is_minded(name) {
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
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Invalid),
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
    HeaderValue::from_bytes(&lines.join(&b" "[..])).map_err(|_| Invalid)
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
    if !settle_framing(minded, &mut headers) {
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
    // A coding in an HTTP/1.0 message may come from a hop that does not know it (RFC 9112, 6.1).
    let framed_for_sure = (version_1_1 || !chunked) && !body.is_until_close();
    let keep_alive = framed_for_sure && wants_keep_alive(version_1_1, minded, &headers);
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
        Ok(httparse::Status::Complete((length, fields))) => (length, fields.len()),
        Ok(httparse::Status::Partial) if buffer.len() < HEAD_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Invalid),
    };
    let spans = Spans::of(&fields[..count], buffer);
    spans.into_headers(buffer.split_to(length).freeze()).map(Some)
}
