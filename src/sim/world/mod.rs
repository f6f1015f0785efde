//! The world of one run: workspaces in their buckets, and for each tick the answers that each track would have given. It is made
//! from scenario, volume and seed alone, and stores nothing of past ticks.

mod volume;
mod tenants;
mod drifts;
mod requests;
mod latency;
mod counts;

use std::time::Duration;

use crate::core::{Bucket, LatencyMarks, Pins, Salt, Split, Weight, Workspace};
use crate::sim::dice::Dice;
use crate::sim::scenario::{On, RateChange, Scenario, ScenarioEffect, Slowness, When};
use drifts::{SharedDrift, WorkspaceDrift};
use latency::{SlowMarks, UNIT_MICROS};
use requests::{Chances, Law, PairedAnswers, Slower};
use tenants::Tenant;

pub use counts::{TrackCounts, ratio};
pub use latency::Latency;
pub use volume::{Volume, WORKSPACES_MAX};

/// A workspace with requests in this tick, and the answers that they would have got on each track.
#[derive(Clone, Copy, Debug)]
pub struct ActiveWorkspace {
    /// Its place in the world's workspaces.
    pub index: usize,
    pub bucket: Bucket,
    pub answers: PairedAnswers,
}

pub struct World<'a> {
    scenario: &'a Scenario,
    latency: &'a Latency,
    tick: Duration,
    now: Duration,
    dice: Dice,
    shared_drift: SharedDrift,
    tenants: Vec<Tenant>,
    drifts: Vec<WorkspaceDrift>,
    buckets: Vec<Bucket>,
    split: Split,
    past: Vec<TrackCounts>,
    active: Vec<ActiveWorkspace>,
}

/// The effects that are active in this tick.
#[derive(Default)]
struct Acting {
    mask: u32,
    /// For each effect, the minutes for which it has lasted.
    minutes: Vec<f64>,
}

/// The most attempts to find one in which the first step has workspaces. After that many the first step may have none.
const ATTEMPTS_MAX: u64 = 20_000;
/// The greatest rate, unless a scenario sets a greater one: even a broken workspace has a request that works.
const RATE_MAX: f64 = 0.98;
const LATE_MAX: f64 = 0.5;

