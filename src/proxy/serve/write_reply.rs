//! Writes a reply to the client, in a form that the client can read.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};

use crate::http1::write::{Framing, LINE_END, chunked, content_length, field, status_line};
use crate::http1::{Decoded, Known, RequestHead, Version};
use crate::proxy::client::Connection;
use crate::proxy::exchange::{Reply, ReplyBody, Then, Tunnel};
use crate::proxy::headers::{write_answer, write_upgrade};
use crate::proxy::wire::Outgoing;

/// What a request states about the answers that its client can read.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub version: Version,
    /// The request is a HEAD: its answer has no body.
    to_head: bool,
    trailers: bool,
    keep_alive: bool,
}

/// An answer that is being written to the client.
pub struct ReplyWriter<'s> {
    connection: &'s Connection,
    message: Outgoing,
    body: Rest,
    trailers: bool,
    then: Then,
    tunnel: Option<Box<Tunnel>>,
}

/// What comes after an answer that is written.
pub enum After {
    Request,
    Close,
    /// The connection speaks another protocol.
    Tunnel(Box<Tunnel>),
}

/// What is not yet in the message.
enum Rest {
    Body(ReplyBody),
    Nothing,
    /// The body broke off: what has arrived is written, then the connection is cut.
    Broken,
}

/// An answer could not be finished: the connection must be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff;

impl Asked {
    pub fn by(head: &RequestHead) -> Asked {
        Asked {
            version: head.version,
            to_head: head.method == Method::HEAD,
            trailers: head.version == Version::Http11 && head.fields.lists(Known::Te, b"trailers"),
            keep_alive: head.keep_alive,
        }
    }

    /// For an answer to no request: there was no head, or it could not be read.
    pub fn unknown() -> Asked {
        Asked { version: Version::Http11, to_head: false, trailers: false, keep_alive: false }
    }

    fn framing(&self, reply: &Reply) -> Framing {
        let known = reply.is_bodiless(self.to_head) || reply.body.remaining().is_some();
        match (known, self.version) {
            (true, _) => Framing::Length,
            (false, Version::Http11) => Framing::Chunked,
            (false, Version::Http10) => Framing::UntilClose,
        }
    }
}

impl<'s> ReplyWriter<'s> {
    /// Begins to write the answer, with its head. `then` says whether the connection itself may stay open.
    pub fn begin(connection: &'s Connection, asked: Asked, mut reply: Reply, then: Then) -> ReplyWriter<'s> {
        let framing = asked.framing(&reply);
        let goes_on = asked.keep_alive && framing != Framing::UntilClose && (reply.then, then) == (Then::GoOn, Then::GoOn);
        let then = if goes_on { Then::GoOn } else { Then::Close };
        connection.with_wire(|wire| write_head(connection, asked, &reply, framing, then, &mut wire.out));
        if reply.is_bodiless(asked.to_head) && matches!(reply.body, ReplyBody::Own(_)) {
            reply.body = ReplyBody::Own(Bytes::new());
        }
        let (message, body, tunnel) = (Outgoing::new(framing), Rest::Body(reply.body), reply.tunnel);
        ReplyWriter { connection, message, body, trailers: asked.trailers, then, tunnel }
    }

    /// Called once the whole answer is written.
    pub fn after(self) -> After {
        match (self.tunnel, self.then) {
            (Some(tunnel), _) => After::Tunnel(tunnel),
            (None, Then::GoOn) => After::Request,
            (None, Then::Close) => After::Close,
        }
    }

    /// Ready when the whole answer is written.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CutOff>> {
        loop {
            let gathered = self.poll_gather(cx);
            if ready!(self.connection.poll_written(cx, &mut self.message)).is_err() {
                return Poll::Ready(Err(CutOff));
            }
            match self.body {
                Rest::Nothing => return Poll::Ready(Ok(())),
                Rest::Broken => return Poll::Ready(Err(self.cut())),
                Rest::Body(_) => ready!(gathered),
            }
        }
    }

    /// Moves what has arrived of the body into the message, while it has room.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Rest::Body(body) = &mut self.body
            && self.connection.with_wire(|wire| self.message.has_room(wire))
        {
            let Ok(piece) = ready!(body.poll_piece(cx)) else {
                self.body = Rest::Broken;
                break;
            };
            let ended = !matches!(piece, Decoded::Data(_));
            self.connection.with_wire(|wire| match piece {
                Decoded::Data(data) => self.message.put(data, &mut wire.out),
                Decoded::Trailers(trailers) => self.message.end(self.trailers.then_some(&trailers), &mut wire.out),
                Decoded::End | Decoded::NeedMore => self.message.end(None, &mut wire.out),
            });
            // If the length is known, the last piece is the end, so the upstream's connection is free before the client has it all.
            if ended || body.is_done() && !self.message.is_chunked() {
                self.body = Rest::Nothing;
            }
        }
        Poll::Ready(())
    }

    /// If the client takes the connection's end for the body's end, it must see a reset, because the body is not complete.
    fn cut(&self) -> CutOff {
        if self.message.ends_with_connection() {
            self.connection.with_wire(|wire| wire.stream.reset_when_closed());
        }
        CutOff
    }
}

fn write_head(connection: &Connection, asked: Asked, reply: &Reply, framing: Framing, then: Then, out: &mut BytesMut) {
    status_line(asked.version, reply.status, reply.reason.as_deref(), out);
    write_answer(&reply.fields, framing == Framing::Chunked, out);
    if !reply.fields.has(Known::Date) {
        connection.session.alarms.with_date(|date| field(b"date", date.as_bytes(), out));
    }
    if reply.tunnel.is_some() {
        write_upgrade(reply.fields.get(Known::Upgrade).unwrap_or_default(), out);
        return out.extend_from_slice(LINE_END);
    }
    match framing {
        Framing::Chunked => chunked(out),
        Framing::UntilClose => {}
        Framing::Length => {
            // A 204 has no length (RFC 9110, 8.6).
            if let Some(length) = reply.known_length(asked.to_head).filter(|_| reply.status != StatusCode::NO_CONTENT) {
                content_length(length, out);
            }
        }
    }
    match (then, asked.version) {
        (Then::Close, _) => field(b"connection", b"close", out),
        (Then::GoOn, Version::Http10) => field(b"connection", b"keep-alive", out),
        (Then::GoOn, Version::Http11) => {}
    }
    out.extend_from_slice(LINE_END);
}
