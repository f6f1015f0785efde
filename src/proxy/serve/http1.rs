//! One client connection from its first byte to its end: answers each request before it reads the next, keeps the limits on waiting
//! for the client, and closes so that the last answer is not lost.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::tunnel;
use super::write_reply::{After, Asked, CutOff, ReplyWriter};
use crate::http1::RequestHead;
use crate::http1::write::Framing;
use crate::meters::Closed;
use crate::proxy::client::{Connection, ConnectionPhase, Heard};
use crate::proxy::exchange::{Reply, Then, handle};
use crate::proxy::problem::Problem;
use crate::proxy::wire::clock::Wait;
use crate::proxy::wire::{LINGER, LINGER_BYTES, Outgoing};
use crate::proxy::worker::{Stage, Worker};

/// How long serin waits for the next request of an idle connection once it drains.
const LAST_MOMENT: Duration = Duration::from_millis(100);

/// How a connection ends.
enum End {
    /// In the way of HTTP: the client may still read.
    Done,
    /// At once: the client has left, or could misunderstand anything that serin sends.
    Cut,
    /// At once: serin closes it for this reason.
    For(Closed),
    /// The client begins to speak HTTP/2.
    Http2,
}

/// How a connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Usually,
    /// serin has closed it before its usual end.
    For(Closed),
    /// It goes on in HTTP/2.
    Http2,
}

/// Drives a connection to its end. At rest a connection is a socket and a few hundred bytes. The first byte of a request allocates
/// the rest, which is freed again when no request is expected soon.
pub async fn serve(worker: &Rc<Worker>, connection: &Connection, may_be_http2: bool) -> Ended {
    loop {
        let end = match rest(worker, connection).await {
            // Boxed, like other rare or large states: a resting connection must not keep room for them.
            Ok(()) => Box::pin(converse(worker, connection)).await,
            Err(end) => Some(end),
        };
        let Some(end) = end else {
            worker.one_rests();
            continue;
        };
        return match end {
            End::Http2 if may_be_http2 => Ended::Http2,
            End::Done | End::Http2 => {
                // A client that speaks HTTP/2 could not read an answer in HTTP/1.
                if matches!(end, End::Http2) {
                    worker.counts(Problem::BadRequest);
                }
                Box::pin(linger(connection)).await;
                Ended::Usually
            }
            End::Cut => Ended::Usually,
            End::For(reason) => Ended::For(reason),
        };
    }
}

