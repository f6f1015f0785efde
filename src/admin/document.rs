//! The documents that the API answers with. Scripts depend on their fields: add freely, never rename.

use serde::Serialize;

use crate::core::{Reason, Track, Weight, Workspace};
use crate::live::{Snapshot, TrackTotals};

#[derive(Debug, Serialize)]
pub struct Bots {
    pub bots: Vec<Bot>,
}

#[derive(Debug, Serialize)]
pub struct Bot {
    pub bot: String,
    pub revision: u64,
    pub phase: &'static str,
    pub weight_percent: f64,
    /// The share of buckets that really is on the canary: near the weight, for buckets are drawn independently.
    pub actual_percent: f64,
    pub max_percent: f64,
    pub stable: Upstream,
    pub canary: Option<Upstream>,
    pub step: Option<usize>,
    pub hold_reason: Option<&'static str>,
    pub hold_text: Option<String>,
    pub evidence: Evidence,
    pub tracks: Tracks,
}

#[derive(Debug, Serialize)]
pub struct Upstream {
    pub upstream: String,
    pub version: Option<String>,
    pub url: String,
}

/// Nothing judges the canary yet: all null.
#[derive(Debug, Default, Serialize)]
pub struct Evidence {
    pub e_value: Option<f64>,
    pub verdict: Option<&'static str>,
}

#[derive(Debug, Serialize)]
pub struct Tracks {
    pub stable: Totals,
    pub canary: Totals,
}

/// What was counted since the split last changed; only requests that chance assigned.
#[derive(Debug, Serialize)]
pub struct Totals {
    pub requests: u32,
    pub errors: u32,
    pub late: u32,
    pub rejected: u32,
    /// Buckets with traffic (about as many workspaces while they are few).
    pub active_buckets: usize,
    /// The geometric mean of the time to the first byte, in milliseconds.
    pub typical_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Explained {
    pub bot: String,
    pub workspace: String,
    pub bucket: usize,
    /// Of 2^64, as text: JavaScript's numbers are too short for it.
    pub rank: String,
    /// The weight from which on the workspace is on the canary.
    pub canary_from_percent: f64,
    pub weight_percent: f64,
    pub track: &'static str,
    pub reason: &'static str,
    pub upstream: String,
}

pub fn bot(snapshot: &Snapshot, index: usize) -> Bot {
    let (bot, epoch) = (&snapshot.config.bots[index], &snapshot.epochs[index]);
    let split = &epoch.split;
    let [stable, canary] = epoch.ledger.totals(split).map(totals);
    Bot {
        bot: bot.name.to_string(),
        revision: epoch.revision,
        phase: if split.weight() == Weight::ZERO { "idle" } else { "manual" },
        weight_percent: split.weight().percent(),
        actual_percent: split.canary_buckets() as f64 / 100.0,
        max_percent: bot.max_weight.percent(),
        stable: upstream(&bot.upstreams[bot.stable]),
        canary: bot.canary.map(|canary| upstream(&bot.upstreams[canary])),
        step: None,
        hold_reason: None,
        hold_text: None,
        evidence: Evidence::default(),
        tracks: Tracks { stable, canary },
    }
}

fn upstream(upstream: &crate::config::Upstream) -> Upstream {
    let scheme = if upstream.url.tls { "https" } else { "http" };
    Upstream {
        upstream: upstream.name.to_string(),
        version: upstream.version.clone(),
        url: format!("{scheme}://{}", upstream.url.authority),
    }
}

fn totals(totals: TrackTotals) -> Totals {
    let tally = totals.tally;
    Totals {
        requests: tally.requests,
        errors: tally.errors,
        late: tally.late,
        rejected: tally.rejected,
        active_buckets: totals.active_buckets,
        typical_ms: tally.typical_micros().map(|micros| micros / 1000.0),
    }
}

/// `workspace` as `namespace:id`, or an id alone, which is taken in the namespace of the bot's first source.
pub fn explain(snapshot: &Snapshot, index: usize, workspace: &str) -> Explained {
    let (bot, epoch) = (&snapshot.config.bots[index], &snapshot.epochs[index]);
    let namespaces = bot.plan.namespaces();
    let (namespace, id) = match workspace.split_once(':') {
        Some((namespace, id)) if namespaces.contains(&namespace) => (namespace, id),
        Some(_) | None => (namespaces.first().copied().unwrap_or("ws"), workspace),
    };
    let workspace = Workspace { namespace, id: id.into() };
    let assignment = epoch.split.assign(&workspace);
    let bucket = epoch.split.bucket(&workspace);
    let rank = epoch.split.rank(bucket);
    let on = match (assignment.track, bot.canary) {
        (Track::Canary, Some(canary)) => canary,
        (Track::Canary, None) | (Track::Stable, _) => bot.stable,
    };
    Explained {
        bot: bot.name.to_string(),
        workspace: workspace.to_string(),
        bucket: bucket.index(),
        rank: rank.to_string(),
        canary_from_percent: Weight::first_above(rank).percent(),
        weight_percent: epoch.split.weight().percent(),
        track: assignment.track.name(),
        reason: match assignment.reason {
            Reason::Rank if assignment.track == Track::Canary => "its rank is below the weight's threshold",
            Reason::Rank => "its rank is not below the weight's threshold",
            Reason::Pinned => "an operator pinned it",
            Reason::Override | Reason::Unidentified | Reason::Handshake | Reason::Retry => assignment.reason.name(),
        },
        upstream: bot.upstreams[on].name.to_string(),
    }
}
