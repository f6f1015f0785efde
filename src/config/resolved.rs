//! The config as meant: later code does not check it again.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};

use super::acme::Acme;
use super::freeze::FreezeWindows;
use super::networks::Networks;
use super::notifier::Notifier;
use super::secret::SecretHash;
use super::tls::{Pair, TlsFiles, TlsLoaded};
use crate::core::{self, Guard, OutcomeRules, Pins, Salt, Weight};
use crate::identify::{Extractor, Preset};

#[derive(Clone, Debug)]
pub struct Config {
    pub proxy: Proxy,
    pub admin: Admin,
    pub history: History,
    pub log: Log,
    /// In the order of the file.
    pub notifiers: Vec<Notifier>,
    /// In the order in which they are matched: those with a host first, then the longest path prefix first.
    pub bots: Vec<Bot>,
    /// XXH3 of the file's text, for `serin_config_info{hash}`.
    pub hash: u64,
    /// Warnings about what is allowed but probably a mistake (an experimental preset …), each a whole sentence with file and line.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Proxy {
    pub listen: SocketAddr,
    pub workers: usize,
    pub salt: Salt,
    pub limits: ProxyLimits,
    /// After SIGTERM: how long serin still accepts new connections while `/readyz` already fails.
    pub lame_duck: Duration,
    /// After `lame_duck`: how long requests in flight may take.
    pub drain: Duration,
    /// Whether a webhook without a valid `traceparent` gets one.
    pub trace: bool,
    /// The share of new traces with the flag `sampled`.
    pub trace_sampled_bp: u16,
    /// The operator's own proxies in front of serin. What they say of a request's client is believed.
    pub trusted_proxies: Networks,
    /// Whether each connection must begin with a PROXY header.
    pub proxy_protocol: bool,
    pub underscores: Underscores,
    pub http2: Http2,
    pub tls: Option<ProxyTls>,
}

/// What happens to a request in which a header's name has an underscore: many servers read `X_Team` and `X-Team` as one header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Underscores {
    Refuse,
    Drop,
    Pass,
}

/// Which listeners speak HTTP/2 beside HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http2 {
    Off,
    /// Those with TLS, where client and server agree on it.
    Tls,
    /// Also those without TLS, with clients that begin in HTTP/2.
    All,
}

/// `[proxy.tls]`.
#[derive(Clone, Debug)]
pub struct ProxyTls {
    /// `None`: `[proxy] listen` itself speaks TLS.
    pub listen: Option<SocketAddr>,
    /// In the order of the file. The first one is for clients that name no server, or an unknown one.
    pub certificates: Vec<ServedCertificate>,
    /// Certificates that serin orders itself. They come after those of the file.
    pub acme: Option<Arc<Acme>>,
}

/// One `[[proxy.tls.certificate]]`.
#[derive(Clone, Debug)]
pub struct ServedCertificate {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The content of the files.
    pub pair: Arc<Pair>,
}

/// Every wait and every queue has a bound.
#[derive(Clone, Debug)]
pub struct ProxyLimits {
    /// Open client connections, over all workers.
    pub max_connections: usize,
    /// The same of one source: an IPv4 address, or the /64 network of an IPv6 address.
    pub max_connections_per_source: usize,
    /// Requests in flight, over all workers. serin answers more with 503 at once.
    pub max_inflight: usize,
    /// The same of one source. serin answers more with 429 at once.
    pub max_inflight_per_source: usize,
    /// The requests that one source may send in a second, over all workers.
    pub max_rate_per_source: Option<u32>,
    /// The memory for requests and answers, over all workers.
    pub max_memory_bytes: usize,
    /// The requests that one connection in HTTP/2 may have in flight.
    pub max_streams: u32,
    /// The request line and all header fields, in bytes.
    pub max_head_bytes: usize,
    /// From a head's first byte to its last.
    pub head_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_timeout: Duration,
    /// From a request's head to the end of its body.
    pub body_total: Duration,
    /// The bytes that a client must send or take in a second, on average, once it has used up `body_timeout` or `write_timeout`.
    pub least_rate: u64,
    /// A client that takes none of its answer for this long is cut off.
    pub write_timeout: Duration,
    /// From an answer's head to its end.
    pub answer_total: Duration,
    /// A connection without a request is closed after this.
    pub idle_timeout: Duration,
    /// A connection that has changed to another protocol is closed after this time without a byte in either direction.
    pub tunnel_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// As written. `None`: beside the config, if that folder can be written.
    pub path: Option<PathBuf>,
    /// Older changes are deleted.
    pub keep: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
    /// The share of webhooks that get a line in the access log, in basis points: 0 is none, 10,000 all.
    pub access_bp: u16,
    /// Whether such a line contains the workspace's id.
    pub access_workspace: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Human lines on a terminal, JSON elsewhere.
    Auto,
    Human,
    Json,
}

#[derive(Clone, Debug)]
pub struct Admin {
    pub listen: SocketAddr,
    pub tokens: Vec<Token>,
    pub tls: Option<Tls>,
    /// `/metrics` without a token.
    pub metrics_open: bool,
    /// Only the config changes what serves. Operators may still abort, undo, pause and freeze.
    pub read_only: bool,
    /// Whether workers keep some workspaces' names, and the API shows them.
    pub show_workspaces: bool,
    /// The beginning of links in messages, by which people reach this listener: a URL without a slash at its end.
    pub public_url: Option<String>,
    /// A separate listener for `/livez` and `/readyz`.
    pub probes: Option<SocketAddr>,
}

