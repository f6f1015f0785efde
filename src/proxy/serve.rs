//! One client connection from its first byte to its end: request after request, each answered before the next is read;
//! the waits for the client; and a close that does not destroy the last answer.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::client::{Heard, Phase, Session};
use super::clock::Wait;
use super::handle::handle;
use super::listen::{Stage, Worker};
use super::problem::Problem;
use super::reply::{Asked, CutOff, Reply, Telling, Then};
use super::wire::Outgoing;
use crate::http1::RequestHead;
use crate::http1::write::Framing;

/// How long, and for how many bytes, a closing connection still listens, so that what the client sends does not reset
/// the connection under our last answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// How long an idle connection's next request may take to reach us once serin drains.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// How a connection came to its end.
enum End {
    /// HTTP says so: the client may still listen.
    Done,
    /// There is nobody to talk to, or nothing to say that would not be misunderstood.
    Cut,
}

/// Drives a connection to its end. While it rests it is a socket and a few hundred bytes; what a conversation needs comes
/// with the first byte, and goes again when nothing more is expected soon.
pub async fn serve(worker: Rc<Worker>, session: Rc<Session>) {
    loop {
        if rest(&worker, &session).await.is_err() {
            return Box::pin(linger(&session)).await;
        }
        // Boxed, as are other rare or large states: a resting connection must not keep room for them.
        match Box::pin(converse(&worker, &session)).await {
            None => worker.one_rests(),
            Some(End::Done) => return Box::pin(linger(&session)).await,
            Some(End::Cut) => return,
        }
    }
}

/// The client said nothing for too long.
struct Silence;

/// Waits until there is something to read.
async fn rest(worker: &Worker, session: &Session) -> Result<(), Silence> {
    session.rests();
    let hurried = Cell::new(false);
    std::future::poll_fn(|cx| {
        hurry(worker, session, &hurried);
        if session.poll_stirs(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        session.alarms.watch(cx);
        if session.alarms.rang(Wait::Client) { Poll::Ready(Err(Silence)) } else { Poll::Pending }
    })
    .await
}

/// An idle connection is not closed at once when serin drains, for its next request may be in the kernel already: it gets
/// a last moment, once.
fn hurry(worker: &Worker, session: &Session, hurried: &Cell<bool>) {
    if worker.stage() == Stage::Draining && session.phase() == Phase::Idle && !hurried.replace(true) {
        session.alarms.arm(Wait::Client, LAST_MOMENT);
    }
}

/// Answers requests until the connection ends, or may rest (`None`).
async fn converse(worker: &Rc<Worker>, session: &Rc<Session>) -> Option<End> {
    session.roused();
    loop {
        let head = match next(worker, session).await {
            Next::Request(head) => head,
            Next::Refused(problem) => return Some(refuse(worker, session, problem).await),
            Next::Http2 => {
                worker.counts(Problem::BadRequest);
                return Some(End::Done);
            }
            Next::Rest => return None,
            Next::End => return Some(End::Done),
        };
        let asked = Asked::by(&head);
        let reply = answer(worker, session, head).await;
        if session.is_gone() {
            reply.body.drain().await;
            return Some(End::Cut);
        }
        match tell(worker, session, asked, reply).await {
            Ok(Then::GoOn) => session.request_ended(),
            Ok(Then::Close) => return Some(End::Done),
            Err(CutOff) => return Some(End::Cut),
        }
    }
}

/// What comes after a request, or at first.
enum Next {
    Request(Box<RequestHead>),
    Refused(Problem),
    Http2,
    Rest,
    End,
}

async fn next(worker: &Worker, session: &Session) -> Next {
    let hurried = Cell::new(false);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(heard) = session.poll_head(cx) {
            return Poll::Ready(match heard {
                Heard::Request(head) => Next::Request(head),
                Heard::Refused(refused) => Next::Refused(refused.into()),
                Heard::Http2 => Next::Http2,
                Heard::End => Next::End,
            });
        }
        if session.may_rest() {
            return Poll::Ready(Next::Rest);
        }
        hurry(worker, session, &hurried);
        session.alarms.watch(cx);
        match (session.alarms.rang(Wait::Client), session.phase()) {
            (false, _) => Poll::Pending,
            (true, Phase::Head) => Poll::Ready(Next::Refused(Problem::HeadTimeout)),
            (true, Phase::Idle | Phase::Busy) => Poll::Ready(Next::End),
        }
    })
    .await
}

/// Waits for the request's answer. If the client hangs up meanwhile there is an answer all the same, for nobody.
async fn answer(worker: &Rc<Worker>, session: &Rc<Session>, head: Box<RequestHead>) -> Reply {
    let mut handling = std::pin::pin!(handle(worker, session, head));
    // Interim answers.
    let mut message = Outgoing::new(Framing::Length);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(reply) = handling.as_mut().poll(cx) {
            return Poll::Ready(reply);
        }
        if !session.is_gone() {
            session.watch(cx);
            if matches!(session.poll_written(cx, &mut message), Poll::Ready(Err(_))) || overdue(session, cx) {
                session.hang_up();
            }
            if session.is_gone() {
                // Whoever waits for the client's body is to know.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    })
    .await
}

/// Does the client take nothing of what is written?
fn overdue(session: &Session, cx: &mut Context<'_>) -> bool {
    session.alarms.watch(cx);
    session.alarms.rang(Wait::Write)
}

async fn tell(worker: &Worker, session: &Session, asked: Asked, reply: Reply) -> Result<Then, CutOff> {
    let serves_on = worker.stage() == Stage::Serving && session.body_is_done();
    let mut telling = Telling::begin(session, asked, reply, if serves_on { Then::GoOn } else { Then::Close });
    std::future::poll_fn(|cx| {
        if let Poll::Ready(told) = telling.poll(cx) {
            return Poll::Ready(told);
        }
        session.watch(cx);
        if overdue(session, cx) || session.is_gone() { Poll::Ready(Err(CutOff)) } else { Poll::Pending }
    })
    .await?;
    Ok(telling.then)
}

/// Answers what is no request, and ends: nobody knows where the next one would begin.
async fn refuse(worker: &Worker, session: &Session, problem: Problem) -> End {
    worker.counts(problem);
    match tell(worker, session, Asked::unknown(), problem.answer(None)).await {
        Ok(_) => End::Done,
        Err(CutOff) => End::Cut,
    }
}

/// Closes our side, then reads what still comes for a while: closing with unread bytes would send a reset, and a reset
/// makes the client's kernel throw our last answer away.
async fn linger(session: &Session) {
    let drained = async {
        std::future::poll_fn(|cx| session.poll_shutdown(cx)).await?;
        let mut total = 0;
        while total < LINGER_BYTES {
            match std::future::poll_fn(|cx| session.poll_waste(cx)).await? {
                0 => break,
                n => total += n,
            }
        }
        Ok::<(), io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}
