//! The config as meant: nothing in it needs to be checked again.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};

use super::freeze::Freeze;
use super::{Notifier, SecretHash, Tls};
use crate::core::{self, Guard, Pins, Rules, Salt, Weight};
use crate::identify::{Plan, Preset};

#[derive(Clone, Debug)]
pub struct Config {
    pub proxy: Proxy,
    pub admin: Admin,
    pub history: History,
    pub log: Log,
    /// In the order of the file.
    pub notifiers: Vec<Notifier>,
    /// In the order in which they are matched: the longest path prefix first, hosts before none.
    pub bots: Vec<Bot>,
    /// XXH3 of the file's text, for `serin_config_info{hash}`.
    pub hash: u64,
    /// What is allowed but probably not meant (an experimental preset …), each a whole sentence with file and line.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Proxy {
    pub listen: SocketAddr,
    pub workers: usize,
    pub salt: Salt,
    pub limits: Limits,
    /// After SIGTERM: how long new connections are still taken while `/readyz` already fails.
    pub lame_duck: Duration,
    /// After that: how long requests in flight may take.
    pub drain: Duration,
    /// Whether a webhook without a valid `traceparent` gets one.
    pub trace: bool,
    /// The share of the new ones that are to be recorded.
    pub trace_sampled_bp: u16,
}

/// Every wait and every queue has a bound.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open client connections, over all workers.
    pub max_connections: usize,
    /// Requests in flight, over all workers; more are answered 503 at once.
    pub max_inflight: usize,
    /// The request line and all header fields, in bytes.
    pub max_head_bytes: usize,
    /// From a head's first byte to its last.
    pub head_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_timeout: Duration,
    /// A client that takes nothing of its answer for this long is cut off.
    pub write_timeout: Duration,
    /// A connection without a request is closed after this.
    pub idle_timeout: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// As written; `None`: beside the config, if that can be written.
    pub path: Option<PathBuf>,
    /// Changes older than this are forgotten.
    pub keep: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    pub level: LogLevel,
    pub format: LogFormat,
    /// The share of webhooks that get a line in the access log, in basis points: 0 is none, 10,000 all.
    pub access_bp: u16,
    /// Whether such a line holds the workspace's id.
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
    /// Only the config changes what serves; to take back, to pause and to freeze is still for operators.
    pub read_only: bool,
    /// Whether workers keep some workspaces' names for the API, and the API shows them.
    pub show_workspaces: bool,
    /// Where people reach this listener, for links in messages: a URL without a slash at its end.
    pub public_url: Option<String>,
    /// A listener of its own for `/livez` and `/readyz`.
    pub probes: Option<SocketAddr>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub name: String,
    pub scope: Scope,
    /// Those that it sees and changes; `None`: all.
    pub bots: Option<Vec<BotName>>,
    pub secret: SecretHash,
    /// Where the secret came from, if that can be read again.
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
    pub plan: Arc<Plan>,
    /// The JSON and form bodies of this bot are held and looked into up to this many bytes.
    pub body_cap: usize,
    pub over_cap: OverCap,
    pub retries: Retries,
    /// At least one; in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// Indices into `upstreams`.
    pub stable: usize,
    /// Whom a weight means: `canary`, else the only other one; `None` where that is not clear.
    pub canary: Option<usize>,
    /// The initial weight, where there is a canary.
    pub weight: Weight,
    /// No weight above this is taken.
    pub max_weight: Weight,
    pub pins: Pins,
    pub tester: Option<TesterOverride>,
    pub rules: Rules,
    /// serin gives up then: 504.
    pub timeout: Duration,
    pub connect_timeout: Duration,
    /// An idle connection to an upstream is not used again after this.
    pub upstream_idle: Duration,
    pub rescue: bool,
    pub host: HostHeader,
    /// The way of a rollout that starts from now on.
    pub rollout: core::Plan,
    /// Its `max` is `max_weight`, and whoever may raise a rollout may change a weight set by hand.
    pub guard: Guard,
    /// The desired state.
    pub release: Option<core::Release>,
    pub preflight: Preflight,
    pub freeze: Option<Freeze>,
    /// After a promotion the side before it is reported as free to tear down then.
    pub undo_window: Duration,
    /// How old the last drill may be until somebody is told.
    pub drill_every: Option<Duration>,
}

/// What a side must answer before anybody is sent there. That it takes connections is asked always.
#[derive(Clone, Debug, PartialEq)]
pub struct Preflight {
    pub path: Option<PathAndQuery>,
    /// Statuses that are right; none: any 2xx.
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
    /// Begins with `/`; matches whole segments: `/slack` is for `/slack` and `/slack/events`, not for `/slackers`.
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
    /// As written, for the Host header where `host = "upstream"`.
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

/// What becomes of a body that is larger than `body_cap`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverCap {
    /// Streamed to stable, counted.
    #[default]
    Stable,
    /// 413.
    Reject,
}

/// Where the platform's own retries go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Retries {
    /// Where their workspace is assigned.
    #[default]
    Assigned,
    /// To stable, for bots whose versions share their dedupe.
    Stable,
}

impl Admin {
    /// Whether a client must show a token or a certificate.
    pub fn asks_who(&self) -> bool {
        !self.tokens.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.files.client_authorities.is_some())
    }

    /// Whether others than this machine's could use a listener on this address, without showing anything.
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
