//! Clients that make serin hold much: they give way, small requests are served, and the memory goes back.

use std::time::Duration;

use crate::harness::{Ask, Client, Config, Process, Upstream, eventually};

const MIB: usize = 1 << 20;

fn config(blue: &Upstream) -> Config {
    let config = Config::identified("workspace = \"json:/id\"", blue.address, blue.address);
    config.workers(1).limit("max_memory = \"8MiB\"").bot("body_cap = \"16MiB\"")
}

fn begin(process: &Process, length: usize) -> Client {
    let mut client = process.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n").as_bytes());
    client
}

fn json(length: usize) -> Vec<u8> {
    let start = b"{\"id\": \"T1\", \"x\": \"";
    [&start[..], &vec![b'x'; length - start.len() - 2], b"\"}"].concat()
}

fn used(process: &Process) -> f64 {
    process.metrics().sum("serin_memory_used_bytes", &[])
}

/// In kB.
fn resident(process: &Process) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn the_largest_and_slowest_give_way_to_small_requests() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&config(&blue));
    let mut held: Vec<Client> = (0..6).map(|_| begin(&process, 2 * MIB)).collect();
    for client in &mut held {
        client.send(&json(2 * MIB)[..MIB + MIB / 8]);
    }
    eventually("six bodies are held", || (used(&process) > 6.0 * MIB as f64).then_some(()));
    assert_eq!(process.metrics().sum("serin_memory_limit_bytes", &[]), 8.0 * MIB as f64);
    // A smaller one than each of them finds room, again and again.
    for _ in 0..20 {
        let mut client = begin(&process, MIB);
        client.send(&json(MIB));
        assert_eq!(client.answer().unwrap().status, 200);
        assert_eq!(process.ask(&Ask::new("POST", "/").json("{\"id\": \"T2\"}")).status, 200);
    }
    // Now there is too much of it: the oldest gives way, fast.
    let mut more = begin(&process, 2 * MIB);
    more.send(&json(2 * MIB)[..2 * MIB - 10]);
    let shed = held.iter_mut().find_map(|client| {
        client.wait_at_most(Duration::from_millis(500));
        client.answer().ok()
    });
    let shed = shed.expect("one gave way");
    shed.is_problem(503, "memory");
    assert_eq!((shed.field("retry-after"), shed.field("connection")), (Some("1"), Some("close")));
    more.send(&json(2 * MIB)[2 * MIB - 10..]);
    assert_eq!(more.answer().unwrap().status, 200);
    assert!(used(&process) <= 8.0 * MIB as f64);
    drop(held);
    eventually("nothing is charged any more", || (used(&process) == 0.0).then_some(()));
}

#[test]
fn what_was_held_goes_back_to_the_system() {
    let blue = Upstream::answering("blue");
    let base = config(&blue);
    let process = Process::start(&base.limit("body_total = \"1m\"").limit("max_inflight = 500"));
    let before = resident(&process);
    for _ in 0..4 {
        let mut held: Vec<Client> = (0..200).map(|_| begin(&process, MIB)).collect();
        for client in &mut held {
            // A client that gave way cannot be written to.
            let _ = client.wire.write(&json(MIB)[..MIB - 100]);
        }
        let most = resident(&process);
        assert!(most < before + 64 * 1024, "{before} kB before, {most} kB with 200 MiB that clients have sent");
    }
    eventually("the memory is back", || (resident(&process) < before + 12 * 1024).then_some(()));
    assert_eq!(process.ask(&Ask::new("POST", "/").json("{\"id\": \"T2\"}")).status, 200);
}

#[test]
fn slow_heads_give_way_too() {
    let blue = Upstream::answering("blue");
    let process = Process::start(&config(&blue));
    let mut slow: Vec<Client> = (0..200).map(|_| process.client()).collect();
    let piece = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(60_000));
    for client in &mut slow {
        let _ = client.wire.write(piece.as_bytes());
        // Each is the smallest when it comes: those before have waited for longer.
        std::thread::sleep(Duration::from_millis(2));
    }
    let refused = slow.iter_mut().filter_map(|client| {
        client.wait_at_most(Duration::from_millis(20));
        client.answer().ok()
    });
    let refused: Vec<u16> = refused.map(|answer| answer.status).collect();
    assert!(refused.len() > 50 && refused.iter().all(|status| *status == 503), "{refused:?}");
    assert_eq!(process.ask(&Ask::new("POST", "/").json("{\"id\": \"T2\"}")).status, 200);
    assert!(used(&process) <= 8.0 * MIB as f64);
}
