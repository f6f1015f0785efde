//! The body of a request in HTTP/2, as hyper delivers it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Incoming};

use crate::http1::{Decoded, Fields};
use crate::proxy::wire::BodyBroken;

#[derive(Debug)]
pub struct Http2(Incoming);

impl Http2 {
    pub fn new(body: Incoming) -> Http2 {
        Http2(body)
    }

    pub fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        loop {
            let Some(frame) = ready!(Pin::new(&mut self.0).poll_frame(cx)) else { return Poll::Ready(Ok(Decoded::End)) };
            match frame.map_err(|_| BodyBroken)?.into_data() {
                // An empty frame says nothing.
                Ok(data) if data.is_empty() => {}
                Ok(data) => return Poll::Ready(Ok(Decoded::Data(data))),
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    let fields = trailers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
                    return Poll::Ready(Ok(Decoded::Trailers(Fields::of(fields))));
                }
            }
        }
    }

    pub fn body_is_done(&self) -> bool {
        self.0.is_end_stream()
    }

    pub fn body_remaining(&self) -> Option<u64> {
        if self.body_is_done() { Some(0) } else { self.0.size_hint().exact() }
    }
}
