//! A connection's bytes, plain or over TLS.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Appends to `buffer` what there is to read. Returns the number of bytes; 0 is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(stream) => read_more(Pin::new(stream), cx, buffer),
            Stream::Tls(stream) => read_more(Pin::new(stream.as_mut()), cx, buffer),
        }
    }

    /// Fills the buffer with what there is to read. If that is nothing, the connection has ended.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buffer),
        }
    }

    pub fn poll_write(&mut self, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(stream) => write_from(Pin::new(stream), cx, slices),
            Stream::Tls(stream) => write_from(Pin::new(stream.as_mut()), cx, slices),
        }
    }

    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(_) => Poll::Ready(Ok(())),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }

    /// Ready if there is something to read, the end or an error.
    pub fn poll_read_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        // A client's first request often comes with the end of its handshake: then TLS has read it, and the socket has nothing more.
        if let Stream::Tls(stream) = self
            && has_read(stream)
        {
            return Poll::Ready(());
        }
        self.socket().poll_read_ready(cx).map(drop)
    }

    /// Whether the connection has an error, a reset for example, even if there is still something to read before it.
    pub fn is_broken(&self) -> bool {
        !matches!(SockRef::from(self.socket()).take_error(), Ok(None))
    }

    /// Ends both directions at once.
    pub fn cut(&self) {
        let _ = SockRef::from(self.socket()).shutdown(std::net::Shutdown::Both);
    }

    /// Makes the close send a reset instead of an orderly end.
    pub fn reset_when_closed(&self) {
        let _ = SockRef::from(self.socket()).set_linger(Some(std::time::Duration::ZERO));
    }

    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }

    /// Whether the runtime has seen nothing on this idle connection. Mostly without a system call, so the answer may be slightly old.
    pub fn seems_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            // The runtime reports readiness as long as each read filled its buffer: then the kernel is asked.
            Stream::Plain(stream) => stream.poll_read_ready(&mut cx).is_pending() || self.is_open(),
            // This reads TLS's own messages, such as a session ticket. Data or an end means that the connection is not idle.
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(&mut cx, &mut ReadBuf::new(&mut [0])).is_pending(),
        }
    }

    /// Whether a failed write means that nothing was written. TLS may have sent whole records before.
    pub fn fails_whole(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }

    /// Asks the kernel whether an idle connection is still open and has nothing to read. Data on an idle connection breaks HTTP;
    /// under TLS it is most likely the alert that ends the connection.
    pub fn is_open(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        SockRef::from(self.socket()).peek(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Whether TLS holds something that it has read from the socket: data, the end or an error.
fn has_read(stream: &mut TlsStream<TcpStream>) -> bool {
    let state = match stream {
        TlsStream::Client(stream) => stream.get_mut().1.process_new_packets(),
        TlsStream::Server(stream) => stream.get_mut().1.process_new_packets(),
    };
    state.map_or(true, |state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
}

/// Writes a single slice with a plain write: a vectored write of one slice costs more.
fn write_from(stream: Pin<&mut impl AsyncWrite>, cx: &mut Context<'_>, slices: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
    match slices {
        [only] => stream.poll_write(cx, only),
        _ => stream.poll_write_vectored(cx, slices),
    }
}

/// Appends to the buffer what there is to read, as far as it has room. Returns the number of bytes; 0 is the end.
#[allow(unsafe_code, reason = "tokio tells how much of the buffer it has filled, and the buffer must be told")]
fn read_more(stream: Pin<&mut impl AsyncRead>, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
    let mut unfilled = ReadBuf::uninit(buffer.spare_capacity_mut());
    debug_assert!(unfilled.remaining() > 0, "a read into no room looks like the end");
    ready!(stream.poll_read(cx, &mut unfilled))?;
    let read = unfilled.filled().len();
    // SAFETY: the first `read` bytes after the buffer's length were filled just now.
    unsafe { buffer.set_len(buffer.len() + read) };
    Poll::Ready(Ok(read))
}
