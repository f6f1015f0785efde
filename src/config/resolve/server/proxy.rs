//! `[proxy]` and `[proxy.limits]`.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;
use serde_spanned::Spanned;

use super::proxy_tls::proxy_tls;
use crate::config::memory;
use crate::config::networks::{Networks, network};
use crate::config::raw::Table;
use crate::config::report::{Problems, Reported, all};
use crate::config::resolve::bounds::{HOUR, MILLISECOND};
use crate::config::resolved::{Http2, Proxy, ProxyLimits, Underscores};
use crate::config::units::{Bytes, Share, UnitError};
use crate::core::Salt;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const SALT: &str = "serin";
/// The limit of `workers`. No machine has more cores.
const WORKERS_MAX: usize = 1_024;
const DRAIN: Duration = Duration::from_secs(25);

const LIMITS: ProxyLimits = ProxyLimits {
    max_connections: 20_000,
    max_connections_per_source: 0,
    max_inflight: 10_000,
    max_inflight_per_source: 0,
    max_rate_per_source: None,
    max_memory_bytes: 0,
    max_streams: 100,
    max_head_bytes: 64 * 1_024,
    head_timeout: Duration::from_secs(10),
    body_timeout: Duration::from_secs(10),
    body_total: Duration::from_secs(300),
    least_rate: 512,
    write_timeout: Duration::from_secs(30),
    answer_total: Duration::from_secs(3_600),
    idle_timeout: Duration::from_secs(75),
    tunnel_timeout: Duration::from_secs(300),
};
const CONNECTIONS_MAX: usize = 10_000_000;
const MEMORY_LEAST: Bytes = Bytes(8 << 20);
const MEMORY_MOST: Bytes = Bytes(1 << 44);
const STREAMS_MAX: usize = 10_000;
const RATE_MAX: usize = 1_000_000;
const RATE_LEAST_MOST: Bytes = Bytes(1 << 20);
/// The least `max_head_bytes`: platforms send heads of some kilobytes, which must not be refused.
const HEAD_LEAST: Bytes = Bytes(8 * 1_024);
const HEAD_MOST: Bytes = Bytes(1_024 * 1_024);

const UNDERSCORES: [(&str, Underscores); 3] = [("refuse", Underscores::Refuse), ("drop", Underscores::Drop), ("pass", Underscores::Pass)];
const HTTP2: [(&str, Http2); 3] = [("off", Http2::Off), ("tls", Http2::Tls), ("all", Http2::All)];

/// Where the addresses are written, if they are.
pub(crate) struct ProxyPlaces {
    pub listen: Option<Range<usize>>,
    pub tls_listen: Option<Range<usize>>,
}

pub(crate) fn proxy(mut table: Table<'_>) -> Result<(Proxy, ProxyPlaces), Reported> {
    let problems = table.problems();
    let listen = table.read::<SocketAddr>("listen");
    let workers = table.within("workers", 1..=WORKERS_MAX);
    let salt = table.read_or("salt", SALT.to_owned());
    let limits = table.table_or_empty("limits", "[proxy.limits]").and_then(limits);
    let lame_duck = table.within_or("lame_duck", Duration::ZERO..=HOUR, Duration::ZERO);
    let drain = table.within_or("drain", Duration::ZERO..=24 * HOUR, DRAIN);
    let trace = table.read_or("trace", true);
    let trace_sampled = table.within_or("trace_sampled", Share(0)..=Share(10_000), Share(10_000));
    let trusted_proxies = table.read::<Vec<Spanned<String>>>("trusted_proxies");
    let proxy_protocol = table.read::<bool>("proxy_protocol");
    let underscores = table.choice_or("underscores", &UNDERSCORES, Underscores::Refuse);
    let http2 = table.choice_or("http2", &HTTP2, Http2::Tls);
    let tls = table.table("tls", "[proxy.tls]").and_then(|table| table.map(proxy_tls).transpose());
    table.close();
    let trusted_proxies = match trusted_proxies? {
        Some(written) => Networks::new(all(written.get_ref().iter().map(|network| one_network(network, problems)))?),
        None => Networks::default(),
    };
    let proxy_protocol = proxy_protocol?;
    if let (Some(written), true) = (proxy_protocol.as_ref().filter(|written| *written.get_ref()), trusted_proxies.is_empty()) {
        let instead = "add `trusted_proxies = [\"…\"]`: the networks of the proxies that send PROXY headers";
        return Err(problems.error(written.span(), "nobody may send a PROXY header: no proxy is trusted", instead));
    }
    let (listen, tls) = (listen?, tls?);
    let (tls, tls_listen) = tls.map_or((None, None), |(tls, at)| (Some(tls), at));
    let proxy = Proxy {
        listen: listen.as_ref().map_or(LISTEN, |listen| *listen.get_ref()),
        workers: workers?.map_or_else(one_a_core, Spanned::into_inner),
        salt: Salt::new(&salt?),
        limits: limits?,
        lame_duck: lame_duck?,
        drain: drain?,
        trace: trace?,
        trace_sampled_bp: trace_sampled?.0,
        trusted_proxies,
        proxy_protocol: proxy_protocol.is_some_and(Spanned::into_inner),
        underscores: underscores?,
        http2: http2?,
        tls,
    };
    Ok((proxy, ProxyPlaces { listen: listen.map(|listen| listen.span()), tls_listen }))
}

