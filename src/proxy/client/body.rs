//! A request's body on its way to the upstream: held in memory, or streamed. serin never changes a body.

use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use super::session::{Session, Upload};
use crate::http1::{Decoded, Fields};
use crate::proxy::wire::budget::{Charge, LongPieces};
use crate::proxy::wire::clock::Wait;
use crate::proxy::wire::{BodyBroken, READ_MAX};

/// The longest time in which a held body must arrive, even if some of it arrives all the time. It is ten times what a slow mobile
/// uplink needs for the default cap of 1 MiB.
const HOLD_TIMEOUT: Duration = Duration::from_secs(60);

/// A request's body.
pub enum RequestBody {
    Empty,
    /// The whole body, in memory. serin can send it to a second upstream if it could not connect to the first.
    Held {
        bytes: Bytes,
        trailers: Option<Box<Fields>>,
        /// For a body that did not come at once. It ends with the request.
        _charge: Option<Rc<Charge>>,
    },
    Stream(Box<StreamedBody>),
}

/// A request's body that is read from the client while it is sent on. `read` is a part that was already read.
pub struct StreamedBody {
    read: Option<Bytes>,
    session: Rc<Session>,
    timeout: Duration,
    long: LongPieces,
}

/// The result of `buffer`.
pub enum Buffered {
    /// `waited` is true if a part of the body had not arrived yet.
    Whole {
        body: RequestBody,
        waited: bool,
    },
    /// The body is larger than the cap. Contains the part that was read; the rest is still to be read.
    Over(Bytes),
    Broken,
    TimedOut,
    /// There is no memory for it.
    NoMemory,
}

/// Reads the whole body, if it has at most `cap` bytes. Each piece must arrive within the session's body timeout.
pub async fn buffer(session: &Session, cap: usize) -> Buffered {
    if session.body_remaining().is_some_and(|length| length > cap as u64) {
        return Buffered::Over(Bytes::new());
    }
    let mut started = None;
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut trailers = None;
    let mut charge: Option<Rc<Charge>> = None;
    session.await_piece();
    loop {
        match next_piece(session, &mut started, charge.as_deref()).await {
            Some(Ok(Decoded::Data(data))) if first.is_empty() && all.is_empty() => first = data,
            Some(Ok(Decoded::Data(data))) => {
                if all.is_empty() {
                    let left = session.body_remaining().map_or(0, |left| left as usize);
                    all.reserve(left.min(cap) + first.len() + data.len());
                    all.extend_from_slice(&std::mem::take(&mut first));
                }
                all.extend_from_slice(&data);
            }
            Some(Ok(Decoded::Trailers(fields))) => trailers = Some(Box::new(fields)),
            Some(Ok(Decoded::End | Decoded::NeedMore)) => break,
            Some(Err(BodyBroken)) => return Buffered::Broken,
            None if charge.as_ref().is_some_and(|charge| charge.is_shed()) => return Buffered::NoMemory,
            None => return Buffered::TimedOut,
        }
        if first.len() + all.len() > cap {
            return Buffered::Over(if all.is_empty() { first } else { all.freeze() });
        }
        if session.body_is_done() {
            break;
        }
        if !all.is_empty() && started.is_some_and(|at| at.elapsed() > HOLD_TIMEOUT) {
            return Buffered::TimedOut;
        }
        // Charged before it is read: the next piece, too.
        let next = charge.get_or_insert_with(|| Charge::begin(&session.budget, &session.alarms));
        if next.raise_when_free(first.len() + all.len() + READ_MAX).await.is_err() {
            return Buffered::NoMemory;
        }
        session.await_piece();
    }
    if let Some(charge) = &charge {
        charge.arrived();
    }
    session.alarms.clear(Wait::Exchange);
    let bytes = if all.is_empty() { first } else { all.freeze() };
    Buffered::Whole { body: RequestBody::Held { bytes, trailers, _charge: charge }, waited: started.is_some() }
}

