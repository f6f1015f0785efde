//! What the fuzz targets check of whole connections: any bytes of a client through a real worker, to a small upstream, over sockets of
//! this machine. The runtime's clock stands still while anything can be done, so a time limit costs no time.

use std::cell::Cell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::{Arc, Once};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::task::spawn_local;
use xxhash_rust::xxh3::xxh3_64;

use super::listen::take;
use super::worker::{Stage, Surroundings, Worker};
use super::{Door, FrontTls, Problem, Resolver, Shared, TlsClients};
use crate::config::{self, Config};
use crate::http1::{Decoded, RequestHead};
use crate::live::Snapshot;
use crate::meters::{BotMeters, IdentifyResult, Metrics};

pub use super::arrive::fuzzing::proxy_header;
pub use super::front_tls::fuzzing::certificate_is_found;

/// Makes what serves with this config.
pub type Serving = fn(Config) -> Arc<Snapshot>;

/// Longer than any time limit of the config below, on the clock that stands still: a connection that is open for longer has no end.
const WITHIN: Duration = Duration::from_secs(1800);
/// Addresses of clients. Each has its own ports, and a port rests for a minute after its connection.
const CLIENTS: u32 = 1 << 12;
const HEAD_MAX: usize = 64 * 1024;
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
/// `:method: POST`, `:scheme: http`, `:path: /`, `:authority: a`, in HPACK.
const POST: &[u8] = &[0x83, 0x86, 0x84, 0x41, 0x01, b'a'];

thread_local! {
    /// Never dropped: a runtime cannot end while its thread ends.
    static SITE: Cell<Option<&'static Site>> = const { Cell::new(None) };
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Any bytes on a connection.
pub fn http1(data: &[u8], serving: Serving) {
    check(data, vec![Step::Send(data.to_vec())], serving);
}

/// Any frames on a connection that has begun rightly: see `frames`.
pub fn http2(data: &[u8], serving: Serving) {
    let mut steps = vec![Step::Send([PREFACE, EMPTY_SETTINGS].concat())];
    steps.extend(frames(data));
    let answer = check(data, steps, serving);
    let mut rest = answer.as_slice();
    let mut first = true;
    while let Some((head, after)) = rest.split_first_chunk::<9>() {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        assert!(length <= 16_384 && (!first || head[3] == 4), "serin sends a frame of type {} with {length} bytes", head[3]);
        first = false;
        rest = after.get(length..).unwrap_or_default();
    }
}

enum Step {
    Send(Vec<u8>),
    /// Until serin and the upstream have done all that they can.
    Quiet,
}

/// The input is a list of frames: a kind, the flags, the stream, the number of bytes, and these bytes. The kind's low four bits are the
/// frame's type; 0x10 sets all bytes of the stream's number, 0x20 waits after the frame, 0x40 begins it with the fields of a request,
/// and 0x80 announces one byte more than there is.
fn frames(mut data: &[u8]) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(([kind, flags, stream, length], rest)) = data.split_first_chunk::<4>() {
        let (payload, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        let fields = if kind & 0x40 == 0 { &b""[..] } else { POST };
        let announced = (fields.len() + payload.len()) as u32 + u32::from(kind >> 7);
        let stream = u32::from(*stream) * if kind & 0x10 == 0 { 1 } else { 0x0101_0101 };
        let head = [&announced.to_be_bytes()[1..], &[kind & 0x0f, *flags], &stream.to_be_bytes()].concat();
        steps.push(Step::Send([&head, fields, payload].concat()));
        if kind & 0x20 != 0 {
            steps.push(Step::Quiet);
        }
    }
    steps
}

/// Returns what the client has read. Nothing panics, the connection ends, each exchange that has begun is recorded once, the upstream
/// sees no request that is not recorded, and no memory stays charged.
fn check(data: &[u8], steps: Vec<Step>, serving: Serving) -> Vec<u8> {
    let site = SITE.get().unwrap_or_else(|| {
        let site = Box::leak(Box::new(Site::new(serving)));
        SITE.set(Some(site));
        site
    });
    let ended = site.runtime.block_on(async { tokio::time::timeout(WITHIN, site.converse(data, steps)).await });
    let answer = ended.expect("the connection ends");
    assert!(!PANICKED.replace(false), "a task has panicked");
    assert_eq!(site.worker.budget().used(), 0, "memory stays charged");
    let counted = site.counted();
    assert_eq!(counted.in_flight, 0);
    assert_eq!(counted.begun, counted.recorded);
    assert!(site.seen.get() <= counted.recorded, "{} seen, {} recorded", site.seen.get(), counted.recorded);
    answer
}

struct Site {
    runtime: LocalRuntime,
    worker: Rc<Worker>,
    front: TcpListener,
    bot: Arc<BotMeters>,
    /// The requests that the upstream has begun to read.
    seen: Rc<Cell<u64>>,
    clients: Cell<u32>,
}

/// What the worker has counted since it began.
struct Counted {
    begun: u64,
    recorded: u64,
    in_flight: i64,
}

impl Site {
    fn new(serving: Serving) -> Site {
        notice_panics();
        let options = LocalOptions::default();
        let runtime = Builder::new_current_thread().enable_all().start_paused(true).build_local(options).expect("a runtime");
        let metrics = Arc::new(Metrics::new(1, Problem::codes()));
        let (worker, front, seen) = runtime.block_on(async {
            let (front, upstream) = (listener().await, listener().await);
            let shared = Shared {
                metrics: metrics.clone(),
                resolver: Arc::new(Resolver::new(tokio::runtime::Handle::current())),
                tls: Arc::new(TlsClients::default()),
                front: Arc::new(FrontTls::new(None, metrics.clone())),
            };
            let config = config_for(upstream.local_addr().expect("it listens"));
            let worker = Worker::new(serving(config), Surroundings::new(0, shared));
            worker.set_stage(Stage::Serving);
            spawn_local(worker.clock().clone().run());
            spawn_local(worker.clone().reap());
            let seen = Rc::<Cell<u64>>::default();
            spawn_local(answer_all(upstream, seen.clone()));
            (worker, front, seen)
        });
        Site { runtime, worker, front, bot: metrics.bot("support"), seen, clients: Cell::new(0) }
    }

    /// Plays the client. Ends the connection in one of two ways, and returns once serin has done with it too.
    async fn converse(&self, data: &[u8], steps: Vec<Step>) -> Vec<u8> {
        let (client, accepted) = tokio::join!(self.connect(), self.front.accept());
        let (stream, peer) = accepted.expect("the client has connected");
        take(&self.worker, stream, peer, Door::Plain);
        let resets = xxh3_64(data).is_multiple_of(2);
        if resets {
            client.set_zero_linger().expect("an open socket");
        }
        let (mut reading, mut writing) = client.into_split();
        let mut answer = Vec::new();
        let send = async {
            for step in steps {
                match step {
                    // It fails if serin has closed the connection.
                    Step::Send(bytes) if writing.write_all(&bytes).await.is_err() => break,
                    Step::Send(_) => {}
                    Step::Quiet => quiet().await,
                }
            }
            quiet().await;
            if !resets {
                let _ = writing.shutdown().await;
                std::future::pending().await
            }
        };
        tokio::select! {
            () = send => {}
            // A reset loses what was not read yet.
            _ = reading.read_to_end(&mut answer) => {}
        }
        drop((reading, writing));
        self.worker.all_ended().await;
        answer
    }

    async fn connect(&self) -> TcpStream {
        let number = self.clients.get();
        self.clients.set((number + 1) % CLIENTS);
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((Ipv4Addr::from(0x7f00_0002 + number), 0))).expect("an address of this machine");
        socket.connect(self.front.local_addr().expect("it listens")).await.expect("it listens")
    }

    fn counted(&self) -> Counted {
        let shard = self.bot.shard(0);
        let decided = self.bot.sources();
        let decided = decided.iter().flat_map(|source| IdentifyResult::ALL.map(|result| source.sum(result)));
        Counted {
            begun: decided.sum(),
            recorded: shard.requests.iter().flatten().flatten().map(|count| count.load()).sum(),
            in_flight: shard.inflight.iter().map(|level| level.load().abs()).sum(),
        }
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port of this machine")
}

/// The clock moves once nothing else can be done.
async fn quiet() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// A panic in a task ends only the task.
fn notice_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICKED.set(true);
            usual(panic);
        }));
    });
}

