//! Writes messages as bytes: the lines of a head, and the framing of a body.

use bytes::BytesMut;
use http::uri::PathAndQuery;
use http::{Method, StatusCode};

use super::Version;
use super::known::Known;

/// Ends a chunked body that has no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// Ends a chunk, and a head.
pub const LINE_END: &[u8] = b"\r\n";

/// The framing of a body that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// By its length, or there is no body.
    Length,
    Chunked,
    /// By the end of the connection.
    UntilClose,
}

pub fn request_line(method: &Method, path: &PathAndQuery, out: &mut BytesMut) {
    let (method, path) = (method.as_str().as_bytes(), path.as_str().as_bytes());
    out.reserve(method.len() + path.len() + 12);
    out.extend_from_slice(method);
    out.extend_from_slice(b" ");
    out.extend_from_slice(path);
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Writes the usual reason for the status if `reason` is `None`.
pub fn status_line(version: Version, status: StatusCode, reason: Option<&[u8]>, out: &mut BytesMut) {
    if (version, status, reason) == (Version::Http11, StatusCode::OK, None) {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    out.extend_from_slice(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    });
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(reason.unwrap_or_else(|| status.canonical_reason().unwrap_or_default().as_bytes()));
    out.extend_from_slice(LINE_END);
}

pub fn field(name: &[u8], value: &[u8], out: &mut BytesMut) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(LINE_END);
}

/// Begins a field whose value is a list: with the elements that are there. The caller writes the last one and the line's end.
pub fn list<'a>(name: &[u8], elements: impl Iterator<Item = &'a [u8]>, out: &mut BytesMut) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    for element in elements {
        out.extend_from_slice(element);
        out.extend_from_slice(b", ");
    }
}

pub fn content_length(length: u64, out: &mut BytesMut) {
    let mut digits = itoa::Buffer::new();
    field(Known::ContentLength.name().as_bytes(), digits.format(length).as_bytes(), out);
}

pub fn chunked(out: &mut BytesMut) {
    out.extend_from_slice(b"transfer-encoding: chunked\r\n");
}

/// The line before a chunk of this length. The length is not 0, because that would be the last chunk.
pub fn chunk_size(length: usize, out: &mut BytesMut) {
    debug_assert!(length > 0);
    let digits = (usize::BITS - length.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        out.extend_from_slice(&[b"0123456789abcdef"[(length >> (4 * place)) & 15]]);
    }
    out.extend_from_slice(LINE_END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_status_has_its_usual_reason_unless_another_is_given() {
        let line = |status: u16, reason: Option<&[u8]>| {
            written(|out| status_line(Version::Http11, StatusCode::from_u16(status).unwrap(), reason, out))
        };
        assert_eq!(line(200, None), "HTTP/1.1 200 OK\r\n");
        assert_eq!(line(404, None), "HTTP/1.1 404 Not Found\r\n");
        assert_eq!(line(299, None), "HTTP/1.1 299 \r\n");
        assert_eq!(line(200, Some(b"Fine")), "HTTP/1.1 200 Fine\r\n");
        assert_eq!(written(|out| status_line(Version::Http10, StatusCode::OK, None, out)), "HTTP/1.0 200 OK\r\n");
    }

    proptest! {
        #[test]
        fn a_chunks_size_is_hexadecimal(length in 1usize..) {
            prop_assert_eq!(written(|out| chunk_size(length, out)), format!("{length:x}\r\n"));
        }
    }
}
