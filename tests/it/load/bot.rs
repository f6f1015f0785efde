//! A bot that checks every webhook, keeps the books, and fails in all the ways that a bot can fail.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use super::Mix;
use super::books::Books;
use super::pipe::{Head, Pipe, in_chunks};
use super::webhook::{Webhook, is_signed, scatter};
use crate::harness::unused_port;

/// For a slow answer, and for one that never comes: the connection is closed then. serin waits for `TIMEOUT`, which lies between.
const SLOW: Duration = Duration::from_millis(300);
const HANGS: Duration = Duration::from_millis(1_500);
/// For the bots' `timeout` in the config.
pub const TIMEOUT: &str = "1.2s";

pub struct Bot {
    pub address: SocketAddr,
    /// Every other webhook is answered 500.
    pub is_bad: Arc<AtomicBool>,
    restarts: Option<Sender<Duration>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The connection is reset with the head read.
    ResetAtHead,
    /// 413, and the body is not read.
    TooLarge,
    /// The connection is reset with all read.
    ResetAtEnd,
    /// The same in the middle of the answer.
    ResetInAnswer,
    Unavailable,
    Slow,
    Hangs,
}

/// What every connection of a bot needs.
#[derive(Clone)]
struct Desk {
    books: Books,
    mix: Mix,
    is_bad: Arc<AtomicBool>,
}

impl Bot {
    pub fn start(books: &Books, mix: Mix) -> Bot {
        let address = SocketAddr::from(([127, 0, 0, 1], unused_port()));
        let listener = listener(address).expect("an unused port");
        // A restart waits for the one before it.
        let (restarts, orders) = channel(1);
        let is_bad = Arc::<AtomicBool>::default();
        let desk = Desk { books: books.clone(), mix, is_bad: is_bad.clone() };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(serves(address, listener, desk, orders));
        });
        Bot { address, is_bad, restarts: Some(restarts), thread: Some(thread) }
    }

    /// Cuts off all connections, listens again after `down`.
    pub fn restart(&self, down: Duration) {
        let _ = self.restarts.as_ref().map(|restarts| restarts.blocking_send(down));
    }
}

impl Drop for Bot {
    fn drop(&mut self) {
        drop(self.restarts.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn serves(address: SocketAddr, first: std::net::TcpListener, desk: Desk, mut orders: Receiver<Duration>) {
    let mut next = Some(first);
    loop {
        // Somebody else's connection may have the port for a moment.
        let Some(listener) = next.take().or_else(|| listener(address).ok()) else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let listener = TcpListener::from_std(listener).expect("a listener");
        let mut connections = JoinSet::new();
        let down = loop {
            tokio::select! {
                accepted = listener.accept() => {
                    let Ok((stream, _)) = accepted else { continue };
                    let desk = desk.clone();
                    connections.spawn(async move { desk.serve(stream).await });
                    while connections.try_join_next().is_some() {}
                }
                order = orders.recv() => break order,
            }
        };
        drop((listener, connections));
        match down {
            Some(down) => tokio::time::sleep(down).await,
            None => return,
        }
    }
}

impl Desk {
    /// Until the connection ends. An error is the other side's end of it.
    async fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut pipe = Pipe::new(stream);
        while let Some(head) = pipe.head().await? {
            let id = head.field("x-id").and_then(|id| std::str::from_utf8(id).ok()?.parse().ok());
            let Some(id) = id else {
                self.books.is_strange(format!("{:?} {:?}", head.line, head.fields));
                return Ok(());
            };
            self.books.begins(id);
            let webhook = Webhook::of(id, &self.mix);
            let fault = Fault::of(id, &self.mix);
            match fault {
                Fault::ResetAtHead => return reset(&pipe),
                Fault::TooLarge => return pipe.write(&answer("413 Content Too Large", b"", "Connection: close\r\n")).await,
                _ => (),
            }
            let body = pipe.body(&head).await?;
            self.books.is_whole(id, change(&webhook, &head, &body));
            let bytes = self.answers(&webhook);
            match fault {
                Fault::ResetAtEnd => return reset(&pipe),
                Fault::ResetInAnswer => {
                    pipe.write(&bytes[..bytes.len() - 1 - bytes.len() / 9]).await?;
                    return reset(&pipe);
                }
                Fault::Hangs => {
                    tokio::time::sleep(HANGS).await;
                    return Ok(());
                }
                Fault::Unavailable => pipe.write(&answer("503 Service Unavailable", b"fault", "")).await?,
                Fault::Slow => {
                    tokio::time::sleep(SLOW).await;
                    pipe.write(&bytes).await?;
                }
                Fault::None | Fault::ResetAtHead | Fault::TooLarge => pipe.write(&bytes).await?,
            }
        }
        Ok(())
    }

    fn answers(&self, webhook: &Webhook) -> Vec<u8> {
        if self.is_bad.load(Ordering::Relaxed) && scatter(webhook.id, 14).is_multiple_of(2) {
            return answer("500 Internal Server Error", b"bad", "");
        }
        let body = webhook.answer(&self.mix);
        if !scatter(webhook.id, 15).is_multiple_of(4) {
            return answer("200 OK", &body, "");
        }
        [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &in_chunks(&body, 7_000)[..], b"0\r\n\r\n"].concat()
    }
}

fn answer(status: &str, body: &[u8], fields: &str) -> Vec<u8> {
    [format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n{fields}\r\n", body.len()).as_bytes(), body].concat()
}

fn reset(pipe: &Pipe<TcpStream>) -> io::Result<()> {
    SockRef::from(&pipe.stream).set_linger(Some(Duration::ZERO))
}

/// What is not as the client has sent it.
fn change(webhook: &Webhook, head: &Head, body: &Bytes) -> Option<String> {
    let line: Vec<&str> = head.line.iter().map(String::as_str).collect();
    if line != ["POST", &webhook.target, "HTTP/1.1"] {
        return Some(format!("{line:?} instead of {}", webhook.target));
    }
    let field = |name| head.field(name).unwrap_or_default();
    let id = std::str::from_utf8(field("x-id")).unwrap_or_default();
    if *body != webhook.body || !is_signed(id, body, field("x-slack-signature"), field("x-hub-signature-256")) {
        return Some(format!("a body of {} bytes, which is another one of {}", webhook.body.len(), body.len()));
    }
    // HTTP/2 has names in lower case.
    let lower = head.fields.iter().any(|(name, _)| name == "x-id");
    for (name, _) in &webhook.fields {
        let spelt = if lower { name.to_ascii_lowercase() } else { (*name).to_owned() };
        let came: Vec<&[u8]> = head.fields.iter().filter(|(is, _)| *is == spelt).map(|(_, value)| &value[..]).collect();
        let sent: Vec<&[u8]> = webhook.fields.iter().filter(|(is, _)| is == name).map(|(_, value)| &value[..]).collect();
        if came != sent {
            return Some(format!("{spelt}: {came:?} instead of {sent:?}"));
        }
    }
    None
}

impl Fault {
    fn of(id: u64, mix: &Mix) -> Fault {
        if scatter(id, 16) % 1_000 >= mix.faults_per_mille {
            return Fault::None;
        }
        match scatter(id, 17) % 16 {
            0..3 => Fault::ResetAtHead,
            3..5 => Fault::TooLarge,
            5..8 => Fault::ResetAtEnd,
            8..11 => Fault::ResetInAnswer,
            11..13 => Fault::Unavailable,
            13..15 => Fault::Slow,
            _ => Fault::Hangs,
        }
    }
}

/// With room for all connections of a test at once.
fn listener(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // Connections of the listener before it may still be ending.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4_096)?;
    Ok(socket.into())
}
