//! An answer's body as it comes from the upstream. It holds the connection until its end, and gives it back to the
//! pool there and then, so that the next request finds it.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::call::Call;
use super::decode::{Decoded, Decoder};
use super::head::Invalid;
use super::pool::{Connection, Pool};

/// What is read at once of a long body.
const READ_MIN: usize = 4 * 1024;
const READ_MAX: usize = 64 * 1024;

pub struct AnswerStream {
    decoder: Decoder,
    /// `None` once the answer has ended, or broke.
    open: Option<Open>,
}

struct Open {
    connection: Connection,
    /// The rest of the request, where the upstream answers before it has all of it.
    call: Option<Box<Call>>,
    keep_alive: bool,
    /// What to have room for at the next read, where the length is not known.
    room: usize,
    pool: Rc<Pool>,
}

/// The answer broke off, or is framed wrongly.
#[derive(Debug, thiserror::Error)]
#[error("the upstream's answer broke off")]
pub struct Broken;

impl AnswerStream {
    pub(super) fn new(decoder: Decoder, connection: Connection, call: Call, keep_alive: bool, pool: Rc<Pool>) -> AnswerStream {
        let call = (!call.is_sent(&connection)).then(|| Box::new(call));
        let mut stream = AnswerStream { decoder, open: Some(Open { connection, call, keep_alive, room: READ_MIN, pool }) };
        if stream.decoder.is_done() {
            stream.ended();
        }
        stream
    }

    /// The connection may serve again if nothing is left over on either side.
    fn ended(&mut self) {
        if let Some(Open { connection, call: None, keep_alive: true, pool, .. }) = self.open.take()
            && connection.input.is_empty()
        {
            pool.give_back(connection);
        }
    }

    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, Broken>> {
        let Some(open) = &mut self.open else { return Poll::Ready(Ok(Decoded::End)) };
        if let Some(call) = &mut open.call
            && call.poll_send(cx, &mut open.connection).is_ready()
            && call.is_sent(&open.connection)
        {
            open.call = None;
        }
        loop {
            match self.decoder.decode(&mut open.connection.input).map_err(|Invalid| Broken)? {
                Decoded::NeedMore => {}
                decoded @ (Decoded::Data(_) | Decoded::Trailers(_) | Decoded::End) => return Poll::Ready(Ok(decoded)),
            }
            // One more than is to come: a read that fills its room looks as if there were more, and the connection busy.
            let expected = self.decoder.remaining().map_or(open.room as u64, |left| left.saturating_add(1));
            let room = expected.clamp(READ_MIN as u64, READ_MAX as u64) as usize;
            match ready!(open.connection.poll_read(cx, room)) {
                Ok(0) if self.decoder.ended_by_close() => return Poll::Ready(Ok(Decoded::End)),
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken)),
                // Room for as much again, and more: a slow stream needs little, a fast one should not come in crumbs.
                Ok(n) => open.room = (n * 4).min(READ_MAX),
            }
        }
    }
}

impl Body for AnswerStream {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let decoded = ready!(self.poll_decoded(cx));
        if self.decoder.is_done() {
            self.ended();
        }
        Poll::Ready(match decoded {
            Ok(Decoded::Data(data)) => Some(Ok(Frame::data(data))),
            Ok(Decoded::Trailers(trailers)) => Some(Ok(Frame::trailers(trailers))),
            Ok(Decoded::End | Decoded::NeedMore) => None,
            Err(broken) => {
                self.open = None;
                Some(Err(broken))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        self.decoder.remaining().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
