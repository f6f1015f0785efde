//! A client that sends exact bytes and shows the bytes of each answer.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::SockRef;

use super::PATIENCE;
use super::wire::{Framing, Wire, field, fields, framing};

pub struct Client {
    pub wire: Wire,
    socket: TcpStream,
}

#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    /// As it came, with its first line.
    pub head: String,
    pub body: Vec<u8>,
    /// The heads of the interim answers before it.
    pub interim: Vec<String>,
}

/// A request, written out by hand.
#[derive(Clone, Debug)]
pub struct Ask {
    method: &'static str,
    path: String,
    host: String,
    fields: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("serin takes connections")
    }

    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Client { wire: Wire::new(socket.try_clone()?), socket })
    }

    /// On a connection with something between it and the socket.
    pub fn over(stream: impl Read + Write + Send + 'static, socket: TcpStream) -> Client {
        Client { wire: Wire::new(stream), socket }
    }

    pub fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("a connected socket")
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.wire.write(bytes).expect("serin reads what it is sent");
    }

    /// Sends, and reads the answer.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> Answer {
        self.try_ask(ask).unwrap_or_else(|error| panic!("no whole answer to {ask:?}: {error}"))
    }

    pub fn try_ask(&mut self, ask: &Ask) -> io::Result<Answer> {
        self.wire.write(&ask.bytes())?;
        self.answer_to(ask.method)
    }

    /// The next answer, to a request with a body in its answer.
    pub fn answer(&mut self) -> io::Result<Answer> {
        self.answer_to("POST")
    }

    pub fn answer_to(&mut self, method: &str) -> io::Result<Answer> {
        let mut interim = Vec::new();
        loop {
            let head = self.wire.head()?.ok_or(ErrorKind::UnexpectedEof)?;
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or(ErrorKind::InvalidData)?;
            if (100..200).contains(&status) {
                interim.push(head);
                continue;
            }
            let body = match method == "HEAD" || matches!(status, 204 | 304) {
                true => Vec::new(),
                false => self.wire.body(framing(&head).unwrap_or(Framing::UntilClose))?,
            };
            return Ok(Answer { status, head, body, interim });
        }
    }

    /// Closes the sending side. Answers can still be read.
    pub fn finish_sending(&self) {
        self.socket.shutdown(Shutdown::Write).expect("an open connection can be closed");
    }

    /// Closes with a reset, as a crashed client does.
    pub fn reset(self) {
        SockRef::from(&self.socket).set_linger(Some(Duration::ZERO)).expect("an open socket takes options");
    }

    pub fn write_at_most(&self, patience: Duration) {
        self.socket.set_write_timeout(Some(patience)).expect("an open socket takes options");
    }

    pub fn wait_at_most(&self, patience: Duration) {
        self.socket.set_read_timeout(Some(patience)).expect("an open socket takes options");
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(1_000)];
        write!(f, "{:?} {:?}{:?} ({} bytes)", self.interim, self.head, String::from_utf8_lossy(shown), self.body.len())
    }
}

impl Answer {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn fields(&self) -> Vec<(&str, &str)> {
        fields(&self.head).collect()
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the test's bodies are text")
    }

    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// Is this an answer of serin's own: a problem document with this status and code?
    #[track_caller]
    pub fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.field("serin-error")), (status, Some(code)), "{}{}", self.head, String::from_utf8_lossy(&self.body));
        self.is_problem_document(code);
    }

    #[track_caller]
    pub fn is_problem_document(&self, code: &str) {
        assert_eq!(self.field("content-type"), Some("application/problem+json"), "{}", self.head);
        let document = self.json();
        assert_eq!(document["code"], code, "{document}");
        assert_eq!(document["status"], self.status, "{document}");
        assert!(document["title"].is_string() && document["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{document}");
    }
}

impl Ask {
    pub fn new(method: &'static str, path: &str) -> Ask {
        Ask { method, path: path.to_owned(), host: "bot.example".to_owned(), fields: Vec::new(), body: None }
    }

    /// A webhook for a workspace, by the header that `Config::split` looks at.
    pub fn of(workspace: &str) -> Ask {
        Ask::new("POST", "/hook").field("X-Workspace", workspace).body(b"{}")
    }

    pub fn host(self, host: &str) -> Ask {
        Ask { host: host.to_owned(), ..self }
    }

    pub fn field(mut self, name: &str, value: &str) -> Ask {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(self, body: &[u8]) -> Ask {
        Ask { body: Some(body.to_vec()), ..self }
    }

    pub fn json(self, body: &str) -> Ask {
        self.field("Content-Type", "application/json").body(body.as_bytes())
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.path, self.host);
        for (name, value) in &self.fields {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        [head.as_bytes(), b"\r\n", self.body.as_deref().unwrap_or_default()].concat()
    }
}
