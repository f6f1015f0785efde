//! A connection's bytes, plain or TLS.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::proxy::io::{read_more, write_from};

#[derive(Debug)]
pub enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Appends what there is to read; 0 is the end.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(stream) => read_more(Pin::new(stream), cx, buffer),
            Stream::Tls(stream) => read_more(Pin::new(stream.as_mut()), cx, buffer),
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

    /// Has the runtime seen nothing on this idle connection? Costs no system call where it has not, and may be a moment
    /// behind.
    pub fn seems_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            // The runtime believes in more to come as long as each read filled its room: then the kernel knows.
            Stream::Plain(stream) => stream.poll_read_ready(&mut cx).is_pending() || self.is_open(),
            // What TLS says to itself, such as a session ticket, is taken in here. Its end, or data, is not idle.
            Stream::Tls(stream) => Pin::new(stream.as_mut()).poll_read(&mut cx, &mut ReadBuf::new(&mut [0])).is_pending(),
        }
    }

    /// Does a write that failed say for sure that nothing was written? TLS may have sent whole records before.
    pub fn fails_whole(&self) -> bool {
        matches!(self, Stream::Plain(_))
    }

    /// Asks the kernel whether an idle connection is still open. Something to read is not idle as HTTP means it; below
    /// TLS it is most likely the word that it ends.
    pub fn is_open(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let peeked = match self {
            Stream::Plain(stream) => SockRef::from(stream).peek(&mut byte),
            Stream::Tls(stream) => SockRef::from(stream.get_ref().0).peek(&mut byte),
        };
        peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}
