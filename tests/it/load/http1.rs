//! A client of HTTP/1.1.

use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::pipe::{Pipe, in_chunks};
use super::webhook::{Leaves, Webhook, scatter};

pub trait Stream: AsyncRead + AsyncWrite + Unpin {
    fn socket(&self) -> &TcpStream;
}

pub struct Http1(Pipe<Box<dyn Stream>>);

/// A whole answer.
pub struct Reply {
    pub status: u16,
    pub body: Bytes,
    /// serin takes no further request on this connection.
    pub last: bool,
}

impl Http1 {
    pub fn over(stream: impl Stream + 'static) -> Http1 {
        Http1(Pipe::new(Box::new(stream)))
    }

    /// `None` if this client has left, as the webhook says.
    pub async fn ask(&mut self, webhook: &Webhook, last: bool) -> io::Result<Option<Reply>> {
        let head = head(webhook, last);
        if webhook.leaves == Leaves::HalfWay {
            let half = &webhook.body[..webhook.body.len() / 2];
            self.0.write(&[&head, &piece(webhook, half)[..]].concat()).await?;
            return Ok(self.leave(webhook));
        }
        let body = if webhook.chunked { [&piece(webhook, &webhook.body)[..], b"0\r\n\r\n"].concat() } else { webhook.body.to_vec() };
        let written = if webhook.expects && webhook.leaves == Leaves::Never {
            self.0.write(&head).await?;
            let first = self.0.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
            if first.status()? != 100 {
                let body = self.0.body(&first).await?;
                return Ok(Some(Reply { status: first.status()?, body, last: true }));
            }
            self.0.write(&body).await
        } else {
            self.0.write(&[head, body].concat()).await
        };
        if webhook.leaves == Leaves::Unanswered {
            return Ok(self.leave(webhook));
        }
        // An answer that came before the request's end is an answer.
        self.reply().await.map_err(|error| written.err().unwrap_or(error)).map(Some)
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        loop {
            let head = self.0.head().await?.ok_or(ErrorKind::UnexpectedEof)?;
            let status = head.status()?;
            if status >= 200 {
                let last = head.field("connection") == Some(b"close");
                return Ok(Reply { status, body: self.0.body(&head).await?, last });
            }
        }
    }

    /// Some clients close, others are gone all at once.
    fn leave(&mut self, webhook: &Webhook) -> Option<Reply> {
        if scatter(webhook.id, 12).is_multiple_of(2) {
            let _ = SockRef::from(self.0.stream.socket()).set_linger(Some(Duration::ZERO));
        }
        None
    }
}

fn head(webhook: &Webhook, last: bool) -> Vec<u8> {
    let mut head = format!("POST {} HTTP/1.1\r\nHost: bot.example\r\n", webhook.target).into_bytes();
    for (name, value) in &webhook.fields {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if webhook.expects {
        head.extend(b"Expect: 100-continue\r\n");
    }
    if last {
        head.extend(b"Connection: close\r\n");
    }
    match webhook.chunked {
        true => head.extend(b"Transfer-Encoding: chunked\r\n\r\n"),
        false => head.extend(format!("Content-Length: {}\r\n\r\n", webhook.body.len()).into_bytes()),
    }
    head
}

/// These bytes as this webhook's body has them, in chunks of different sizes or plain.
fn piece(webhook: &Webhook, bytes: &[u8]) -> Vec<u8> {
    if !webhook.chunked {
        return bytes.to_vec();
    }
    in_chunks(bytes, 1 + scatter(webhook.id, 13) as usize % 20_000)
}

impl Stream for TcpStream {
    fn socket(&self) -> &TcpStream {
        self
    }
}

impl Stream for TlsStream<TcpStream> {
    fn socket(&self) -> &TcpStream {
        self.get_ref().0
    }
}
