//! Why a weight stays, and why it went to 0 %: a code for machines, and a text with the numbers for people.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::{Connections, Trip};
use super::guard::{Crossed, MARGINAL, RAISE_BELOW, REQUESTS_LEAST};
use super::weight::Weight;

/// Why a release was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum AbortReason {
    Operator,
    /// An operator undid it after it had become stable.
    Undone,
    /// E at that time.
    Evidence {
        e: f64,
    },
    Limit(Crossed),
    /// After a switch: the release takes no connections.
    Broken(Trip),
}

/// Why the weight stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Both tracks together have many more errors than usual, so nothing can be learnt about the canary now.
    SharedCause {
        shock: f64,
    },
    /// The canary refuses too many connections. Stable answers those requests, but after the last step there is no stable to do so.
    Refusals {
        canary: Connections,
    },
    /// The deadline has passed, and a human must decide.
    Deadline {
        could_be: f64,
        tolerated: f64,
    },
    /// There is no evidence of this split, or it is too old.
    StaleEvidence {
        age: Duration,
    },
    /// The harm has no bound: A, C and U were not computed in this step yet, or the canary's buckets cannot show harm.
    NotJudged,
    Paused,
    SetByHand,
    Breaker(Trip),
    /// The evidence is good; the policy leaves the raise to a human.
    AwaitingAdvance,
    PolicyManual,
    /// The next step is above `max`.
    MaxWeight {
        max: Weight,
    },
    /// The rollout went back by a step.
    Retreated,
    /// A split by hand failed and was set to 0 %; or a switch fails, and the side before it does not answer.
    Failed(AbortReason),
    /// The bot is frozen, for this reason.
    Frozen(Arc<str>),
    /// A drill holds the weight.
    Drill,
    /// The config names a release, but nothing is known of what served before: the release may be new, or live already.
    NoHistory,
}

/// An amount of evidence for people: `7.3`, `153`, `8,041`, and `over a million` above that.
#[derive(Clone, Copy, Debug)]
pub struct Worth(pub f64);

impl fmt::Display for Worth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0.round() as u64;
        match self.0 {
            e if e.is_nan() => write!(f, "no number"),
            e if e < 10.0 => write!(f, "{e:.1}"),
            _ if whole < 1_000 => write!(f, "{whole}"),
            _ if whole < 1_000_000 => write!(f, "{},{:03}", whole / 1_000, whole % 1_000),
            _ => write!(f, "over a million"),
        }
    }
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
            Hold::Frozen(_) => "frozen",
            Hold::Drill => "drill",
            Hold::NoHistory => "no_history",
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let points = |share: f64| share * 100.0;
        match self {
            Hold::Baking { left } => write!(f, "the step bakes for another {} s", left.as_secs_f64().ceil()),
            Hold::Evidence { e } => {
                write!(f, "it looks slightly worse than stable: E is {}, and must be below {RAISE_BELOW} for a raise", Worth(*e))
            }
            Hold::Marginal { e, abort_at } => {
                write!(f, "it looks worse than stable: E is {}, suspicious from {MARGINAL} on, and taken back at {abort_at}", Worth(*e))
            }
            Hold::NoCanaryTraffic { requests } => write!(f, "too few requests on the canary: {requests} of at least {REQUESTS_LEAST}"),
            Hold::NoStableTraffic { requests } => write!(f, "too few requests on stable: {requests} of at least {REQUESTS_LEAST}"),
            Hold::Harm { could_be, tolerated } => {
                write!(
                    f,
                    "too few requests to rule out harm: up to {:.2}% of the canary's could be failing unseen, {:.2}% is tolerated",
                    points(*could_be),
                    points(*tolerated)
                )
            }
            Hold::SharedCause { shock } => {
                write!(f, "all workspaces together have {shock:.1} times their usual errors, whatever their track")
            }
            Hold::Refusals { canary } => {
                write!(f, "{} of {} connections to the canary were refused or reset", canary.broken, canary.wanted)
            }
            Hold::Deadline { could_be, tolerated } => {
                write!(
                    f,
                    "the deadline has passed with too few requests to rule out harm: up to {:.2}% of the canary's could be failing \
                     unseen, {:.2}% is tolerated",
                    points(*could_be),
                    points(*tolerated)
                )
            }
            Hold::StaleEvidence { age } => write!(f, "the evidence is {} s old", age.as_secs()),
            Hold::NotJudged => write!(f, "this step has not been judged yet"),
            Hold::Paused => write!(f, "paused by an operator"),
            Hold::SetByHand => write!(f, "the weight was set by hand"),
            Hold::Breaker(trip) => trip.fmt(f),
            Hold::AwaitingAdvance => write!(f, "no sign of harm; the policy leaves the raise to a human"),
            Hold::PolicyManual => write!(f, "the policy leaves every step to a human"),
            Hold::MaxWeight { max } => write!(f, "the next step is above max = {max}"),
            Hold::Retreated => write!(f, "it went back by a step"),
            Hold::Failed(why) => why.fmt(f),
            Hold::Frozen(why) => write!(f, "frozen: {why}"),
            Hold::Drill => write!(f, "a drill is on"),
            Hold::NoHistory => {
                write!(f, "nothing is known of what served before: start the config's release if it is new, adopt it if it is live")
            }
        }
    }
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AbortReason::Operator => write!(f, "aborted on request"),
            AbortReason::Undone => write!(f, "undone on request"),
            AbortReason::Evidence { e } => write!(f, "the evidence was against it (E: {})", Worth(*e)),
            AbortReason::Limit(crossed) => crossed.fmt(f),
            AbortReason::Broken(trip) => trip.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evidence_is_as_exact_as_anybody_needs() {
        let shown = [0.44, 7.32, 66.7, 153.4, 999.6, 8_041.5, 4e8, f64::INFINITY, f64::NAN].map(|e| Worth(e).to_string());
        assert_eq!(shown, ["0.4", "7.3", "67", "153", "1,000", "8,042", "over a million", "over a million", "no number"]);
    }
}
