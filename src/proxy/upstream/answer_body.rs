//! An answer's body as it comes from the upstream. It holds the connection until the body ends, and returns it to the pool at that
//! moment, so that the next request can use it.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use super::call::Call;
use super::pool::{Connection, Pool};
use crate::http1::{Decoded, Decoder};
use crate::proxy::wire::BodyBroken;

pub struct AnswerStream {
    decoder: Decoder,
    /// `None` once the answer has ended or broken off.
    open: Option<Open>,
}

struct Open {
    connection: Box<Connection>,
    /// The rest of the request, if the upstream answers before it has received all of it.
    call: Option<Box<Call>>,
    keep_alive: bool,
    pool: Rc<Pool>,
}

impl AnswerStream {
    pub(super) fn new(decoder: Decoder, connection: Box<Connection>, call: Call, keep_alive: bool, pool: Rc<Pool>) -> AnswerStream {
        let call = (!call.is_sent(&connection)).then(|| Box::new(call));
        let mut stream = AnswerStream { decoder, open: Some(Open { connection, call, keep_alive, pool }) };
        if stream.decoder.is_done() {
            stream.ended();
        }
        stream
    }

    /// Returns the connection to the pool, if the whole request was sent and nothing comes after the answer.
    fn ended(&mut self) {
        if let Some(Open { connection, call: None, keep_alive: true, pool }) = self.open.take()
            && connection.wire.input.is_empty()
        {
            pool.give_back(connection);
        }
    }

    /// The next piece. `End` if there is none.
    pub fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        let piece = ready!(self.poll_decoded(cx));
        if piece.is_err() {
            self.open = None;
        } else if self.decoder.is_done() {
            self.ended();
        }
        Poll::Ready(piece)
    }

    fn poll_decoded(&mut self, cx: &mut Context<'_>) -> Poll<Result<Decoded, BodyBroken>> {
        let Some(open) = &mut self.open else { return Poll::Ready(Ok(Decoded::End)) };
        if let Some(call) = &mut open.call
            && call.poll_send(cx, &mut open.connection).is_ready()
            && call.is_sent(&open.connection)
        {
            open.call = None;
        }
        open.connection.wire.poll_piece(cx, &mut self.decoder)
    }

    /// Reads the rest in short pieces.
    pub fn read_little(&mut self) {
        if let Some(open) = &mut self.open {
            open.connection.wire.read_little();
        }
    }

    /// The number of bytes still to come, if it is known.
    pub fn remaining(&self) -> Option<u64> {
        self.decoder.remaining()
    }
}
