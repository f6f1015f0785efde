//! A reply's body on its way to the client. serin never changes a body.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;

use super::record::Exchange;
use crate::http1::Decoded;
use crate::proxy::upstream::AnswerStream;
use crate::proxy::wire::BodyBroken;
use crate::proxy::wire::budget::LongPieces;
use crate::proxy::wire::clock::Wait;

/// How much of an answer serin reads for a client that has left. Answers to webhooks are smaller.
const DRAIN_BYTES: usize = 16 * 1024 * 1024;

/// A reply's body: serin's own, or an upstream's. The end of an upstream's body is the moment when the exchange is recorded.
// Most answers are an upstream's: a box would cost an allocation for each webhook.
#[allow(clippy::large_enum_variant)]
pub enum ReplyBody {
    Own(Bytes),
    Upstream(UpstreamBody),
}

pub struct UpstreamBody {
    stream: AnswerStream,
    exchange: Exchange,
    timeout: Duration,
    long: LongPieces,
}

impl ReplyBody {
    pub fn upstream(stream: AnswerStream, exchange: Exchange, timeout: Duration) -> ReplyBody {
        exchange.session().alarms.arm(Wait::Exchange, timeout);
        ReplyBody::Upstream(UpstreamBody { stream, exchange, timeout, long: LongPieces::default() })
    }

    /// Reads the body to its end and drops it, after the client has left: the bot's work must not be cancelled. An answer without an
    /// end is cut off: after the bot's timeout, and after `DRAIN_BYTES`.
    pub async fn drain(mut self) {
        let ReplyBody::Upstream(UpstreamBody { timeout, .. }) = &self else { return };
        let limit = *timeout;
        let drained = async {
            let mut left = DRAIN_BYTES;
            while let Ok(Decoded::Data(data)) = std::future::poll_fn(|cx| self.poll_piece(cx)).await
                && left > data.len()
            {
                left -= data.len();
            }
        };
        let _ = tokio::time::timeout(limit, drained).await;
    }

    /// The next piece. Fails if the upstream breaks off or stalls, so that the answer does not look complete to the client.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        match self {
            ReplyBody::Own(bytes) if bytes.is_empty() => Poll::Ready(Ok(Decoded::End)),
            ReplyBody::Own(bytes) => Poll::Ready(Ok(Decoded::Data(std::mem::take(bytes)))),
            ReplyBody::Upstream(body) => body.poll_piece(cx),
        }
    }

    /// Returns `true` if nothing more comes, not even trailers.
    pub fn is_done(&self) -> bool {
        self.remaining() == Some(0)
    }

    /// The number of bytes still to come, if it is known.
    pub fn remaining(&self) -> Option<u64> {
        match self {
            ReplyBody::Own(bytes) => Some(bytes.len() as u64),
            ReplyBody::Upstream(body) => body.stream.remaining(),
        }
    }
}

impl UpstreamBody {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        let alarms = &self.exchange.session().alarms;
        let polled = self.stream.poll_piece(cx);
        if polled.is_pending() {
            alarms.watch(cx);
            if alarms.rang(Wait::Exchange) {
                self.exchange.broke_off();
                return Poll::Ready(Err(BodyBroken));
            }
        }
        let piece = ready!(polled);
        match &piece {
            Ok(Decoded::Data(data)) => {
                alarms.arm(Wait::Exchange, self.timeout);
                if self.long.passes(data, &self.exchange.session().budget, alarms).is_err() {
                    self.stream.read_little();
                }
            }
            // Nothing comes after trailers.
            Ok(Decoded::Trailers(_) | Decoded::End | Decoded::NeedMore) => self.exchange.end_of_answer(),
            Err(BodyBroken) => self.exchange.broke_off(),
        }
        Poll::Ready(piece)
    }
}

impl Drop for UpstreamBody {
    fn drop(&mut self) {
        // The writer of the answer does not poll again once `remaining` is 0.
        if self.stream.remaining() == Some(0) {
            self.exchange.end_of_answer();
        }
    }
}
