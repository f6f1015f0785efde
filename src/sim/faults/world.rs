//! The hidden truth: workspaces, releases that are good or bad, and what happens to both tracks alike. It answers each
//! request; nobody who decides may look into it.

use std::time::Duration;

use crate::core::evidence::History;
use crate::core::{Bucket, LatencyMarks, Outcome, Release, Salt, Sample, Split, Tally, Track, Workspace};
use crate::sim::dice::Dice;

/// Few enough for sets of them to be one word.
pub const WORKSPACES: usize = 48;

/// What a release is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Good,
    Errors,
    Rejects,
    Late,
    /// Takes hardly any connection.
    Refuses,
    /// Good until then, by the machine's clock; full of errors from then on.
    BadFrom(Duration),
}

/// How one request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No connection: stable answered, which is no evidence.
    Refused,
    Answered(Outcome),
}

pub struct World {
    salt: Salt,
    names: Vec<String>,
    buckets: Vec<Bucket>,
    releases: Vec<(Release, Truth)>,
    /// Whose requests fail, whoever answers them.
    pub broken_customer: Option<usize>,
    /// Both tracks fail.
    pub outage: bool,
    /// The canary restarts: it takes no connections for now.
    pub restarting: bool,
    pub requests_per_second: u64,
}

impl World {
    pub fn new(dice: &mut Dice) -> World {
        let salt = Salt::new("serin");
        let names: Vec<String> = (0..WORKSPACES).map(|number| format!("T{number}-{}", dice.below(1_000_000))).collect();
        let buckets = names.iter().map(|name| salt.bucket(&workspace(name))).collect();
        let stable = Release { upstream: "blue".into(), version: Some("v0".into()) };
        World {
            salt,
            names,
            buckets,
            releases: vec![(stable, Truth::Good)],
            broken_customer: dice.one_in(4).then(|| dice.below(WORKSPACES as u64) as usize),
            outage: false,
            restarting: false,
            requests_per_second: dice.pick(&[0, 1, 8, 8, 16, 16]),
        }
    }

    pub fn first_stable(&self) -> Release {
        self.releases[0].0.clone()
    }

    /// A new version on this upstream.
    pub fn release(&mut self, upstream: &str, truth: Truth) -> Release {
        let version = format!("v{}", self.releases.len());
        let release = Release { upstream: upstream.into(), version: Some(version.into()) };
        self.releases.push((release.clone(), truth));
        release
    }

    /// One that was there before, on another upstream than this release's.
    pub fn old_release(&self, dice: &mut Dice, stable: &Release) -> Option<Release> {
        let (release, _) = &self.releases[dice.below(self.releases.len() as u64) as usize];
        (release.upstream != stable.upstream).then(|| release.clone())
    }

    pub fn truth(&self, release: &Release) -> Truth {
        self.releases.iter().find(|(known, _)| known == release).map_or(Truth::Good, |(_, truth)| *truth)
    }

    /// Faults are over: who has not turned bad yet never will.
    pub fn settle(&mut self, mono: Duration) {
        for (_, truth) in &mut self.releases {
            if let Truth::BadFrom(then) = *truth {
                *truth = if mono >= then { Truth::Errors } else { Truth::Good };
            }
        }
    }

    pub fn bucket(&self, workspace: usize) -> Bucket {
        self.buckets[workspace]
    }

    pub fn name(&self, workspace: usize) -> &str {
        &self.names[workspace]
    }

    pub fn salt(&self) -> Salt {
        self.salt.clone()
    }

    /// The workspaces for which something holds under this split.
    pub fn set(&self, of: impl Fn(&Workspace<'_>, Bucket) -> bool) -> u64 {
        let holds = |(name, bucket): (&String, &Bucket)| of(&workspace(name), *bucket);
        self.names.iter().zip(&self.buckets).enumerate().filter(|(_, one)| holds(*one)).fold(0, |set, (i, _)| set | 1 << i)
    }

    pub fn answer(&self, dice: &mut Dice, truth: Truth, on_canary: bool, workspace: usize, mono: Duration) -> Answer {
        let bad = |turned| if turned { 0.4 } else { 0.01 };
        let (refused, errors, rejected, late) = match truth {
            _ if self.outage => (0.5, 0.7, 0.0, 0.1),
            _ if self.restarting && on_canary => (1.0, 0.0, 0.0, 0.0),
            Truth::Good => (0.0, 0.01, 0.02, 0.0),
            Truth::Errors => (0.0, 0.4, 0.02, 0.0),
            Truth::Rejects => (0.0, 0.01, 0.6, 0.0),
            Truth::Late => (0.0, 0.01, 0.02, 0.5),
            Truth::Refuses => (0.9, 0.01, 0.02, 0.0),
            Truth::BadFrom(then) => (0.0, bad(mono >= then), 0.02, 0.0),
        };
        if dice.chance(refused) {
            Answer::Refused
        } else if dice.chance(errors) || self.broken_customer == Some(workspace) {
            Answer::Answered(Outcome::Error)
        } else if dice.chance(late) {
            Answer::Answered(Outcome::Late)
        } else {
            Answer::Answered(if dice.chance(rejected) { Outcome::Rejected } else { Outcome::Ok })
        }
    }

    /// What stable was like before the story begins.
    pub fn history(&self, dice: &mut Dice) -> History {
        let mut history = History::default();
        for (workspace, bucket) in self.buckets.iter().enumerate() {
            for _ in 0..200 {
                if let Answer::Answered(outcome) = self.answer(dice, Truth::Good, false, workspace, Duration::ZERO) {
                    history.learn(*bucket, &tally(outcome));
                }
            }
        }
        history
    }
}

pub fn workspace(name: &str) -> Workspace<'_> {
    Workspace { namespace: "team", id: name.into() }
}

pub fn tally(outcome: Outcome) -> Tally {
    Tally::of(Sample { outcome, latency_micros: None }, LatencyMarks::NONE)
}

/// Who is canary by rank, and whom the canary answers.
pub fn sets(world: &World, split: &Split) -> [u64; 2] {
    let labels = world.set(|_, bucket| split.track(bucket) == Track::Canary);
    [labels, world.set(|workspace, _| split.assign(workspace).track == Track::Canary)]
}
