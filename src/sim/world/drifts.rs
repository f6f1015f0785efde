//! What changes for a workspace from minute to minute by itself: its traffic, its error rates and its latency drift, and now and
//! then it breaks, or its token expires.

use crate::sim::dice::Dice;

/// The drifts that all workspaces share at this moment.
#[derive(Clone, Copy, Debug)]
pub struct SharedDrift {
    error: f64,
    latency: f64,
    /// The time of day at which the world begins, in seconds.
    phase_secs: f64,
}

/// The drifts and troubles of one workspace at this moment.
#[derive(Clone, Copy, Debug)]
pub struct WorkspaceDrift {
    error: f64,
    rejected: f64,
    latency: f64,
    traffic: f64,
    broken: Spell,
    token_expired: Spell,
    pub now: Factors,
}

/// The factors of this minute, which the ticks use.
#[derive(Clone, Copy, Debug, Default)]
pub struct Factors {
    pub error: f64,
    pub rejected: f64,
    pub traffic: f64,
    /// In z.
    pub latency: f64,
}

/// A trouble that comes and goes.
#[derive(Clone, Copy, Debug)]
struct Spell {
    until_secs: f64,
    rate: f64,
}

/// A drift varies around 0 with deviation `sigma`; its correlation falls by the factor e in `minutes`.
struct Drift {
    sigma: f64,
    minutes: f64,
}

const ERROR: Drift = Drift { sigma: 0.4, minutes: 20.0 };
const REJECTED: Drift = Drift { sigma: 0.4, minutes: 20.0 };
const LATENCY: Drift = Drift { sigma: 0.05, minutes: 20.0 };
const TRAFFIC: Drift = Drift { sigma: 0.3, minutes: 20.0 };
const SHARED_ERROR: Drift = Drift { sigma: 0.25, minutes: 10.0 };
const SHARED_LATENCY: Drift = Drift { sigma: 0.05, minutes: 10.0 };

/// A spell comes once in 200 hours and lasts ten minutes on average.
const SPELL_EVERY_MINUTES: f64 = 200.0 * 60.0;
const SPELL_SECS: f64 = 600.0;
/// The range of the share of requests that fail while a workspace is broken.
const BROKEN: [f64; 2] = [0.3, 1.0];
/// The share of requests that are rejected while a workspace's token is expired.
const TOKEN_EXPIRED: f64 = 0.9;
const DAY_SWING: f64 = 0.5;

impl Drift {
    fn begin(&self, dice: &mut Dice) -> f64 {
        dice.normal(self.sigma)
    }

    fn after_a_minute(&self, value: f64, dice: &mut Dice) -> f64 {
        let kept = (-1.0 / self.minutes).exp();
        kept * value + dice.normal(self.sigma * (1.0 - kept * kept).sqrt())
    }

    /// A factor whose mean is 1.
    fn factor(&self, value: f64) -> f64 {
        (value - self.sigma * self.sigma / 2.0).exp()
    }
}

impl SharedDrift {
    pub fn new(dice: &mut Dice) -> SharedDrift {
        SharedDrift { error: SHARED_ERROR.begin(dice), latency: SHARED_LATENCY.begin(dice), phase_secs: dice.between(0.0, 86_400.0) }
    }

    pub fn pass_a_minute(&mut self, dice: &mut Dice) {
        self.error = SHARED_ERROR.after_a_minute(self.error, dice);
        self.latency = SHARED_LATENCY.after_a_minute(self.latency, dice);
    }

    /// The factor of the time of day: between a half and one and a half.
    pub fn traffic(&self, secs: f64) -> f64 {
        1.0 + DAY_SWING * (std::f64::consts::TAU * (secs + self.phase_secs) / 86_400.0).sin()
    }

    pub fn error(&self) -> f64 {
        self.error.exp()
    }

    /// In z.
    pub fn latency(&self) -> f64 {
        self.latency
    }
}

impl Spell {
    const NEVER: Spell = Spell { until_secs: 0.0, rate: 0.0 };

    fn begin(probability: f64, secs: f64, [low, high]: [f64; 2], dice: &mut Dice) -> Option<Spell> {
        dice.chance(probability).then(|| Spell { until_secs: secs + dice.exponential(SPELL_SECS), rate: dice.between(low, high) })
    }

    /// The world may begin in the middle of a spell.
    fn at_the_start(rate: [f64; 2], dice: &mut Dice) -> Spell {
        Spell::begin(SPELL_SECS / 60.0 / SPELL_EVERY_MINUTES, 0.0, rate, dice).unwrap_or(Spell::NEVER)
    }

