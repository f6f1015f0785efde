//! What a client is told: an upstream's answer, or one of serin's own, written as its request can take it.

use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::{Method, StatusCode};

use super::body::AnswerBody;
use super::client::Session;
use super::headers::write_answer;
use super::wire::Outgoing;
use crate::http1::write::{Framing, LINE_END, chunked, content_length, field, status_line};
use crate::http1::{Decoded, Fields, Known, RequestHead, Version};

/// A final answer.
pub struct Reply {
    pub status: StatusCode,
    /// Where it is not the usual one for the status.
    pub reason: Option<Bytes>,
    /// As they came: what does not pass on is left out when they are written.
    pub fields: Fields,
    /// What `Content-Length` says where there is no body.
    pub length: Option<u64>,
    pub body: AnswerBody,
    /// May the client's connection go on after it?
    pub then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    GoOn,
    Close,
}

/// What a request says of the answer that it can take.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    pub version: Version,
    /// Of an answer to HEAD there is only the head.
    to_head: bool,
    trailers: bool,
    keep_alive: bool,
}

/// An answer on its way to the client.
pub struct Telling<'s> {
    session: &'s Session,
    message: Outgoing,
    body: Rest,
    trailers: bool,
    pub then: Then,
}

/// What is still to be put into the message.
enum Rest {
    Body(AnswerBody),
    Nothing,
    /// It broke off: what has come is written, and then the connection is cut.
    Broken,
}

/// Why an answer did not get to its end: the connection cannot serve on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff;

impl Reply {
    /// An answer of serin's own.
    pub fn own(status: StatusCode, body: Bytes) -> Reply {
        let length = Some(body.len() as u64);
        Reply { status, reason: None, fields: Fields::default(), length, body: AnswerBody::Own(body), then: Then::GoOn }
    }

    pub fn with(mut self, name: &str, value: &'static str) -> Reply {
        self.fields.push(name, value.as_bytes()).expect("serin's own fields are well formed");
        self
    }
}

impl Asked {
    pub fn by(head: &RequestHead) -> Asked {
        Asked {
            version: head.version,
            to_head: head.method == Method::HEAD,
            trailers: head.version == Version::Http11 && head.fields.lists(Known::Te, b"trailers"),
            keep_alive: head.keep_alive,
        }
    }

    /// Nobody knows: there was no head, or none that could be read.
    pub fn unknown() -> Asked {
        Asked { version: Version::Http11, to_head: false, trailers: false, keep_alive: false }
    }

    fn framing(&self, reply: &Reply) -> Framing {
        let known = self.is_bodiless(reply.status) || reply.body.remaining().is_some();
        match (known, self.version) {
            (true, _) => Framing::Length,
            (false, Version::Http11) => Framing::Chunked,
            (false, Version::Http10) => Framing::UntilClose,
        }
    }

    fn is_bodiless(&self, status: StatusCode) -> bool {
        self.to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED
    }
}

impl<'s> Telling<'s> {
    /// Begins with the head. `then` is what the connection's own state allows.
    pub fn begin(session: &'s Session, asked: Asked, mut reply: Reply, then: Then) -> Telling<'s> {
        let framing = asked.framing(&reply);
        let goes_on = asked.keep_alive && framing != Framing::UntilClose && (reply.then, then) == (Then::GoOn, Then::GoOn);
        let then = if goes_on { Then::GoOn } else { Then::Close };
        session.with_wire(|wire| write_head(session, asked, &reply, framing, then, &mut wire.out));
        if asked.is_bodiless(reply.status) && matches!(reply.body, AnswerBody::Own(_)) {
            reply.body = AnswerBody::Own(Bytes::new());
        }
        Telling { session, message: Outgoing::new(framing), body: Rest::Body(reply.body), trailers: asked.trailers, then }
    }

    /// Ready when all of it is written.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CutOff>> {
        loop {
            let gathered = self.poll_gather(cx);
            if ready!(self.session.poll_written(cx, &mut self.message)).is_err() {
                return Poll::Ready(Err(CutOff));
            }
            match self.body {
                Rest::Nothing => return Poll::Ready(Ok(())),
                Rest::Broken => return Poll::Ready(Err(self.cut())),
                Rest::Body(_) => ready!(gathered),
            }
        }
    }

    /// Puts what there is of the body into the message, as far as it has room.
    fn poll_gather(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Rest::Body(body) = &mut self.body
            && self.session.with_wire(|wire| self.message.has_room(wire))
        {
            let Ok(piece) = ready!(body.poll_piece(cx)) else {
                self.body = Rest::Broken;
                break;
            };
            let ended = !matches!(piece, Decoded::Data(_));
            self.session.with_wire(|wire| match piece {
                Decoded::Data(data) => self.message.put(data, &mut wire.out),
                Decoded::Trailers(trailers) => self.message.end(self.trailers.then_some(&trailers), &mut wire.out),
                Decoded::End | Decoded::NeedMore => self.message.end(None, &mut wire.out),
            });
            // Where the length is known the last piece is the end: the upstream is free before the client has it.
            if ended || body.is_done() && !self.message.is_chunked() {
                self.body = Rest::Nothing;
            }
        }
        Poll::Ready(())
    }

    /// Where the end of the connection would be the end of the body, it must not look like one.
    fn cut(&self) -> CutOff {
        if self.message.ends_with_connection() {
            self.session.with_wire(|wire| wire.stream.reset_when_closed());
        }
        CutOff
    }
}

fn write_head(session: &Session, asked: Asked, reply: &Reply, framing: Framing, then: Then, out: &mut BytesMut) {
    status_line(asked.version, reply.status, reply.reason.as_deref(), out);
    write_answer(&reply.fields, framing == Framing::Chunked, out);
    if !reply.fields.has(Known::Date) {
        session.alarms.with_date(|date| field(b"date", date.as_bytes(), out));
    }
    match framing {
        Framing::Chunked => chunked(out),
        Framing::UntilClose => {}
        Framing::Length => {
            let length = if asked.is_bodiless(reply.status) { reply.length } else { reply.body.remaining() };
            // RFC 9110, 8.6: a 204 has none.
            if let Some(length) = length.filter(|_| reply.status != StatusCode::NO_CONTENT) {
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
