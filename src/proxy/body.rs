//! Bodies on their way: a request's to the upstream, an answer's to the client. None is ever changed.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;

use super::client::Session;
use super::clock::Wait;
use super::exchange::Exchange;
use super::upstream::AnswerStream;

/// A held body must be there within this, however steadily it drips: ten times what a slow mobile uplink needs for the
/// default cap of 1 MiB.
const HOLD_TIMEOUT: Duration = Duration::from_secs(60);

/// How far a request's body has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// It waits for the client.
    ForClient,
    /// It waits for the upstream to take more.
    ForUpstream,
    /// All of it is on its way, or there is none.
    Done,
    /// The client broke it off.
    Broken,
}

/// A request's body.
pub enum RequestBody {
    Empty,
    /// In memory, whole: it can be sent to another upstream if the first could not be connected to.
    Held {
        bytes: Bytes,
        trailers: Option<Box<HeaderMap>>,
    },
    Stream(Box<Stream>),
}

/// A request's body as it comes from the client, after what was already read of it.
pub struct Stream {
    read: Option<Bytes>,
    rest: Incoming,
    session: Rc<Session>,
    upload: Rc<Cell<Upload>>,
    timeout: Duration,
}

/// What reading a body to look into it came to.
pub enum Hold {
    Whole(RequestBody),
    /// More than the cap: what was read, and the rest.
    Over {
        read: Bytes,
        rest: Incoming,
    },
    Broken,
    TimedOut,
}

/// Reads a body that is at most `cap` bytes, within the session's body timeout.
pub async fn hold(mut incoming: Incoming, cap: usize, session: &Session) -> Hold {
    if incoming.size_hint().lower() > cap as u64 {
        return Hold::Over { read: Bytes::new(), rest: incoming };
    }
    let started = tokio::time::Instant::now();
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    let mut trailers = None;
    session.alarms.arm(Wait::Exchange, session.limits.body_timeout);
    while !incoming.is_end_stream() {
        let frame = match next_frame(&mut incoming, session).await {
            Some(Some(Ok(frame))) => frame,
            Some(Some(Err(_))) => return Hold::Broken,
            Some(None) if !ended(&incoming, session) => return Hold::Broken,
            Some(None) => break,
            None => return Hold::TimedOut,
        };
        session.alarms.arm(Wait::Exchange, session.limits.body_timeout);
        match frame.into_data() {
            Ok(data) if first.is_empty() && all.is_empty() => first = data,
            Ok(data) => {
                if all.is_empty() {
                    all.reserve((incoming.size_hint().lower() as usize).min(cap) + first.len() + data.len());
                    all.extend_from_slice(&std::mem::take(&mut first));
                }
                all.extend_from_slice(&data);
            }
            Err(frame) => trailers = frame.into_trailers().ok().map(Box::new),
        }
        if first.len() + all.len() > cap {
            return Hold::Over { read: if all.is_empty() { first } else { all.freeze() }, rest: incoming };
        }
        if !all.is_empty() && started.elapsed() > HOLD_TIMEOUT {
            return Hold::TimedOut;
        }
    }
    session.alarms.clear(Wait::Exchange);
    let bytes = if all.is_empty() { first } else { all.freeze() };
    Hold::Whole(RequestBody::Held { bytes, trailers })
}

/// Is a body that gives no more at its end? When its connection is dropped, hyper's body ends without an error.
fn ended(incoming: &Incoming, session: &Session) -> bool {
    incoming.is_end_stream() || (incoming.size_hint().exact().is_none() && session.gone_since().is_none())
}

/// The next frame, or `None` when the alarm rang first.
async fn next_frame(incoming: &mut Incoming, session: &Session) -> Option<Option<Result<Frame<Bytes>, hyper::Error>>> {
    std::future::poll_fn(|cx| {
        if let Poll::Ready(frame) = Pin::new(&mut *incoming).poll_frame(cx) {
            return Poll::Ready(Some(frame));
        }
        session.alarms.watch(cx);
        if session.alarms.rang(Wait::Exchange) { Poll::Ready(None) } else { Poll::Pending }
    })
    .await
}

impl RequestBody {
    /// `timeout` is how long the answer may take once the body is sent; it is armed then.
    pub fn stream(read: Bytes, rest: Incoming, session: &Rc<Session>, timeout: Duration) -> (RequestBody, Rc<Cell<Upload>>) {
        let upload = Rc::new(Cell::new(Upload::ForUpstream));
        let read = (!read.is_empty()).then_some(read);
        let stream = Stream { read, rest, session: session.clone(), upload: upload.clone(), timeout };
        (RequestBody::Stream(Box::new(stream)), upload)
    }

    /// Has the client broken it off?
    pub fn is_broken(&self) -> bool {
        matches!(self, RequestBody::Stream(stream) if stream.upload.get() == Upload::Broken)
    }

    /// Could this body be sent a second time? Not if any of it was read from the client and given on.
    pub fn is_whole(&self) -> bool {
        match self {
            RequestBody::Empty | RequestBody::Held { .. } => true,
            RequestBody::Stream(stream) => stream.upload.get() == Upload::ForUpstream && stream.read.is_none(),
        }
    }

