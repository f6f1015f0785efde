//! The plan of one release's rollout: its steps, and who and what may change the weight.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::weight::Weight;

/// A weight, and the least time for which it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub weight: Weight,
    pub bake: Duration,
}

/// The plan of a rollout. It does not change after the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// In rising order; the last one is 100 %.
    pub steps: Vec<Step>,
    pub policy: Policy,
    /// How long a step may wait for the harm bound.
    pub deadline: Duration,
    pub at_deadline: AtDeadline,
    pub on_marginal: OnTrouble,
    pub on_limit: OnTrouble,
}

/// Who may change the weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Policy {
    /// serin raises and lowers.
    #[default]
    Automatic,
    /// serin lowers; a human raises.
    Guarded,
    /// Only the breaker acts.
    Manual,
}

impl Policy {
    pub fn name(self) -> &'static str {
        match self {
            Policy::Automatic => "automatic",
            Policy::Guarded => "guarded",
            Policy::Manual => "manual",
        }
    }
}

/// What happens to a step whose harm bound is still too high at the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AtDeadline {
    Proceed,
    Wait,
    Ask,
    /// Ask if there is little traffic, proceed otherwise.
    #[default]
    ByTraffic,
}

/// The mild and the strict reaction to trouble. The default depends on the trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnTrouble {
    /// Marginal evidence: hold. A crossed limit: abort.
    Usual,
    /// Go back by one step.
    Retreat,
}

/// A version on an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Release {
    pub upstream: Arc<str>,
    pub version: Option<Arc<str>>,
}

impl Release {
    /// The longest label of a version, in characters.
    pub const LABEL_MOST: usize = 128;

    /// Whether the text is fit for logs, metrics and tables: 1 to `LABEL_MOST` characters, none of them space or control.
    pub fn is_label(text: &str) -> bool {
        let fit = |c: char| !c.is_whitespace() && !c.is_control();
        (1..=Release::LABEL_MOST).contains(&text.chars().count()) && text.chars().all(fit)
    }
}

impl fmt::Display for Release {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{version} on {}", self.upstream),
            None => write!(f, "{}", self.upstream),
        }
    }
}

impl Plan {
    /// 1, 5, 10, 25, 50 and 98 %, then 100 %. 98 % is the last step with workspaces on stable to compare with. It needs less time
    /// than the others, because nearly all requests are evidence there.
    pub fn usual() -> Plan {
        let step = |bp, minutes: u64| Step { weight: Weight::from_bp(bp).unwrap_or(Weight::FULL), bake: Duration::from_secs(60 * minutes) };
        Plan {
            steps: vec![step(100, 10), step(500, 10), step(1_000, 10), step(2_500, 10), step(5_000, 10), step(9_800, 4), step(10_000, 0)],
            policy: Policy::Automatic,
            deadline: Duration::from_secs(15 * 60),
            at_deadline: AtDeadline::ByTraffic,
            on_marginal: OnTrouble::Usual,
            on_limit: OnTrouble::Usual,
        }
    }

    /// A warning, and a better weight, if the first step may reach no active workspace. `active` is the number of buckets with traffic.
    pub fn thin_start(&self, active: usize) -> Option<String> {
        let first = self.steps[0].weight;
        let expected = first.ratio() * active as f64;
        if active == 0 {
            return Some(format!("no workspace has sent anything yet: whether the first step, {first}, reaches any cannot be told"));
        }
        if expected >= ACTIVE_LEAST {
            return None;
        }
        let better = ((ACTIVE_LEAST / active as f64 * 100.0).ceil()).min(100.0);
        Some(format!(
            "the first step, {first}, has about {expected:.1} of {active} active buckets: nothing may be learnt from it; {better}% would have {ACTIVE_LEAST}"
        ))
    }
}

/// The active buckets that a first step should have.
const ACTIVE_LEAST: f64 = 3.0;
