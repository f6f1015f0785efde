//! What there is to decide about: the way of one release from nobody to everybody, and where it stands.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::breaker::{Connections, Trip};
use super::guard::{Crossed, MARGINAL, RAISE_BELOW, REQUESTS_LEAST};
use super::weight::Weight;

/// A weight, and how long it is held at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub weight: Weight,
    pub bake: Duration,
}

/// The way of a rollout. It stays as it was at the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Rising; the last one is 100 %.
    pub steps: Vec<Step>,
    pub policy: Policy,
    /// How long a step may wait for the bound on harm.
    pub deadline: Duration,
    pub at_deadline: AtDeadline,
    pub on_marginal: OnTrouble,
    pub on_limit: OnTrouble,
}

/// Who may change the weight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
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

/// What becomes of a step whose harm is still not bounded at the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AtDeadline {
    Proceed,
    Wait,
    Ask,
    /// Ask where traffic is thin, proceed elsewhere.
    #[default]
    ByTraffic,
}

/// The mild and the strict answer to trouble; which is the default depends on the trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTrouble {
    /// Marginal evidence: hold. A crossed limit: abort.
    Usual,
    /// Back by one step.
    Retreat,
}

/// A version on an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Release {
    pub upstream: Arc<str>,
    pub version: Option<Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Idle,
    /// A weight set by hand, without a rollout.
    Manual,
    Progressing,
    /// By an operator, or by the breaker: it goes on only when told to.
    Paused,
    /// It waits for a human, or for suspicious evidence to fade.
    Held,
    Promoted,
    Aborted,
}

impl Phase {
    pub const ALL: [Phase; 7] =
        [Phase::Idle, Phase::Manual, Phase::Progressing, Phase::Paused, Phase::Held, Phase::Promoted, Phase::Aborted];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Manual => "manual",
            Phase::Progressing => "progressing",
            Phase::Paused => "paused",
            Phase::Held => "held",
            Phase::Promoted => "promoted",
            Phase::Aborted => "aborted",
        }
    }
}

/// Where a bot stands. Only `ratchet::step` makes a new one.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Of the last change, rising by one with each.
    pub revision: u64,
    /// Rises when the assignment changes: evidence of one split says nothing about another.
    pub split_id: u64,
    pub phase: Phase,
    pub stable: Release,
    pub canary: Option<Release>,
    pub weight: Weight,
    /// The number of the rollout whose ranks are in force; 0 for a split by hand.
    pub attempt: u64,
    /// How many rollouts there have been.
    pub attempts: u64,
    pub rollout: Option<Rollout>,
    pub hold: Option<Hold>,
    pub quarantine: Vec<Quarantined>,
}

/// A rollout on its way; also the last one, once it has ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    pub release: Release,
    pub plan: Plan,
    /// The index of the step in force.
    pub step: usize,
    pub step_began: Duration,
    /// When it was last looked at: a longer gap does not count as baking.
    pub looked: Duration,
    /// No second retreat until then.
    pub no_retreat_before: Duration,
    /// The last verdict was a fail that nobody acted upon: the policy leaves that to a human.
    pub failing: bool,
}

/// A release that was taken back. It is not rolled out again unless somebody insists.
#[derive(Clone, Debug, PartialEq)]
pub struct Quarantined {
    pub release: Release,
    pub attempt: u64,
    pub why: AbortReason,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AbortReason {
    Operator,
    /// E at that moment.
    Evidence {
        e: f64,
    },
    Limit(Crossed),
}

/// Why the weight stays. The code is for machines, the text has the numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Hold {
    Baking {
        left: Duration,
    },
    Evidence {
        e: f64,
    },
    Marginal {
        e: f64,
        abort_at: f64,
    },
    NoCanaryTraffic {
        requests: u32,
    },
    NoStableTraffic {
        requests: u32,
    },
    Harm {
        could_be: f64,
        tolerated: f64,
    },
    /// Many more errors than usual, over both tracks together: nothing can be learnt about the canary now.
    SharedCause {
        shock: f64,
    },
    /// It takes connections too seldom: whoever it refused was answered by stable, which ends with the last step.
    Refusals {
        canary: Connections,
    },
    /// The deadline has come, and a human is asked.
    Deadline {
        could_be: f64,
        tolerated: f64,
    },
    /// There is no evidence of this split, or it is too old.
    StaleEvidence {
        age: Duration,
    },
    /// The harm is not bounded at all: no look at this step yet, or nobody on the canary whom it could be told by.
    NotJudged,
    Paused,
    SetByHand,
    Breaker(Trip),
    /// The evidence is good; the policy leaves the raise to a human.
    AwaitingAdvance,
    PolicyManual,
    /// The next step lies above `max`.
    MaxWeight {
        max: Weight,
    },
    /// It went back by a step.
    Retreated,
    /// A split by hand failed and was taken to zero.
    Failed(AbortReason),
}

