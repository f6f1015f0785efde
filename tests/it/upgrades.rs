//! Upgrades and reloads under load: each webhook is answered, and delivered once. With `SERIN_TEST_COUNT` at 5,000 and more it is 20
//! upgrades and 20 reloads under 3,000 requests a second.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::harness::{Ask, Client, Config, Process, Upstream, command, ok, turns};

/// As many clients open a connection for each request as keep theirs.
const CLIENTS: usize = 24;
/// Clients whose connections are idle for longer than a drain waits for an idle connection.
const SLOW_CLIENTS: usize = 8;
const SLOW: Duration = Duration::from_millis(350);
/// Between two changes, so that requests come at all stages.
const PAUSE: Duration = Duration::from_millis(200);

/// How a client opens a connection.
type Dial = fn(SocketAddr) -> io::Result<Client>;

/// Clients that send requests, each with an id of its own, until they are stopped.
struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Sent>>,
    began: Instant,
}

/// What one client has seen.
#[derive(Default)]
struct Sent {
    ids: Vec<String>,
    faults: Vec<String>,
    slowest: Duration,
}

impl Load {
    fn on(proxy: SocketAddr, dial: Dial, per_second: u32) -> Load {
        let (stop, began) = (Arc::new(AtomicBool::new(false)), Instant::now());
        let pace = Duration::from_secs(1) * CLIENTS as u32 / per_second;
        let quick = (0..CLIENTS).map(|number| (number % 2 == 0, pace));
        let all = quick.chain((0..SLOW_CLIENTS).map(|_| (true, SLOW)));
        let clients = all.enumerate().map(|(number, (keeps, pace))| {
            let stop = stop.clone();
            std::thread::spawn(move || sends(&format!("c{number}"), || dial(proxy), keeps, pace, &stop))
        });
        Load { clients: clients.collect(), stop, began }
    }

    fn ends(self) -> Sent {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Sent::default();
        for client in self.clients {
            let sent = client.join().unwrap();
            all.ids.extend(sent.ids);
            all.faults.extend(sent.faults);
            all.slowest = all.slowest.max(sent.slowest);
        }
        let rate = all.ids.len() as f64 / self.began.elapsed().as_secs_f64();
        eprintln!("{} requests, {rate:.0} a second, the slowest took {:?}", all.ids.len(), all.slowest);
        all
    }
}

fn sends(name: &str, dial: impl Fn() -> io::Result<Client>, keeps: bool, pace: Duration, stop: &AtomicBool) -> Sent {
    let (mut sent, mut kept, began) = (Sent::default(), None, Instant::now());
    let mut asks = |id: &str| -> io::Result<()> {
        let mut client = kept.take().map_or_else(&dial, Ok)?;
        let ask = Ask::of(&format!("T{}", id.len() % 7)).field("X-Id", id);
        let ask = if keeps { ask } else { ask.field("Connection", "close") };
        let answer = client.try_ask(&ask)?;
        if answer.status != 200 || answer.text() != id {
            return Err(io::Error::other(format!("{answer:?}")));
        }
        // A client that was asked to close must not send another request on this connection (RFC 9112, 9.6).
        kept = Some(client).filter(|_| keeps && answer.field("connection") != Some("close"));
        Ok(())
    };
    for number in 0.. {
        if let Some(early) = (pace * number).checked_sub(began.elapsed()) {
            std::thread::sleep(early);
        }
        if stop.load(Ordering::Relaxed) {
            return sent;
        }
        let (id, asked) = (format!("{name}-{number}"), Instant::now());
        if let Err(error) = asks(&id) {
            sent.faults.push(format!("{id} after {:?}: {error}", began.elapsed()));
        }
        sent.slowest = sent.slowest.max(asked.elapsed());
        sent.ids.push(id);
    }
    sent
}

/// An upstream that answers with the request's id, and how often it has seen each.
fn upstream() -> (Upstream, Arc<Mutex<HashMap<String, u32>>>) {
    let seen: Arc<Mutex<HashMap<String, u32>>> = Arc::default();
    let counts = seen.clone();
    let upstream = Upstream::layered(crate::harness::Wire::new, move |request, wire| {
        let id = request.field("x-id").unwrap_or("none").to_owned();
        *counts.lock().unwrap().entry(id.clone()).or_default() += 1;
        let _ = wire.write(&ok(&id));
        crate::harness::Then::KeepAlive
    });
    (upstream, seen)
}

#[test]
fn upgrades_and_reloads_under_load_lose_no_request_and_deliver_none_twice() {
    let changes = turns(2).min(20);
    let per_second = if changes == 20 { 3_000 } else { 600 };
    let (blue, seen) = upstream();
    let config = |timeout: &str| Config::split(blue.address, blue.address).drain("25s").bot(&format!("timeout = \"{timeout}\"")).text();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("serin.toml");
    std::fs::write(&path, config("10s")).unwrap();
    let mut serin = Process::start_with(&path);
    let load = Load::on(serin.proxy, Client::try_connect, per_second);
    let (mut older, mut slowest) = (Vec::new(), Duration::ZERO);
    for number in 0..changes {
        std::thread::sleep(PAUSE);
        serin.apply_config(&config(&format!("{}s", 11 + number % 2)));
        let weight = 1.0 + number as f64;
        serin.set_weight(weight);
        std::thread::sleep(PAUSE);
        let began = Instant::now();
        let newer = Process::start_by(command(&["run", "--take-over", "--config"]), &path);
        slowest = slowest.max(began.elapsed());
        assert_eq!(newer.bot()["weight_percent"], weight);
        older.push(std::mem::replace(&mut serin, newer));
    }
    std::thread::sleep(PAUSE);
    let sent = load.ends();
    eprintln!("{changes} upgrades and {changes} reloads; the slowest upgrade took {slowest:?}");
    assert!(sent.faults.is_empty(), "{} of {}: {:?}", sent.faults.len(), sent.ids.len(), &sent.faults[..sent.faults.len().min(5)]);
    let seen = seen.lock().unwrap();
    let wrong: Vec<_> = sent.ids.iter().filter(|id| seen.get(*id) != Some(&1)).collect();
    assert!(wrong.is_empty(), "not delivered once: {wrong:?}");
    assert_eq!(seen.len(), sent.ids.len());
    for process in &mut older {
        assert_eq!(process.ended().code(), Some(0));
    }
}