fn one_network(written: &Spanned<String>, problems: &Problems<'_>) -> Result<IpNet, Reported> {
    network(written.get_ref()).map_err(|UnitError(instead)| {
        problems.error(written.span(), format!("\"{}\" is no network", written.get_ref().escape_debug()), instead)
    })
}

fn limits(mut table: Table<'_>) -> Result<ProxyLimits, Reported> {
    let max_connections = table.within_or("max_connections", 1..=CONNECTIONS_MAX, LIMITS.max_connections);
    let max_inflight = table.within_or("max_inflight", 1..=CONNECTIONS_MAX, LIMITS.max_inflight);
    let of_source =
        (table.within("max_connections_per_source", 1..=CONNECTIONS_MAX), table.within("max_inflight_per_source", 1..=CONNECTIONS_MAX));
    let max_rate = table.within("max_rate_per_source", 1..=RATE_MAX);
    let max_memory = table.within("max_memory", MEMORY_LEAST..=MEMORY_MOST);
    let max_streams = table.within_or("max_streams", 1..=STREAMS_MAX, LIMITS.max_streams as usize);
    let max_head = table.within_or("max_head", HEAD_LEAST..=HEAD_MOST, Bytes(LIMITS.max_head_bytes));
    let head_timeout = table.within_or("head_timeout", MILLISECOND..=HOUR, LIMITS.head_timeout);
    let body_timeout = table.within_or("body_timeout", MILLISECOND..=HOUR, LIMITS.body_timeout);
    let body_total = table.within_or("body_total", MILLISECOND..=24 * HOUR, LIMITS.body_total);
    let least_rate = table.within_or("least_rate", Bytes(1)..=RATE_LEAST_MOST, Bytes(LIMITS.least_rate as usize));
    let answer_total = table.within_or("answer_total", MILLISECOND..=24 * HOUR, LIMITS.answer_total);
    let write_timeout = table.within_or("write_timeout", MILLISECOND..=HOUR, LIMITS.write_timeout);
    let idle_timeout = table.within_or("idle_timeout", MILLISECOND..=24 * HOUR, LIMITS.idle_timeout);
    let tunnel_timeout = table.within_or("tunnel_timeout", MILLISECOND..=24 * HOUR, LIMITS.tunnel_timeout);
    table.close();
    let (max_connections, max_inflight) = (max_connections?, max_inflight?);
    // One source alone leaves a quarter for all others.
    let share = |most: usize| (most * 3).div_ceil(4);
    Ok(ProxyLimits {
        max_connections,
        max_memory_bytes: max_memory?.map_or_else(memory::share, |bytes| bytes.into_inner().0),
        max_connections_per_source: of_source.0?.map_or(share(max_connections), Spanned::into_inner),
        max_inflight_per_source: of_source.1?.map_or(share(max_inflight), Spanned::into_inner),
        max_rate_per_source: max_rate?.map(|rate| rate.into_inner() as u32),
        max_inflight,
        max_streams: max_streams? as u32,
        max_head_bytes: max_head?.0,
        head_timeout: head_timeout?,
        body_timeout: body_timeout?,
        body_total: body_total?,
        least_rate: least_rate?.0 as u64,
        answer_total: answer_total?,
        write_timeout: write_timeout?,
        idle_timeout: idle_timeout?,
        tunnel_timeout: tunnel_timeout?,
    })
}

fn one_a_core() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
