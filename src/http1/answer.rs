//! An answer's head, read from the front of a buffer, and what it states about its message.

use bytes::{Bytes, BytesMut};
use http::StatusCode;

use super::decode::Decoder;
use super::fields::{Fields, Found, room};
use super::framing::{is_only_chunked, keeps_alive, length};
use super::known::Known;
use super::{HEAD_BYTES_MAX, Invalid, Version};

#[derive(Debug)]
pub struct AnswerHead {
    pub status: StatusCode,
    /// The reason phrase, if it is not the usual one for the status.
    pub reason: Option<Bytes>,
    pub fields: Fields,
    /// The value of `Content-Length`. There may be no body of that length: an answer to HEAD has none.
    pub length: Option<u64>,
    /// Finds the end of the body.
    pub body: Decoder,
    /// Whether the connection can be used again once the answer has ended.
    pub keep_alive: bool,
}

impl AnswerHead {
    /// Takes a head from the buffer's front. Returns `None` while it is not complete.
    pub fn read(buffer: &mut BytesMut, to_head_request: bool) -> Result<Option<AnswerHead>, Invalid> {
        let seen = &buffer[..buffer.len().min(HEAD_BYTES_MAX)];
        let mut fields = room();
        let mut parsed = httparse::Response::new(&mut []);
        let mut config = httparse::ParserConfig::default();
        config.allow_obsolete_multiline_headers_in_responses(true);
        let end = match config.parse_response_with_uninit_headers(&mut parsed, seen, &mut fields) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) if buffer.len() < HEAD_BYTES_MAX => return Ok(None),
            Ok(httparse::Status::Partial) | Err(_) => return Err(Invalid),
        };
        let status = parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or(Invalid)?;
        let version = if parsed.version == Some(1) { Version::Http11 } else { Version::Http10 };
        let reason = parsed.reason.filter(|reason| !reason.is_empty() && status.canonical_reason() != Some(*reason));
        let reason = reason.map(|reason| Bytes::copy_from_slice(reason.as_bytes()));
        let mut found = Found::of(parsed.headers, seen);
        found.unfold(&mut buffer[..end]);
        let fields = Fields::take(buffer, end, found);
        // An answer with a length and chunks may be an attempt to split it in two (RFC 9112, 6.3): the chunks count, and the
        // connection is not used again.
        let split = fields.has(Known::TransferEncoding) && fields.has(Known::ContentLength);
        let length = if split { None } else { length(&fields)? };
        let body = body(status, version, &fields, length, to_head_request)?;
        let in_doubt = split || body.is_until_close();
        let keep_alive = !in_doubt && keeps_alive(version, &fields);
        Ok(Some(AnswerHead { status, reason, fields, length, body, keep_alive }))
    }
}

fn body(status: StatusCode, version: Version, fields: &Fields, length: Option<u64>, to_head_request: bool) -> Result<Decoder, Invalid> {
    let chunked = fields.has(Known::TransferEncoding);
    // HTTP/1.0 has no transfer codings: such an answer came through a hop that did not know them (RFC 9112, 6.1). serin requests no
    // other coding than chunked, and cannot undo one.
    if chunked && (version == Version::Http10 || !is_only_chunked(fields)) {
        return Err(Invalid);
    }
    let bodiless = to_head_request || status.is_informational() || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    Ok(match (bodiless, chunked, length) {
        (true, _, _) => Decoder::length(0),
        (false, true, _) => Decoder::chunked(),
        (false, false, Some(length)) => Decoder::length(length),
        (false, false, None) => Decoder::until_close(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(wire: &[u8]) -> Result<AnswerHead, Invalid> {
        AnswerHead::read(&mut BytesMut::from(wire), false).map(|head| head.expect("the head is whole"))
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
            "HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
        ] {
            assert!(whole(head.as_bytes()).is_err(), "{head}");
        }
    }

    #[test]
    fn the_same_length_twice_is_one() {
        for fields in ["Content-Length: 2, 2", "Content-Length: 2\r\ncontent-length: 2"] {
            let head = whole(format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").as_bytes()).unwrap();
            assert_eq!((head.length, head.body.remaining()), (Some(2), Some(2)));
        }
    }

    #[test]
    fn the_limit_of_a_head_does_not_depend_on_how_it_arrives() {
        let of_length = |length: usize| {
            let (start, end) = ("HTTP/1.1 200 OK\r\nX: ", "\r\n\r\n");
            [start, &"x".repeat(length - start.len() - end.len()), end].concat().into_bytes()
        };
        assert!(whole(&of_length(HEAD_BYTES_MAX)).is_ok());
        assert!(whole(&of_length(HEAD_BYTES_MAX + 1)).is_err());
        let partly = |length: usize, seen: usize| AnswerHead::read(&mut BytesMut::from(&of_length(length)[..seen]), false);
        assert!(partly(HEAD_BYTES_MAX, HEAD_BYTES_MAX - 1).is_ok_and(|head| head.is_none()));
        assert!(partly(HEAD_BYTES_MAX + 1, HEAD_BYTES_MAX).is_err());
    }

    #[test]
    fn a_folded_value_becomes_one_line() {
        let head = whole(b"HTTP/1.1 200 OK\r\nX: a\r\n\t b \r\n c\r\nY: \r\nZ:\r\n a\r\n \r\n\r\n").unwrap();
        let value = |name: &str| head.fields.named(name).map(|value| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>();
        assert_eq!((value("x"), value("y"), value("z")), (vec!["a b c".into()], vec!["".into()], vec!["a".into()]));
    }

    #[test]
    fn an_unusual_reason_is_kept() {
        for (line, reason) in [("200 OK", None), ("200 Fine By Me", Some("Fine By Me")), ("299 Odd", Some("Odd")), ("200", None)] {
            let head = whole(format!("HTTP/1.1 {line}\r\n\r\n").as_bytes()).unwrap();
            assert_eq!(head.reason.as_deref(), reason.map(str::as_bytes), "{line}");
        }
    }
}
