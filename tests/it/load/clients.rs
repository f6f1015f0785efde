//! Clients of all protocols that send webhooks at a rate, until they are stopped. Half of them open a connection for each request.

use std::collections::BTreeMap;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::Mix;
use super::books::Told;
use super::front::Front;
use super::http1::{Http1, Reply};
use super::http2::{Again, Http2};
use super::webhook::Webhook;
use crate::harness::PATIENCE;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    Http1,
    Http1Tls,
    /// By clients that begin in it, without TLS.
    Http2,
    Http2Tls,
}

/// Of each protocol, and of each kind: those that keep their connection, and those that open one for each request.
const CLIENTS: usize = 8;
/// How many clients share a connection in HTTP/2.
const SHARE: usize = 4;
/// Of each protocol: clients whose connections are idle for longer than a drain waits for an idle connection.
const SLOW_CLIENTS: usize = 2;
const SLOW: Duration = Duration::from_millis(350);

pub struct Clients {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    thread: JoinHandle<Sent>,
}

/// What the clients have seen.
#[derive(Default)]
pub struct Sent {
    pub told: Vec<(u64, Told)>,
    pub again: Again,
    /// How long each answer took: on kept connections, and on those of one request, the connection's begin included.
    pub kept: Vec<Duration>,
    pub fresh: Vec<Duration>,
    pub by_protocol: BTreeMap<Protocol, usize>,
    pub took: Duration,
}

struct Client {
    number: u64,
    protocol: Protocol,
    keeps: bool,
    pace: Duration,
    /// The connection in HTTP/2, which it may share.
    shared: Rc<Http2>,
    front: Front,
    mix: Mix,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
}

impl Protocol {
    pub const ALL: [Protocol; 4] = [Protocol::Http1, Protocol::Http1Tls, Protocol::Http2, Protocol::Http2Tls];
}

impl Clients {
    pub fn start(front: &Front, mix: Mix, per_second: u32) -> Clients {
        let (stop, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (front, stopped, counted) = (front.clone(), stop.clone(), count.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, all(&front, mix, per_second, stopped, counted))
        });
        Clients { stop, count, thread }
    }

    /// How many webhooks have had their end so far.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    pub fn end(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("clients end without a panic")
    }
}

async fn all(front: &Front, mix: Mix, per_second: u32, stop: Arc<AtomicBool>, count: Arc<AtomicUsize>) -> Sent {
    let pace = Duration::from_secs(1) * (Protocol::ALL.len() * 2 * CLIENTS) as u32 / per_second;
    let (mut tasks, mut connections) = (tokio::task::JoinSet::new(), Vec::new());
    for protocol in Protocol::ALL {
        let kinds = (0..2 * CLIENTS).map(|n| (n % 2 == 0, pace, n / 2 % SHARE == 0)).chain((0..SLOW_CLIENTS).map(|_| (true, SLOW, true)));
        let mut shared = Rc::default();
        for (keeps, pace, another) in kinds {
            if keeps && another {
                shared = Rc::<Http2>::default();
                connections.push(shared.clone());
            }
            let client = Client {
                number: tasks.len() as u64,
                protocol,
                keeps,
                pace,
                shared: shared.clone(),
                front: front.clone(),
                mix,
                stop: stop.clone(),
                count: count.clone(),
            };
            tasks.spawn_local(client.sends());
        }
    }
    let began = Instant::now();
    let mut sent = Sent::default();
    for (protocol, keeps, told, times) in tasks.join_all().await {
        *sent.by_protocol.entry(protocol).or_default() += told.len();
        sent.told.extend(told);
        if keeps { &mut sent.kept } else { &mut sent.fresh }.extend(times);
    }
    sent.took = began.elapsed();
    sent.again = connections.iter().map(|connection| connection.again.get()).fold(Again::default(), Again::and);
    sent
}

impl Client {
    async fn sends(self) -> (Protocol, bool, Vec<(u64, Told)>, Vec<Duration>) {
        let (mut all, mut kept, mut times, began) = (Vec::new(), None, Vec::new(), Instant::now());
        for turn in 0.. {
            // Clients of one pace are spread over it.
            let offset = self.pace.mul_f64(self.number as f64 * 0.618 % 1.0);
            tokio::time::sleep_until((began + offset + self.pace * turn).into()).await;
            if self.stop.load(Ordering::Relaxed) {
                break;
            }
            let webhook = Webhook::of(self.number << 32 | u64::from(turn), &self.mix);
            let asked = Instant::now();
            let told = match tokio::time::timeout(PATIENCE, self.asks(&webhook, &mut kept)).await {
                Ok(Ok(reply)) => self.reads(&webhook, reply),
                Ok(Err(error)) => Told::Broken(format!("{:?}, keeps: {}: {error}", self.protocol, self.keeps).into()),
                Err(_) => Told::Broken(format!("{:?}: no answer within {PATIENCE:?}", self.protocol).into()),
            };
            times.push(asked.elapsed());
            self.count.fetch_add(1, Ordering::Relaxed);
            all.push((webhook.id, told));
        }
        (self.protocol, self.keeps, all, times)
    }

    fn reads(&self, webhook: &Webhook, reply: Option<Reply>) -> Told {
        let Some(reply) = reply else { return Told::Left };
        if (200..300).contains(&reply.status) && reply.body != webhook.answer(&self.mix) {
            return Told::Wrong(String::from_utf8_lossy(&reply.body).into());
        }
        Told::Answered(reply.status)
    }

    async fn asks(&self, webhook: &Webhook, kept: &mut Option<Http1>) -> io::Result<Option<Reply>> {
        let fresh = Http2::default();
        let http2 = if self.keeps { &*self.shared } else { &fresh };
        match self.protocol {
            Protocol::Http2 => http2.ask(webhook, || self.front.plain()).await,
            Protocol::Http2Tls => http2.ask(webhook, || self.front.http2_tls()).await,
            Protocol::Http1 | Protocol::Http1Tls => {
                let mut client = match kept.take() {
                    Some(client) => client,
                    None if self.protocol == Protocol::Http1 => Http1::over(self.front.plain().await?),
                    None => Http1::over(self.front.http1_tls().await?),
                };
                let reply = client.ask(webhook, !self.keeps).await?;
                // A client that was asked to close must not send another request on this connection (RFC 9112, 9.6).
                *kept = Some(client).filter(|_| self.keeps && reply.as_ref().is_some_and(|reply| !reply.last));
                Ok(reply)
            }
        }
    }
}

impl Sent {
    /// Each webhook was answered 200.
    #[track_caller]
    pub fn all_are_ok(&self) {
        let failed: Vec<_> = self.told.iter().filter(|(_, told)| *told != Told::Answered(200)).collect();
        assert!(failed.is_empty(), "{} of {}: {:?}", failed.len(), self.told.len(), &failed[..failed.len().min(5)]);
    }

    pub fn slowest(&self) -> Duration {
        self.kept.iter().chain(&self.fresh).max().copied().unwrap_or_default()
    }

    pub fn per_second(&self) -> f64 {
        self.told.len() as f64 / self.took.as_secs_f64()
    }
}

/// The time within which so many of 1,000 came.
pub fn per_mille(times: &[Duration], of_1000: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[(sorted.len() * of_1000 / 1_000).min(sorted.len() - 1)]
}
