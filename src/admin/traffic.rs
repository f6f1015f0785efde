//! `GET /v1/bots/{bot}/traffic`: the last hour in points, what the current weight and the next step reach, the largest buckets, and the
//! failing ones. With `[admin] show_workspaces` buckets have names.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::context::Context;
use super::problem::ApiError;
use crate::controller::{Counted, FailingBucket, Reach, SLOT_SECS};
use crate::core::{Bucket, Tally, Track};
use crate::live::{Epoch, Failing, on_stable};

#[derive(Serialize)]
pub struct Traffic {
    bot: String,
    slot_seconds: u64,
    points: Vec<Point>,
    reach: Reached,
    /// The buckets of the current split with the most requests, the largest first.
    largest: Vec<Large>,
    /// The buckets of the current split with failures, the worst first.
    failing: Vec<Failed>,
}

#[derive(Serialize)]
struct Point {
    /// When the slot began, in Unix seconds.
    at: u64,
    seconds: f64,
    weight_percent: f64,
    e_value: Option<f64>,
    stable: Answered,
    canary: Answered,
}

#[derive(Serialize)]
struct Answered {
    requests: u64,
    errors: u64,
    late: u64,
    rejected: u64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
}

/// By what is usual on stable; what is a day old counts half.
#[derive(Serialize)]
struct Reached {
    active_buckets: usize,
    now: Option<Share>,
    next: Option<Share>,
}

#[derive(Serialize)]
struct Share {
    weight_percent: f64,
    active_buckets: usize,
    requests_percent: f64,
}

#[derive(Serialize)]
struct Large {
    bucket: usize,
    track: &'static str,
    requests_percent: f64,
    requests: u32,
    errors: u32,
    late: u32,
    rejected: u32,
    /// Only with `show_workspaces`.
    workspace: Option<String>,
}

#[derive(Serialize)]
struct Failed {
    #[serde(flatten)]
    counted: Large,
    /// Null if too little is known.
    fails_on_stable: Option<bool>,
    text: String,
}

const LARGEST: usize = 10;

pub async fn show(State(context): State<Context>, Path(name): Path<String>) -> Result<Json<Traffic>, ApiError> {
    let snapshot = context.live.current();
    let unknown = || ApiError::unknown_bot(&snapshot, &name);
    let index = snapshot.bot(&name).ok_or_else(unknown)?;
    let traffic = context.controller.traffic(&name).await.ok_or_else(unknown)?;
    let reach = Reached { active_buckets: traffic.active_buckets, now: traffic.now.map(share), next: traffic.next.map(share) };
    let points = traffic.points.iter().map(point).collect();
    let (epoch, counted) = (&snapshot.epochs[index], Counts::of(&snapshot.epochs[index]));
    let failing = traffic.failing.iter().map(|one| failed(epoch, &counted, one)).collect();
    Ok(Json(Traffic { slot_seconds: SLOT_SECS, points, reach, failing, largest: counted.largest(epoch), bot: name }))
}

fn point(point: &crate::controller::Point) -> Point {
    let [stable, canary] = point.counted().map(answered);
    Point {
        at: point.at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()),
        seconds: point.lasted.as_secs_f64(),
        weight_percent: point.weight.percent(),
        // JSON has no infinity.
        e_value: point.log_e.map(|log_e| log_e.exp().min(f64::MAX)).filter(|e| !e.is_nan()),
        stable,
        canary,
    }
}

fn answered(counted: Counted) -> Answered {
    let millis = |micros: Option<u64>| micros.map(|micros| micros as f64 / 1000.0);
    let Counted { requests, errors, late, rejected, p50_micros, p99_micros } = counted;
    Answered { requests, errors, late, rejected, p50_ms: millis(p50_micros), p99_ms: millis(p99_micros) }
}

fn share(reach: Reach) -> Share {
    let requests_percent = reach.requests_share * 100.0;
    Share { weight_percent: reach.weight.percent(), active_buckets: reach.active_buckets, requests_percent }
}

