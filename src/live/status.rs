//! What the controller makes of a bot, for whoever shows it: the API, the metrics, the command line.

use std::sync::Arc;
use std::time::Duration;

use super::Concentration;
use crate::core::evidence::{Examination, Finding, Judgement};
use crate::core::{Guard, Landmarks, State, Verdict};

#[derive(Clone, Debug)]
pub struct Status {
    pub state: State,
    pub guard: Guard,
    /// `None` where there is nothing to judge.
    pub judged: Option<Judged>,
    pub examinations: Vec<Examined>,
    /// Where most of the canary's failures come from, if it is one bucket.
    pub concentration: Option<Concentration>,
    /// What an operator should know about the way of this rollout.
    pub warning: Option<String>,
    /// How long the step in force has lasted, where there is one.
    pub in_step: Option<Duration>,
    pub durability: Durability,
    /// Why nothing rises now.
    pub frozen: Option<String>,
    /// What the config's release waits for.
    pub config_waits: Option<String>,
    /// How long ago another side was stable, and whether that is so long that it is free to tear down.
    pub previous: Option<(Duration, bool)>,
    /// When what last happened.
    pub landmarks: Arc<Landmarks>,
    /// Since when the tracks are counted, in Unix seconds.
    pub counted_since: f64,
    /// By both clocks.
    pub times: Times,
}

/// The moment at which a status was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// By the controller's clock, which stands still while no serin runs.
    pub clock: Duration,
    /// In Unix seconds.
    pub unix: f64,
}

impl Times {
    /// When the controller's clock says `clock`, if serin runs on until then, in Unix seconds.
    pub fn unix_at(&self, clock: Duration) -> f64 {
        self.unix + clock.as_secs_f64() - self.clock.as_secs_f64()
    }
}

/// Whether what serves would outlive the process.
#[derive(Clone, Debug, Default)]
pub struct Durability {
    pub durable: bool,
    /// Why nothing can be written.
    pub failing: Option<String>,
}

#[derive(Clone, Copy, Debug)]
pub struct Judged {
    pub judgement: Judgement,
    pub verdict: Verdict,
}

/// A workspace's bucket under examination, or what came of it.
#[derive(Clone, Debug)]
pub struct Examined {
    pub bucket: usize,
    pub finding: Finding,
    /// What it was suspected for.
    pub metric: &'static str,
    pub blocks: u32,
    /// ln of what the coins won: above 0 the canary's fault is likelier than the customer's own.
    pub log_wealth: f64,
}

impl Status {
    /// Of a bot about which nothing else is known.
    pub fn of(state: State, guard: Guard) -> Status {
        Status {
            state,
            guard,
            judged: None,
            examinations: Vec::new(),
            concentration: None,
            warning: None,
            in_step: None,
            durability: Durability::default(),
            frozen: None,
            config_waits: None,
            previous: None,
            landmarks: Arc::default(),
            counted_since: 0.0,
            times: Times::default(),
        }
    }

    /// How many examinations came to this.
    pub fn examined(&self, finding: Finding) -> usize {
        self.examinations.iter().filter(|examined| examined.finding == finding).count()
    }
}

impl From<&Examination> for Examined {
    fn from(exam: &Examination) -> Examined {
        Examined {
            bucket: exam.bucket,
            finding: exam.finding,
            metric: exam.metric().name(),
            blocks: exam.blocks,
            log_wealth: exam.log_wealth,
        }
    }
}
