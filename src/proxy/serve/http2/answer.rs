//! Writes a reply to the client as an answer in HTTP/2.

use std::cell::RefCell;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::request::Asked;
use crate::http1::Decoded;
use crate::proxy::client::{Http2, Session, map};
use crate::proxy::exchange::{Reply, ReplyBody};
use crate::proxy::headers;
use crate::proxy::wire::BodyBroken;
use crate::proxy::wire::clock::Wait;

/// Writes the whole reply. If the client left before it began, the reply is read and dropped, because the bot's work must not be
/// cancelled. If the client leaves later, the bot has done its work, and the upstream's connection is closed.
pub async fn answer(asked: Asked, reply: Reply, session: &Session, stream: &RefCell<Http2>) {
    let bodiless = reply.is_bodiless(asked.to_head);
    let (response, body) = response(asked, reply, session);
    let ends = bodiless || body.is_done();
    let stream = match session.is_gone() {
        true => None,
        false => stream.borrow_mut().respond.send_response(response, ends).ok(),
    };
    let Some(stream) = stream else {
        session.leaves();
        return body.drain().await;
    };
    if ends {
        return;
    }
    let mut writer = Writer { body, stream, waits: Bytes::new(), trailers: asked.trailers, session };
    if std::future::poll_fn(|cx| writer.poll(cx)).await.is_err() {
        session.leaves();
    }
}

fn response(asked: Asked, reply: Reply, session: &Session) -> (Response<()>, ReplyBody) {
    let known = reply.known_length(asked.to_head);
    let Reply { status, fields, body, .. } = reply;
    let mut map = map(headers::of_answer(&fields, known.is_none()));
    // A 204 has no length (RFC 9110, 8.6).
    if let Some(length) = known.filter(|_| status != StatusCode::NO_CONTENT) {
        map.insert(CONTENT_LENGTH, length.into());
    }
    if !map.contains_key(DATE)
        && let Ok(date) = session.alarms.with_date(HeaderValue::from_str)
    {
        map.insert(DATE, date);
    }
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = map;
    (response, body)
}

/// The client takes no more of its answer.
struct Gone;

/// An answer's body on its way to the client. serin takes a piece from the upstream once the client has room for the one before.
struct Writer<'s> {
    body: ReplyBody,
    stream: SendStream<Bytes>,
    /// What the client has no room for yet.
    waits: Bytes,
    trailers: bool,
    session: &'s Session,
}

impl Writer<'_> {
    /// Ready when the whole answer is with the library, or has broken off.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let alarms = &self.session.alarms;
        alarms.arm_once(Wait::Total, self.session.limits.answer_total);
        alarms.watch(cx);
        if alarms.rang(Wait::Total) {
            self.stream.send_reset(Reason::CANCEL);
            return Poll::Ready(Err(Gone));
        }
        loop {
            if !self.waits.is_empty() {
                ready!(self.poll_room(cx))?;
                if self.send() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            let Poll::Ready(piece) = self.body.poll_piece(cx) else {
                return if self.stream.poll_reset(cx).is_ready() { Poll::Ready(Err(Gone)) } else { Poll::Pending };
            };
            match piece {
                Ok(Decoded::Data(data)) => {
                    self.stream.reserve_capacity(data.len());
                    self.waits = data;
                }
                Ok(Decoded::Trailers(fields)) if self.trailers => {
                    self.end(map(headers::of_trailers(&fields)));
                    return Poll::Ready(Ok(()));
                }
                Ok(Decoded::Trailers(_) | Decoded::End | Decoded::NeedMore) => {
                    self.end(HeaderMap::new());
                    return Poll::Ready(Ok(()));
                }
                // The answer must not look whole.
                Err(BodyBroken) => {
                    self.stream.send_reset(Reason::INTERNAL_ERROR);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// Waits until the client has room for a part of what waits, at most for the write timeout.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Gone>> {
        let alarms = &self.session.alarms;
        if self.stream.capacity() > 0 {
            alarms.clear(Wait::Write);
            return Poll::Ready(Ok(()));
        }
        match self.stream.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => {
                alarms.clear(Wait::Write);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Some(Err(_)) | None) => Poll::Ready(Err(Gone)),
            Poll::Pending => {
                if !alarms.armed(Wait::Write) {
                    alarms.arm(Wait::Write, self.session.limits.write_timeout);
                }
                alarms.watch(cx);
                if alarms.rang(Wait::Write) {
                    self.stream.send_reset(Reason::CANCEL);
                    return Poll::Ready(Err(Gone));
                }
                Poll::Pending
            }
        }
    }

    /// Sends as much as there is room for. Returns `true` if that was the end.
    fn send(&mut self) -> bool {
        let room = self.stream.capacity().min(self.waits.len());
        let part = self.waits.split_to(room);
        let ends = self.waits.is_empty() && self.body.is_done();
        // It fails if the client has left, which the next poll finds.
        let _ = self.stream.send_data(part, ends);
        ends
    }

    fn end(&mut self, trailers: HeaderMap) {
        let _ = match trailers.is_empty() {
            true => self.stream.send_data(Bytes::new(), true),
            false => self.stream.send_trailers(trailers),
        };
    }
}
