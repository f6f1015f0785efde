//! Signed webhooks of some hundred workspaces, a few of them large and most of them small, and a note of which version
//! each of them met.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::bot::VERSION;
use super::slack;

const CONNECTIONS: u32 = 8;
/// Between two webhooks of one connection: 8 connections make some 200 webhooks a second.
const PAUSE: Duration = Duration::from_millis(30);

#[derive(Debug)]
pub struct Traffic {
    senders: JoinSet<()>,
    seen: Arc<Mutex<Seen>>,
}

/// What came of the webhooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub sent: u64,
    /// The failures of a release that fails: a 500 of v43.
    pub bad: u64,
    /// Other answers than 2xx: a wrong signature would show here.
    pub failed: u64,
    pub on_canary: usize,
    pub workspaces: usize,
    /// Workspaces that met v41 again, after v42, while v42 rose: there must be none.
    pub moved_back: u64,
}

#[derive(Debug, Default)]
struct Seen {
    totals: Totals,
    met: HashMap<u32, &'static str>,
    /// The version on trial.
    tried: &'static str,
}

impl Traffic {
    pub fn start(proxy: SocketAddr, workspaces: u32) -> Traffic {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let mut senders = JoinSet::new();
        for connection in 0..CONNECTIONS {
            senders.spawn(keep_sending(proxy, connection, workspaces, seen.clone()));
        }
        Traffic { senders, seen }
    }

    /// From now on this version is on trial.
    pub fn tries(&self, version: &'static str) {
        lock(&self.seen).tried = version;
    }

    pub fn totals(&self) -> Totals {
        let seen = lock(&self.seen);
        let on_canary = seen.met.values().filter(|version| **version == seen.tried).count();
        Totals { on_canary, workspaces: seen.met.len(), ..seen.totals }
    }

    pub async fn stop(mut self) -> Totals {
        self.senders.shutdown().await;
        self.totals()
    }
}

fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().expect("no panic under this lock")
}

async fn keep_sending(proxy: SocketAddr, connection: u32, workspaces: u32, seen: Arc<Mutex<Seen>>) {
    let mut sender = None;
    let mut number = u64::from(connection);
    loop {
        tokio::time::sleep(PAUSE).await;
        number += u64::from(CONNECTIONS);
        let workspace = draw(number, workspaces);
        let answered = send(&mut sender, proxy, workspace, number).await;
        lock(&seen).note(workspace, answered);
    }
}

impl Seen {
    fn note(&mut self, workspace: u32, answered: Option<(&'static str, StatusCode)>) {
        self.totals.sent += 1;
        match answered {
            Some(("v43", StatusCode::INTERNAL_SERVER_ERROR)) => self.totals.bad += 1,
            Some((_, status)) if status.is_success() => {}
            _ => self.totals.failed += 1,
        }
        let Some((version, _)) = answered else { return };
        let before = self.met.insert(workspace, version);
        if before == Some("v42") && version == "v41" {
            self.totals.moved_back += 1;
        }
    }
}

/// Workspace k sends about 1/k as much as the first: as customers do.
fn draw(number: u64, workspaces: u32) -> u32 {
    let uniform = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()) as f64 / u64::MAX as f64;
    (f64::from(workspaces).powf(uniform) as u32).clamp(1, workspaces)
}

/// The version that answered, and what; `None` where none did.
async fn send(
    sender: &mut Option<SendRequest<Full<Bytes>>>,
    proxy: SocketAddr,
    workspace: u32,
    number: u64,
) -> Option<(&'static str, StatusCode)> {
    if sender.as_ref().is_none_or(SendRequest::is_closed) {
        let stream = TcpStream::connect(proxy).await.ok()?;
        let (fresh, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.ok()?;
        tokio::spawn(connection);
        *sender = Some(fresh);
    }
    let answer = sender.as_mut()?.send_request(webhook(workspace, number)).await.ok()?;
    let version = answer.headers().get(VERSION).and_then(|version| ["v41", "v42", "v43"].into_iter().find(|known| version == known));
    let status = answer.status();
    answer.into_body().collect().await.ok()?;
    Some((version?, status))
}

fn webhook(workspace: u32, number: u64) -> Request<Full<Bytes>> {
    let body = format!(
        r#"{{"token":"x","team_id":"T{workspace:08}","api_app_id":"A0DEMO","type":"event_callback","event_id":"Ev{number}","event":{{"type":"message","user":"U1","channel":"C1","text":"webhook {number}"}}}}"#
    );
    let timestamp = slack::now();
    Request::post("/slack/events")
        .header("host", "bots.example")
        .header("content-type", "application/json")
        .header(slack::SIGNATURE, slack::sign(&timestamp, body.as_bytes()))
        .header(slack::TIMESTAMP, timestamp)
        .body(Full::new(Bytes::from(body)))
        .expect("a well-formed request")
}
