//! Upstreams that answer by a script and record the requests that they receive.

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use socket2::{Domain, Socket, Type};

use super::wire::{Framing, Wire, field, framing};

/// A request as an upstream received it.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: String,
    pub body: Vec<u8>,
}

/// What an upstream does with a connection after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    KeepAlive,
    Close,
}

pub struct Upstream {
    pub address: SocketAddr,
    requests: Arc<Mutex<Vec<Request>>>,
    connections: Arc<Mutex<Vec<TcpStream>>>,
    closed: Arc<AtomicUsize>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A whole answer with this text.
pub fn ok(text: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{text}", text.len()).into_bytes()
}

impl Upstream {
    /// Answers every request 200 with this text.
    pub fn answering(text: &'static str) -> Upstream {
        Upstream::scripted(move |_, wire| {
            let _ = wire.write(&ok(text));
            Then::KeepAlive
        })
    }

    /// Answers every request with these bytes, and closes.
    pub fn saying(answer: &'static str) -> Upstream {
        Upstream::scripted(move |_, wire| {
            let _ = wire.write(answer.as_bytes());
            Then::Close
        })
    }

    /// Answers every request 200 with this text, one for each message on the channel.
    pub fn on_demand(text: &'static str) -> (SyncSender<()>, Upstream) {
        Upstream::holding(text, |_, _| true)
    }

    /// Answers every request 200 with this text. A request for which `holds` returns true waits for a message on the channel; `holds`
    /// may write something first.
    pub fn holding(text: &'static str, holds: impl Fn(&Request, &mut Wire) -> bool + Send + Sync + 'static) -> (SyncSender<()>, Upstream) {
        let (release, released) = sync_channel(1);
        let released = Mutex::new(released);
        let upstream = Upstream::scripted(move |request, wire| {
            if holds(request, wire) {
                let _ = released.lock().unwrap().recv();
            }
            let _ = wire.write(&ok(text));
            Then::KeepAlive
        });
        (release, upstream)
    }

    /// Reads whole requests and records them; the script answers.
    pub fn scripted(answer: impl Fn(&Request, &mut Wire) -> Then + Send + Sync + 'static) -> Upstream {
        Upstream::start(bind(), Wire::new, answer)
    }

    /// The same behind some layer, such as TLS; `layer` makes a connection's wire.
    pub fn layered(
        layer: impl Fn(TcpStream) -> Wire + Send + Sync + 'static,
        answer: impl Fn(&Request, &mut Wire) -> Then + Send + Sync + 'static,
    ) -> Upstream {
        Upstream::start(bind(), layer, answer)
    }

    fn start(
        listener: TcpListener,
        layer: impl Fn(TcpStream) -> Wire + Send + Sync + 'static,
        answer: impl Fn(&Request, &mut Wire) -> Then + Send + Sync + 'static,
    ) -> Upstream {
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let seen = requests.clone();
        let serve = move |stream: TcpStream| {
            let mut wire = layer(stream);
            while let Some(request) = read_request(&mut wire) {
                seen.lock().unwrap().push(request.clone());
                if answer(&request, &mut wire) == Then::Close {
                    return;
                }
            }
        };
        Upstream::listening(listener, requests, serve)
    }

    /// The script gets each connection, and reads and writes what it wants.
    pub fn raw(serve: impl Fn(Wire) + Send + Sync + 'static) -> Upstream {
        let listener = bind();
        Upstream::listening(listener, Arc::default(), move |stream| serve(Wire::new(stream)))
    }

    fn listening(listener: TcpListener, requests: Arc<Mutex<Vec<Request>>>, serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Upstream {
        let address = listener.local_addr().expect("a bound listener has an address");
        let (connections, ended) = (Arc::<Mutex<Vec<TcpStream>>>::default(), Arc::new(AtomicBool::new(false)));
        let closed = Arc::new(AtomicUsize::new(0));
        let (open, stop, shut, serve) = (connections.clone(), ended.clone(), closed.clone(), Arc::new(serve));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Acquire) {
                    return;
                }
                let _ = stream.set_nodelay(true);
                open.lock().unwrap().push(stream.try_clone().expect("file descriptors to spare"));
                let (serve, shut) = (serve.clone(), shut.clone());
                std::thread::spawn(move || {
                    let closing = stream.try_clone();
                    serve(stream);
                    // The clone that the list holds must not keep the connection open.
                    let _ = closing.map(|stream| stream.shutdown(Shutdown::Both));
                    shut.fetch_add(1, Ordering::Release);
                });
            }
        });
        Upstream { address, requests, connections, closed, ended, thread: Some(thread) }
    }

    /// The requests so far, in the order in which they were complete.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    /// How many connections it has accepted.
    pub fn connections(&self) -> usize {
        self.connections.lock().unwrap().len()
    }

    /// How many of them it has closed.
    pub fn closed(&self) -> usize {
        self.closed.load(Ordering::Acquire)
    }

    /// The only request that came.
    #[track_caller]
    pub fn only_request(&self) -> Request {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests.remove(0)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Release);
        for connection in self.connections.lock().unwrap().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
        // Wakes the accept.
        let _ = TcpStream::connect(self.address);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn read_request(wire: &mut Wire) -> Option<Request> {
    let head = wire.head().ok()??;
    let body = wire.body(framing(&head).unwrap_or(Framing::Length(0))).ok()?;
    Some(Request { head, body })
}

impl Request {
    pub fn field(&self, name: &str) -> Option<&str> {
        field(&self.head, name)
    }

    pub fn line(&self) -> &str {
        self.head.lines().next().unwrap_or("")
    }
}

/// With room for all connections of a test at once: std's listener has room for 128, and one more waits for a second.
fn bind() -> TcpListener {
    let socket = bound();
    socket.listen(4096).expect("a bound socket can listen");
    socket.into()
}

/// An address at which every connection is refused, for as long as this lives: the port is taken, and nobody listens.
pub struct Closed {
    pub address: SocketAddr,
    _socket: Socket,
}

impl Closed {
    pub fn new() -> Closed {
        let socket = bound();
        Closed {
            address: socket.local_addr().ok().and_then(|address| address.as_socket()).expect("a bound socket has an address"),
            _socket: socket,
        }
    }
}

/// An address at which no connection is ever completed: the listener's queue is full, and the kernel drops what comes.
pub struct Full {
    pub address: SocketAddr,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl Full {
    pub fn new() -> Full {
        let listener = bound();
        listener.listen(0).expect("a bound socket can listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let queued = (0..4).map(|_| {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
            socket.set_nonblocking(true).expect("an open socket takes options");
            let _ = socket.connect(&address);
            socket
        });
        let queued = queued.collect();
        Full { address: address.as_socket().expect("an IPv4 address"), _listener: listener, _queued: queued }
    }
}

fn bound() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
    socket
}
