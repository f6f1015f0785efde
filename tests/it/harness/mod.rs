//! Common parts of the tests. A test builds a `Config`, starts scripted `Upstream`s and a serin (`Serin` in this process, `Process`
//! as a process of its own), sends requests with a `Client` that sees every byte, and checks what was counted. When a serin is dropped,
//! it checks that no request is left in flight.

mod authority;
mod client;
mod config;
mod gate;
mod metrics;
mod operator;
mod process;
mod relay;
mod serin;
mod site;
mod upstream;
mod wire;

pub use authority::{Authority, Issued, SecretVolume, TlsClient};
pub use client::{Answer, Ask, Client};
pub use config::Config;
pub use gate::Gate;
pub use metrics::Metrics;
pub use operator::{LONG_BAKE, SHORT_BAKE, post_action, two_upstreams};
pub use process::{Process, command, command_of, send_signal, send_signal_to};
pub use relay::{MESSAGES, Relay};
pub use serin::{Handle, Serin};
pub use site::{Site, take_over};
pub use upstream::{Closed, Full, Request, Then, Upstream, ok};
pub use wire::{Framing, Wire, fields};

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A test fails if it has waited this long for something. The limit only ends a hang, so it is far above what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// Calls `look` until it returns something, and returns that. Fails after `PATIENCE`.
#[track_caller]
pub fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(LOOK_EVERY);
    }
}

/// A port that a config can name. It lies below the ports that the kernel gives to connections and to listeners on port 0, so that
/// nothing else takes it between this call and serin's start. Tests that run at the same time, as threads or as processes, look
/// at different ports first.
pub fn unused_port() -> u16 {
    const LOWEST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let first = std::process::id().wrapping_mul(16);
    let mut ports = (0..COUNT).map(|_| {
        let call = CALLS.fetch_add(1, Ordering::Relaxed);
        (LOWEST + first.wrapping_add(call) % COUNT) as u16
    });
    ports.find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).expect("an unused port")
}

/// How many turns a test that looks for races takes: more in the proportion in which `SERIN_TEST_COUNT` is above 300.
pub fn turns(usually: usize) -> usize {
    let count = std::env::var("SERIN_TEST_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    (usually * count / 300).max(1)
}
