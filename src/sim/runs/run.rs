//! One run: several rules go through one world, each with its own weights, until all have ended.

use std::time::Duration;

use crate::core::{Plan, Track, Weight};
use crate::sim::rules::{Judge, RAMP, RAMP_STEP, Rule, Ruling, SerinSettings, TickResults};
use crate::sim::scenario::Scenario;
use crate::sim::world::{Latency, TrackCounts, Volume, World};

/// Everything that decides a run, besides its seed.
pub struct RunSetting<'a> {
    pub scenario: &'a Scenario,
    pub volume: &'a Volume,
    pub judges: &'a [Judge],
    pub settings: &'a SerinSettings,
    pub tick: Duration,
    pub latency: &'a Latency,
}

/// The result of a rollout under one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// The time of the rollback, since the rollout began.
    pub rolled_back: Option<Duration>,
    pub promoted: Option<Duration>,
    /// The requests that the canary made bad, minus those that only stable answered badly.
    pub made_bad: i64,
    /// Workspaces with at least one request that the canary made bad.
    pub bad_workspaces: u32,
    pub weight: Weight,
    /// Why the rollout was held, if it was neither rolled back nor promoted.
    pub hold: Option<&'static str>,
}

/// The state at one moment of a run.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Duration,
    pub weight: Weight,
    pub log10_evidence: Option<f64>,
    pub stable: TrackCounts,
    pub canary: TrackCounts,
}

/// A promoted release does harm for this long, until a person notices.
const UNNOTICED: Duration = Duration::from_secs(30 * 60);
/// A rollout counts as held if it has not ended this long after it could have.
const SPARE: Duration = Duration::from_secs(60 * 60);
/// The longest simulated time, whatever the plan.
const LONGEST: Duration = Duration::from_secs(14 * 24 * 3_600);

/// Returns the records in the order of the setting's judges. Calls `watch` for each tick of each judge, with the judge's index.
pub fn run(setting: &RunSetting<'_>, seed: u64, mut watch: impl FnMut(usize, Moment)) -> Vec<Record> {
    let first = setting.settings.plan.steps.first().map_or(Weight::FULL, |step| step.weight);
    let mut world = World::new(setting.scenario, setting.volume, seed, setting.tick, first, setting.latency);
    let mut rollouts: Vec<RuleRollout> =
        setting.judges.iter().map(|judge| RuleRollout::new(judge.begin(&world, setting.settings, seed), &world)).collect();
    let longest = longest(&setting.settings.plan);
    while world.now() < longest && rollouts.iter().any(|rollout| !rollout.over) {
        world.advance();
        for (place, rollout) in rollouts.iter_mut().enumerate().filter(|(_, rollout)| !rollout.over) {
            watch(place, rollout.pass(&world));
        }
    }
    rollouts.into_iter().map(RuleRollout::end).collect()
}

/// Enough time for every step to reach its deadline, and some to spare; at least as long as the other rules need.
fn longest(plan: &Plan) -> Duration {
    let to_raise = plan.steps.iter().filter(|step| step.weight < Weight::FULL);
    let steps: Duration = to_raise.map(|step| step.bake.max(plan.deadline)).sum();
    (steps.max(RAMP_STEP * RAMP.len() as u32) + SPARE).min(LONGEST)
}

/// One rule's rollout under way.
struct RuleRollout {
    rule: Box<dyn Rule>,
    over: bool,
    record: Record,
    /// By workspace: its bucket's rank, and whether the canary made one of its requests bad.
    ranks: Vec<u64>,
    bad: Vec<bool>,
    tracks: Vec<Track>,
}

impl RuleRollout {
    fn new(rule: Box<dyn Rule>, world: &World<'_>) -> RuleRollout {
        let ranks: Vec<u64> = world.buckets().iter().map(|bucket| world.split().rank(*bucket)).collect();
        let record = Record { rolled_back: None, promoted: None, made_bad: 0, bad_workspaces: 0, weight: Weight::ZERO, hold: None };
        RuleRollout { rule, over: false, record, bad: vec![false; ranks.len()], ranks, tracks: Vec::new() }
    }

    /// Applies the tick that has ended to this rollout.
    fn pass(&mut self, world: &World<'_>) -> Moment {
        let promoted = self.record.promoted.is_some();
        let weight = if promoted { Weight::FULL } else { self.rule.weight() };
        let mut results = TickResults {
            now: world.now(),
            stable: TrackCounts::default(),
            canary: TrackCounts::default(),
            active: world.active(),
            tracks: &[],
            log_ratio: 0.0,
        };
        self.tracks.clear();
        for workspace in world.active() {
            let by_rank = u128::from(self.ranks[workspace.index]) < weight.threshold();
            self.tracks.push(if by_rank { Track::Canary } else { Track::Stable });
            if !by_rank || (!promoted && self.rule.is_set_aside(workspace.bucket)) {
                results.stable += workspace.answers.stable;
                continue;
            }
            results.canary += workspace.answers.canary;
            results.log_ratio += workspace.answers.log_ratio;
            self.record.made_bad += i64::from(workspace.answers.made_bad);
            if workspace.answers.made_bad > 0 && !self.bad[workspace.index] {
                self.bad[workspace.index] = true;
                self.record.bad_workspaces += 1;
            }
        }
        results.tracks = &self.tracks;
        self.record.weight = weight;
        // After the promotion there is no stable to compare with.
        let next = if promoted { Ruling::GoOn } else { self.rule.judge(&results) };
        let log10_evidence = self.rule.log10_evidence().filter(|_| !promoted);
        let moment = Moment { now: results.now, weight, log10_evidence, stable: results.stable, canary: results.canary };
        self.follow(next, moment.now);
        self.over |= self.record.promoted.is_some_and(|promoted| moment.now >= promoted + UNNOTICED);
        moment
    }

    fn end(self) -> Record {
        let ended = self.record.rolled_back.is_some() || self.record.promoted.is_some();
        let hold = if ended { None } else { self.rule.hold() };
        Record { hold, ..self.record }
    }

    fn follow(&mut self, next: Ruling, now: Duration) {
        match next {
            Ruling::GoOn => {}
            Ruling::RolledBack => {
                self.record.rolled_back = Some(now);
                self.over = true;
            }
            Ruling::Promoted => self.record.promoted = Some(now),
        }
    }
}

#[cfg(test)]
mod tests;
