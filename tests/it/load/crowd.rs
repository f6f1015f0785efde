//! Clients that mean ill. `Crowd`: many connections, from many addresses, that are silent or slow. Each of its parts is a process of its
//! own, because one process may not have descriptors for all of them. `Handshakes`: connections that want a TLS handshake and no more.

use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::front::Front;

/// The addresses of a whole crowd, and the connections of one part.
const ADDRESSES: usize = 200;
const PART: usize = 5_000;
/// Between two steps of a slow client, and before a client that was closed comes again.
const STEP: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(5);
/// Tells a part what it is.
const VARIABLE: &str = "SERIN_CROWD";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Sends nothing.
    Silent,
    /// A byte of the head at each step.
    SlowHead,
    /// A byte of a body of 100 kB at each step; serin holds the body to find the workspace.
    SlowBody,
    /// Takes 100 bytes of a long answer at each step.
    SlowReader,
}

pub struct Crowd(Vec<Child>);

pub struct Handshakes {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Greeted>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Greeted {
    pub whole: usize,
    pub failed: usize,
    pub took: Duration,
}

impl Habit {
    pub const ALL: [Habit; 4] = [Habit::Silent, Habit::SlowHead, Habit::SlowBody, Habit::SlowReader];
}

impl Crowd {
    pub fn start(habit: Habit, connections: usize, to: SocketAddr) -> Crowd {
        let part = |first: usize| {
            let mut command = Command::new(env::current_exe().expect("the tests' binary"));
            command.args(["--exact", "load::crowd::a_part_of_a_crowd", "--ignored"]);
            command.env(VARIABLE, format!("{habit:?} {to} {first} {}", PART.min(connections - first)));
            command.stdout(Stdio::null()).spawn().expect("the tests' binary")
        };
        Crowd((0..connections).step_by(PART).map(part).collect())
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        for part in &mut self.0 {
            let _ = part.kill();
            let _ = part.wait();
        }
    }
}

#[test]
#[ignore = "a part of a crowd, which a test starts"]
fn a_part_of_a_crowd() {
    let Ok(told) = env::var(VARIABLE) else { return };
    let told: Vec<&str> = told.split(' ').collect();
    let habit = Habit::ALL.into_iter().find(|habit| format!("{habit:?}") == told[0]).expect("a habit");
    let (to, first, count): (SocketAddr, usize, usize) = (told[1].parse().unwrap(), told[2].parse().unwrap(), told[3].parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut clients = JoinSet::new();
        for number in first..first + count {
            clients.spawn(async move {
                // The clients of a part begin at different moments.
                tokio::time::sleep(STEP * (number % 1_000) as u32 / 1_000).await;
                loop {
                    let _ = habit.bothers(to, number).await;
                    tokio::time::sleep(AGAIN).await;
                }
            });
        }
        clients.join_all().await;
    });
}

impl Habit {
    /// Until the connection ends.
    async fn bothers(self, to: SocketAddr, number: usize) -> io::Result<()> {
        let socket = TcpSocket::new_v4()?;
        if self == Habit::SlowReader {
            socket.set_recv_buffer_size(4 * 1024)?;
        }
        socket.bind(SocketAddr::from(([127, 77, 0, 1 + (number % ADDRESSES) as u8], 0)))?;
        let mut stream = socket.connect(to).await?;
        match self {
            Habit::Silent => stream.read_u8().await.map(drop),
            Habit::SlowHead => drip(&mut stream, b"POST /hook HTTP/1.1\r\nX: ").await,
            Habit::SlowBody => {
                let head = b"POST /hook HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{\"x\": \"";
                drip(&mut stream, head).await
            }
            Habit::SlowReader => {
                stream.write_all(b"GET /long HTTP/1.1\r\nHost: a\r\nX-Workspace: T1\r\n\r\n").await?;
                let mut some = [0; 100];
                while stream.read(&mut some).await? > 0 {
                    tokio::time::sleep(STEP).await;
                }
                Ok(())
            }
        }
    }
}

/// Sends this, then a byte at each step.
async fn drip(stream: &mut TcpStream, start: &[u8]) -> io::Result<()> {
    stream.write_all(start).await?;
    loop {
        match tokio::time::timeout(STEP, stream.read_u8()).await {
            Ok(Ok(_)) => (),
            Ok(ended) => return ended.map(drop),
            Err(_) => stream.write_all(b"x").await?,
        }
    }
}

impl Handshakes {
    /// Starts clients that make `per_second` full handshakes a second.
    pub fn start(front: &Front, per_second: u32) -> Handshakes {
        let (stop, front) = (Arc::<AtomicBool>::default(), front.clone());
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(greets(front, per_second, stopped))
        });
        Handshakes { stop, thread }
    }

    pub fn end(self) -> Greeted {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("clients end without a panic")
    }
}

async fn greets(front: Front, per_second: u32, stop: Arc<AtomicBool>) -> Greeted {
    let (began, mut clients, mut all) = (Instant::now(), JoinSet::new(), Greeted::default());
    let count = |all: &mut Greeted, whole: bool| if whole { all.whole += 1 } else { all.failed += 1 };
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        tokio::time::sleep_until((began + Duration::from_secs(1) * turn / per_second).into()).await;
        let front = front.clone();
        clients.spawn(async move { front.whole_handshake().await.is_ok() });
        while let Some(Ok(whole)) = clients.try_join_next() {
            count(&mut all, whole);
        }
    }
    clients.join_all().await.into_iter().for_each(|whole| count(&mut all, whole));
    all.took = began.elapsed();
    all
}
