//! A reply as an answer in HTTP/2.

use std::any::Any;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, DATE};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use hyper::body::{Body, Frame, SizeHint};

use super::request::Asked;
use crate::http1::{Decoded, Field};
use crate::proxy::client::Session;
use crate::proxy::exchange::{Reply, ReplyBody};
use crate::proxy::headers;
use crate::proxy::wire::BodyBroken;
use crate::proxy::wire::clock::Wait;

pub fn response(asked: Asked, reply: Reply, session: Rc<Session>, guard: Box<dyn Any>) -> Response<StreamBody> {
    let Reply { status, fields, length, mut body, .. } = reply;
    let bodiless = asked.to_head || status == StatusCode::NO_CONTENT || status == StatusCode::NOT_MODIFIED;
    let known = if bodiless { length } else { body.remaining() };
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
    if bodiless && matches!(body, ReplyBody::Own(_)) {
        body = ReplyBody::Own(Bytes::new());
    }
    let mut response = Response::new(StreamBody { body: Some(body), trailers: asked.trailers, session, _guard: guard });
    *response.status_mut() = status;
    *response.headers_mut() = map;
    response
}

/// Names and values of HTTP/1 that HTTP/2 cannot carry do not exist: both were checked when they were read.
fn map<'a>(fields: impl Iterator<Item = Field<'a>>) -> HeaderMap {
    let fields = fields.filter_map(|field| Some((HeaderName::from_bytes(field.name).ok()?, HeaderValue::from_bytes(field.value).ok()?)));
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name, value);
    }
    map
}

/// An answer's body, and what must live until it ends. hyper takes a piece once the client takes the one before.
pub struct StreamBody {
    /// `None` once it has ended.
    body: Option<ReplyBody>,
    trailers: bool,
    session: Rc<Session>,
    _guard: Box<dyn Any>,
}

impl Body for StreamBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let StreamBody { body, trailers, session, .. } = &mut *self;
        session.alarms.clear(Wait::Write);
        let Some(reply) = body else { return Poll::Ready(None) };
        session.alarms.arm_once(Wait::Total, session.limits.answer_total);
        if session.alarms.rang(Wait::Total) {
            *body = None;
            return Poll::Ready(Some(Err(BrokenOff)));
        }
        let frame = match ready!(reply.poll_piece(cx)) {
            Ok(Decoded::Data(data)) => {
                session.alarms.arm(Wait::Write, session.limits.write_timeout);
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            Ok(Decoded::Trailers(fields)) if *trailers => Some(Ok(Frame::trailers(map(headers::of_trailers(&fields))))),
            Ok(Decoded::Trailers(_) | Decoded::End | Decoded::NeedMore) => None,
            Err(BodyBroken) => Some(Err(BrokenOff)),
        };
        *body = None;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(ReplyBody::is_done)
    }

    fn size_hint(&self) -> SizeHint {
        match self.body.as_ref().map_or(Some(0), ReplyBody::remaining) {
            Some(length) => SizeHint::with_exact(length),
            None => SizeHint::default(),
        }
    }
}

/// If the body has not ended, the client has broken off its stream or its connection.
impl Drop for StreamBody {
    fn drop(&mut self) {
        if !self.is_end_stream() {
            self.session.leaves();
        }
    }
}

/// The upstream's answer broke off: the stream is reset, so that the answer does not look complete.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer broke off")]
pub struct BrokenOff;
