//! Between tokio's streams and hyper's read and write traits.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use hyper::rt::ReadBufCursor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

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

/// Up to this many bytes are copied into one piece: a head and a small body in one plain write cost less than a vector
/// of two. Larger ones cost more to copy than the vector does.
const SMALL: usize = 4096;

thread_local! {
    /// One for each worker: clearing a new one for each write would cost more than the copy.
    static PIECE: RefCell<[u8; SMALL]> = const { RefCell::new([0; SMALL]) };
}

/// Writes the slices, small ones as one piece.
pub fn write_from(stream: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    if let [only] = slices {
        return stream.poll_write(cx, only);
    }
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    if total > SMALL {
        return stream.poll_write_vectored(cx, slices);
    }
    PIECE.with_borrow_mut(|piece| {
        let mut at = 0;
        for slice in slices {
            piece[at..at + slice.len()].copy_from_slice(slice);
            at += slice.len();
        }
        stream.poll_write(cx, &piece[..total])
    })
}

/// Appends to the buffer what there is to read, as far as it has room; 0 is the end of the stream.
pub fn read_more(stream: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
    let mut unfilled = ReadBuf::uninit(buffer.spare_capacity_mut());
    debug_assert!(unfilled.remaining() > 0, "a read into no room looks like the end");
    ready!(stream.poll_read(cx, &mut unfilled))?;
    let read = unfilled.filled().len();
    // SAFETY: the first `read` bytes after the buffer's length were filled just now.
    unsafe { buffer.set_len(buffer.len() + read) };
    Poll::Ready(Ok(read))
}