/// `[admin.tls]`.
#[derive(Clone, Debug)]
pub struct Tls {
    pub files: TlsFiles,
    /// The scope of a client that shows a certificate and no token.
    pub client_scope: Scope,
    /// The content of the files when they were last read.
    pub loaded: TlsLoaded,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub scope: Scope,
    /// The bots that it sees and changes; `None`: all.
    pub bots: Option<Vec<BotName>>,
    pub secret: SecretHash,
    /// The secret's file, if it has one, to be read again.
    pub file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Read,
    Operate,
    Report,
}

/// `[a-z0-9][a-z0-9_-]{0,62}`: fit for a path and for a label.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BotName(Arc<str>);

#[derive(Clone, Debug)]
pub struct Bot {
    pub name: BotName,
    pub matches: Match,
    pub preset: Option<&'static Preset>,
    pub extractor: Arc<Extractor>,
    /// serin reads JSON and form bodies of this bot up to this many bytes to find the workspace.
    pub body_cap: usize,
    pub over_cap: OverCap,
    pub retries: Retries,
    /// At least one; in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// Indices into `upstreams`.
    pub stable: usize,
    /// The upstream that gets the weight: `canary`, or else the only other one. `None` if neither is given.
    pub canary: Option<usize>,
    /// The initial weight, if there is a canary.
    pub weight: Weight,
    /// The greatest weight that is allowed.
    pub max_weight: Weight,
    pub pins: Pins,
    pub tester: Option<TesterOverride>,
    pub rules: OutcomeRules,
    /// serin stops waiting for the upstream after this, and answers 504.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// An idle connection to an upstream is not used again after this.
    pub upstream_idle: Duration,
    pub rescue: bool,
    pub host: HostHeader,
    /// The plan for rollouts that start from now on.
    pub rollout: core::Plan,
    /// Its `max` is `max_weight`, and its `by_hand` is the rollout's policy.
    pub guard: Guard,
    /// The desired state.
    pub release: Option<core::Release>,
    pub preflight: Preflight,
    pub freeze: Option<FreezeWindows>,
    /// This long after a promotion, serin reports that the side before may be torn down.
    pub undo_window: Duration,
    /// The greatest age of the last drill before serin sends a notification.
    pub drill_every: Option<Duration>,
}

/// What a side must answer before workspaces are sent to it. It must always accept a connection.
#[derive(Clone, Debug, PartialEq)]
pub struct Preflight {
    pub path: Option<PathAndQuery>,
    /// Statuses that are right; if empty, any 2xx.
    pub expect: Vec<u16>,
    /// For each request.
    pub timeout: Duration,
    /// A file of requests.
    pub smoke: Option<PathBuf>,
}

/// `None` matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Lower case, without a port; an IPv6 address in brackets.
    pub host: Option<String>,
    /// Begins with `/` and matches whole segments: `/slack` matches `/slack` and `/slack/events`, but not `/slackers`.
    pub path_prefix: Option<String>,
}

#[derive(Clone, Debug)]
pub struct Upstream {
    pub name: Arc<str>,
    pub url: UpstreamUrl,
    /// A version label, for `serin_release_info`.
    pub version: Option<String>,
}

/// `http://host[:port]` or `https://host[:port]`, without a path: paths pass unchanged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    pub tls: bool,
    /// A name or an IP address, IPv6 without brackets.
    pub host: String,
    pub port: u16,
    /// As written, for the Host header with `host = "upstream"`.
    pub authority: Authority,
    /// PEM file of the authorities to trust instead of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A secret header by which a tester chooses the track: `<header>: canary <secret>` or `stable <secret>`.
#[derive(Clone)]
pub struct TesterOverride {
    pub header: http::HeaderName,
    pub secret: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HostHeader {
    /// The upstream sees the Host that the platform sent.
    #[default]
    Preserve,
    /// The upstream sees its own name (Heroku, Render and Beanstalk route by it).
    Upstream,
}

/// What happens to a body that is larger than `body_cap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverCap {
    /// It is streamed to stable, and counted.
    #[default]
    Stable,
    /// serin answers 413.
    Reject,
}

/// Where the platform's own retries go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retries {
    /// To the track of their workspace.
    #[default]
    Assigned,
    /// To stable, for bots whose versions share their deduplication.
    Stable,
}

impl Admin {
    /// Whether a client must show a token or a certificate.
    pub fn asks_who(&self) -> bool {
        !self.tokens.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.files.client_authorities.is_some())
    }

    /// Whether other machines could use a listener on this address without a token or a certificate.
    pub fn is_open_to_others_on(&self, address: IpAddr) -> bool {
        !self.asks_who() && !address.to_canonical().is_loopback()
    }
}

impl BotName {
    /// The longest name that can be a label everywhere.
    const BYTES_MAX: usize = 63;

    pub fn parse(text: &str) -> Option<BotName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        (starts_well && text.len() <= Self::BYTES_MAX && text.chars().all(Self::may_hold)).then(|| BotName(text.into()))
    }

    pub(super) fn may_hold(c: char) -> bool {
        c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_')
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for BotName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::fmt::Debug for TesterOverride {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TesterOverride").field("header", &self.header).finish_non_exhaustive()
    }
}
