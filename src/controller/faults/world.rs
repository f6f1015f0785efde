//! The hidden truth: workspaces, releases that are good or bad, and what happens to both tracks alike. It answers each
//! request; nobody who decides may look into it.

use std::collections::HashMap;
use std::time::Duration;

use crate::core::{Bucket, Outcome, Release, Salt, Split, Track, Workspace};
use crate::sim::dice::Dice;

/// Of each bot; few enough for sets of them to be one word.
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
    /// No connection.
    Refused,
    Answered(Outcome),
}

pub struct World {
    salt: Salt,
    seed: u64,
    /// The buckets of each bot's workspaces.
    buckets: HashMap<String, Vec<Bucket>>,
    truths: HashMap<Release, Truth>,
    /// Versions that there are.
    pub versions: Vec<String>,
    /// Whose requests fail, whoever answers them.
    pub broken_customer: Option<usize>,
    /// Both tracks fail.
    pub outage: bool,
    /// There was one: what a bot learnt in it as usual hides what a bad release does.
    pub had_outage: bool,
    /// The canary restarts: it takes no connections for now.
    pub restarting: bool,
    pub requests_per_second: u64,
}

impl World {
    pub fn new(dice: &mut Dice) -> World {
        let mut world = World {
            salt: Salt::new("serin"),
            seed: dice.below(1_000_000),
            buckets: HashMap::new(),
            truths: HashMap::new(),
            versions: vec!["v0".to_owned()],
            broken_customer: dice.one_in(4).then(|| dice.below(WORKSPACES as u64) as usize),
            outage: false,
            had_outage: false,
            restarting: false,
            requests_per_second: dice.pick(&[0, 1, 8, 8, 16, 16]),
        };
        for bot in ["a", "b", "c"] {
            let buckets = (0..WORKSPACES).map(|number| world.salt.bucket(&workspace(&world.name(bot, number)))).collect();
            world.buckets.insert(bot.to_owned(), buckets);
        }
        world
    }

    /// A workspace's name.
    pub fn name(&self, bot: &str, number: usize) -> String {
        format!("{bot}{number}-{}", self.seed)
    }

    /// The workspaces of a bot for which something holds.
    pub fn set(&self, bot: &str, of: impl Fn(Bucket) -> bool) -> u64 {
        self.buckets[bot].iter().enumerate().filter(|(_, bucket)| of(**bucket)).fold(0, |set, (number, _)| set | 1 << number)
    }

    /// The workspaces whom the canary answers, pinned ones included.
    pub fn on_canary(&self, bot: &str, split: &Split) -> u64 {
        (0..WORKSPACES)
            .filter(|number| split.assign(&workspace(&self.name(bot, *number))).track == Track::Canary)
            .fold(0, |set, number| set | 1 << number)
    }

    /// A new version.
    pub fn version(&mut self) -> String {
        self.versions.push(format!("v{}", self.versions.len()));
        self.versions[self.versions.len() - 1].clone()
    }

    /// What a release is like is drawn when it is first asked for; without a label it is good.
    pub fn truth(&mut self, dice: &mut Dice, release: &Release, now: Duration) -> Truth {
        if release.version.is_none() || release.version.as_deref() == Some("v0") {
            return Truth::Good;
        }
        *self.truths.entry(release.clone()).or_insert_with(|| {
            let bad =
                [Truth::Errors, Truth::Rejects, Truth::Late, Truth::Refuses, Truth::BadFrom(now + Duration::from_secs(dice.below(400)))];
            if dice.one_in(2) { Truth::Good } else { dice.pick(&bad) }
        })
    }

    pub fn is(&mut self, release: Release, truth: Truth) {
        self.truths.insert(release, truth);
    }

    /// Faults are over: who has not turned bad yet never will.
    pub fn settle(&mut self, now: Duration) {
        for truth in self.truths.values_mut() {
            if let Truth::BadFrom(then) = *truth {
                *truth = if now >= then { Truth::Errors } else { Truth::Good };
            }
        }
    }

    pub fn answer(&self, dice: &mut Dice, truth: Truth, on_canary: bool, workspace: usize, now: Duration) -> Answer {
        let (refused, errors, rejected, late) = match truth {
            _ if self.outage => (0.5, 0.7, 0.0, 0.1),
            _ if self.restarting && on_canary => (1.0, 0.0, 0.0, 0.0),
            Truth::Good => (0.0, 0.01, 0.02, 0.0),
            Truth::Errors => (0.0, 0.4, 0.02, 0.0),
            Truth::Rejects => (0.0, 0.01, 0.6, 0.0),
            Truth::Late => (0.0, 0.01, 0.02, 0.5),
            Truth::Refuses => (0.9, 0.01, 0.02, 0.0),
            Truth::BadFrom(then) => (0.0, if now >= then { 0.4 } else { 0.01 }, 0.02, 0.0),
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
}

pub fn workspace(name: &str) -> Workspace<'_> {
    Workspace { namespace: "workspace", id: name.into() }
}
