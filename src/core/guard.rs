//! What an operator tolerates, and the verdict: what the evidence means by it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::{Judgement, tolerable};
use super::plan::Policy;
use super::weight::Weight;

/// What is tolerated. It may change at any time, and is in force from then on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// From this E on, the canary goes to 0 %.
    pub abort_at: f64,
    /// The errors that the canary may add, as a share of all the bot's requests.
    pub tolerated_harm: f64,
    pub limits: Limits,
    /// Whether workspaces that look broken on the canary are examined with a coin.
    pub examine: bool,
    /// Whether the breaker may set the weight to 0 %.
    pub brake: bool,
    /// The greatest weight that is allowed.
    pub max: Weight,
    /// Who may change a weight that was set by hand, without a rollout.
    pub by_hand: Policy,
    /// Why the weight may not rise now. For a forced change the caller removes it.
    #[serde(default)]
    pub frozen: Option<Frozen>,
}

/// Why the weight may not rise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Frozen {
    /// An operator froze the bot, or a window of the config is open.
    Asked(Arc<str>),
    /// The history cannot be written. Force does not help against this.
    Unwritable(Arc<str>),
}

impl Frozen {
    /// A history that cannot be written goes before a freeze, because nobody can insist against it.
    pub fn of(unwritable: Option<&str>, asked: Option<&str>) -> Option<Frozen> {
        unwritable.map(|why| Frozen::Unwritable(why.into())).or_else(|| asked.map(|why| Frozen::Asked(why.into())))
    }
}

impl fmt::Display for Frozen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Frozen::Asked(why) => f.write_str(why),
            Frozen::Unwritable(why) => write!(f, "the history cannot be written: {why}"),
        }
    }
}

/// Limits that no canary may cross, whatever the evidence says, unless stable crosses them too.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits(pub Vec<Limit>);

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    pub most: Most,
    /// The limit applies once the canary has this many requests.
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

/// One track's recent requests, which limits are compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Observed {
    pub requests: u32,
    pub errors: u32,
    pub late: u32,
    /// p50, p90 and p99, if there are latencies.
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

/// From this E on, the evidence is shown to a human, and the weight does not rise.
pub const MARGINAL: f64 = 20.0;
/// A raise needs an E below this.
pub const RAISE_BELOW: f64 = 5.0;
/// A raise needs this many requests on each track since the step began.
pub const REQUESTS_LEAST: u32 = 10;

/// What the evidence means for the next raise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    Pass,
    /// Not enough is known yet.
    Inconclusive(Doubt),
    /// Suspicious, but not proved.
    Marginal,
    Fail(Fail),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Doubt {
    Evidence,
    NoCanaryTraffic,
    NoStableTraffic,
    /// The canary could still do more harm than is tolerated. Both are shares of its requests.
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
    /// `next` is the weight to which a raise would go.
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
        // With NaN the weight must not rise.
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
