//! A client of HTTP/2 that obeys GOAWAY and REFUSED_STREAM (RFC 9113, 6.8 and 8.7): what serin has not taken is sent again.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;

use bytes::{Bytes, BytesMut};
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};

use super::http1::{Reply, Stream};
use super::webhook::{Leaves, Webhook};

/// A request that serin refuses so often is refused.
const TRIES: usize = 10;
/// Of answers that serin may send before this client has taken them.
const WINDOW: u32 = 1 << 20;

/// One connection after the other. Several clients may share it.
#[derive(Default)]
pub struct Http2 {
    open: RefCell<Option<SendRequest<Bytes>>>,
    pub again: Cell<Again>,
}

/// How often a request was sent on another connection, or again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Again {
    /// GOAWAY had come before the request was sent.
    pub elsewhere: usize,
    /// The request's stream was above the last one of a GOAWAY.
    pub above: usize,
    /// Its stream was reset with REFUSED_STREAM.
    pub refused: usize,
}

impl Again {
    pub fn and(self, other: Again) -> Again {
        Again { elsewhere: self.elsewhere + other.elsewhere, above: self.above + other.above, refused: self.refused + other.refused }
    }
}

enum Failed {
    /// serin has said that it does not handle this request.
    NotTaken(fn(&mut Again)),
    Broken(h2::Error),
}

impl Http2 {
    /// `None` if this client has left, as the webhook says.
    pub async fn ask<S, D>(&self, webhook: &Webhook, dial: impl Fn() -> D) -> io::Result<Option<Reply>>
    where
        S: Stream + 'static,
        D: Future<Output = io::Result<S>>,
    {
        for _ in 0..TRIES {
            let open = self.open.borrow().clone();
            let sender = match open {
                Some(sender) => sender,
                None => self.connect(dial().await?).await?,
            };
            match exchange(sender, webhook).await {
                Ok(reply) => return Ok(reply),
                Err(Failed::Broken(error)) => {
                    self.open.take();
                    return Err(io::Error::other(error));
                }
                Err(Failed::NotTaken(count)) => {
                    self.open.take();
                    let mut again = self.again.get();
                    count(&mut again);
                    self.again.set(again);
                }
            }
        }
        Err(io::Error::other("refused again and again"))
    }

    async fn connect(&self, stream: impl Stream + 'static) -> io::Result<SendRequest<Bytes>> {
        let (sender, connection) = Builder::new().initial_window_size(WINDOW).handshake(stream).await.map_err(io::Error::other)?;
        // It ends with its last request, once nobody has a sender any more.
        tokio::task::spawn_local(connection);
        *self.open.borrow_mut() = Some(sender.clone());
        Ok(sender)
    }
}

async fn exchange(sender: SendRequest<Bytes>, webhook: &Webhook) -> Result<Option<Reply>, Failed> {
    let mut sender = sender.ready().await.map_err(before)?;
    let bodiless = webhook.body.is_empty() && webhook.leaves == Leaves::Never;
    let (mut response, mut stream) = sender.send_request(request(webhook), bodiless).map_err(before)?;
    drop(sender);
    let waits = webhook.expects && webhook.leaves == Leaves::Never;
    if waits && !is_told_to_continue(&mut response).await? {
        return reply(response).await.map(Some);
    }
    let half = if webhook.leaves == Leaves::HalfWay { webhook.body.len() / 2 } else { webhook.body.len() };
    // If serin resets the stream meanwhile, the answer says why.
    let sent = bodiless || send(&mut stream, webhook.body.slice(..half), webhook.leaves != Leaves::HalfWay).await;
    match webhook.leaves {
        Leaves::Never => reply(response).await.map(Some),
        Leaves::Unanswered if !sent => reply(response).await.map(Some),
        Leaves::HalfWay | Leaves::Unanswered => {
            stream.send_reset(Reason::CANCEL);
            Ok(None)
        }
    }
}

fn request(webhook: &Webhook) -> Request<()> {
    let mut request = Request::post(format!("https://bot.example{}", webhook.target));
    for (name, value) in &webhook.fields {
        request = request.header(*name, &value[..]);
    }
    if webhook.expects {
        request = request.header("expect", "100-continue");
    }
    if !webhook.chunked {
        request = request.header("content-length", webhook.body.len());
    }
    request.body(()).expect("a valid request")
}

/// False if the final answer came instead.
async fn is_told_to_continue(response: &mut ResponseFuture) -> Result<bool, Failed> {
    match poll_fn(|context| response.poll_informational(context)).await {
        Some(Ok(_)) => Ok(true),
        Some(Err(error)) => Err(after(error)),
        None => Ok(false),
    }
}

/// False if the stream was reset before all was sent.
async fn send(stream: &mut SendStream<Bytes>, mut body: Bytes, ends: bool) -> bool {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        match poll_fn(|context| stream.poll_capacity(context)).await {
            Some(Ok(room)) => {
                let piece = body.split_to(room.min(body.len()));
                if stream.send_data(piece, false).is_err() {
                    return false;
                }
            }
            Some(Err(_)) | None => return false,
        }
    }
    !ends || stream.send_data(Bytes::new(), true).is_ok()
}

async fn reply(response: ResponseFuture) -> Result<Reply, Failed> {
    let (head, body) = response.await.map(Response::into_parts).map_err(after)?;
    let body = whole(body).await.map_err(Failed::Broken)?;
    Ok(Reply { status: head.status.as_u16(), body, last: false })
}

async fn whole(mut body: RecvStream) -> Result<Bytes, h2::Error> {
    let mut all = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece?;
        body.flow_control().release_capacity(piece.len())?;
        all.extend_from_slice(&piece);
    }
    Ok(all.freeze())
}

/// Nothing of the request was sent.
fn before(error: h2::Error) -> Failed {
    match is_goodbye(&error) {
        true => Failed::NotTaken(|again| again.elsewhere += 1),
        false => Failed::Broken(error),
    }
}

/// The request was sent, and no answer has begun.
fn after(error: h2::Error) -> Failed {
    if is_goodbye(&error) {
        return Failed::NotTaken(|again| again.above += 1);
    }
    match error.is_reset() && error.is_remote() && error.reason() == Some(Reason::REFUSED_STREAM) {
        true => Failed::NotTaken(|again| again.refused += 1),
        false => Failed::Broken(error),
    }
}

/// A GOAWAY without an error. The library says it of a stream that is above the last one, and of a request that it has not sent.
fn is_goodbye(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR)
}
