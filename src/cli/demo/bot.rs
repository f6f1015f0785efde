//! An example bot: it verifies each webhook's signature, works for some milliseconds and answers with its version.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use tokio::net::TcpListener;

use super::slack;

pub const VERSION: &str = "x-version";

#[derive(Debug)]
pub struct ExampleBot {
    pub address: SocketAddr,
    release: Arc<Mutex<Release>>,
}

#[derive(Clone, Copy, Debug)]
struct Release {
    version: &'static str,
    /// The bot fails one webhook in this many.
    fails: Option<u64>,
}

#[derive(Clone)]
struct Deployed {
    release: Arc<Mutex<Release>>,
    count: Arc<AtomicU64>,
}

impl ExampleBot {
    pub async fn start(version: &'static str) -> std::io::Result<ExampleBot> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let release = Arc::new(Mutex::new(Release { version, fails: None }));
        let deployed = Deployed { release: release.clone(), count: Arc::default() };
        let router = Router::new().route("/slack/events", post(answer)).with_state(deployed);
        // Runs until the demo's runtime ends.
        tokio::spawn(axum::serve(listener, router).into_future());
        Ok(ExampleBot { address, release })
    }

    pub fn version(&self) -> &'static str {
        current(&self.release).version
    }

    /// Deploys another version.
    pub fn release(&self, version: &'static str, fails: Option<u64>) {
        *self.release.lock().unwrap_or_else(PoisonError::into_inner) = Release { version, fails };
    }
}

fn current(release: &Mutex<Release>) -> Release {
    *release.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(deployed): State<Deployed>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    let Release { version, fails } = current(&deployed.release);
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !slack::verify(text(slack::TIMESTAMP), &body, text(slack::SIGNATURE)) {
        return (StatusCode::UNAUTHORIZED, [(VERSION, version)], "the signature is wrong");
    }
    tokio::time::sleep(Duration::from_millis(3 + u64::from(body.last().copied().unwrap_or(0) % 8))).await;
    let number = deployed.count.fetch_add(1, Ordering::Relaxed);
    if fails.is_some_and(|every| number.is_multiple_of(every)) {
        return (StatusCode::INTERNAL_SERVER_ERROR, [(VERSION, version)], "a bug");
    }
    (StatusCode::OK, [(VERSION, version)], "")
}