impl<'a> World<'a> {
    /// Makes a world. An operator wants workspaces on the canary, so attempts are tried, each with its own ranks, until the first
    /// step has an active bucket, and the buckets of the workspaces that the scenario wants there.
    pub fn new(scenario: &'a Scenario, volume: &Volume, seed: u64, tick: Duration, first: Weight, latency: &'a Latency) -> World<'a> {
        let mut dice = Dice::new(seed, &format!("{} {}", scenario.name, volume.name));
        let tenants = tenants::tenants(scenario, volume, &mut dice);
        let past = tenants.iter().map(|tenant| tenants::past(tenant, latency, &mut dice)).collect();
        let shared_drift = SharedDrift::new(&mut dice);
        let drifts = tenants.iter().map(|_| WorkspaceDrift::new(&mut dice)).collect();
        // Names are the same in every world, so that scenarios can use them; the salt moves them to other buckets.
        let salt = Salt::new(&format!("simulated {}", dice.bits()));
        let id = |index: usize| format!("T{}", index + 1);
        let buckets: Vec<Bucket> =
            (0..tenants.len()).map(|index| salt.bucket(&Workspace { namespace: "team", id: id(index).into() })).collect();
        let split = split(&salt, &buckets, scenario, first);
        World {
            scenario,
            latency,
            tick,
            now: Duration::ZERO,
            dice,
            shared_drift,
            tenants,
            drifts,
            buckets,
            split,
            past,
            active: Vec::new(),
        }
    }

    /// Makes the next tick's requests. `now` is the tick's end after that.
    pub fn advance(&mut self) -> &[ActiveWorkspace] {
        let secs = self.now.as_secs_f64();
        if self.now > Duration::ZERO && self.begins_a_minute() {
            self.shared_drift.pass_a_minute(&mut self.dice);
            self.drifts.iter_mut().for_each(|drift| drift.pass_a_minute(secs, &mut self.dice));
        }
        let acting = self.acting();
        let day = self.shared_drift.traffic(secs) * self.tick.as_secs_f64();
        self.active.clear();
        let mut slower = [Vec::new(), Vec::new()];
        for index in 0..self.tenants.len() {
            let on = self.tenants[index].effects & acting.mask;
            let usual = self.tenants[index].rps * day * self.drifts[index].now.traffic;
            let requests = self.requests(on, usual);
            if requests == [0, 0] {
                continue;
            }
            slower.iter_mut().for_each(Vec::clear);
            let chances = self.chances(index, on, &acting, secs, &mut slower);
            let law = Law { latency: self.latency, slow_from: self.scenario.slow_from(), slower: [&slower[0], &slower[1]] };
            let answers = law.answer(&mut self.dice, requests, &chances);
            self.active.push(ActiveWorkspace { index, bucket: self.buckets[index], answers });
        }
        self.now += self.tick;
        &self.active
    }

    /// The time since the rollout began.
    pub fn now(&self) -> Duration {
        self.now
    }

    pub fn active(&self) -> &[ActiveWorkspace] {
        &self.active
    }

    pub fn tenants(&self) -> &[Tenant] {
        &self.tenants
    }

    /// The split with this world's attempt. Each reader sets its own weight.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// The buckets of all workspaces, the largest workspace first; several may share a bucket.
    pub fn buckets(&self) -> &[Bucket] {
        &self.buckets
    }

    /// What each workspace had on stable in the day before.
    pub fn past(&self) -> impl Iterator<Item = (Bucket, &TrackCounts)> {
        self.buckets.iter().copied().zip(&self.past)
    }

    pub fn marks(&self) -> LatencyMarks {
        let micros = |z: f64| (UNIT_MICROS * z.exp()) as u64;
        let SlowMarks { p90, p99_5, .. } = self.latency.marks;
        LatencyMarks { slow_micros: micros(p90), very_slow_micros: micros(p99_5) }
    }

    fn begins_a_minute(&self) -> bool {
        let minutes = |at: Duration| at.as_secs() / 60;
        minutes(self.now) != minutes(self.now.saturating_sub(self.tick))
    }

    fn acting(&self) -> Acting {
        let mut acting = Acting::default();
        for (i, effect) in self.scenario.effects.iter().enumerate() {
            // Chronic effects are already in the workspaces' usual rates.
            let lasting = if effect.when == When::Chronic { None } else { effect.when.lasting(self.now) };
            acting.mask |= u32::from(lasting.is_some()) << i;
            acting.minutes.push(lasting.unwrap_or(0.0));
        }
        acting
    }

    /// The numbers of requests that each track would have had.
    fn requests(&mut self, on: u32, usual: f64) -> [u32; 2] {
        let mut factors = [1.0, 1.0];
        for effect in effects(&self.scenario.effects, on) {
            let factor = 1.0 + effect.events * (effect.changes.traffic.unwrap_or(1.0) - 1.0);
            apply(&mut factors, effect.on, |all| all * factor);
        }
        let least = factors[0].min(factors[1]);
        let common = self.dice.poisson(usual * least);
        factors.map(|factor| if factor == least { common } else { common + self.dice.poisson(usual * (factor - least)) })
    }

    /// The probabilities for a workspace's requests now. Changes of latencies by the scenario are added to `slower`.
    fn chances(&self, index: usize, on: u32, acting: &Acting, secs: f64, slower: &mut [Vec<Slower>; 2]) -> Chances {
        let (tenant, drift) = (&self.tenants[index], &self.drifts[index]);
        let [broken, expired] = drift.least(secs);
        let shared = self.shared_drift.error();
        let error = (tenant.error * shared * drift.now.error).max(broken).min(RATE_MAX);
        let rejected = (tenant.rejected * drift.now.rejected).max(expired).min(RATE_MAX);
        let late = (tenant.late * shared * drift.now.error).min(LATE_MAX);
        let shift = tenant.shift + self.shared_drift.latency() + drift.now.latency;
        let mut chances = Chances { error: [error; 2], rejected: [rejected; 2], late: [late; 2], shift };
        for (i, effect) in self.scenario.effects.iter().enumerate().filter(|(i, _)| on & (1 << i) != 0) {
            let changes = effect.changes;
            for (rates, change) in
                [(&mut chances.error, changes.error), (&mut chances.rejected, changes.rejected), (&mut chances.late, changes.late)]
            {
                if let Some(change) = change {
                    apply(rates, effect.on, |rate| changed(rate, change, effect.events));
                }
            }
            if let Some(slowness) = changes.latency {
                let one = self.slower(slowness, effect.events, acting.minutes[i]);
                apply_each(slower, effect.on, |list| list.push(one));
            }
        }
        chances
    }

    fn slower(&self, slowness: Slowness, events: f64, minutes: f64) -> Slower {
        let from = if slowness.slowest < 1.0 { self.latency.slowest(slowness.slowest) } else { f64::NEG_INFINITY };
        let shift = slowness.factor.ln() + slowness.factor_per_min.ln() * minutes;
        Slower { shift, added_micros: slowness.added.as_secs_f64() * 1e6, from, events }
    }
}

fn effects(all: &[ScenarioEffect], on: u32) -> impl Iterator<Item = &ScenarioEffect> {
    all.iter().enumerate().filter(move |(i, _)| on & (1 << i) != 0).map(|(_, effect)| effect)
}

fn changed(rate: f64, change: RateChange, events: f64) -> f64 {
    rate + events * (change.apply(rate) - rate)
}

fn apply(of_tracks: &mut [f64; 2], on: On, f: impl Fn(f64) -> f64) {
    apply_each(of_tracks, on, |value| *value = f(*value));
}

fn apply_each<T>([stable, canary]: &mut [T; 2], on: On, mut f: impl FnMut(&mut T)) {
    match on {
        On::Stable => f(stable),
        On::Canary => f(canary),
        On::Both => {
            f(stable);
            f(canary);
        }
    }
}

fn split(salt: &Salt, buckets: &[Bucket], scenario: &Scenario, first: Weight) -> Split {
    let wanted: Vec<Bucket> = match &scenario.first_step {
        Some(ranks) => ranks.clone().filter_map(|rank| buckets.get(rank as usize - 1).copied()).collect(),
        None => Vec::new(),
    };
    let attempt = |attempt| Split::new(salt.clone(), "simulated", attempt, first, Pins::default());
    let fits = |split: &Split| {
        let is_in = |bucket: &Bucket| u128::from(split.rank(*bucket)) < first.threshold();
        wanted.iter().all(is_in) && buckets.iter().any(is_in)
    };
    (1..ATTEMPTS_MAX).map(attempt).find(fits).unwrap_or_else(|| attempt(1))
}

#[cfg(test)]
mod tests;
