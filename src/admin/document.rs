//! The JSON documents of the API. Scripts depend on their fields: fields may be added, but never renamed.

mod standing;
mod tolerated;

use std::sync::Arc;

use serde::Serialize;

use crate::controller;
use crate::core::evidence::Finding;
use crate::core::{Bucket, HeldBy, Reason, Release, Track, Weight, Worth};
use crate::live::{Epoch, ExaminationStatus, Judged, Names, Snapshot, Status, TrackTotals};
use standing::{FrozenBy, Possible, Since, Summary, Until};
use tolerated::Tolerated;

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
    /// The share of buckets that is on the canary. It is only near the weight, because each bucket's rank is drawn independently.
    pub actual_percent: f64,
    pub max_percent: f64,
    pub stable: Upstream,
    pub canary: Option<Upstream>,
    /// All upstreams in the config's order, with the config's versions.
    pub upstreams: Vec<Upstream>,
    /// The index of the current step.
    pub step: Option<usize>,
    pub rollout: Option<Rollout>,
    pub hold_reason: Option<&'static str>,
    pub hold_text: Option<String>,
    pub waits_for_human: Option<WaitsForHuman>,
    /// The status in sentences.
    pub summary: Summary,
    /// Every action, with the reason if it is not possible now.
    pub actions: Vec<Possible>,
    /// How long the current step still waits; null without one.
    pub until: Option<Until>,
    /// The last change of the phase, the weight or a release.
    pub since: Option<Since>,
    /// When the current tallies began, in Unix seconds.
    pub counted_since: f64,
    /// A warning about the current rollout.
    pub warning: Option<String>,
    pub evidence: Evidence,
    pub tolerated: Tolerated,
    pub concentration: Option<Concentration>,
    pub tracks: Tracks,
    /// Releases that were taken back. They are started again only with `retry`.
    pub quarantine: Vec<Quarantined>,
    /// Whether all of this would survive a restart.
    pub durable: bool,
    /// Why the history cannot be written; null if it can be.
    pub history_error: Option<String>,
    /// Why no weight may rise now; null if it may.
    pub frozen: Option<String>,
    /// The operator's freeze; null without one, also in a window of the config.
    pub frozen_by: Option<FrozenBy>,
    /// The release that the config names; null if it names none.
    pub desired: Option<Desired>,
    /// The release that was stable before, for an undo.
    pub previous: Option<Previous>,
    /// When a drill last succeeded, in Unix seconds.
    pub drilled_at: Option<f64>,
}

/// A wait that only a human can end.
#[derive(Debug, Serialize)]
pub struct WaitsForHuman {
    pub reason: &'static str,
    pub text: String,
}

