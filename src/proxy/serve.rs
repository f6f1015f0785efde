//! One client connection from its first byte to its end: answers each request before it reads the next, keeps the limits on waiting
//! for the client, and closes so that the last answer is not lost.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::client::{ConnectionPhase, Heard, Session};
use super::exchange::{Reply, Then, handle};
use super::problem::Problem;
use super::wire::Outgoing;
use super::wire::clock::Wait;
use super::worker::{Stage, Worker};
use super::write_reply::{Asked, CutOff, ReplyWriter};
use crate::http1::RequestHead;
use crate::http1::write::Framing;

/// For how long, and how many bytes, serin still reads from a connection that it closes. Otherwise data from the client would reset
/// the connection before the client has read the last answer.
const LINGER: Duration = Duration::from_secs(2);
const LINGER_BYTES: usize = 1024 * 1024;

/// How long serin waits for the next request of an idle connection once it drains.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// How a connection ends.
enum End {
    /// In the way of HTTP: the client may still read.
    Done,
    /// At once: the client has left, or could misunderstand anything that serin sends.
    Cut,
}

/// Drives a connection to its end. At rest a connection is a socket and a few hundred bytes. The first byte of a request allocates
/// the rest, which is freed again when no request is expected soon.
pub async fn serve(worker: &Rc<Worker>, session: &Rc<Session>) {
    loop {
        if rest(worker, session).await.is_err() {
            return Box::pin(linger(session)).await;
        }
        // Boxed, like other rare or large states: a resting connection must not keep room for them.
        match Box::pin(converse(worker, session)).await {
            None => worker.one_rests(),
            Some(End::Done) => return Box::pin(linger(session)).await,
            Some(End::Cut) => return,
        }
    }
}

/// The client sent nothing for the whole idle timeout.
struct Silence;

/// Waits until there is something to read. Returns `Silence` after the idle timeout.
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

/// Shortens the idle timeout once, when serin drains. The connection is not closed at once, because its next request may already be
/// in the kernel.
fn hurry(worker: &Worker, session: &Session, hurried: &Cell<bool>) {
    if worker.stage() == Stage::Draining && session.phase() == ConnectionPhase::Idle && !hurried.replace(true) {
        session.alarms.arm(Wait::Client, LAST_MOMENT);
    }
}

/// Answers requests until the connection ends. Returns `None` if it may rest.
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
        match write(worker, session, asked, reply).await {
            Ok(Then::GoOn) => session.request_ended(),
            Ok(Then::Close) => return Some(End::Done),
            Err(CutOff) => return Some(End::Cut),
        }
    }
}

/// What the client does next.
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
            (true, ConnectionPhase::Head) => Poll::Ready(Next::Refused(Problem::HeadTimeout)),
            (true, ConnectionPhase::Idle | ConnectionPhase::Busy) => Poll::Ready(Next::End),
        }
    })
    .await
}

/// Waits for the request's answer. If the client hangs up meanwhile, the request is still finished, and the caller drops its answer.
async fn answer(worker: &Rc<Worker>, session: &Rc<Session>, head: Box<RequestHead>) -> Reply {
    let mut handling = std::pin::pin!(handle(worker, session, head));
    // Writes interim answers.
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
                // Polls again, so that a request that waits for the client's body learns that the client has left.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether the client has taken nothing for the write timeout.
fn overdue(session: &Session, cx: &mut Context<'_>) -> bool {
    session.alarms.watch(cx);
    session.alarms.rang(Wait::Write)
}

/// Writes the reply. Returns whether the connection may take another request.
async fn write(worker: &Worker, session: &Session, asked: Asked, reply: Reply) -> Result<Then, CutOff> {
    let serves_on = worker.stage() == Stage::Serving && session.body_is_done();
    let mut writer = ReplyWriter::begin(session, asked, reply, if serves_on { Then::GoOn } else { Then::Close });
    std::future::poll_fn(|cx| {
        if let Poll::Ready(written) = writer.poll(cx) {
            return Poll::Ready(written);
        }
        session.watch(cx);
        if overdue(session, cx) || session.is_gone() { Poll::Ready(Err(CutOff)) } else { Poll::Pending }
    })
    .await?;
    Ok(writer.then)
}

/// Answers a head that is no valid request, and ends the connection: serin cannot know where the next request would begin.
async fn refuse(worker: &Worker, session: &Session, problem: Problem) -> End {
    worker.counts(problem);
    match write(worker, session, Asked::unknown(), Reply::problem(problem, None)).await {
        Ok(_) => End::Done,
        Err(CutOff) => End::Cut,
    }
}

/// Closes serin's side, then reads for a while. A close with unread bytes sends a reset, and after a reset the client's kernel
/// drops the last answer.
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
