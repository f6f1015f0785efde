//! Sends a request to an upstream and returns its answer.

use std::rc::Rc;
use std::time::Instant;

use http::StatusCode;

use super::answer_body::AnswerStream;
use super::call::{Call, Failure};
use super::pool::{Connection, Pool};
use super::request::{Request, SendError};
use crate::http1::AnswerHead;

/// An upstream's answer.
pub struct Answer {
    /// The stream contains the decoder that is in the head's `body`.
    pub head: AnswerHead,
    pub body: AnswerBody,
}

pub enum AnswerBody {
    Stream(AnswerStream),
    /// The connection, which speaks another protocol from now on.
    Upgraded(Box<Connection>),
}

/// Sends the request on an idle connection, or else on a new one. It sends a second time only if the idle connection turned out
/// to be closed before any byte was written, and then only once.
pub async fn send(pool: &Rc<Pool>, mut request: Request, now: Instant) -> Result<Answer, SendError> {
    if let Some(mut connection) = pool.checkout(now) {
        let mut call = Call::new(request, pool.authority(), &mut connection);
        match call.answer(&mut connection).await {
            Ok(head) => return Ok(answered(pool, head, call, connection)),
            Err(Failure::Unsent) => request = call.take_back(),
            Err(Failure::Failed(error)) => return Err(error),
        }
    }
    // Boxed: connecting is rare, and its state would make every request's future larger.
    Box::pin(send_on_new(pool, request)).await
}

async fn send_on_new(pool: &Rc<Pool>, request: Request) -> Result<Answer, SendError> {
    let mut connection = match pool.connect().await {
        Ok(connection) => connection,
        Err(reason) => return Err(SendError::Connect { reason, request: Box::new(request) }),
    };
    let mut call = Call::new(request, pool.authority(), &mut connection);
    match call.answer(&mut connection).await {
        Ok(head) => Ok(answered(pool, head, call, connection)),
        Err(Failure::Unsent) => Err(SendError::Broken),
        Err(Failure::Failed(error)) => Err(error),
    }
}

fn answered(pool: &Rc<Pool>, head: AnswerHead, call: Call, connection: Box<Connection>) -> Answer {
    let body = match head.status {
        StatusCode::SWITCHING_PROTOCOLS => AnswerBody::Upgraded(connection),
        _ => AnswerBody::Stream(AnswerStream::new(head.body.clone(), connection, call, head.keep_alive, pool.clone())),
    };
    Answer { head, body }
}
