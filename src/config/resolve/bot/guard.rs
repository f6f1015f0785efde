//! `[bot.guard]`: what an operator tolerates of a canary.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde_spanned::Spanned;

use crate::config::raw::Table;
use crate::config::report::{Reported, all};
use crate::config::resolve::bounds::{HOUR, MILLISECOND};
use crate::config::units::{Share, show_duration};
use crate::config::value::Measure;
use crate::core::{Guard, Limit, Limits, MARGINAL, Most, Quantile};

/// The limit of `abort_at`: above it, a canary that fails every request would be kept for long.
const ABORT_AT_MOST: f64 = 1e6;
/// The values that `harm` accepts, in hundredths of a percent: 0.01 % to 50 %.
const HARM: RangeInclusive<Share> = Share(1)..=Share(5_000);
/// The values of a share's limit. A limit of 100 % could not be crossed.
const SHARES: RangeInclusive<Share> = Share(1)..=Share(9_999);
const LATENCIES: RangeInclusive<Duration> = MILLISECOND..=HOUR;
/// With fewer requests, one error is more than 2 %.
const LEAST_REQUESTS: u32 = 50;
const LEAST_REQUESTS_BOUNDS: RangeInclusive<u32> = 1..=1_000_000;

/// Reads the guard. Does not set `max` and `by_hand`: the caller does.
pub(super) fn guard(mut table: Table<'_>, deadline: Option<Duration>) -> Result<Guard, Reported> {
    let usual = Guard::default();
    let abort_at = abort_at(&mut table, usual.abort_at);
    let harm = table.within("harm", HARM);
    let examine = table.read_or("examine", usual.examine);
    let brake = table.read_or("brake", usual.brake);
    let limits = limits(&mut table, deadline);
    table.close();
    Ok(Guard {
        abort_at: abort_at?,
        tolerated_harm: harm?.map_or(usual.tolerated_harm, |harm| harm.get_ref().ratio()),
        limits: limits?,
        examine: examine?,
        brake: brake?,
        ..usual
    })
}

fn abort_at(table: &mut Table<'_>, usual: f64) -> Result<f64, Reported> {
    let problems = table.problems();
    let Some(written) = table.read::<f64>("abort_at")? else { return Ok(usual) };
    let label = format!("write more than {MARGINAL}, up to {ABORT_AT_MOST}");
    match *written.get_ref() {
        // Up to `MARGINAL` the evidence only holds.
        e if e <= MARGINAL => Err(problems.error(written.span(), "`abort_at` is too little", label)),
        e if e > ABORT_AT_MOST => Err(problems.error(written.span(), "`abort_at` is too much", label)),
        e => Ok(e),
    }
}

/// A limit as written.
struct Written<T> {
    most: Spanned<T>,
    /// `None`: the `least_requests` for all limits.
    least_requests: Option<u32>,
}

impl<T: Copy> Written<T> {
    fn meant(&self, least_of_all: u32, most: impl FnOnce(T) -> Most) -> Limit {
        Limit { most: most(*self.most.get_ref()), least_requests: self.least_requests.unwrap_or(least_of_all) }
    }
}

/// The limits, in the order in which they are checked.
fn limits(table: &mut Table<'_>, deadline: Option<Duration>) -> Result<Limits, Reported> {
    let problems = table.problems();
    let error_rate = limit(table, "error_rate", SHARES, "{ most = \"5%\" }");
    let late = limit(table, "late", SHARES, "{ most = \"1%\" }");
    let quantiles = [("p50", Quantile::P50), ("p90", Quantile::P90), ("p99", Quantile::P99)]
        .map(|(key, quantile)| limit(table, key, LATENCIES, "{ most = \"1s\" }").map(|limit| limit.map(|limit| (key, quantile, limit))));
    let least = table.within_or("least_requests", LEAST_REQUESTS_BOUNDS, LEAST_REQUESTS);
    let (error_rate, late, quantiles, least) = (error_rate?, late?, all(quantiles)?, least?);
    let quantiles: Vec<_> = quantiles.into_iter().flatten().collect();
    if let (Some(late), None) = (&late, deadline) {
        problems.warn(late.most.span(), "nothing can ever be late: the bot has no `deadline`");
    }
    for pair in quantiles.windows(2) {
        let ((lower, _, less), (higher, _, more)) = (&pair[0], &pair[1]);
        let (less, at, more) = (*less.most.get_ref(), more.most.span(), *more.most.get_ref());
        if more < less {
            let (less, more) = (show_duration(less), show_duration(more));
            problems
                .warn(at, format!("`{higher}` ({more}) is below `{lower}` ({less}): what crosses `{lower}` has crossed `{higher}` before"));
        }
    }
    let error_rate = error_rate.map(|limit| limit.meant(least, |share| Most::ErrorRate(share.ratio())));
    let late = late.map(|limit| limit.meant(least, |share| Most::Late(share.ratio())));
    let quantiles = quantiles.iter().map(|(_, quantile, limit)| limit.meant(least, |most| Most::Latency(*quantile, most)));
    Ok(Limits(error_rate.into_iter().chain(late).chain(quantiles).collect()))
}

/// `key = "5%"` or `key = { most = "5%", least_requests = 200 }`.
fn limit<T: Measure>(
    table: &mut Table<'_>,
    key: &'static str,
    bounds: RangeInclusive<T>,
    example: &str,
) -> Result<Option<Written<T>>, Reported> {
    if !table.holds_table(key) {
        return Ok(table.within(key, bounds)?.map(|most| Written { most, least_requests: None }));
    }
    let problems = table.problems();
    let Some(mut table) = table.table(key, "a limit")? else { return Ok(None) };
    let most = table.within("most", bounds);
    let least_requests = table.within("least_requests", LEAST_REQUESTS_BOUNDS);
    let at = table.at();
    table.close();
    let (most, least_requests) = (most?, least_requests?);
    let Some(most) = most else { return Err(problems.error(at, format!("`{key}` has no `most`"), format!("write {example}"))) };
    Ok(Some(Written { most, least_requests: least_requests.map(Spanned::into_inner) }))
}
