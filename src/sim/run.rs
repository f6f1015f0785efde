//! One run: several rules led through one world, each with its own weights, until each has come to its end.

use std::time::Duration;

use super::counts::Counts;
use super::incumbents::{Argo, CodeDeploy, Flagger, Oracle};
use super::kayenta::Kayenta;
use super::latency::Latency;
use super::ours::{Serin, Settings};
use super::rule::{Next, Rule, Seen};
use super::scenario::Scenario;
use super::volume::Volume;
use super::world::World;
use crate::core::{Track, Weight};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Judge {
    Serin,
    Argo,
    Flagger,
    CodeDeploy,
    Kayenta,
    Oracle,
}

/// What a run is made of, besides its seed.
pub struct Setting<'a> {
    pub scenario: &'a Scenario,
    pub volume: &'a Volume,
    pub judges: &'a [Judge],
    pub settings: &'a Settings,
    pub tick: Duration,
    pub latency: &'a Latency,
}

/// What became of a rollout under one rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When, since the rollout began.
    pub rolled_back: Option<Duration>,
    pub promoted: Option<Duration>,
    /// By the canary, less what it mended.
    pub made_bad: i64,
    /// Workspaces with at least one such request.
    pub bad_workspaces: u32,
    pub weight: Weight,
    /// Why it was held, if it neither was rolled back nor promoted.
    pub hold: Option<&'static str>,
}

/// What was to be seen at one moment of a run.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: Duration,
    pub weight: Weight,
    pub log10_evidence: Option<f64>,
    pub stable: Counts,
    pub canary: Counts,
}

/// A release that was let through does harm for this long, until somebody notices.
const UNNOTICED: Duration = Duration::from_secs(30 * 60);
/// What has not come to an end by then is held.
const LONGEST: Duration = Duration::from_secs(150 * 60);

impl Judge {
    pub const ALL: [Judge; 6] = [Judge::Serin, Judge::Argo, Judge::Flagger, Judge::CodeDeploy, Judge::Kayenta, Judge::Oracle];

    pub fn name(self) -> &'static str {
        match self {
            Judge::Serin => "serin",
            Judge::Argo => "argo",
            Judge::Flagger => "flagger",
            Judge::CodeDeploy => "codedeploy",
            Judge::Kayenta => "kayenta",
            Judge::Oracle => "oracle",
        }
    }

    fn begin(self, world: &World<'_>, settings: &Settings, seed: u64) -> Box<dyn Rule> {
        match self {
            Judge::Serin => Box::new(Serin::new(world, settings.clone(), seed)),
            Judge::Argo => Box::new(Argo::default()),
            Judge::Flagger => Box::new(Flagger::default()),
            Judge::CodeDeploy => Box::new(CodeDeploy::default()),
            Judge::Kayenta => Box::new(Kayenta::default()),
            Judge::Oracle => Box::new(Oracle::default()),
        }
    }
}

/// The records, in the order of the setting's judges. `watch` is told each tick of each of them, by its place.
pub fn run(setting: &Setting<'_>, seed: u64, mut watch: impl FnMut(usize, Moment)) -> Vec<Record> {
    let first = setting.settings.plan.steps.first().map_or(Weight::FULL, |step| step.weight);
    let mut world = World::new(setting.scenario, setting.volume, seed, setting.tick, first, setting.latency);
    let mut rollouts: Vec<Rollout> =
        setting.judges.iter().map(|judge| Rollout::new(judge.begin(&world, setting.settings, seed), &world)).collect();
    while world.now() < LONGEST && rollouts.iter().any(|rollout| !rollout.over) {
        world.advance();
        for (place, rollout) in rollouts.iter_mut().enumerate().filter(|(_, rollout)| !rollout.over) {
            watch(place, rollout.pass(&world));
        }
    }
    rollouts.into_iter().map(Rollout::end).collect()
}

/// One rule's rollout under way.
struct Rollout {
    rule: Box<dyn Rule>,
    over: bool,
    record: Record,
    /// By workspace: where its bucket stands in line, and whether a request of it was made bad.
    ranks: Vec<u64>,
    bad: Vec<bool>,
    tracks: Vec<Track>,
}

impl Rollout {
    fn new(rule: Box<dyn Rule>, world: &World<'_>) -> Rollout {
        let ranks: Vec<u64> = world.buckets().iter().map(|bucket| world.split().rank(*bucket)).collect();
        let record = Record { rolled_back: None, promoted: None, made_bad: 0, bad_workspaces: 0, weight: Weight::ZERO, hold: None };
        Rollout { rule, over: false, record, bad: vec![false; ranks.len()], ranks, tracks: Vec::new() }
    }

    /// Lets the tick that is over happen to this rollout.
    fn pass(&mut self, world: &World<'_>) -> Moment {
        let promoted = self.record.promoted.is_some();
        let weight = if promoted { Weight::FULL } else { self.rule.weight() };
        let mut seen = Seen {
            now: world.now(),
            stable: Counts::default(),
            canary: Counts::default(),
            cells: world.cells(),
            tracks: &[],
            log_ratio: 0.0,
        };
        self.tracks.clear();
        for cell in world.cells() {
            let by_rank = u128::from(self.ranks[cell.workspace]) < weight.threshold();
            self.tracks.push(if by_rank { Track::Canary } else { Track::Stable });
            if !by_rank || (!promoted && self.rule.is_set_aside(cell.bucket)) {
                seen.stable += cell.answers.stable;
                continue;
            }
            seen.canary += cell.answers.canary;
            seen.log_ratio += cell.answers.log_ratio;
            self.record.made_bad += i64::from(cell.answers.made_bad);
            if cell.answers.made_bad > 0 && !self.bad[cell.workspace] {
                self.bad[cell.workspace] = true;
                self.record.bad_workspaces += 1;
            }
        }
        seen.tracks = &self.tracks;
        self.record.weight = weight;
        // Nobody judges a release that everybody has.
        let next = if promoted { Next::GoOn } else { self.rule.judge(&seen) };
        let log10_evidence = self.rule.log10_evidence().filter(|_| !promoted);
        let moment = Moment { now: seen.now, weight, log10_evidence, stable: seen.stable, canary: seen.canary };
        self.follow(next, moment.now);
        self.over |= self.record.promoted.is_some_and(|promoted| moment.now >= promoted + UNNOTICED);
        moment
    }

    fn end(self) -> Record {
        let ended = self.record.rolled_back.is_some() || self.record.promoted.is_some();
        let hold = if ended { None } else { self.rule.hold() };
        Record { hold, ..self.record }
    }

    fn follow(&mut self, next: Next, now: Duration) {
        match next {
            Next::GoOn => {}
            Next::RolledBack => {
                self.record.rolled_back = Some(now);
                self.over = true;
            }
            Next::Promoted => self.record.promoted = Some(now),
        }
    }
}

#[cfg(test)]
mod tests;