impl Hold {
    pub fn code(&self) -> &'static str {
        match self {
            Hold::Baking { .. } => "baking",
            Hold::Evidence { .. } => "evidence",
            Hold::Marginal { .. } => "marginal",
            Hold::NoCanaryTraffic { .. } => "no_canary_traffic",
            Hold::NoStableTraffic { .. } => "no_stable_traffic",
            Hold::Harm { .. } => "harm",
            Hold::SharedCause { .. } => "shared_cause",
            Hold::Refusals { .. } => "refusals",
            Hold::Deadline { .. } => "deadline",
            Hold::StaleEvidence { .. } => "stale_evidence",
            Hold::NotJudged => "not_judged",
            Hold::Paused => "paused",
            Hold::SetByHand => "set_by_hand",
            Hold::Breaker(_) => "breaker",
            Hold::AwaitingAdvance => "awaiting_advance",
            Hold::PolicyManual => "policy_manual",
            Hold::MaxWeight { .. } => "max_weight",
            Hold::Retreated => "retreated",
            Hold::Failed(_) => "failed",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = |share: f64| share * 100.0;
        match self {
            Hold::Baking { left } => write!(f, "baking for another {} s", left.as_secs_f64().ceil()),
            Hold::Evidence { e } => write!(f, "E = {e:.1}, needs < {RAISE_BELOW}"),
            Hold::Marginal { e, abort_at } => write!(f, "E = {e:.1}: suspicious from {MARGINAL} on, aborted at {abort_at}"),
            Hold::NoCanaryTraffic { requests } => write!(f, "no canary traffic: {requests} of {REQUESTS_LEAST} requests"),
            Hold::NoStableTraffic { requests } => write!(f, "no stable traffic: {requests} of {REQUESTS_LEAST} requests"),
            Hold::Harm { could_be, tolerated } => {
                write!(f, "harm could be {:.2} pp, tolerated {:.2}", points(*could_be), points(*tolerated))
            }
            Hold::SharedCause { shock } => write!(f, "all workspaces together have {shock:.1} times the usual errors: a shared cause"),
            Hold::Refusals { canary } => {
                write!(f, "{} of {} connections to the canary were refused or reset", canary.broken, canary.wanted)
            }
            Hold::Deadline { could_be, tolerated } => {
                write!(f, "the deadline has come and harm could still be {:.2} pp, tolerated {:.2}", points(*could_be), points(*tolerated))
            }
            Hold::StaleEvidence { age } => write!(f, "the evidence is {} s old", age.as_secs()),
            Hold::NotJudged => write!(f, "this step has not been judged yet"),
            Hold::Paused => write!(f, "paused by an operator"),
            Hold::SetByHand => write!(f, "the weight was set by hand"),
            Hold::Breaker(trip) => trip.fmt(f),
            Hold::AwaitingAdvance => write!(f, "the evidence is good; the policy leaves the raise to a human"),
            Hold::PolicyManual => write!(f, "the policy leaves every step to a human"),
            Hold::MaxWeight { max } => write!(f, "the next step is above max = {max}"),
            Hold::Retreated => write!(f, "went back by a step"),
            Hold::Failed(why) => why.fmt(f),
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AbortReason::Operator => write!(f, "aborted by an operator"),
            AbortReason::Evidence { e } => write!(f, "E = {e:.0}"),
            AbortReason::Limit(crossed) => crossed.fmt(f),
        }
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
    /// 1, 5, 10, 25, 50 and 98 %, then everyone. 98 % is the last step with somebody left to compare with; it needs less
    /// time than the others, for nearly all requests are evidence there.
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
}

impl Plan {
    /// A first step on which nobody may be found: what to say about it, and what would do better. `active` is how many
    /// workspaces have traffic.
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
            "the first step, {first}, has about {expected:.1} of {active} active workspaces: nothing may be learnt from it; {better}% would have {ACTIVE_LEAST}"
        ))
    }
}

/// A first step should have so many active workspaces.
const ACTIVE_LEAST: f64 = 3.0;

impl State {
    pub fn new(stable: Release) -> State {
        State {
            revision: 1,
            split_id: 1,
            phase: Phase::Idle,
            stable,
            canary: None,
            weight: Weight::ZERO,
            attempt: 0,
            attempts: 0,
            rollout: None,
            hold: None,
            quarantine: Vec::new(),
        }
    }

    /// The rollout, while it has not ended.
    pub fn under_way(&self) -> Option<&Rollout> {
        match self.phase {
            Phase::Progressing | Phase::Paused | Phase::Held => self.rollout.as_ref(),
            Phase::Idle | Phase::Manual | Phase::Promoted | Phase::Aborted => None,
        }
    }
}

impl Rollout {
    pub fn current(&self) -> Step {
        self.plan.steps[self.step]
    }

    pub fn next(&self) -> Option<Step> {
        self.plan.steps.get(self.step + 1).copied()
    }

    pub fn baked_at(&self) -> Duration {
        self.step_began + self.current().bake
    }
}