/// The next piece, or `None` if the alarm rings first, or the memory is needed for another client. If it has to wait, it stores the time in `waits_since`, unless there is one.
async fn next_piece(
    session: &Session,
    waits_since: &mut Option<tokio::time::Instant>,
    charge: Option<&Charge>,
) -> Option<Result<Decoded, BodyBroken>> {
    std::future::poll_fn(|cx| {
        if charge.is_some_and(Charge::is_shed) {
            return Poll::Ready(None);
        }
        if let Poll::Ready(piece) = session.poll_body(cx) {
            return Poll::Ready(Some(piece));
        }
        waits_since.get_or_insert_with(tokio::time::Instant::now);
        session.alarms.watch(cx);
        if session.alarms.rang(Wait::Exchange) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

impl RequestBody {
    /// `timeout` limits the wait for the answer. It begins once the whole body is read.
    pub fn stream(read: Bytes, session: &Rc<Session>, timeout: Duration) -> RequestBody {
        session.set_upload(Upload::ForUpstream);
        let read = (!read.is_empty()).then_some(read);
        RequestBody::Stream(Box::new(StreamedBody { read, session: session.clone(), timeout, long: LongPieces::default() }))
    }

    /// Returns `true` if the body can be sent a second time: no part of it was read from the client and passed on.
    pub fn is_whole(&self) -> bool {
        match self {
            RequestBody::Empty | RequestBody::Held { .. } => true,
            RequestBody::Stream(stream) => stream.session.upload() == Upload::ForUpstream && stream.read.is_none(),
        }
    }

    pub fn held(&self) -> Option<&[u8]> {
        match self {
            RequestBody::Held { bytes, .. } => Some(bytes),
            RequestBody::Empty => Some(&[]),
            RequestBody::Stream(_) => None,
        }
    }

    /// The length in bytes, if it is known and there are no trailers. Trailers need the chunked coding, which serin uses if there
    /// is no length.
    pub fn length(&self) -> Option<u64> {
        match self {
            RequestBody::Empty => Some(0),
            RequestBody::Held { bytes, trailers: None, .. } => Some(bytes.len() as u64),
            RequestBody::Held { trailers: Some(_), .. } => None,
            RequestBody::Stream(stream) => {
                let read = stream.read.as_ref().map_or(0, |read| read.len() as u64);
                stream.session.body_remaining().map(|left| read + left)
            }
        }
    }

    /// Returns the piece that was taken last, because it was not sent.
    pub fn put_back(&mut self, piece: Bytes) {
        match self {
            RequestBody::Empty => {}
            RequestBody::Held { .. } | RequestBody::Stream(_) if piece.is_empty() => {}
            RequestBody::Held { bytes, .. } => *bytes = piece,
            RequestBody::Stream(stream) => {
                stream.read = Some(piece);
                stream.session.set_upload(Upload::ForUpstream);
            }
        }
    }

    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        match self {
            RequestBody::Empty => Poll::Ready(Ok(Decoded::End)),
            RequestBody::Held { bytes, .. } if !bytes.is_empty() => Poll::Ready(Ok(Decoded::Data(std::mem::take(bytes)))),
            RequestBody::Held { trailers, .. } => {
                Poll::Ready(Ok(trailers.take().map_or(Decoded::End, |trailers| Decoded::Trailers(*trailers))))
            }
            RequestBody::Stream(stream) => stream.poll_piece(cx),
        }
    }
}

impl StreamedBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        if let Some(read) = self.read.take() {
            self.session.await_piece();
            return Poll::Ready(Ok(Decoded::Data(read)));
        }
        if self.session.upload() == Upload::Broken {
            return Poll::Ready(Err(BodyBroken));
        }
        let Poll::Ready(piece) = self.session.poll_body(cx) else {
            self.session.set_upload(Upload::ForClient);
            return Poll::Pending;
        };
        if let Ok(Decoded::Data(data)) = &piece
            && self.long.passes(data, &self.session.budget, &self.session.alarms).is_err()
        {
            self.session.read_little();
        }
        let alarms = &self.session.alarms;
        match &piece {
            Ok(_) if !self.session.body_is_done() => {
                self.session.set_upload(Upload::ForUpstream);
                self.session.await_piece();
            }
            Ok(_) => {
                // `poll_piece` is called once more after the last byte, for the end.
                if !matches!(self.session.upload(), Upload::Done(_)) {
                    self.session.set_upload(Upload::Done(Instant::now()));
                }
                alarms.arm(Wait::Exchange, self.timeout);
            }
            Err(BodyBroken) => {
                self.session.set_upload(Upload::Broken);
                alarms.wake();
            }
        }
        Poll::Ready(piece)
    }
}
