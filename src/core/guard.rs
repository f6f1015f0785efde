//! What an operator tolerates, and what the evidence means by it: the verdict.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Judgement, tolerable};
use super::rollout::Policy;
use super::weight::Weight;

/// What is tolerated. It may change at any moment, and counts from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// At this evidence the canary goes to zero.
    pub abort_at: f64,
    /// The errors that the canary may add, as a share of all the bot's requests.
    pub tolerated_harm: f64,
    pub limits: Limits,
    /// Toss coins for workspaces that look broken on the canary.
    pub examine: bool,
    /// Let refused and reset connections take the canary to zero.
    pub brake: bool,
    /// No weight above this is taken.
    pub max: Weight,
    /// Who may change a weight that was set by hand, without a rollout.
    pub by_hand: Policy,
    /// Nothing rises while this is so, and why. Whoever insists is given a guard without it.
    #[serde(default)]
    pub frozen: Option<Frozen>,
}

/// Why nothing rises.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frozen {
    /// Somebody said so, or it is a time at which nobody wants to be called.
    Asked(Arc<str>),
    /// What is decided could not be kept. Nobody can insist against this.
    Unwritable(Arc<str>),
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frozen::Asked(why) => f.write_str(why),
            Frozen::Unwritable(why) => write!(f, "the history cannot be written: {why}"),
        }
    }
}

/// What no canary may cross that stable does not cross as well, whatever the evidence says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits(pub Vec<Limit>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub most: Most,
    /// Requests of the canary below which the limit says nothing.
    pub least_requests: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Most {
    /// A share of the requests.
    ErrorRate(f64),
    Late(f64),
    Latency(Quantile, Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quantile {
    P50,
    P90,
    P99,
}

impl Quantile {
    pub fn name(self) -> &'static str {
        match self {
            Quantile::P50 => "p50",
            Quantile::P90 => "p90",
            Quantile::P99 => "p99",
        }
    }

    pub fn share(self) -> f64 {
        match self {
            Quantile::P50 => 0.5,
            Quantile::P90 => 0.9,
            Quantile::P99 => 0.99,
        }
    }
}

/// What a limit looks at: one track's recent requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    pub requests: u32,
    pub errors: u32,
    pub late: u32,
    /// p50, p90 and p99, where there are latencies.
    pub quantiles: Option<[Duration; 3]>,
}

/// A limit that the canary crossed and stable did not.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Crossed {
    pub limit: Most,
    pub canary: f64,
    pub stable: Option<f64>,
}

impl Limits {
    pub fn crossed(&self, canary: &Observed, stable: &Observed) -> Option<Crossed> {
        self.0.iter().filter(|limit| canary.requests >= limit.least_requests).find_map(|limit| {
            let on_canary = limit.most.value(canary)?;
            let on_stable = limit.most.value(stable);
            let most = limit.most.most();
            let only_canary = on_canary > most && on_stable.is_none_or(|value| value <= most);
            only_canary.then_some(Crossed { limit: limit.most, canary: on_canary, stable: on_stable })
        })
    }
}

impl Most {
    /// A share, or seconds.
    fn most(self) -> f64 {
        match self {
            Most::ErrorRate(share) | Most::Late(share) => share,
            Most::Latency(_, most) => most.as_secs_f64(),
        }
    }

    fn value(self, of: &Observed) -> Option<f64> {
        let share = |count: u32| (of.requests > 0).then(|| f64::from(count) / f64::from(of.requests));
        match self {
            Most::ErrorRate(_) => share(of.errors),
            Most::Late(_) => share(of.late),
            Most::Latency(quantile, _) => of.quantiles.map(|quantiles| quantiles[quantile as usize].as_secs_f64()),
        }
    }
}

impl fmt::Display for Crossed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self.limit {
            Most::ErrorRate(_) => "error_rate",
            Most::Late(_) => "late",
            Most::Latency(quantile, _) => quantile.name(),
        };
        let show = |value: f64| match self.limit {
            Most::ErrorRate(_) | Most::Late(_) => format!("{:.2}%", value * 100.0),
            Most::Latency(..) => format!("{value:.3} s"),
        };
        write!(f, "{name} is {}, the limit is {}", show(self.canary), show(self.limit.most()))?;
        match self.stable {
            Some(stable) => write!(f, " (stable: {})", show(stable)),
            None => write!(f, " (stable: no requests)"),
        }
    }
}

/// Evidence from here on is shown to a human and never raises.
pub const MARGINAL: f64 = 20.0;
/// A raise needs evidence below this.
pub const RAISE_BELOW: f64 = 5.0;
/// A raise needs this many requests on each track since the step began.
pub const REQUESTS_LEAST: u32 = 10;

/// What the evidence means for the next raise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Pass,
    /// Not enough is known yet.
    Inconclusive(Doubt),
    /// Suspicious, not proved.
    Marginal,
    Fail(Fail),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    Evidence,
    NoCanaryTraffic,
    NoStableTraffic,
    /// The canary could still do more harm than is tolerated; both as shares of its requests.
    Harm {
        could_be: f64,
        tolerated: f64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fail {
    Evidence,
    Limit(Crossed),
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Pass => "pass",
            Verdict::Inconclusive(_) => "inconclusive",
            Verdict::Marginal => "marginal",
            Verdict::Fail(_) => "fail",
        }
    }
}

impl Guard {
    /// `next` is the weight that a raise would go to.
    pub fn verdict(&self, judgement: &Judgement, crossed: Option<Crossed>, next: Weight) -> Verdict {
        let log_e = judgement.wealth.log_e();
        if log_e >= self.abort_at.ln() {
            return Verdict::Fail(Fail::Evidence);
        }
        if let Some(crossed) = crossed {
            return Verdict::Fail(Fail::Limit(crossed));
        }
        if log_e >= MARGINAL.ln() {
            return Verdict::Marginal;
        }
        // What is no number never raises.
        if log_e.is_nan() || log_e >= RAISE_BELOW.ln() {
            return Verdict::Inconclusive(Doubt::Evidence);
        }
        if judgement.canary.tally.requests < REQUESTS_LEAST {
            return Verdict::Inconclusive(Doubt::NoCanaryTraffic);
        }
        if judgement.stable.tally.requests < REQUESTS_LEAST {
            return Verdict::Inconclusive(Doubt::NoStableTraffic);
        }
        let (could_be, tolerated) = (judgement.harm.0, tolerable(self.tolerated_harm, next.ratio()));
        if could_be.is_nan() || could_be > tolerated {
            return Verdict::Inconclusive(Doubt::Harm { could_be, tolerated });
        }
        Verdict::Pass
    }
}

impl Default for Guard {
    fn default() -> Guard {
        Guard {
            abort_at: 150.0,
            tolerated_harm: 0.005,
            limits: Limits::default(),
            examine: true,
            brake: true,
            max: Weight::FULL,
            by_hand: Policy::Automatic,
            frozen: None,
        }
    }
}
