//! One end of an HTTP/1.1 connection, as bytes: it reads messages and keeps what came too much, and adds nothing.

use std::io::{self, ErrorKind, Read, Write};

pub trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

pub struct Wire {
    stream: Box<dyn Stream>,
    /// Read, but not asked for yet.
    ahead: Vec<u8>,
}

/// How a message says where its body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

impl Wire {
    pub fn new(stream: impl Stream + 'static) -> Wire {
        Wire { stream: Box::new(stream), ahead: Vec::new() }
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    /// A head with its last empty line; `None` if the connection ended before its first byte.
    pub fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = self.ahead.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = self.take(end + 4);
                return String::from_utf8(head).map(Some).map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
            }
            if self.fill()? == 0 {
                return if self.ahead.is_empty() { Ok(None) } else { Err(ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// A body; an error if it is shorter than its framing says.
    pub fn body(&mut self, framing: Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(length) => self.exactly(length),
            Framing::Chunked => self.chunks(),
            Framing::UntilClose => {
                while self.fill()? > 0 {}
                Ok(std::mem::take(&mut self.ahead))
            }
        }
    }

    pub fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.ahead.len() < length {
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.take(length))
    }

    /// Waits for the end of the connection; anything that comes before it is an error.
    pub fn end(&mut self) -> io::Result<()> {
        match self.fill()? {
            0 if self.ahead.is_empty() => Ok(()),
            _ => {
                Err(io::Error::new(ErrorKind::InvalidData, format!("bytes instead of an end: {:?}", String::from_utf8_lossy(&self.ahead))))
            }
        }
    }

    /// What was read and not asked for.
    pub fn unread(self) -> Vec<u8> {
        self.ahead
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.line()?;
            let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16);
            let size = size.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.exactly(size)?);
            self.exactly(2)?;
        }
    }

    fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = self.ahead.windows(2).position(|window| window == b"\r\n") {
                let mut line = self.take(end + 2);
                line.truncate(end);
                return String::from_utf8(line).map_err(|error| io::Error::new(ErrorKind::InvalidData, error));
            }
            if self.fill()? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        let rest = self.ahead.split_off(length);
        std::mem::replace(&mut self.ahead, rest)
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut piece = [0; 16 * 1024];
        let n = self.stream.read(&mut piece)?;
        self.ahead.extend_from_slice(&piece[..n]);
        Ok(n)
    }
}

/// The first value of a field in a head.
pub fn field<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    fields(head).find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

pub fn fields(head: &str) -> impl Iterator<Item = (&str, &str)> {
    head.lines().skip(1).filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim()))
}

/// What the fields say; `None` where neither says anything.
pub fn framing(head: &str) -> Option<Framing> {
    if field(head, "transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Some(Framing::Chunked);
    }
    field(head, "content-length").and_then(|length| length.parse().ok()).map(Framing::Length)
}