    pub fn held(&self) -> Option<&[u8]> {
        match self {
            RequestBody::Held { bytes, .. } => Some(bytes),
            RequestBody::Empty => Some(&[]),
            RequestBody::Stream(_) => None,
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut *self {
            RequestBody::Empty => Poll::Ready(None),
            RequestBody::Held { bytes, trailers } => {
                if !bytes.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
                }
                Poll::Ready(trailers.take().map(|trailers| Ok(Frame::trailers(*trailers))))
            }
            RequestBody::Stream(stream) => stream.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Empty => true,
            RequestBody::Held { bytes, trailers } => bytes.is_empty() && trailers.is_none(),
            RequestBody::Stream(stream) => stream.read.is_none() && stream.rest.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Empty => SizeHint::with_exact(0),
            RequestBody::Held { bytes, trailers: None } => SizeHint::with_exact(bytes.len() as u64),
            // Trailers need the chunked coding, which is taken where no length is known.
            RequestBody::Held { trailers: Some(_), .. } => SizeHint::default(),
            RequestBody::Stream(stream) => stream.size_hint(),
        }
    }
}

impl Stream {
    /// Gives back the piece that was last taken, which was not sent after all.
    pub fn put_back(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.read = Some(piece);
            self.upload.set(Upload::ForUpstream);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let alarms = &self.session.alarms;
        if let Some(read) = self.read.take() {
            alarms.arm(Wait::Exchange, self.session.limits.body_timeout);
            return Poll::Ready(Some(Ok(Frame::data(read))));
        }
        let frame = match Pin::new(&mut self.rest).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                self.upload.set(Upload::ForClient);
                return Poll::Pending;
            }
        };
        match &frame {
            Some(Ok(_)) if !self.rest.is_end_stream() => {
                self.upload.set(Upload::ForUpstream);
                alarms.arm(Wait::Exchange, self.session.limits.body_timeout);
            }
            None if !ended(&self.rest, &self.session) => self.upload.set(Upload::Broken),
            Some(Ok(_)) | None => {
                self.upload.set(Upload::Done);
                alarms.arm(Wait::Exchange, self.timeout);
            }
            Some(Err(_)) => {
                self.upload.set(Upload::Broken);
                alarms.wake();
            }
        }
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.read.as_ref().map_or(0, |read| read.len() as u64);
        match self.rest.size_hint().exact() {
            Some(rest) => SizeHint::with_exact(read + rest),
            None => SizeHint::default(),
        }
    }
}

/// An answer's body: serin's own, or an upstream's, whose end is the moment of the record.
// Most are an upstream's: boxing that one would cost an allocation for each webhook.
#[allow(clippy::large_enum_variant)]
pub enum AnswerBody {
    Own(Bytes),
    Upstream(UpstreamBody),
}

pub struct UpstreamBody {
    stream: AnswerStream,
    exchange: Exchange,
    timeout: Duration,
}

/// The upstream's answer broke off, or stalled: the client must not take what came for the whole.
#[derive(Debug, thiserror::Error)]
pub enum AnswerBroken {
    #[error("the upstream's answer broke off")]
    Upstream,
    #[error("the upstream's answer stalled")]
    Stalled,
}

impl AnswerBody {
    pub fn own(bytes: Bytes) -> AnswerBody {
        AnswerBody::Own(bytes)
    }

    pub fn upstream(stream: AnswerStream, exchange: Exchange, timeout: Duration) -> AnswerBody {
        exchange.session().alarms.arm(Wait::Exchange, timeout);
        AnswerBody::Upstream(UpstreamBody { stream, exchange, timeout })
    }

    /// Reads the body to its end for nobody: the bot's work is not cancelled because its client left.
    pub async fn drain(self) {
        let mut body = self;
        while let Some(Ok(_)) = body.frame().await {}
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = AnswerBroken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerBroken>>> {
        match &mut *self {
            AnswerBody::Own(bytes) if bytes.is_empty() => Poll::Ready(None),
            AnswerBody::Own(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            AnswerBody::Upstream(body) => body.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Own(bytes) => bytes.is_empty(),
            AnswerBody::Upstream(body) => body.stream.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Own(bytes) => SizeHint::with_exact(bytes.len() as u64),
            AnswerBody::Upstream(body) => body.stream.size_hint(),
        }
    }
}

impl UpstreamBody {
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, AnswerBroken>>> {
        let alarms = &self.exchange.session().alarms;
        let frame = match Pin::new(&mut self.stream).poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                alarms.watch(cx);
                if !alarms.rang(Wait::Exchange) {
                    return Poll::Pending;
                }
                self.exchange.failed();
                return Poll::Ready(Some(Err(AnswerBroken::Stalled)));
            }
        };
        match frame {
            Some(Ok(frame)) => {
                alarms.arm(Wait::Exchange, self.timeout);
                // Nothing comes after trailers, and hyper does not ask.
                if frame.is_trailers() {
                    self.exchange.end_of_answer();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(_)) => {
                self.exchange.failed();
                Poll::Ready(Some(Err(AnswerBroken::Upstream)))
            }
            None => {
                self.exchange.end_of_answer();
                Poll::Ready(None)
            }
        }
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // hyper drops a body without asking for its end when it knows that it was the end.
        if self.stream.is_end_stream() {
            self.exchange.end_of_answer();
        }
    }
}
