//! A wire as tokio's traits have it, for HTTP/2.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use super::{LINGER, LINGER_BYTES, Wire};

/// What is read at once from a connection that serin has closed its side of.
const WASTE: usize = 4 * 1024;

#[derive(Debug)]
pub struct WireIo {
    wire: Wire,
    /// serin's side is closed: when it stops to read, and how much more it reads.
    lingers: Option<(Pin<Box<Sleep>>, usize)>,
}

impl WireIo {
    pub fn new(wire: Wire) -> WireIo {
        WireIo { wire, lingers: None }
    }
}

impl AsyncRead for WireIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Wire { input, stream, .. } = &mut self.wire;
        if input.is_empty() {
            return stream.poll_fill(cx, buffer);
        }
        let n = input.len().min(buffer.remaining());
        buffer.put_slice(&input[..n]);
        input.advance(n);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WireIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.wire.stream.poll_write(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.wire.stream.poll_write(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.wire.stream.poll_flush(cx)
    }

    /// Closes serin's side, then reads for a while. A request may be under way behind the last GOAWAY. A close would answer it with a
    /// reset, and a client that has not read the GOAWAY by then cannot know that the request was not taken.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let WireIo { wire, lingers } = &mut *self;
        if lingers.is_none() {
            ready!(wire.stream.poll_shutdown(cx))?;
        }
        let (until, left) = lingers.get_or_insert_with(|| (Box::pin(sleep(LINGER)), LINGER_BYTES));
        let mut waste = [0; WASTE];
        while *left > 0 && until.as_mut().poll(cx).is_pending() {
            let mut buffer = ReadBuf::new(&mut waste);
            ready!(wire.stream.poll_fill(cx, &mut buffer))?;
            match buffer.filled().len() {
                0 => break,
                n => *left = left.saturating_sub(n),
            }
        }
        Poll::Ready(Ok(()))
    }
}
