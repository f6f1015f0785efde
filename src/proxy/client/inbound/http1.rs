//! A client's HTTP/1 connection as bytes, and the body of its current request in them.

use std::task::{Context, Poll};

use bytes::Buf;

use crate::http1::write::{LINE_END, status_line};
use crate::http1::{AnswerHead, Decoded, Decoder, Version};
use crate::proxy::headers;
use crate::proxy::wire::stream::Stream;
use crate::proxy::wire::{BodyBroken, Wire};

/// The limit for interim answers that wait to be written. They are few and small; more than this is an error of the upstream.
const INTERIM_BYTES_MAX: usize = 16 * 1024;
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The bytes of a connection, and where the current request's body ends in them.
#[derive(Debug)]
pub struct Http1 {
    pub wire: Wire,
    /// Finds the end of the current request's body.
    pub body: Decoder,
    /// The client waits for `100 Continue` before it sends its body.
    pub expects: bool,
    /// The number of bytes of `input` that are known to contain no whole head.
    pub looked_at: usize,
}

impl Http1 {
    pub fn new(stream: Stream) -> Http1 {
        Http1 { wire: Wire::new(stream), body: Decoder::length(0), expects: false, looked_at: 0 }
    }

    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        let Http1 { wire, body, expects, .. } = self;
        // A client that sends its body without waiting needs no `100 Continue` (RFC 9110, 10.1.1).
        if std::mem::take(expects) && wire.input.is_empty() && !body.is_done() {
            wire.out.extend_from_slice(CONTINUE);
        }
        wire.poll_piece(cx, body)
    }

    pub fn body_is_done(&self) -> bool {
        self.body.is_done()
    }

    pub fn body_remaining(&self) -> Option<u64> {
        self.body.remaining()
    }

    pub fn skip_body(&mut self) {
        while let Ok(Decoded::Data(_) | Decoded::Trailers(_)) = self.body.decode(&mut self.wire.input) {}
    }

    pub fn interim(&mut self, head: &AnswerHead) {
        let out = &mut self.wire.out;
        if out.len() < INTERIM_BYTES_MAX {
            status_line(Version::Http11, head.status, head.reason.as_deref(), out);
            headers::write_answer(&head.fields, false, out);
            out.extend_from_slice(LINE_END);
        }
    }

    /// Returns `true` if `input` may now contain a whole head, or is known to contain none. Only a line's end or the size limit can
    /// change that. Otherwise a slow client could make serin parse its head again for each byte.
    pub fn has_news(&mut self, bytes_max: usize) -> bool {
        let input = &mut self.wire.input;
        // Empty lines before a head are ignored (RFC 9112, 2.2).
        while let Some(n) = [&b"\r\n"[..], b"\n"].iter().find(|end| input.starts_with(end)).map(|end| end.len()) {
            input.advance(n);
            self.looked_at = 0;
        }
        let new = &input[self.looked_at.min(input.len())..];
        !input.is_empty() && (self.looked_at == 0 || input.len() >= bytes_max || memchr::memchr(b'\n', new).is_some())
    }
}