/// Waits until there is something to read. Fails with how the connection ends otherwise.
async fn rest(worker: &Worker, connection: &Connection) -> Result<(), End> {
    connection.rests();
    let hurried = Cell::new(false);
    std::future::poll_fn(|cx| {
        hurry(worker, connection, &hurried);
        if let Some(reason) = connection.occupant.must_leave() {
            return Poll::Ready(Err(End::For(reason)));
        }
        if connection.poll_stirs(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        connection.session.alarms.watch(cx);
        match (connection.session.alarms.rang(Wait::Client), connection.had_any()) {
            (false, _) => Poll::Pending,
            (true, true) => Poll::Ready(Err(End::Done)),
            (true, false) if worker.stage() == Stage::Draining => Poll::Ready(Err(End::Done)),
            (true, false) => Poll::Ready(Err(End::For(Closed::Silent))),
        }
    })
    .await
}

/// Shortens the idle timeout once, when serin drains. The connection is not closed at once, because its next request may already be
/// in the kernel.
fn hurry(worker: &Worker, connection: &Connection, hurried: &Cell<bool>) {
    if worker.stage() == Stage::Draining && connection.phase() == ConnectionPhase::Idle && !hurried.replace(true) {
        connection.session.alarms.arm(Wait::Client, LAST_MOMENT);
    }
}

/// Answers requests until the connection ends. Returns `None` if it may rest.
async fn converse(worker: &Rc<Worker>, connection: &Connection) -> Option<End> {
    connection.roused();
    loop {
        let head = match next(worker, connection).await {
            Next::Request(head) => head,
            Next::Refused(problem) => return Some(refuse(worker, connection, problem).await),
            Next::Http2 => return Some(End::Http2),
            Next::Rest => return None,
            Next::End => return Some(End::Done),
            Next::Leave(reason) => return Some(End::For(reason)),
        };
        let asked = Asked::by(&head);
        let reply = answer(worker, connection, head).await;
        if connection.session.is_gone() {
            reply.body.drain().await;
            return Some(connection.occupant.must_leave().map_or(End::Cut, End::For));
        }
        match write(worker, connection, asked, reply).await {
            Ok(After::Request) => connection.request_ended(),
            Ok(After::Close) => return Some(End::Done),
            Ok(After::Tunnel(tunnel)) => {
                return Some(match tunnel::run(worker, connection, *tunnel).await {
                    Ok(()) => End::Done,
                    Err(_) => End::Cut,
                });
            }
            Err(CutOff) => return Some(connection.occupant.must_leave().map_or(End::Cut, End::For)),
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
    /// The connection has to end.
    Leave(Closed),
}

async fn next(worker: &Worker, connection: &Connection) -> Next {
    let hurried = Cell::new(false);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(heard) = connection.poll_head(cx) {
            return Poll::Ready(match heard {
                Heard::Request(head) => Next::Request(head),
                Heard::Refused(refused) => Next::Refused(refused.into()),
                Heard::Http2 => Next::Http2,
                Heard::End => Next::End,
                Heard::NoMemory => Next::Refused(Problem::Memory),
            });
        }
        if connection.head_is_shed() {
            return Poll::Ready(Next::Refused(Problem::Memory));
        }
        if connection.may_rest() {
            return Poll::Ready(Next::Rest);
        }
        if let Some(reason) = connection.occupant.must_leave() {
            return Poll::Ready(Next::Leave(reason));
        }
        hurry(worker, connection, &hurried);
        connection.session.alarms.watch(cx);
        match (connection.session.alarms.rang(Wait::Client), connection.phase()) {
            (false, _) => Poll::Pending,
            (true, ConnectionPhase::Head) => Poll::Ready(Next::Refused(Problem::HeadTimeout)),
            (true, ConnectionPhase::Idle | ConnectionPhase::Busy) => Poll::Ready(Next::End),
        }
    })
    .await
}

/// Waits for the request's answer. If the client hangs up meanwhile, the request is still finished, and the caller drops its answer.
async fn answer(worker: &Rc<Worker>, connection: &Connection, head: Box<RequestHead>) -> Reply {
    let mut handling = std::pin::pin!(handle(worker, &connection.session, head));
    // Writes interim answers.
    let mut message = Outgoing::new(Framing::Length);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(reply) = handling.as_mut().poll(cx) {
            return Poll::Ready(reply);
        }
        if !connection.session.is_gone() {
            connection.watch(cx);
            connection.request_waits();
            if matches!(connection.poll_written(cx, &mut message), Poll::Ready(Err(_))) || overdue(connection, cx) {
                connection.hang_up();
            }
            if connection.session.is_gone() {
                // Polls again, so that a request that waits for the client's body learns that the client has left.
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    })
    .await
}

/// Whether serin gives the client up: it takes too little, or it has to make room.
fn overdue(connection: &Connection, cx: &mut Context<'_>) -> bool {
    let alarms = &connection.session.alarms;
    alarms.watch(cx);
    alarms.rang(Wait::Write) || alarms.rang(Wait::Total) || connection.occupant.must_leave().is_some()
}

/// Writes the reply. Returns whether the connection may take another request.
async fn write(worker: &Worker, connection: &Connection, asked: Asked, reply: Reply) -> Result<After, CutOff> {
    let serves_on = worker.stage() == Stage::Serving && connection.session.body_is_done();
    let mut writer = ReplyWriter::begin(connection, asked, reply, if serves_on { Then::GoOn } else { Then::Close });
    std::future::poll_fn(|cx| {
        if let Poll::Ready(written) = writer.poll(cx) {
            return Poll::Ready(written);
        }
        connection.session.alarms.arm_once(Wait::Total, connection.session.limits.answer_total);
        connection.watch(cx);
        if overdue(connection, cx) || connection.session.is_gone() { Poll::Ready(Err(CutOff)) } else { Poll::Pending }
    })
    .await?;
    Ok(writer.after())
}

/// Answers a head that is no valid request, and ends the connection: serin cannot know where the next request would begin.
async fn refuse(worker: &Worker, connection: &Connection, problem: Problem) -> End {
    worker.counts(problem);
    match write(worker, connection, Asked::unknown(), Reply::problem(problem, None)).await {
        Ok(_) => End::Done,
        Err(CutOff) => End::Cut,
    }
}

/// Closes serin's side, then reads for a while. A close with unread bytes sends a reset, and after a reset the client's kernel
/// drops the last answer.
async fn linger(connection: &Connection) {
    connection.drop_input();
    let drained = async {
        std::future::poll_fn(|cx| connection.poll_shutdown(cx)).await?;
        let mut total = 0;
        while total < LINGER_BYTES {
            match std::future::poll_fn(|cx| connection.poll_waste(cx)).await? {
                0 => break,
                n => total += n,
            }
        }
        Ok::<(), io::Error>(())
    };
    let _ = tokio::time::timeout(LINGER, drained).await;
}