/// The tallies of a split's buckets.
struct Counts {
    buckets: Vec<(Bucket, Track, Tally)>,
    requests: u64,
}

impl Counts {
    fn of(epoch: &Epoch) -> Counts {
        let buckets: Vec<_> = epoch.ledger.by_bucket(&epoch.split).collect();
        Counts { requests: buckets.iter().map(|(_, _, tally)| u64::from(tally.requests)).sum(), buckets }
    }

    fn row(&self, bucket: Bucket, track: Track, tally: &Tally, workspace: Option<String>) -> Large {
        Large {
            bucket: bucket.index(),
            track: track.name(),
            requests_percent: f64::from(tally.requests) / self.requests.max(1) as f64 * 100.0,
            requests: tally.requests,
            errors: tally.errors,
            late: tally.late,
            rejected: tally.rejected,
            workspace,
        }
    }

    fn largest(mut self, epoch: &Epoch) -> Vec<Large> {
        self.buckets.sort_unstable_by_key(|(bucket, _, tally)| (std::cmp::Reverse(tally.requests), bucket.index()));
        let busiest = |bucket| epoch.names.as_ref().and_then(|names| names.busiest(bucket));
        let large = |(bucket, track, tally): &(Bucket, Track, Tally)| self.row(*bucket, *track, tally, busiest(*bucket));
        self.buckets.iter().take(LARGEST).map(large).collect()
    }
}

fn failed(epoch: &Epoch, counts: &Counts, one: &FailingBucket) -> Failed {
    let FailingBucket { bucket, track, tally, failing: _, fails_on_stable } = *one;
    let workspace = epoch.names.as_ref().and_then(|names| names.failing_most(bucket));
    Failed { counted: counts.row(bucket, track, &tally, workspace), fails_on_stable, text: text(one) }
}

/// `9 errors and 1 late answer in 12 requests on the canary; it did not fail on stable.`
fn text(one: &FailingBucket) -> String {
    let counts = Failing::ALL.map(|failing| (failing, failing.of(&one.tally))).into_iter().filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(failing, count)| failing.counted(count.into())).collect();
    let requests = if one.tally.requests == 1 { "request" } else { "requests" };
    let end = match (one.track, on_stable(one.failing, one.fails_on_stable)) {
        (Track::Stable, _) => String::new(),
        (Track::Canary, Some(known)) => format!("; it {known}"),
        (Track::Canary, None) => "; its past on stable is not known".to_owned(),
    };
    let track = match one.track {
        Track::Stable => "stable",
        Track::Canary => "the canary",
    };
    format!("{} in {} {requests} on {track}{end}.", counts.join(" and "), one.tally.requests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failing_bucket_has_its_sentence() {
        let bucket = Bucket::all().next().unwrap();
        let tally = Tally { requests: 12, errors: 9, late: 1, ..Tally::default() };
        let one = FailingBucket { bucket, track: Track::Canary, tally, failing: Failing::Errors, fails_on_stable: Some(false) };
        let counts = "9 errors and 1 late answer in 12 requests on";
        assert_eq!(text(&one), format!("{counts} the canary; it did not fail on stable."));
        let own = FailingBucket { fails_on_stable: Some(true), ..one };
        assert_eq!(text(&own), format!("{counts} the canary; it fails on stable too: its own trouble."));
        let unknown = FailingBucket { fails_on_stable: None, ..one };
        assert_eq!(text(&unknown), format!("{counts} the canary; its past on stable is not known."));
        let tally = Tally { requests: 1, rejected: 1, ..Tally::default() };
        let on_stable = FailingBucket { track: Track::Stable, tally, failing: Failing::Rejected, fails_on_stable: Some(true), ..one };
        assert_eq!(text(&on_stable), "1 rejected request in 1 request on stable.");
    }
}
