//! `[proxy]`; its tables `limits` and `tls` have files of their own.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use ipnet::IpNet;
use serde_spanned::Spanned;

use super::limits::limits;
use super::proxy_tls::proxy_tls;
use crate::config::networks::{Networks, network};
use crate::config::raw::Table;
use crate::config::report::{Problems, Reported, all};
use crate::config::resolve::bounds::HOUR;
use crate::config::resolved::{Http2, Proxy, Underscores};
use crate::config::units::{Share, UnitError};
use crate::core::Salt;

const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const SALT: &str = "serin";
/// The limit of `workers`. No machine has more cores.
const WORKERS_MAX: usize = 1_024;
const DRAIN: Duration = Duration::from_secs(25);

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

fn one_a_core() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
