//! Sends signed webhooks of some hundred workspaces, a few large and most of them small, and notes which version answered each workspace.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::bot::VERSION;
use super::slack;
use crate::http1::{AnswerHead, Decoded};

const CONNECTIONS: u32 = 8;
/// The pause between two webhooks of a connection: 8 connections send some 200 webhooks a second.
const PAUSE: Duration = Duration::from_millis(30);

#[derive(Debug)]
pub struct Traffic {
    senders: JoinSet<()>,
    observations: Arc<Mutex<Observations>>,
}

/// The results of the webhooks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    pub sent: u64,
    /// The failures of the bad release: answers 500 of v43.
    pub bad: u64,
    /// Other answers than 2xx. A wrong signature would show here.
    pub failed: u64,
    pub on_canary: usize,
    pub workspaces: usize,
    /// Workspaces that v41 answered again, after v42, while v42 rose: there must be none.
    pub moved_back: u64,
}

#[derive(Debug, Default)]
struct Observations {
    totals: Totals,
    last_version: HashMap<u32, &'static str>,
    /// The version that is being rolled out.
    tried: &'static str,
}

impl Traffic {
    pub fn start(proxy: SocketAddr, workspaces: u32) -> Traffic {
        let observations = Arc::new(Mutex::new(Observations::default()));
        let mut senders = JoinSet::new();
        for connection in 0..CONNECTIONS {
            senders.spawn(keep_sending(proxy, connection, workspaces, observations.clone()));
        }
        Traffic { senders, observations }
    }

    /// Sets the version that is being rolled out.
    pub fn tries(&self, version: &'static str) {
        lock(&self.observations).tried = version;
    }

    pub fn totals(&self) -> Totals {
        let observations = lock(&self.observations);
        let on_canary = observations.last_version.values().filter(|version| **version == observations.tried).count();
        Totals { on_canary, workspaces: observations.last_version.len(), ..observations.totals }
    }

    pub async fn stop(mut self) -> Totals {
        self.senders.shutdown().await;
        self.totals()
    }
}

fn lock(observations: &Mutex<Observations>) -> std::sync::MutexGuard<'_, Observations> {
    observations.lock().expect("no panic under this lock")
}

async fn keep_sending(proxy: SocketAddr, connection: u32, workspaces: u32, observations: Arc<Mutex<Observations>>) {
    let mut open = None;
    let mut number = u64::from(connection);
    loop {
        tokio::time::sleep(PAUSE).await;
        number += u64::from(CONNECTIONS);
        let workspace = draw(number, workspaces);
        let answered = send(&mut open, proxy, &webhook(workspace, number)).await;
        lock(&observations).note(workspace, answered);
    }
}

impl Observations {
    fn note(&mut self, workspace: u32, answered: Option<(&'static str, StatusCode)>) {
        self.totals.sent += 1;
        match answered {
            Some(("v43", StatusCode::INTERNAL_SERVER_ERROR)) => self.totals.bad += 1,
            Some((_, status)) if status.is_success() => {}
            _ => self.totals.failed += 1,
        }
        let Some((version, _)) = answered else { return };
        let before = self.last_version.insert(workspace, version);
        if before == Some("v42") && version == "v41" {
            self.totals.moved_back += 1;
        }
    }
}

/// Draws a workspace. Workspace k sends about 1/k as much as the first, which is a usual distribution of customers.
fn draw(number: u64, workspaces: u32) -> u32 {
    let uniform = xxhash_rust::xxh3::xxh3_64(&number.to_le_bytes()) as f64 / u64::MAX as f64;
    (f64::from(workspaces).powf(uniform) as u32).clamp(1, workspaces)
}

/// Returns the version that answered, and the status; `None` if there is no answer. Keeps the connection if it can be used again.
async fn send(open: &mut Option<TcpStream>, proxy: SocketAddr, webhook: &[u8]) -> Option<(&'static str, StatusCode)> {
    let mut stream = match open.take() {
        Some(stream) => stream,
        None => TcpStream::connect(proxy).await.ok()?,
    };
    stream.write_all(webhook).await.ok()?;
    let mut input = BytesMut::new();
    let mut head = loop {
        if let Some(head) = AnswerHead::read(&mut input, false).ok()? {
            break head;
        }
        more(&mut stream, &mut input).await?;
    };
    loop {
        match head.body.decode(&mut input).ok()? {
            Decoded::End => break,
            Decoded::NeedMore => more(&mut stream, &mut input).await?,
            Decoded::Data(_) | Decoded::Trailers(_) => {}
        }
    }
    if head.keep_alive {
        *open = Some(stream);
    }
    let named = head.fields.named(VERSION).next()?;
    let version = ["v41", "v42", "v43"].into_iter().find(|known| named == known.as_bytes())?;
    Some((version, head.status))
}

async fn more(stream: &mut TcpStream, input: &mut BytesMut) -> Option<()> {
    stream.read_buf(input).await.ok().filter(|n| *n > 0).map(drop)
}

fn webhook(workspace: u32, number: u64) -> Vec<u8> {
    let body = format!(
        r#"{{"token":"x","team_id":"T{workspace:08}","api_app_id":"A0DEMO","type":"event_callback","event_id":"Ev{number}","event":{{"type":"message","user":"U1","channel":"C1","text":"webhook {number}"}}}}"#
    );
    let timestamp = slack::now();
    let signature = slack::sign(&timestamp, body.as_bytes());
    format!(
        "POST /slack/events HTTP/1.1\r\nHost: bots.example\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{}: {signature}\r\n{}: {timestamp}\r\n\r\n{body}",
        body.len(),
        slack::SIGNATURE,
        slack::TIMESTAMP,
    )
    .into_bytes()
}
