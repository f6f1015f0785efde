//! A connection's bytes, plain or TLS.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use socket2::SockRef;
use tokio::io::AsyncWrite;
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

    /// Has the runtime seen nothing on this idle connection? Costs no system call. It may be a moment behind, and after a
    /// read that filled its buffer it may think that there is more.
    pub fn seems_idle(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Stream::Plain(stream) => stream.poll_read_ready(&mut cx).is_pending(),
            // Below TLS there may be a session ticket to read.
            Stream::Tls(_) => true,
        }
    }

    /// Asks the kernel whether an idle connection is still open. Something to read on a plain one is not idle as HTTP
    /// means it.
    pub fn is_open(&self) -> bool {
        let mut byte = [MaybeUninit::uninit()];
        let (peeked, plain) = match self {
            Stream::Plain(stream) => (SockRef::from(stream).peek(&mut byte), true),
            Stream::Tls(stream) => (SockRef::from(stream.get_ref().0).peek(&mut byte), false),
        };
        match peeked {
            Ok(0) => false,
            Ok(_) => !plain,
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }
}
