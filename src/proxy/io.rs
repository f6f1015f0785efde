//! Between tokio's streams and hyper's read and write traits.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, ReadBuf};

/// Reads into hyper's buffer and says how many bytes came.
pub fn read_into(stream: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>, mut buffer: ReadBufCursor<'_>) -> Poll<io::Result<usize>> {
    // SAFETY: `ReadBuf` never writes uninitialised bytes into the slice, which is all that `as_mut` asks for.
    let mut unfilled = ReadBuf::uninit(unsafe { buffer.as_mut() });
    ready!(stream.poll_read(cx, &mut unfilled))?;
    let read = unfilled.filled().len();
    // SAFETY: the first `read` bytes were filled just now.
    unsafe { buffer.advance(read) };
    Poll::Ready(Ok(read))
}