/// The config's release, compared with what serves.
#[derive(Debug, Serialize)]
pub struct Desired {
    pub upstream: String,
    pub version: Option<String>,
    /// Whether it is stable or on its way.
    pub effective: bool,
    /// Why serin does not start it: an action such as `undo`, or `no_history` or `same_upstream`.
    pub held_by: Option<&'static str>,
    /// Why its start waits, in words: a preflight that fails, or a freeze.
    pub waits: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Previous {
    pub upstream: String,
    pub version: Option<String>,
    /// How long it has been idle.
    pub idle_seconds: u64,
    /// `undo_window` is over, so the side may be torn down.
    pub free: bool,
}

#[derive(Debug, Serialize)]
pub struct Upstream {
    pub upstream: String,
    pub version: Option<String>,
    pub url: String,
}

/// A release, without the address of its upstream.
#[derive(Debug, Serialize)]
pub struct Side {
    pub upstream: String,
    pub version: Option<String>,
}

/// The evidence against the canary; fields are null if nothing is judged.
#[derive(Debug, Default, Serialize)]
pub struct Evidence {
    pub e_value: Option<f64>,
    pub verdict: Option<&'static str>,
    /// The evidence in words.
    pub text: Option<String>,
    pub abort_at: f64,
    /// The metric that looks worst.
    pub leading: Option<&'static str>,
    /// The bettors' wealths.
    pub components: Option<Components>,
    /// The harm bound: errors that the canary may still add, in per cent of its requests (95 % confidence).
    pub harm_could_be_percent: Option<f64>,
    pub examinations: Examinations,
}

#[derive(Debug, Serialize)]
pub struct Components {
    pub all: f64,
    pub cohorts: f64,
    pub urn: f64,
    pub newly_broken: f64,
    pub examinations: f64,
}

/// Buckets whose track is tossed by a coin, because they look broken only on the canary.
#[derive(Debug, Default, Serialize)]
pub struct Examinations {
    pub open: usize,
    /// Found to fail on stable as well.
    pub refuted: usize,
    pub went_away: usize,
    pub buckets: Vec<Examination>,
}

#[derive(Debug, Serialize)]
pub struct Examination {
    pub bucket: usize,
    pub suspected_for: &'static str,
    pub finding: &'static str,
    pub blocks: u32,
    pub e_value: f64,
}

/// Most of the canary's failures come from one bucket.
#[derive(Debug, Serialize)]
pub struct Concentration {
    /// `errors`, `late` or `rejected`.
    pub metric: &'static str,
    pub bucket: usize,
    /// All failures of this kind on the canary.
    pub of: u64,
    pub in_bucket: u64,
    /// Null if too little is known.
    pub fails_on_stable: Option<bool>,
    /// The split is over.
    pub over: bool,
    pub text: String,
    /// Only with `show_workspaces`.
    pub workspace: Option<String>,
}

/// The rollout under way, or the last one.
#[derive(Debug, Serialize)]
pub struct Rollout {
    pub attempt: u64,
    pub policy: String,
    pub steps_percent: Vec<f64>,
    pub step: usize,
    pub bake_seconds: u64,
    pub in_step_seconds: Option<u64>,
    pub next_percent: Option<f64>,
    /// In Unix seconds; null if the history does not have it any more.
    pub started_at: Option<f64>,
    /// Null while the rollout is under way.
    pub ended_at: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Quarantined {
    pub upstream: String,
    pub version: Option<String>,
    pub why: String,
    /// When it was taken back, in Unix seconds, and from which weight; null for all but the last one.
    pub at: Option<f64>,
    pub from_percent: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Tracks {
    pub stable: Totals,
    pub canary: Totals,
}

/// Counts since the split last changed; only requests that were assigned by chance.
#[derive(Debug, Serialize)]
pub struct Totals {
    pub requests: u64,
    pub errors: u64,
    pub late: u64,
    pub rejected: u64,
    /// Buckets with traffic. If there are few, each is about one workspace.
    pub active_buckets: usize,
    /// The geometric mean of the time to the first byte, in milliseconds.
    pub typical_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
pub struct Explained {
    pub bot: String,
    pub workspace: String,
    pub bucket: usize,
    /// Out of 2^64; a string, because JavaScript's numbers are not exact up to there.
    pub rank: String,
    /// The attempt whose ranks are in force; 0 for a split by hand and without a canary.
    pub attempt: u64,
    /// The least weight at which the workspace is on the canary.
    pub canary_from_percent: f64,
    pub weight_percent: f64,
    pub track: &'static str,
    pub reason: &'static str,
    pub upstream: String,
}

pub fn bot(snapshot: &Snapshot, index: usize) -> Bot {
    let (bot, epoch) = (&snapshot.config.bots[index], &snapshot.epochs[index]);
    let (split, status) = (&epoch.split, epoch.status());
    let state = &status.state;
    let [stable, canary] = epoch.ledger.totals(split).map(totals);
    Bot {
        bot: bot.name.to_string(),
        revision: epoch.revision,
        phase: state.phase.name(),
        weight_percent: split.weight().percent(),
        actual_percent: epoch.canary_buckets() as f64 / 100.0,
        max_percent: bot.max_weight.percent(),
        stable: upstream(&bot.upstreams[epoch.roles.stable], Some(&state.stable)),
        canary: epoch.tried(bot).map(|canary| upstream(&bot.upstreams[canary], state.canary.as_ref())),
        upstreams: bot.upstreams.iter().map(|one| upstream(one, None)).collect(),
        step: state.under_way().map(|rollout| rollout.step),
        rollout: rollout(&status),
        hold_reason: state.hold.as_ref().map(|hold| hold.code()),
        hold_text: state.hold.as_ref().map(ToString::to_string),
        waits_for_human: status.waits_for_human().map(|waits| WaitsForHuman { reason: waits.code(), text: waits.to_string() }),
        summary: standing::summary(&status),
        actions: controller::possible(&snapshot.config, bot, &status).into_iter().map(standing::possible).collect(),
        until: crate::summary::Until::of(&status).map(standing::until),
        since: status.landmarks.moved().map(standing::since),
        counted_since: status.counted_since,
        warning: status.warning.clone(),
        evidence: evidence(&status),
        tolerated: Tolerated::of(&status),
        concentration: status.concentration.map(|concentration| self::concentration(epoch, &concentration)),
        tracks: Tracks { stable, canary },
        quarantine: state.quarantine.iter().map(|one| quarantined(&status, one)).collect(),
        durable: status.durability.durable,
        history_error: status.durability.failing.clone(),
        frozen: status.frozen.clone(),
        frozen_by: standing::frozen_by(&status),
        desired: desired(&status),
        previous: previous(&status),
        drilled_at: status.landmarks.drilled(),
    }
}

fn desired(status: &Status) -> Option<Desired> {
    let (state, wanted) = (&status.state, status.state.last_config.release.as_ref()?);
    let elsewhere = state.desired_elsewhere().is_some();
    Some(Desired {
        upstream: wanted.upstream.to_string(),
        version: wanted.version.as_deref().map(str::to_owned),
        effective: !elsewhere,
        held_by: state.held_by.filter(|_| elsewhere).map(HeldBy::name),
        waits: status.config_waits.clone().filter(|_| elsewhere).or(status.frozen.clone().filter(|_| state.to_start().is_some())),
    })
}

fn previous(status: &Status) -> Option<Previous> {
    let (former, (idle, free)) = (status.state.previous.as_ref()?, status.previous?);
    Some(Previous {
        upstream: former.release.upstream.to_string(),
        version: former.release.version.as_deref().map(str::to_owned),
        idle_seconds: idle.as_secs(),
        free,
    })
}

pub fn side(release: &Release) -> Side {
    Side { upstream: release.upstream.to_string(), version: release.version.as_deref().map(str::to_owned) }
}

fn upstream(upstream: &crate::config::Upstream, release: Option<&Release>) -> Upstream {
    let scheme = if upstream.url.tls { "https" } else { "http" };
    let version = release.map_or(upstream.version.as_deref(), |release| release.version.as_deref());
    Upstream {
        upstream: upstream.name.to_string(),
        version: version.map(str::to_owned),
        url: format!("{scheme}://{}", upstream.url.authority),
    }
}

fn rollout(status: &Status) -> Option<Rollout> {
    let rollout = status.state.rollout.as_ref()?;
    let started = status.landmarks.of("start");
    let ends = status.landmarks.newest_of(&["promote", "abort", "undo", "withdraw", "switch", "adopt"]);
    let ended = ends.filter(|end| status.state.under_way().is_none() && started.is_none_or(|start| start.revision < end.revision));
    Some(Rollout {
        started_at: started.map(|landmark| landmark.at),
        ended_at: ended.map(|landmark| landmark.at),
        attempt: status.state.attempts,
        policy: format!("{:?}", rollout.plan.policy).to_lowercase(),
        steps_percent: rollout.plan.steps.iter().map(|step| step.weight.percent()).collect(),
        step: rollout.step,
        bake_seconds: rollout.current().bake.as_secs(),
        in_step_seconds: status.in_step.map(|in_step| in_step.as_secs()),
        next_percent: rollout.next().filter(|_| status.state.under_way().is_some()).map(|step| step.weight.percent()),
    })
}

fn quarantined(status: &Status, quarantined: &crate::core::Quarantined) -> Quarantined {
    let release = quarantined.release.to_string();
    let landmark = status.landmarks.newest_of(&["abort", "undo"]).filter(|landmark| landmark.release.as_ref() == Some(&release));
    Quarantined {
        at: landmark.map(|landmark| landmark.at),
        from_percent: landmark.map(|landmark| landmark.from.percent()),
        upstream: quarantined.release.upstream.to_string(),
        version: quarantined.release.version.as_deref().map(str::to_owned),
        why: quarantined.why.to_string(),
    }
}

fn evidence(status: &Status) -> Evidence {
    let examinations = examinations(status);
    let abort_at = status.guard.abort_at;
    let Some(Judged { judgement, verdict }) = status.judged else {
        return Evidence { abort_at, examinations, ..Evidence::default() };
    };
    let (e, wealth) = (judgement.wealth.log_e().exp(), judgement.wealth);
    let tried = status.state.canary.as_ref().or(status.state.rollout.as_ref().map(|rollout| &rollout.release));
    let against = tried.map_or("the canary".to_owned(), ToString::to_string);
    Evidence {
        e_value: Some(e).filter(|e| e.is_finite()),
        verdict: Some(verdict.name()),
        text: Some(format!("evidence against {against}: {} (abort at {abort_at})", Worth(e))),
        abort_at,
        leading: Some(judgement.leading.name()),
        components: Some(Components {
            all: wealth.all.exp(),
            cohorts: wealth.cohorts.exp(),
            urn: wealth.urn.exp(),
            newly_broken: wealth.newly_broken.exp(),
            examinations: wealth.examinations.exp(),
        }),
        harm_could_be_percent: Some(judgement.harm.0 * 100.0).filter(|harm| harm.is_finite()),
        examinations,
    }
}

fn examinations(status: &Status) -> Examinations {
    let examination = |examined: &ExaminationStatus| Examination {
        bucket: examined.bucket,
        suspected_for: examined.metric,
        finding: examined.finding.name(),
        blocks: examined.blocks,
        e_value: examined.log_wealth.exp(),
    };
    Examinations {
        open: status.examined(Finding::Open),
        refuted: status.examined(Finding::Refuted),
        went_away: status.examined(Finding::WentAway),
        buckets: status.examinations.iter().map(examination).collect(),
    }
}

fn concentration(epoch: &Epoch, concentration: &crate::live::Concentration) -> Concentration {
    let crate::live::Concentration { failing, bucket, in_bucket, of, fails_on_stable, over, .. } = *concentration;
    // The names of a split that is over are gone.
    let names = epoch.names.as_ref().filter(|_| !over);
    let bucket_of = |names: &Arc<Names>| names.failing(Bucket::try_from(bucket as u16).ok()?, failing);
    Concentration {
        metric: failing.name(),
        bucket,
        of,
        in_bucket,
        fails_on_stable,
        over,
        text: concentration.text(),
        workspace: names.and_then(bucket_of),
    }
}

fn totals(totals: TrackTotals) -> Totals {
    Totals {
        requests: totals.requests,
        errors: totals.errors,
        late: totals.late,
        rejected: totals.rejected,
        active_buckets: totals.active_buckets,
        // The sum of logarithms is stored in integers, so a mean of 0 may come out slightly negative.
        typical_ms: totals.typical_micros().map(|micros| micros.max(0.0) / 1000.0),
    }
}

/// `workspace` is `namespace:id`, or only an id, which then is in the namespace of the bot's first source.
pub fn explain(snapshot: &Snapshot, index: usize, workspace: &str) -> Explained {
    let (bot, epoch) = (&snapshot.config.bots[index], &snapshot.epochs[index]);
    let workspace = bot.extractor.workspace(workspace);
    let assignment = epoch.split.assign(&workspace);
    let bucket = epoch.split.bucket(&workspace);
    let rank = epoch.split.rank(bucket);
    let on = match (assignment.track, epoch.roles.canary) {
        (Track::Canary, Some(canary)) => canary,
        (Track::Canary, None) | (Track::Stable, _) => epoch.roles.stable,
    };
    Explained {
        bot: bot.name.to_string(),
        workspace: workspace.to_string(),
        bucket: bucket.index(),
        rank: rank.to_string(),
        attempt: epoch.split.attempt(),
        canary_from_percent: Weight::first_above(rank).percent(),
        weight_percent: epoch.split.weight().percent(),
        track: assignment.track.name(),
        reason: match assignment.reason {
            Reason::Rank if assignment.track == Track::Canary => "its rank is below the weight's threshold",
            Reason::Rank => "its rank is not below the weight's threshold",
            Reason::Examined(_) => "it is under examination: for a few seconds at a time a coin chooses its track",
            Reason::SetAside => "stable answers for it: its trouble turned out to be its own",
            Reason::Pinned => "an operator pinned it",
            Reason::Override | Reason::Unidentified | Reason::Handshake | Reason::Retry => assignment.reason.name(),
        },
        upstream: bot.upstreams[on].name.to_string(),
    }
}
