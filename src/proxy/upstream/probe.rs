//! serin's own requests to an upstream: whether it accepts a connection, and whether it answers as expected. Each uses a new connection.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::BytesMut;
use http::uri::PathAndQuery;

use super::connect::{ConnectError, Endpoint};
use super::resolve::Resolver;
use super::tls::TlsClients;
use crate::config::smoke::{self, Smoke};
use crate::config::{Bot, HostHeader, Preflight, UpstreamUrl};
use crate::http1::{AnswerHead, Known, write};
use crate::proxy::wire::stream::Stream;

const READ_AT_ONCE: usize = 4096;

/// What is needed to reach upstreams.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    pub resolver: &'a Resolver,
    pub tls: &'a TlsClients,
}

impl Probe<'_> {
    /// Connects to the upstream. Returns the reason in words if that fails.
    pub async fn connects(&self, url: &UpstreamUrl, within: Duration) -> Result<(), String> {
        let target = self.target(url, within)?;
        target.connect().await.map(drop).map_err(|error| reason(error, within))
    }

    /// Makes every request of `[bot.preflight]`. If there are none, only connects. Returns the first failure in words.
    pub async fn preflight(&self, bot: &Bot, upstream: usize) -> Result<(), String> {
        let (url, wanted) = (&bot.upstreams[upstream].url, &bot.preflight);
        let smoke = wanted.smoke.as_deref().map(smoke::read).transpose()?.unwrap_or_default();
        let health = wanted.path.as_ref().map(|path| health(path, wanted));
        if health.is_none() && smoke.is_empty() {
            return self.connects(url, wanted.timeout).await;
        }
        for request in health.into_iter().chain(smoke) {
            let status = self.ask(url, bot.host, &request, wanted.timeout).await.map_err(|why| format!("{}: {why}", shown(&request)))?;
            let right = if request.expect.is_empty() { (200..300).contains(&status) } else { request.expect.contains(&status) };
            if !right {
                return Err(format!("{} answered {status}, {} is right", shown(&request), expected(&request)));
            }
        }
        Ok(())
    }

    fn target(&self, url: &UpstreamUrl, within: Duration) -> Result<Endpoint, String> {
        Endpoint::new(url, within, self.resolver, self.tls).map_err(|error| error.to_string())
    }

    /// Sends the request and returns the answer's status.
    async fn ask(&self, url: &UpstreamUrl, host: HostHeader, request: &Smoke, within: Duration) -> Result<u16, String> {
        let target = self.target(url, within)?;
        let exchange = async {
            let (mut stream, _) = target.connect().await.map_err(|error| reason(error, within))?;
            write_all(&mut stream, &written(url, host, request)?).await.map_err(|error| error.to_string())?;
            let mut buffer = BytesMut::new();
            loop {
                match AnswerHead::read(&mut buffer, request.method == http::Method::HEAD) {
                    Ok(Some(head)) if !head.status.is_informational() => return Ok(head.status.as_u16()),
                    Ok(_) => {}
                    Err(_) => return Err("the answer is not valid HTTP".to_owned()),
                }
                buffer.reserve(READ_AT_ONCE);
                if poll_fn(|cx| stream.poll_read(cx, &mut buffer)).await.map_err(|error| error.to_string())? == 0 {
                    return Err("the connection ended without an answer".to_owned());
                }
            }
        };
        tokio::time::timeout(within, exchange).await.unwrap_or_else(|_| Err(format!("no answer within {within:?}")))
    }
}

async fn write_all(stream: &mut Stream, bytes: &[u8]) -> io::Result<()> {
    let mut left = bytes;
    while !left.is_empty() {
        match poll_fn(|cx| stream.poll_write(cx, &[IoSlice::new(left)])).await? {
            0 => return Err(io::ErrorKind::WriteZero.into()),
            written => left = &left[written..],
        }
    }
    poll_fn(|cx| stream.poll_flush(cx)).await
}

fn health(path: &PathAndQuery, wanted: &Preflight) -> Smoke {
    Smoke { method: http::Method::GET, path: path.to_string(), headers: Vec::new(), body: String::new(), expect: wanted.expect.clone() }
}

fn written(url: &UpstreamUrl, host: HostHeader, request: &Smoke) -> Result<BytesMut, String> {
    let mut out = BytesMut::new();
    let path: PathAndQuery = request.path.parse().map_err(|_| "this is no path".to_owned())?;
    write::request_line(&request.method, &path, &mut out);
    // With `host = "preserve"` the bot sees the Host that the smoke request states.
    let stated = request.headers.iter().find(|(name, _)| name == http::header::HOST).filter(|_| host == HostHeader::Preserve);
    let host = stated.map_or(url.authority.as_str().as_bytes(), |(_, value)| value.as_bytes());
    write::field(b"host", host, &mut out);
    write::field(b"user-agent", concat!("serin/", env!("CARGO_PKG_VERSION")).as_bytes(), &mut out);
    for (name, value) in &request.headers {
        let known = Known::of(name.as_str().as_bytes());
        let framing = matches!(known, Some(Known::ContentLength | Known::TransferEncoding));
        if !framing && name != http::header::HOST && !known.is_some_and(Known::is_hop_by_hop) {
            write::field(name.as_str().as_bytes(), value.as_bytes(), &mut out);
        }
    }
    if !request.body.is_empty() || request.method == http::Method::POST {
        write::content_length(request.body.len() as u64, &mut out);
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out.extend_from_slice(request.body.as_bytes());
    Ok(out)
}

fn shown(request: &Smoke) -> String {
    format!("{} {}", request.method, request.path)
}

fn expected(request: &Smoke) -> String {
    match request.expect.as_slice() {
        [] => "2xx".to_owned(),
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "),
    }
}

fn reason(error: ConnectError, within: Duration) -> String {
    match error {
        ConnectError::Refused => "it refuses connections".to_owned(),
        ConnectError::Unreachable => "it cannot be reached".to_owned(),
        ConnectError::TimedOut => format!("no connection within {within:?}"),
        ConnectError::Tls => "the TLS handshake failed".to_owned(),
        ConnectError::Unresolved => "its name has no address".to_owned(),
        ConnectError::Exhausted => "this machine has no file descriptor or port left for a connection".to_owned(),
    }
}
