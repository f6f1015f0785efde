//! An example bot: it verifies each webhook's signature, works for some milliseconds and answers with its version.

use std::net::{Ipv4Addr, SocketAddr};
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
    pub version: &'static str,
}

impl ExampleBot {
    pub async fn start(version: &'static str) -> std::io::Result<ExampleBot> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/slack/events", post(answer)).with_state(version);
        // Lives as long as the demo: its runtime ends it.
        tokio::spawn(axum::serve(listener, router).into_future());
        Ok(ExampleBot { address, version })
    }
}

async fn answer(
    State(version): State<&'static str>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, [(&'static str, &'static str); 1], &'static str) {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    if !slack::verify(text(slack::TIMESTAMP), &body, text(slack::SIGNATURE)) {
        return (StatusCode::UNAUTHORIZED, [(VERSION, version)], "the signature is wrong");
    }
    tokio::time::sleep(Duration::from_millis(3 + u64::from(body.last().copied().unwrap_or(0) % 8))).await;
    (StatusCode::OK, [(VERSION, version)], "")
}
