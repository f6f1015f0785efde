//! What happens to a simulated bot: which requests of which workspaces become bad, when, and on which track.

use std::ops::RangeInclusive;
use std::time::Duration;

/// The limit of effects: a workspace keeps them in a mask of 32 bits.
pub const EFFECTS_MAX: usize = 32;

#[derive(Clone, Debug, PartialEq)]
pub struct Scenario {
    pub name: String,
    /// One sentence for people.
    pub about: String,
    /// These workspaces, by size (1 is the largest), are on the canary from the first step on.
    pub first_step: Option<RangeInclusive<u32>>,
    pub effects: Vec<ScenarioEffect>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ScenarioEffect {
    pub on: On,
    pub affected: AffectedWorkspaces,
    pub when: When,
    /// The share of the requests, of any kind of event, that the effect can change.
    pub events: f64,
    pub changes: EffectChanges,
}

/// The track that has the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Stable,
    Canary,
    /// The release does not cause it.
    Both,
}

/// The workspaces that have an effect.
#[derive(Clone, Debug, PartialEq)]
pub enum AffectedWorkspaces {
    All,
    /// Each workspace with this probability, but at least one.
    Share(f64),
    /// By size; 1 is the largest.
    Ranks(RangeInclusive<u32>),
    /// By name; `T1` is the largest.
    Named(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// All the time, and on the day before too: it is usual for the workspace.
    Chronic,
    During {
        from: Duration,
        to: Option<Duration>,
        every: Option<Period>,
    },
}

/// `lasting` at the beginning of each `every`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub every: Duration,
    pub lasting: Duration,
}

/// What an effect changes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EffectChanges {
    pub error: Option<RateChange>,
    pub rejected: Option<RateChange>,
    pub late: Option<RateChange>,
    pub latency: Option<Slowness>,
    /// A factor.
    pub traffic: Option<f64>,
}

/// How a probability changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RateChange {
    /// Adds this share of the requests that do not have the event yet.
    Add(f64),
    AtLeast(f64),
    Times(f64),
}

/// How a latency changes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slowness {
    pub factor: f64,
    /// Applied once more for every minute since the effect began.
    pub factor_per_min: f64,
    pub added: Duration,
    /// Only this share of the requests, the slowest.
    pub slowest: f64,
}

impl RateChange {
    pub fn apply(self, probability: f64) -> f64 {
        match self {
            RateChange::Add(share) => probability + share * (1.0 - probability),
            RateChange::AtLeast(least) => probability.max(least),
            RateChange::Times(factor) => (probability * factor).min(1.0),
        }
    }

    fn is_worse(self) -> bool {
        match self {
            RateChange::Add(share) | RateChange::AtLeast(share) => share > 0.0,
            RateChange::Times(factor) => factor > 1.0,
        }
    }
}

impl Slowness {
    pub fn is_worse(&self) -> bool {
        self.factor > 1.0 || self.factor_per_min > 1.0 || self.added > Duration::ZERO
    }
}

impl When {
    /// The minutes for which the effect has lasted, or `None` if it does not last at this time.
    pub fn lasting(&self, now: Duration) -> Option<f64> {
        let When::During { from, to, every } = self else { return Some(now.as_secs_f64() / 60.0) };
        let since = now.checked_sub(*from)?;
        if to.is_some_and(|to| now >= to) {
            return None;
        }
        let on = every.is_none_or(|period| since.as_nanos() % period.every.as_nanos().max(1) < period.lasting.as_nanos());
        on.then_some(since.as_secs_f64() / 60.0)
    }
}

impl Scenario {
    /// Whether the canary is worse than stable, for any workspace at any time.
    pub fn is_harmful(&self) -> bool {
        let on_canary = self.effects.iter().filter(|effect| effect.on == On::Canary);
        on_canary.map(|effect| effect.changes).any(|changes| {
            [changes.error, changes.rejected, changes.late].into_iter().flatten().any(RateChange::is_worse)
                || changes.latency.is_some_and(|slowness| slowness.is_worse())
        })
    }

    /// From where on slow answers count as made bad, if the scenario makes the canary slower.
    pub fn slow_from(&self) -> Option<SlowFrom> {
        let on_canary = self.effects.iter().filter(|effect| effect.on == On::Canary);
        let mut worse = on_canary.filter_map(|effect| effect.changes.latency).filter(Slowness::is_worse).peekable();
        worse.peek()?;
        Some(if worse.all(|slowness| slowness.slowest < 0.1) { SlowFrom::P99 } else { SlowFrom::P90 })
    }
}

/// The quantile of the bot's usual latency above which a request counts as made bad, if the canary is slower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowFrom {
    P90,
    /// If only the slowest requests are changed.
    P99,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_change_keeps_a_probability_one() {
        assert!((RateChange::Add(0.5).apply(0.2) - 0.6).abs() < 1e-12);
        assert_eq!((RateChange::AtLeast(0.5).apply(0.2), RateChange::AtLeast(0.1).apply(0.2)), (0.5, 0.2));
        assert_eq!((RateChange::Times(0.5).apply(0.2), RateChange::Times(50.0).apply(0.2)), (0.1, 1.0));
    }

    #[test]
    fn a_period_begins_when_the_effect_does() {
        let period = Period { every: 10 * MINUTE, lasting: Duration::from_secs(20) };
        let when = When::During { from: 5 * MINUTE, to: Some(30 * MINUTE), every: Some(period) };
        let on: Vec<u64> = (0..3_600).filter(|secs| when.lasting(Duration::from_secs(*secs)).is_some()).collect();
        assert_eq!((on.len(), on[0], on[20], on[59]), (60, 300, 900, 1_519));
        assert_eq!(when.lasting(6 * MINUTE), None);
        assert_eq!(when.lasting(15 * MINUTE), Some(10.0));
        assert_eq!(When::Chronic.lasting(2 * MINUTE), Some(2.0));
    }
}
