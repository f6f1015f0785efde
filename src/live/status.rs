//! What the controller reports about a bot, for the API, the metrics and the command line.

use std::sync::Arc;
use std::time::Duration;

use super::Concentration;
use crate::core::evidence::{Examination, Finding, Judgement};
use crate::core::{Guard, Landmarks, State, Verdict, Waits};

#[derive(Clone, Debug)]
pub struct Status {
    pub state: State,
    pub guard: Guard,
    /// `None` if nothing is judged.
    pub judged: Option<Judged>,
    pub examinations: Vec<ExaminationStatus>,
    /// Where most of the canary's failures come from, if it is one bucket.
    pub concentration: Option<Concentration>,
    /// A warning about the current rollout.
    pub warning: Option<String>,
    /// How long the current step has lasted, if there is one.
    pub in_step: Option<Duration>,
    pub durability: Durability,
    /// The reason why no weight may rise now.
    pub frozen: Option<String>,
    /// What the start of the config's release waits for.
    pub config_waits: Option<String>,
    /// How long ago another side was stable, and whether that is long enough to tear it down.
    pub previous: Option<(Duration, bool)>,
    /// When each kind of change last happened.
    pub landmarks: Arc<Landmarks>,
    /// When the current tallies began, in Unix seconds.
    pub counted_since: f64,
    /// When this status was made, on both clocks.
    pub times: Times,
}

/// The moment at which a status was made.
#[derive(Clone, Copy, Debug, Default)]
pub struct Times {
    /// The bot's clock, which stands still while serin does not run.
    pub clock: Duration,
    /// In Unix seconds.
    pub unix: f64,
}

impl Times {
    /// Converts a time on the bot's clock to Unix seconds, provided that serin runs until then.
    pub fn unix_at(&self, clock: Duration) -> f64 {
        self.unix + clock.as_secs_f64() - self.clock.as_secs_f64()
    }
}

/// Whether what serves would survive a restart.
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

/// A bucket under examination, or the finding about it.
#[derive(Clone, Debug)]
pub struct ExaminationStatus {
    pub bucket: usize,
    pub finding: Finding,
    /// The metric for which it became a suspect.
    pub metric: &'static str,
    pub blocks: u32,
    /// ln of the examination's wealth. Above 0, the canary's fault is more likely than the customer's own.
    pub log_wealth: f64,
}

impl Status {
    /// The status of a bot about which nothing else is known.
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

    /// What the bot waits for, if only a human can end the wait.
    pub fn waits_for_human(&self) -> Option<Waits<'_>> {
        self.state.waits_for_human(self.in_step)
    }

    /// The number of examinations with this finding.
    pub fn examined(&self, finding: Finding) -> usize {
        self.examinations.iter().filter(|examined| examined.finding == finding).count()
    }
}

impl From<&Examination> for ExaminationStatus {
    fn from(exam: &Examination) -> ExaminationStatus {
        ExaminationStatus {
            bucket: exam.bucket,
            finding: exam.finding,
            metric: exam.metric().name(),
            blocks: exam.blocks,
            log_wealth: exam.log_wealth,
        }
    }
}
