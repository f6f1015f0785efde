//! What comes before a connection's first request: the PROXY header and the TLS handshake, where the config asks for them. Both
//! together may take the head timeout.

mod proxy_header;

#[cfg(any(test, fuzzing))]
pub use proxy_header::fuzzing;

use std::net::SocketAddr;

use tokio::net::TcpStream;

use self::proxy_header::Announced;
use super::client::{Origin, Protocol, Scheme};
use super::wire::stream::Stream;
use super::worker::{Occupant, Worker};
use crate::config::Http2;
use crate::meters::Closed;

/// Whether the connections of a listener begin with a TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Plain,
    Tls,
}

/// A connection whose first request can be read.
pub struct Arrived {
    pub stream: Stream,
    pub origin: Origin,
    pub protocol: Protocol,
}

impl Door {
    /// Whether nothing has to arrive before the first request.
    pub fn is_open(self, worker: &Worker) -> bool {
        self == Door::Plain && !worker.view().snapshot.config.proxy.proxy_protocol
    }
}

/// A connection for which `Door::is_open`.
pub fn arrive_at_once(worker: &Worker, occupant: &Occupant, stream: TcpStream, peer: SocketAddr) -> Result<Arrived, Closed> {
    let protocol = plain_protocol(worker.view().snapshot.config.proxy.http2);
    let origin = origin(worker, occupant, Announced { address: peer.ip(), scheme: Scheme::Http })?;
    Ok(Arrived { stream: Stream::Plain(stream), origin, protocol })
}

/// Waits for all that comes before the first request. Fails with the reason for which the connection must be closed.
pub async fn arrive(worker: &Worker, occupant: &Occupant, stream: TcpStream, peer: SocketAddr, door: Door) -> Result<Arrived, Closed> {
    let limit = worker.view().limits.head_timeout;
    tokio::select! {
        arrived = tokio::time::timeout(limit, greet(worker, occupant, stream, peer, door)) => arrived.unwrap_or(Err(Closed::Silent)),
        reason = occupant.told_to_leave() => Err(reason),
    }
}

async fn greet(worker: &Worker, occupant: &Occupant, mut socket: TcpStream, peer: SocketAddr, door: Door) -> Result<Arrived, Closed> {
    // The config of the moment in which the connection came.
    let snapshot = worker.view().snapshot.clone();
    let proxy = &snapshot.config.proxy;
    let mut announced = Announced { address: peer.ip(), scheme: Scheme::Http };
    if proxy.proxy_protocol {
        if !proxy.trusted_proxies.contains(peer.ip()) {
            return Err(Closed::NotTrusted);
        }
        announced = proxy_header::read(&mut socket, announced).await?;
    }
    let mut origin = origin(worker, occupant, announced)?;
    let (stream, protocol) = match door {
        Door::Plain => (Stream::Plain(socket), plain_protocol(proxy.http2)),
        Door::Tls => {
            origin.scheme = Scheme::Https;
            worker.front_tls().accept(socket, proxy.http2).await?
        }
    };
    Ok(Arrived { stream, origin, protocol })
}

/// The client, once its address is known. It takes a place among the connections of its source, unless it is a trusted proxy.
fn origin(worker: &Worker, occupant: &Occupant, announced: Announced) -> Result<Origin, Closed> {
    let Announced { address, scheme } = announced;
    let trusted = worker.view().snapshot.config.proxy.trusted_proxies.contains(address);
    let source = if trusted { None } else { Some(worker.admit(occupant, address)?) };
    Ok(Origin::new(address, scheme, source))
}

fn plain_protocol(http2: Http2) -> Protocol {
    match http2 {
        Http2::Off | Http2::Tls => Protocol::Http1,
        Http2::All => Protocol::Either,
    }
}
