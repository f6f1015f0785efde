//! One stream of a client's connection in HTTP/2: the body of its request, and where its interim answers go.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use crate::http1::{AnswerHead, Decoded, Field, Fields};
use crate::proxy::headers;
use crate::proxy::wire::BodyBroken;

/// The limit for the interim answers to one request. They are few and small; more than this is an error of the upstream.
const INTERIM_BYTES_MAX: usize = 16 * 1024;

pub struct Http2 {
    body: RecvStream,
    /// The number of bytes of the body that are still to come, if the request has a length.
    remaining: Option<u64>,
    /// The client waits for 100 (Continue) before it sends its body.
    pub expects: bool,
    interim_bytes: usize,
    pub respond: SendResponse<Bytes>,
}

impl Http2 {
    /// `length` is the request's `Content-Length`. The library has checked it, and resets a stream that does not keep to it.
    pub fn new(body: RecvStream, length: Option<u64>, respond: SendResponse<Bytes>) -> Http2 {
        Http2 { body, remaining: length, expects: false, interim_bytes: 0, respond }
    }

    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        loop {
            let Poll::Ready(piece) = self.body.poll_data(cx) else {
                // A client that sends its body without waiting needs no 100 (RFC 9110, 10.1.1).
                if std::mem::take(&mut self.expects) {
                    self.inform(StatusCode::CONTINUE, HeaderMap::new());
                }
                return Poll::Pending;
            };
            let Some(piece) = piece else { break };
            let data = piece.map_err(|_| BodyBroken)?;
            // The client may send as much again.
            let _ = self.body.flow_control().release_capacity(data.len());
            self.remaining = self.remaining.map(|left| left.saturating_sub(data.len() as u64));
            // An empty frame says nothing.
            if !data.is_empty() {
                self.expects = false;
                return Poll::Ready(Ok(Decoded::Data(data)));
            }
        }
        Poll::Ready(match ready!(self.body.poll_trailers(cx)) {
            Ok(Some(trailers)) => {
                let fields = trailers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                Ok(Decoded::Trailers(Fields::of(fields)))
            }
            Ok(None) => Ok(Decoded::End),
            Err(_) => Err(BodyBroken),
        })
    }

    pub fn body_is_done(&self) -> bool {
        self.body.is_end_stream()
    }

    pub fn body_remaining(&self) -> Option<u64> {
        if self.body_is_done() { Some(0) } else { self.remaining }
    }

    /// Passes an interim answer on.
    pub fn interim(&mut self, head: &AnswerHead) {
        let fields = || headers::of_answer(&head.fields, false);
        self.interim_bytes += fields().map(|field| field.name.len() + field.value.len()).sum::<usize>();
        if self.interim_bytes < INTERIM_BYTES_MAX {
            self.inform(head.status, map(fields()));
        }
    }

    fn inform(&mut self, status: StatusCode, fields: HeaderMap) {
        let mut response = Response::new(());
        (*response.status_mut(), *response.headers_mut()) = (status, fields);
        // It fails if the client has left, which serin learns in another way.
        let _ = self.respond.send_informational(response);
    }
}

/// Names and values of HTTP/1 that HTTP/2 cannot carry do not exist: both were checked when they were read.
pub fn map<'a>(fields: impl Iterator<Item = Field<'a>>) -> HeaderMap {
    let fields = fields.filter_map(|field| Some((HeaderName::from_bytes(field.name).ok()?, HeaderValue::from_bytes(field.value).ok()?)));
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        map.append(name, value);
    }
    map
}

impl std::fmt::Debug for Http2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2").field("stream", &self.body.stream_id()).field("remaining", &self.remaining).finish_non_exhaustive()
    }
}
