//! One end of an HTTP/1.1 connection, for many of them on one thread. It believes what it reads: both clients and bots are ours.

use std::io::{self, ErrorKind};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub struct Pipe<S> {
    pub stream: S,
    /// Read, but not asked for yet.
    ahead: BytesMut,
}

pub struct Head {
    /// The first line's words.
    pub line: Vec<String>,
    pub fields: Vec<(String, Vec<u8>)>,
}

/// The bytes in chunks of this size, without the last chunk, which is empty.
pub fn in_chunks(bytes: &[u8], size: usize) -> Vec<u8> {
    bytes.chunks(size).flat_map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat()).collect()
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe<S> {
    pub fn new(stream: S) -> Pipe<S> {
        Pipe { stream, ahead: BytesMut::new() }
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// `None` if the connection ended before a head began.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                return Head::of(&self.ahead.split_to(end + 4)).map(Some);
            }
            match self.fill().await {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof && self.ahead.is_empty() => return Ok(None),
                filled => filled?,
            }
        }
    }

    /// The body behind this head, an error if it ends too early. Without a word about its end it has none.
    pub async fn body(&mut self, head: &Head) -> io::Result<Bytes> {
        if head.field("transfer-encoding").is_some() {
            return self.chunks().await;
        }
        match head.field("content-length") {
            Some(length) => self.exactly(number(length, 10)?).await,
            None => Ok(Bytes::new()),
        }
    }

    async fn chunks(&mut self) -> io::Result<Bytes> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let size = number(&line, 16)?;
            body.extend_from_slice(&self.exactly(size).await?);
            if !self.line().await?.is_empty() {
                return Err(ErrorKind::InvalidData.into());
            }
            if size == 0 {
                return Ok(body.freeze());
            }
        }
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                let line = self.ahead.split_to(end + 2).freeze();
                return Ok(line.slice(..end));
            }
            self.fill().await?;
        }
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.ahead.len() < length {
            self.fill().await?;
        }
        Ok(self.ahead.split_to(length).freeze())
    }

    async fn fill(&mut self) -> io::Result<()> {
        self.ahead.reserve(8 * 1024);
        match self.stream.read_buf(&mut self.ahead).await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Head {
    fn of(bytes: &[u8]) -> io::Result<Head> {
        let mut lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        let first = String::from_utf8_lossy(lines.next().unwrap_or_default());
        let fields = lines.take_while(|line| !line.is_empty()).map(|line| {
            let colon = line.iter().position(|byte| *byte == b':').ok_or(ErrorKind::InvalidData)?;
            let value = line[colon + 1..].trim_ascii();
            Ok((String::from_utf8_lossy(&line[..colon]).into_owned(), value.to_vec()))
        });
        Ok(Head { line: first.split(' ').map(str::to_owned).collect(), fields: fields.collect::<io::Result<_>>()? })
    }

    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
    }

    /// An answer's status.
    pub fn status(&self) -> io::Result<u16> {
        self.line.get(1).and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData.into())
    }
}

fn number(digits: &[u8], radix: u32) -> io::Result<usize> {
    let digits = std::str::from_utf8(digits).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
    usize::from_str_radix(digits.trim(), radix).map_err(|error| io::Error::new(ErrorKind::InvalidData, error))
}
