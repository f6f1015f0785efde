//! One HTTP connection, a client's or an upstream's: the stream, the bytes that were read and not used, and the bytes to write. And
//! the message that is being written to it.

pub mod as_tokio;
pub mod budget;
pub mod clock;
pub mod living;
pub mod stream;

use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};

use self::stream::Stream;
use super::headers::write_trailers;
use crate::http1::write::{Framing, LAST_CHUNK, LINE_END, chunk_size};
use crate::http1::{Decoded, Decoder, Fields, Invalid};

/// Up to this size a piece is copied behind the bytes before it, and both go out together.
const TOGETHER: usize = 4096;
/// The least and the most to read at once of a long body.
const READ_MIN: usize = 4 * 1024;
pub const READ_MAX: usize = 64 * 1024;
/// The most that an idle connection keeps of each buffer: few webhooks need more, and there may be a thousand connections.
const BUFFER_KEPT: usize = 8 * 1024;
/// For how long, and how many bytes, serin still reads from a connection that it closes. Otherwise data from the client would reset
/// the connection before the client has read the last answer.
pub const LINGER: Duration = Duration::from_secs(2);
pub const LINGER_BYTES: usize = 1024 * 1024;

#[derive(Debug)]
pub struct Wire {
    pub stream: Stream,
    pub input: BytesMut,
    pub out: BytesMut,
    /// The most room that `input` has had since it was last freed.
    room: usize,
    /// The room for the next read of a body whose length is not known.
    expected: usize,
    /// The most to read at once.
    most: usize,
}

/// A body broke off, or is framed wrongly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyBroken;

impl Wire {
    pub fn new(stream: Stream) -> Wire {
        Wire { stream, input: BytesMut::new(), out: BytesMut::new(), room: 0, expected: READ_MIN, most: READ_MAX }
    }

    /// Appends to `input` what there is to read, up to `room` bytes or somewhat more. Returns the number of bytes; 0 is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.room = self.room.max(self.input.len() + room);
        self.input.reserve(room);
        self.stream.poll_read(cx, &mut self.input)
    }

    /// The next piece of a body. Reads more if there is none in `input`.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>, decoder: &mut Decoder) -> Poll<Result<Decoded, BodyBroken>> {
        loop {
            match decoder.decode(&mut self.input).map_err(|Invalid| BodyBroken)? {
                Decoded::NeedMore => {}
                decoded @ (Decoded::Data(_) | Decoded::Trailers(_) | Decoded::End) => return Poll::Ready(Ok(decoded)),
            }
            // One byte more than is to come: a read that fills its room makes the runtime believe that there is more to read.
            let expected = decoder.remaining().map_or(self.expected as u64, |left| left.saturating_add(1));
            let room = expected.clamp(READ_MIN as u64, self.most as u64) as usize;
            match ready!(self.poll_read(cx, room)) {
                Ok(0) if decoder.ended_by_close() => return Poll::Ready(Ok(Decoded::End)),
                Ok(0) | Err(_) => return Poll::Ready(Err(BodyBroken)),
                // Four times as much: a slow stream needs little room, and a fast one should come in few large pieces.
                Ok(n) => self.expected = (n * 4).min(self.most),
            }
        }
    }

    /// Reads a body in short pieces from now on: there is no memory for long ones.
    pub fn read_little(&mut self) {
        (self.most, self.expected) = (READ_MIN, READ_MIN);
    }

    /// Frees buffers that a long message needed. Also a short `input`, because it may be the end of a large buffer.
    pub fn shrink(&mut self) {
        if self.room > BUFFER_KEPT {
            (self.input, self.room) = (BytesMut::new(), 0);
        }
        if self.out.capacity() > BUFFER_KEPT {
            self.out = BytesMut::new();
        }
        (self.most, self.expected) = (READ_MAX, READ_MIN);
    }

    /// Frees the empty buffer of what was read.
    pub fn rest_input(&mut self) {
        debug_assert!(self.input.is_empty());
        (self.input, self.room) = (BytesMut::new(), 0);
    }

    /// Frees all buffers.
    pub fn rest(&mut self) {
        debug_assert!(self.input.is_empty() && self.out.is_empty());
        (self.input, self.out, self.room) = (BytesMut::new(), BytesMut::new(), 0);
    }
}

/// A message that is being written. Its head and the framing of its body are in the wire's `out`.
#[derive(Debug)]
pub struct Outgoing {
    framing: Framing,
    /// Written after `out`, and before `tail`, the end of the chunk.
    data: Bytes,
    tail: &'static [u8],
    /// Something was written that may still be in TLS's buffer.
    unflushed: bool,
    /// Whether any byte was given to the kernel.
    wrote: bool,
    /// The bytes that were given to the kernel.
    written: u64,
}