fn config_for(upstream: SocketAddr) -> Config {
    let text = format!(
        "[proxy]\nlisten = \"127.0.0.1:1\"\nworkers = 1\nhttp2 = \"all\"\n[proxy.limits]\nmax_memory = \"8MiB\"\n
         [admin]\nlisten = \"127.0.0.1:2\"\n
         [[bot]]\nname = \"support\"\npreset = \"slack\"\nbody_cap = \"64KiB\"\nupstreams = {{ blue = \"http://{upstream}\" }}\n"
    );
    config::parse(&text, std::path::Path::new("serin.toml")).unwrap_or_else(|error| panic!("{error}"))
}

async fn answer_all(upstream: TcpListener, seen: Rc<Cell<u64>>) {
    while let Ok((stream, _)) = upstream.accept().await {
        let seen = seen.clone();
        spawn_local(async move {
            // An error means that serin has closed the connection.
            let _ = answer(stream, &seen).await;
        });
    }
}

/// A bot that reads each request to its end, and answers as the second byte of the path says.
async fn answer(mut stream: TcpStream, seen: &Cell<u64>) -> std::io::Result<()> {
    let mut input = BytesMut::new();
    loop {
        let Some(RequestHead { target, mut body, .. }) = RequestHead::read(&mut input, HEAD_MAX).expect("serin sends HTTP") else {
            if stream.read_buf(&mut input).await? == 0 {
                return Ok(());
            }
            continue;
        };
        seen.set(seen.get() + 1);
        loop {
            match body.decode(&mut input).expect("serin frames bodies rightly") {
                Decoded::End | Decoded::Trailers(_) => break,
                Decoded::Data(_) => {}
                Decoded::NeedMore => {
                    if stream.read_buf(&mut input).await? == 0 {
                        return Ok(());
                    }
                }
            }
        }
        let path = target.expect("serin passes a target on").path;
        let (answer, closes): (Vec<u8>, bool) = match path.as_str().as_bytes().get(1) {
            Some(b'b') => (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n\r\n".to_vec(), false),
            Some(b'c') => (b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(), false),
            Some(b'd') => {
                (b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec(), false)
            }
            Some(b'e') => (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbroken".to_vec(), true),
            Some(b'f') => ([&b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n"[..], &[b'x'; 200_000]].concat(), false),
            Some(b'g') => (b"HTTP/1.1 200 OK\r\n\r\nuntil the end".to_vec(), true),
            Some(b'h') => (Vec::new(), true),
            Some(b'i') => (b"no HTTP\r\n\r\n".to_vec(), false),
            _ => (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok".to_vec(), false),
        };
        stream.write_all(&answer).await?;
        if closes {
            return Ok(());
        }
    }
}
