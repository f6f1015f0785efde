//! The workspaces of a world: how large each is, what is usual for it, and its past day.

use super::counts::TrackCounts;
use super::latency::{Latency, WORKSPACE_SIGMA};
use super::volume::Volume;
use crate::sim::dice::Dice;
use crate::sim::scenario::{AffectedWorkspaces, Scenario, ScenarioEffect, When};

/// One workspace on an ordinary day.
#[derive(Clone, Debug)]
pub struct Tenant {
    /// Requests a second.
    pub rps: f64,
    /// Probabilities.
    pub error: f64,
    pub rejected: f64,
    pub late: f64,
    /// How far its latencies are above the average, in z.
    pub shift: f64,
    /// Bit i: the scenario's effect i applies to the workspace.
    pub effects: u32,
}

/// Sizes follow Zipf's law with exponent 1, with this much noise on the logarithm.
const SIZE_SIGMA: f64 = 0.3;
/// The means of the rates of errors, rejections and late answers, which are log-normal. A factor e^-0.5 in the rate keeps the mean.
const ERROR: f64 = 0.0028;
const REJECTED: f64 = 0.02;
const LATE: f64 = 0.0005;
/// Some workspaces are always worse than others, but not the largest: a share, the range of its rates, and the largest to leave out.
const NOISY: (f64, [f64; 2], u32) = (0.02, [0.03, 0.2], 10);
const OFTEN_REJECTED: (f64, [f64; 2], u32) = (0.04, [0.1, 0.6], 5);
const OFTEN_LATE: (f64, [f64; 2], u32) = (0.02, [0.002, 0.02], 0);

const DAY_SECS: f64 = 86_400.0;
/// The deviation of yesterday's rates from today's, on the logarithm.
const PAST_SIGMA: f64 = 0.2;
/// This share of the workspaces had an incident yesterday, which added this much to their rate of errors.
const PAST_INCIDENT: (f64, f64) = (0.1, 0.003);
/// The variance of a request's z within a workspace; and the deviation of the day's own mean.
const Z_VARIANCE: f64 = 0.75;
const PAST_Z_SIGMA: f64 = 0.02;

/// The workspaces, from the largest to the smallest. The workspace at index i is called `T{i+1}`.
pub fn tenants(scenario: &Scenario, volume: &Volume, dice: &mut Dice) -> Vec<Tenant> {
    let mut sizes: Vec<f64> = (1..=volume.workspaces).map(|rank| dice.log_normal(0.0, SIZE_SIGMA) / f64::from(rank)).collect();
    sizes.sort_by(|a, b| b.total_cmp(a));
    let all: f64 = sizes.iter().sum();
    let tenant = |(index, size): (usize, f64)| {
        let rank = index as u32 + 1;
        Tenant {
            rps: volume.rps * size / all,
            error: rate(ERROR, NOISY, rank, dice),
            rejected: rate(REJECTED, OFTEN_REJECTED, rank, dice).min(0.6),
            late: rate(LATE, OFTEN_LATE, rank, dice),
            shift: dice.normal(WORKSPACE_SIGMA),
            effects: 0,
        }
    };
    let mut tenants: Vec<Tenant> = sizes.into_iter().enumerate().map(tenant).collect();
    for (i, effect) in scenario.effects.iter().enumerate() {
        concern(&mut tenants, 1 << i, &effect.affected, dice);
        if effect.when == When::Chronic {
            tenants.iter_mut().filter(|tenant| tenant.effects & (1 << i) != 0).for_each(|tenant| make_usual(tenant, effect));
        }
    }
    tenants
}

fn rate(usual: f64, (often, [low, high], spared): (f64, [f64; 2], u32), rank: u32, dice: &mut Dice) -> f64 {
    let rate = usual * dice.log_normal(-0.5, 1.0);
    if dice.chance(often) && rank > spared { dice.between(low, high) } else { rate }
}

fn concern(tenants: &mut [Tenant], bit: u32, affected: &AffectedWorkspaces, dice: &mut Dice) {
    let count = tenants.len();
    let mut any = false;
    for (index, tenant) in tenants.iter_mut().enumerate() {
        let rank = index as u32 + 1;
        let meant = match affected {
            AffectedWorkspaces::All => true,
            AffectedWorkspaces::Share(share) => dice.chance(*share),
            AffectedWorkspaces::Ranks(ranks) => ranks.contains(&rank),
            AffectedWorkspaces::Named(names) => names.iter().any(|name| *name == format!("T{rank}")),
        };
        if meant {
            tenant.effects |= bit;
            any = true;
        }
    }
    if !any && matches!(affected, AffectedWorkspaces::Share(_)) {
        let index = dice.between(5.0_f64.min(count as f64 - 1.0), count as f64) as usize;
        tenants[index.min(count - 1)].effects |= bit;
    }
}

fn make_usual(tenant: &mut Tenant, effect: &ScenarioEffect) {
    let changes = effect.changes;
    for (rate, change) in [(&mut tenant.error, changes.error), (&mut tenant.rejected, changes.rejected), (&mut tenant.late, changes.late)] {
        if let Some(change) = change {
            *rate += effect.events * (change.apply(*rate) - *rate);
        }
    }
    tenant.rps *= changes.traffic.unwrap_or(1.0);
    tenant.shift += changes.latency.map_or(0.0, |slowness| slowness.factor.ln());
}

/// What a proxy would have counted for this workspace on stable in the day before.
pub fn past(tenant: &Tenant, latency: &Latency, dice: &mut Dice) -> TrackCounts {
    let requests = tenant.rps * DAY_SECS;
    let misjudged = dice.log_normal(0.0, PAST_SIGMA);
    let incident = if dice.chance(PAST_INCIDENT.0) { PAST_INCIDENT.1 } else { 0.0 };
    let count = dice.poisson(requests);
    let mut happened = |rate: f64| dice.poisson(requests * rate.min(1.0)).min(count);
    let errors = happened(tenant.error * misjudged + incident);
    let late = happened(tenant.late * misjudged);
    let [above_p90, above_p99, above_p99_5] =
        [latency.marks.p90, latency.marks.p99, latency.marks.p99_5].map(|mark| happened(latency.above(mark - tenant.shift)));
    let rejected_rate = tenant.rejected * dice.log_normal(0.0, PAST_SIGMA);
    let rejected = dice.poisson(requests * rejected_rate.min(1.0)).min(count);
    let mean = latency.mean() + tenant.shift + dice.normal((Z_VARIANCE / requests.max(1.0) + PAST_Z_SIGMA.powi(2)).sqrt());
    TrackCounts {
        requests: count,
        errors,
        late: late.min(count - errors),
        rejected: rejected.min(count - errors),
        above_p90,
        above_p99,
        above_p99_5,
        above_half_second: 0,
        log_latency: mean * f64::from(count),
    }
}

#[cfg(test)]
mod tests;
