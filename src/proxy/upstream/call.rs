//! One request on one connection. Sending and listening go on at once: an upstream may answer before it has read the
//! whole body, and what it says counts even if it then stops reading.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request, StatusCode};
use http_body::Body as _;

use super::SendError;
use super::head::{self, Framing, Head};
use super::pool::Connection;
use crate::proxy::body::RequestBody;
use crate::proxy::client::Session;
use crate::proxy::interim;

/// Bodies up to this go out in one piece with their head.
const TOGETHER: usize = 4096;
/// Room to read an answer's head into; most answers of bots fit whole.
const READ_ROOM: usize = 4096;
/// More interim answers than this are an upstream gone wrong.
const INTERIM_MAX: usize = 16;

/// A request on its way.
pub struct Call {
    request: Request<RequestBody>,
    framing: Framing,
    /// What is to be written next: `connection.out`, then this, then the chunk's end.
    data: Bytes,
    tail: &'static [u8],
    sent: Sent,
    /// Written, but perhaps still in TLS's buffer.
    unflushed: bool,
    /// Was anything given to the kernel? Then the request is never sent again.
    wrote: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// More of the body is to come.
    Partly,
    /// All of it is in `out`, `data` and `tail`, or written.
    Wholly,
    /// The upstream takes no more, or the client's body broke off: it will never be whole.
    Refused,
}

/// Why a call came to nothing.
pub enum Failure {
    /// Nothing was written: the request is as it was.
    Unsent(Box<Request<RequestBody>>),
    Failed(SendError),
}

impl Call {
    pub fn new(request: Request<RequestBody>, connection: &mut Connection) -> Call {
        let out = &mut connection.out;
        out.clear();
        let framing = head::write(&request, out);
        let mut call = Call { request, framing, data: Bytes::new(), tail: b"", sent: Sent::Partly, unflushed: false, wrote: false };
        match call.request.body() {
            RequestBody::Empty => call.sent = Sent::Wholly,
            RequestBody::Held { bytes, trailers: None } => {
                call.sent = Sent::Wholly;
                if out.len() + bytes.len() <= TOGETHER {
                    out.extend_from_slice(bytes);
                } else {
                    call.data = bytes.clone();
                }
            }
            RequestBody::Held { .. } | RequestBody::Stream(_) => {}
        }
        call
    }

    /// Sends, and waits for the answer's head. Interim answers go to `interim`'s client.
    pub async fn answer(mut self, connection: &mut Connection, interim: Option<&Session>) -> Result<(Head, Call), Failure> {
        let mut interims = 0;
        loop {
            let head = match std::future::poll_fn(|cx| self.poll_head(cx, connection)).await {
                Ok(head) => head,
                Err(_) if !self.wrote => return Err(Failure::Unsent(Box::new(self.take_back()))),
                Err(error) => return Err(Failure::Failed(error)),
            };
            if !head.status.is_informational() {
                return Ok((head, self));
            }
            interims += 1;
            if head.status == StatusCode::SWITCHING_PROTOCOLS || interims > INTERIM_MAX {
                return Err(Failure::Failed(SendError::Invalid));
            }
            if let Some(session) = interim {
                interim::pass_on(session, head);
            }
        }
    }

    /// The request as it was: nothing of it was written.
    fn take_back(mut self) -> Request<RequestBody> {
        if let RequestBody::Stream(stream) = self.request.body_mut() {
            stream.put_back(self.data);
        }
        self.request
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<Head, SendError>> {
        if let Poll::Ready(Err(error)) = self.poll_send(cx, connection) {
            return Poll::Ready(Err(error));
        }
        if !self.wrote && self.sent == Sent::Refused {
            return Poll::Ready(Err(SendError::Broken));
        }
        loop {
            if !connection.input.is_empty() {
                match head::read(&mut connection.input, self.request.method() == Method::HEAD) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(head::Invalid) => return Poll::Ready(Err(SendError::Invalid)),
                }
            }
            match ready!(connection.poll_read(cx, READ_ROOM)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(SendError::Broken)),
                Ok(_) => {}
            }
        }
    }

    /// Writes what can be written; ready when there is no more to write. Only the client's body can fail it: a
    /// connection that takes no more may still have an answer for us.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<(), SendError>> {
        // What has come of the body goes out with the head: one packet instead of two.
        if !self.wrote
            && self.sent == Sent::Partly
            && self.data.is_empty()
            && let Poll::Ready(Err(_)) = self.poll_more(cx, &mut connection.out)
        {
            return Poll::Ready(Err(SendError::Broken));
        }
        loop {
            match ready!(self.poll_written(cx, connection)) {
                Ok(()) => {}
                Err(_) => self.sent = Sent::Refused,
            }
            match self.sent {
                Sent::Wholly | Sent::Refused => return Poll::Ready(Ok(())),
                Sent::Partly => {
                    if ready!(self.poll_more(cx, &mut connection.out)).is_err() || self.request.body().is_broken() {
                        // The body says no more after its error, which must not look like its end.
                        self.sent = Sent::Refused;
                        return Poll::Ready(Err(SendError::Broken));
                    }
                }
            }
        }
    }

    /// Is the whole request written?
    pub fn is_sent(&self, connection: &Connection) -> bool {
        self.sent == Sent::Wholly && !self.unflushed && connection.out.is_empty() && self.data.is_empty() && self.tail.is_empty()
    }

    fn poll_written(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<io::Result<()>> {
        if self.sent == Sent::Refused {
            return Poll::Ready(Ok(()));
        }
        loop {
            let parts = [&connection.out[..], &self.data[..], self.tail];
            if parts.iter().all(|part| part.is_empty()) {
                if self.unflushed {
                    ready!(connection.stream.poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Ready(Ok(()));
            }
            let slices = parts.map(IoSlice::new);
            let filled = if self.data.is_empty() && self.tail.is_empty() { 1 } else { 3 };
            let written = ready!(connection.stream.poll_write(cx, &slices[..filled])).inspect_err(|_| {
                self.wrote |= !connection.stream.fails_whole();
            })?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.wrote = true;
            self.advance(written, &mut connection.out);
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

    /// The next piece of a body that is not in hand. An error is the client's.
    fn poll_more(&mut self, cx: &mut Context<'_>, out: &mut BytesMut) -> Poll<Result<(), hyper::Error>> {
        let frame = ready!(Pin::new(self.request.body_mut()).poll_frame(cx)).transpose()?;
        let frame = frame.map(http_body::Frame::into_data);
        match (frame, self.framing) {
            (Some(Ok(data)), Framing::Length) => self.data = data,
            // An empty chunk would be the last one.
            (Some(Ok(data)), Framing::Chunked) if data.is_empty() => {}
            (Some(Ok(data)), Framing::Chunked) => {
                out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                self.data = data;
                self.tail = b"\r\n";
            }
            (None, _) if self.request.body().is_broken() => {}
            (None, Framing::Length) => self.sent = Sent::Wholly,
            (Some(Err(_)), Framing::Length) => {}
            (None, Framing::Chunked) => {
                out.extend_from_slice(b"0\r\n\r\n");
                self.sent = Sent::Wholly;
            }
            (Some(Err(frame)), Framing::Chunked) => {
                out.extend_from_slice(b"0\r\n");
                if let Ok(trailers) = frame.into_trailers() {
                    head::write_trailers(&trailers, out);
                }
                out.extend_from_slice(b"\r\n");
                self.sent = Sent::Wholly;
            }
        }
        Poll::Ready(Ok(()))
    }
}
