//! One request on one connection. serin sends and reads at the same time: an upstream may answer before it has read the whole body,
//! and its answer counts even if it then stops reading.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Method, StatusCode};

use super::pool::Connection;
use super::request::{Host, Interim, Request, SendError};
use crate::http1::write::{Framing, chunked, content_length, request_line};
use crate::http1::{AnswerHead, Decoded, Invalid, Known, upgrade, write};
use crate::proxy::client::RequestBody;
use crate::proxy::headers;
use crate::proxy::wire::{BodyBroken, Outgoing};

/// Room to read an answer's head; most answers of bots fit completely.
const READ_ROOM: usize = 4096;
/// The most interim answers to one request. More are an error of the upstream.
const INTERIM_MAX: usize = 16;

/// A request that is being sent.
pub struct Call {
    request: Request,
    message: Outgoing,
    /// The part of a streamed body that was taken before anything was written: `take_back` may have to return it.
    taken: Bytes,
    sent: Sent,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// More of the body is to come.
    Partly,
    /// All of the body is in the message, or written.
    Wholly,
    /// The upstream takes no more, or the client's body broke off: the request will never be complete.
    Refused,
}

/// Why a call failed.
pub enum Failure {
    /// Nothing was written: the caller can take the request back.
    Unsent,
    Failed(SendError),
}

impl Call {
    /// `authority` is the upstream's own host and port.
    pub fn new(request: Request, authority: &str, connection: &mut Connection) -> Call {
        let out = &mut connection.wire.out;
        out.clear();
        let mut message = Outgoing::new(write_head(&request, authority, out));
        let sent = match &request.body {
            RequestBody::Empty => Sent::Wholly,
            RequestBody::Held { bytes, trailers: None, .. } => {
                message.put(bytes.clone(), out);
                Sent::Wholly
            }
            RequestBody::Held { .. } | RequestBody::Stream(_) => Sent::Partly,
        };
        Call { request, message, taken: Bytes::new(), sent }
    }

    /// Sends the request, and returns the head of the final answer.
    pub async fn answer(&mut self, connection: &mut Connection) -> Result<AnswerHead, Failure> {
        let mut interims = 0;
        loop {
            let head = match std::future::poll_fn(|cx| self.poll_head(cx, connection)).await {
                Ok(head) => head,
                Err(_) if !self.message.wrote() => return Err(Failure::Unsent),
                Err(error) => return Err(Failure::Failed(error)),
            };
            if !head.status.is_informational() {
                return Ok(head);
            }
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                let agreed = self.request.upgrade.as_deref().is_some_and(|asked| upgrade::agrees(&head, asked));
                return if agreed { Ok(head) } else { Err(Failure::Failed(SendError::Invalid)) };
            }
            interims += 1;
            if interims > INTERIM_MAX {
                return Err(Failure::Failed(SendError::Invalid));
            }
            // serin itself sends `100 Continue` when it begins to read the body.
            if self.request.interim == Interim::Passes && head.status != StatusCode::CONTINUE {
                self.request.session.interim(&head);
            }
        }
    }

    /// Returns the request unchanged. Called only if nothing of it was written.
    pub fn take_back(mut self) -> Request {
        self.request.body.put_back(self.taken);
        self.request
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<AnswerHead, SendError>> {
        if let Poll::Ready(Err(BodyBroken)) = self.poll_send(cx, connection) {
            return Poll::Ready(Err(SendError::Broken));
        }
        if !self.message.wrote() && self.sent == Sent::Refused {
            return Poll::Ready(Err(SendError::Broken));
        }
        let wire = &mut connection.wire;
        loop {
            if !wire.input.is_empty() {
                match AnswerHead::read(&mut wire.input, self.request.head.method == Method::HEAD) {
                    Ok(Some(head)) => return Poll::Ready(Ok(head)),
                    Ok(None) => {}
                    Err(Invalid) => return Poll::Ready(Err(SendError::Invalid)),
                }
            }
            match ready!(wire.poll_read(cx, READ_ROOM)) {
                Ok(0) | Err(_) => return Poll::Ready(Err(SendError::Broken)),
                Ok(_) => {}
            }
        }
    }

    /// Writes what can be written. Ready when there is no more to write. Fails only if the client's body does: a connection that
    /// takes no more may still bring an answer.
    pub fn poll_send(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<(), BodyBroken>> {
        // The first piece of the body goes out with the head: one packet instead of two.
        if !self.message.wrote()
            && self.sent == Sent::Partly
            && self.taken.is_empty()
            && let Poll::Ready(Err(BodyBroken)) = self.poll_more(cx, connection)
        {
            return Poll::Ready(Err(BodyBroken));
        }
        loop {
            if self.sent != Sent::Refused && ready!(self.message.poll_written(cx, &mut connection.wire)).is_err() {
                self.sent = Sent::Refused;
            }
            match self.sent {
                Sent::Wholly | Sent::Refused => return Poll::Ready(Ok(())),
                Sent::Partly => {
                    if ready!(self.poll_more(cx, connection)).is_err() {
                        // After its error the body returns an end, which must not be sent as one.
                        self.sent = Sent::Refused;
                        return Poll::Ready(Err(BodyBroken));
                    }
                }
            }
        }
    }

    /// Whether the whole request is written.
    pub fn is_sent(&self, connection: &Connection) -> bool {
        self.sent == Sent::Wholly && self.message.is_written(&connection.wire)
    }

    /// Moves the next piece of the body into the message. An error is the client's.
    fn poll_more(&mut self, cx: &mut Context<'_>, connection: &mut Connection) -> Poll<Result<(), BodyBroken>> {
        let out = &mut connection.wire.out;
        match ready!(self.request.body.poll_piece(cx))? {
            Decoded::Data(data) => {
                if !self.message.wrote() {
                    self.taken = data.clone();
                }
                self.message.put(data, out);
            }
            Decoded::Trailers(trailers) => {
                self.message.end(Some(&trailers), out);
                self.sent = Sent::Wholly;
            }
            Decoded::End | Decoded::NeedMore => {
                self.message.end(None, out);
                self.sent = Sent::Wholly;
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Appends the head. Returns how the body is framed.
fn write_head(request: &Request, authority: &str, out: &mut bytes::BytesMut) -> Framing {
    request_line(&request.head.method, &request.path, out);
    let host = match request.host {
        Host::OfClient => None,
        Host::OfUpstream => Some(authority.as_bytes()),
    };
    headers::write_request(&request.head.fields, &request.session.origin, host, request.trace, out);
    if let Some(protocol) = &request.upgrade {
        headers::write_upgrade(protocol, out);
    }
    let framing = match request.body.length() {
        // `Content-Length: 0` is sent only if the method usually has a body (RFC 9110, 8.6) or the client sent a length.
        Some(0) if !request.head.fields.has(Known::ContentLength) && !usually_has_body(&request.head.method) => Framing::Length,
        Some(length) => {
            content_length(length, out);
            Framing::Length
        }
        None => {
            chunked(out);
            Framing::Chunked
        }
    };
    out.extend_from_slice(write::LINE_END);
    framing
}

fn usually_has_body(method: &Method) -> bool {
    [Method::POST, Method::PUT, Method::PATCH].contains(method)
}
