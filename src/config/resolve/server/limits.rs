//! `[proxy.limits]`.

use std::time::Duration;

use serde_spanned::Spanned;

use crate::config::memory;
use crate::config::raw::Table;
use crate::config::report::Reported;
use crate::config::resolve::bounds::{HOUR, MILLISECOND};
use crate::config::resolved::ProxyLimits;
use crate::config::units::Bytes;

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 3_600);

const CONNECTIONS_MAX: usize = 10_000_000;
const MEMORY_LEAST: Bytes = Bytes(8 << 20);
const MEMORY_MOST: Bytes = Bytes(1 << 44);
const STREAMS_MAX: usize = 10_000;
const RATE_MAX: usize = 1_000_000;
const RATE_LEAST_MOST: Bytes = Bytes(1 << 20);
/// The least `max_head`: platforms send heads of some kilobytes, which must not be refused.
const HEAD_LEAST: Bytes = Bytes(8 * 1_024);
const HEAD_MOST: Bytes = Bytes(1_024 * 1_024);

pub(super) fn limits(mut table: Table<'_>) -> Result<ProxyLimits, Reported> {
    let max_connections = table.within_or("max_connections", 1..=CONNECTIONS_MAX, 20_000);
    let max_connections_per_source = table.within("max_connections_per_source", 1..=CONNECTIONS_MAX);
    let max_inflight = table.within_or("max_inflight", 1..=CONNECTIONS_MAX, 10_000);
    let max_inflight_per_source = table.within("max_inflight_per_source", 1..=CONNECTIONS_MAX);
    let max_rate = table.within("max_rate_per_source", 1..=RATE_MAX);
    let max_memory = table.within("max_memory", MEMORY_LEAST..=MEMORY_MOST);
    let max_streams = table.within_or("max_streams", 1..=STREAMS_MAX, 100);
    let max_head = table.within_or("max_head", HEAD_LEAST..=HEAD_MOST, Bytes(64 * 1_024));
    let head_timeout = table.within_or("head_timeout", MILLISECOND..=HOUR, 10 * SECOND);
    let body_timeout = table.within_or("body_timeout", MILLISECOND..=HOUR, 10 * SECOND);
    let body_total = table.within_or("body_total", MILLISECOND..=DAY, 300 * SECOND);
    let least_rate = table.within_or("least_rate", Bytes(1)..=RATE_LEAST_MOST, Bytes(512));
    let write_timeout = table.within_or("write_timeout", MILLISECOND..=HOUR, 30 * SECOND);
    let answer_total = table.within_or("answer_total", MILLISECOND..=DAY, HOUR);
    let idle_timeout = table.within_or("idle_timeout", MILLISECOND..=DAY, 75 * SECOND);
    let tunnel_timeout = table.within_or("tunnel_timeout", MILLISECOND..=DAY, 300 * SECOND);
    table.close();
    let (max_connections, max_inflight) = (max_connections?, max_inflight?);
    // One source alone leaves a quarter for all others.
    let share = |most: usize| (most * 3).div_ceil(4);
    Ok(ProxyLimits {
        max_connections,
        max_connections_per_source: max_connections_per_source?.map_or(share(max_connections), Spanned::into_inner),
        max_inflight,
        max_inflight_per_source: max_inflight_per_source?.map_or(share(max_inflight), Spanned::into_inner),
        max_rate_per_source: max_rate?.map(|rate| rate.into_inner() as u32),
        max_memory_bytes: max_memory?.map_or_else(memory::share, |bytes| bytes.into_inner().0),
        max_streams: max_streams? as u32,
        max_head_bytes: max_head?.0,
        head_timeout: head_timeout?,
        body_timeout: body_timeout?,
        body_total: body_total?,
        least_rate: least_rate?.0 as u64,
        write_timeout: write_timeout?,
        answer_total: answer_total?,
        idle_timeout: idle_timeout?,
        tunnel_timeout: tunnel_timeout?,
    })
}