    fn pass_a_minute(&mut self, secs: f64, rate: [f64; 2], dice: &mut Dice) {
        if secs >= self.until_secs
            && let Some(spell) = Spell::begin(1.0 / SPELL_EVERY_MINUTES, secs, rate, dice)
        {
            *self = spell;
        }
    }

    /// The least rate of bad requests during the spell, and 0 otherwise.
    fn least(&self, secs: f64) -> f64 {
        if secs < self.until_secs { self.rate } else { 0.0 }
    }
}

impl WorkspaceDrift {
    pub fn new(dice: &mut Dice) -> WorkspaceDrift {
        let mut drift = WorkspaceDrift {
            error: ERROR.begin(dice),
            rejected: REJECTED.begin(dice),
            latency: LATENCY.begin(dice),
            traffic: TRAFFIC.begin(dice),
            broken: Spell::at_the_start(BROKEN, dice),
            token_expired: Spell::at_the_start([TOKEN_EXPIRED; 2], dice),
            now: Factors::default(),
        };
        drift.set_factors();
        drift
    }

    /// `secs` is the time at which the minute begins.
    pub fn pass_a_minute(&mut self, secs: f64, dice: &mut Dice) {
        self.error = ERROR.after_a_minute(self.error, dice);
        self.rejected = REJECTED.after_a_minute(self.rejected, dice);
        self.latency = LATENCY.after_a_minute(self.latency, dice);
        self.traffic = TRAFFIC.after_a_minute(self.traffic, dice);
        self.broken.pass_a_minute(secs, BROKEN, dice);
        self.token_expired.pass_a_minute(secs, [TOKEN_EXPIRED; 2], dice);
        self.set_factors();
    }

    fn set_factors(&mut self) {
        self.now = Factors {
            error: ERROR.factor(self.error),
            rejected: REJECTED.factor(self.rejected),
            traffic: TRAFFIC.factor(self.traffic),
            latency: self.latency,
        };
    }

    /// The least rates of errors and rejections, from the workspace's own troubles.
    pub fn least(&self, secs: f64) -> [f64; 2] {
        [self.broken.least(secs), self.token_expired.least(secs)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drifts_keep_their_spread_and_average_to_one() {
        let mut dice = Dice::new(1, "moods");
        let mut drifts: Vec<WorkspaceDrift> = (0..4_000).map(|_| WorkspaceDrift::new(&mut dice)).collect();
        for minute in 0..60 {
            drifts.iter_mut().for_each(|drift| drift.pass_a_minute(f64::from(minute) * 60.0, &mut dice));
        }
        let mean = |of: &dyn Fn(&WorkspaceDrift) -> f64| drifts.iter().map(of).sum::<f64>() / 4_000.0;
        // The bounds are five standard errors of 4,000 independent values.
        assert!((mean(&|drift| drift.now.error) - 1.0).abs() < 0.035);
        assert!((mean(&|drift| drift.now.traffic) - 1.0).abs() < 0.025);
        assert!((mean(&|drift| drift.error.powi(2)).sqrt() - ERROR.sigma).abs() < 0.025);
        assert!((mean(&|drift| drift.latency.powi(2)).sqrt() - LATENCY.sigma).abs() < 0.003);
    }

    #[test]
    fn a_workspace_is_broken_for_as_long_as_it_should_be() {
        let mut dice = Dice::new(2, "spells");
        let mut broken = 0;
        for _ in 0..8_000 {
            let mut drift = WorkspaceDrift::new(&mut dice);
            for minute in 0..60 {
                let secs = f64::from(minute) * 60.0;
                drift.pass_a_minute(secs, &mut dice);
                let [error, rejected] = drift.least(secs);
                assert!(error == 0.0 || (BROKEN[0]..=BROKEN[1]).contains(&error));
                assert!(rejected == 0.0 || rejected == TOKEN_EXPIRED);
                broken += u32::from(error > 0.0);
            }
        }
        // A spell of ten minutes in 12,000: 1 of 1,200 on average. The bounds are wide, because few spells occur.
        let share = f64::from(broken) / 480_000.0 * 1_200.0;
        assert!((0.7..1.4).contains(&share), "{share}");
    }

    #[test]
    fn a_day_swings_by_a_half() {
        let shared = SharedDrift::new(&mut Dice::new(3, "day"));
        let day: Vec<f64> = (0..96).map(|quarter| shared.traffic(f64::from(quarter) * 900.0)).collect();
        assert!((day.iter().sum::<f64>() / 96.0 - 1.0).abs() < 1e-9);
        assert!(day.iter().all(|part| (0.5..=1.5).contains(part)));
    }
}
