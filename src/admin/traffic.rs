//! `GET /v1/bots/{bot}/traffic`: the last hour in points, whom the weight and the next step reach, and the largest buckets.

use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;

use super::Context;
use super::problem::ApiError;
use crate::controller::{Counted, Reach, SLOT_SECS};
use crate::core::{Bucket, Tally, Track};
use crate::live::Snapshot;

#[derive(Serialize)]
pub struct Traffic {
    bot: String,
    slot_seconds: u64,
    points: Vec<Point>,
    reach: Reached,
    /// Of this split, by requests, the largest first.
    largest: Vec<Large>,
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

/// By what was usual on stable, of which a day ago counts half.
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
}

const LARGEST: usize = 10;

pub async fn show(State(context): State<Context>, Path(name): Path<String>) -> Result<Json<Traffic>, ApiError> {
    let snapshot = context.live.current();
    let unknown = || ApiError::unknown_bot(&snapshot, &name);
    let index = snapshot.bot(&name).ok_or_else(unknown)?;
    let traffic = context.controller.traffic(&name).await.ok_or_else(unknown)?;
    let reach = Reached { active_buckets: traffic.active_buckets, now: traffic.now.map(share), next: traffic.next.map(share) };
    let points = traffic.points.iter().map(point).collect();
    Ok(Json(Traffic { slot_seconds: SLOT_SECS, points, reach, largest: largest(&snapshot, index), bot: name }))
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

fn largest(snapshot: &Snapshot, index: usize) -> Vec<Large> {
    let epoch = &snapshot.epochs[index];
    let mut buckets: Vec<(Bucket, Track, Tally)> = epoch.ledger.by_bucket(&epoch.split).collect();
    let all: u64 = buckets.iter().map(|(_, _, tally)| u64::from(tally.requests)).sum();
    buckets.sort_unstable_by_key(|(bucket, _, tally)| (std::cmp::Reverse(tally.requests), bucket.index()));
    let large = |(bucket, track, tally): &(Bucket, Track, Tally)| Large {
        bucket: bucket.index(),
        track: track.name(),
        requests_percent: f64::from(tally.requests) / all.max(1) as f64 * 100.0,
        requests: tally.requests,
        errors: tally.errors,
        late: tally.late,
        rejected: tally.rejected,
    };
    buckets.iter().take(LARGEST).map(large).collect()
}