impl Outgoing {
    pub fn new(framing: Framing) -> Outgoing {
        Outgoing { framing, data: Bytes::new(), tail: b"", unflushed: false, wrote: false, written: 0 }
    }

    pub fn written(&self) -> u64 {
        self.written
    }

    pub fn wrote(&self) -> bool {
        self.wrote
    }

    pub fn ends_with_connection(&self) -> bool {
        self.framing == Framing::UntilClose
    }

    pub fn is_chunked(&self) -> bool {
        self.framing == Framing::Chunked
    }

    /// Whether everything so far is written.
    pub fn is_written(&self, wire: &Wire) -> bool {
        !self.unflushed && wire.out.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    /// Whether `put` can take one more piece.
    pub fn has_room(&self, wire: &Wire) -> bool {
        self.data.is_empty() && self.tail.is_empty() && wire.out.len() < TOGETHER
    }

    /// Adds a piece of the body.
    pub fn put(&mut self, piece: Bytes, out: &mut BytesMut) {
        // An empty chunk would end the body.
        if piece.is_empty() {
            return;
        }
        let end = match self.framing {
            Framing::Chunked => {
                chunk_size(piece.len(), out);
                LINE_END
            }
            Framing::Length | Framing::UntilClose => b"",
        };
        if out.len() + piece.len() <= TOGETHER {
            out.extend_from_slice(&piece);
            out.extend_from_slice(end);
        } else {
            (self.data, self.tail) = (piece, end);
        }
    }

    /// Adds the body's end, if its framing has one. Must not be called while a piece waits in `data`.
    pub fn end(&mut self, trailers: Option<&Fields>, out: &mut BytesMut) {
        match (self.framing, trailers) {
            (Framing::Length | Framing::UntilClose, _) => {}
            (Framing::Chunked, None) => out.extend_from_slice(LAST_CHUNK),
            (Framing::Chunked, Some(trailers)) => {
                out.extend_from_slice(b"0\r\n");
                write_trailers(trailers, out);
                out.extend_from_slice(LINE_END);
            }
        }
    }

    /// Writes everything. Ready when all of it is written.
    pub fn poll_written(&mut self, cx: &mut Context<'_>, wire: &mut Wire) -> Poll<io::Result<()>> {
        loop {
            let parts = [&wire.out[..], &self.data[..], self.tail];
            if parts.iter().all(|part| part.is_empty()) {
                if self.unflushed {
                    ready!(wire.stream.poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Ready(Ok(()));
            }
            let slices = parts.map(IoSlice::new);
            let filled = if self.data.is_empty() && self.tail.is_empty() { 1 } else { 3 };
            let written = ready!(wire.stream.poll_write(cx, &slices[..filled])).inspect_err(|_| {
                self.wrote |= !wire.stream.fails_whole();
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.wrote = true;
            self.written += written as u64;
            self.advance(written, &mut wire.out);
        }
    }

    fn advance(&mut self, mut written: usize, out: &mut BytesMut) {
        let n = written.min(out.len());
        if n == out.len() {
            out.clear()
        } else {
            out.advance(n)
        }
        written -= n;
        let n = written.min(self.data.len());
        self.data.advance(n);
        self.tail = &self.tail[written - n..];
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn an_idle_connection_keeps_no_large_buffers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let mut wire = Wire::new(Stream::Plain(client.unwrap()));
        wire.out = BytesMut::with_capacity(64 * 1024);
        server.unwrap().0.write_all(&[b'x'; 100]).await.unwrap();
        std::future::poll_fn(|cx| wire.poll_read(cx, 64 * 1024)).await.unwrap();
        // What is left of a large buffer is small, but still keeps the whole buffer.
        let _answer = wire.input.split();
        wire.shrink();
        assert_eq!((wire.input.capacity(), wire.out.capacity()), (0, 0));
    }

    #[test]
    fn a_piece_goes_out_with_what_is_before_it_or_behind_it() {
        let mut out = BytesMut::from("head");
        let mut message = Outgoing::new(Framing::Chunked);
        message.put(Bytes::new(), &mut out);
        message.put(Bytes::from_static(b"hello"), &mut out);
        message.end(None, &mut out);
        assert_eq!(out, "head5\r\nhello\r\n0\r\n\r\n");
        let mut out = BytesMut::from("head");
        let mut message = Outgoing::new(Framing::Length);
        message.put(Bytes::from(vec![b'x'; TOGETHER]), &mut out);
        assert_eq!((&out[..], message.data.len()), (&b"head"[..], TOGETHER));
        message.advance(5, &mut out);
        assert_eq!((&out[..], message.data.len()), (&b""[..], TOGETHER - 1));
    }
}
