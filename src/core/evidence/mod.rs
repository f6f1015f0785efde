//! How serin knows that a canary is bad: bets on labels.
//!
//! Chance decided which buckets are canary. If the canary harms nobody, the labels tell nothing about the outcomes, whatever else
//! is wrong with the outcomes. So serin first judges each bucket without its label: how far are its outcomes from its own past,
//! without what affected all buckets? Then it bets wealth on the bad-looking buckets being canary. With fair labels the wealth
//! stays at 1 on average: it is an *e-value*. A canary that does harm makes it grow.
//!
//! E mixes five bettors: **A** bets on all buckets, **C** on those that a step put on the canary for the first time, **U** draws
//! buckets from an urn as they begin to look bad, **N** those that look newly broken, and **X** cross-examines single workspaces
//! with a coin. Each formula is in the file of its part; docs/statistics.md has all of them, and what is guaranteed.

mod baseline;
mod bets;
mod columns;
mod examination;
#[cfg(test)]
mod golden;
mod harm;
mod labels;
mod likelihood;
mod likely;
mod metric;
mod observation;
mod question;
mod rows;
mod shock;
mod suspects;
#[cfg(test)]
mod transcript;
mod urn;
mod urns;
mod window;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::bucket::Bucket;
use super::sparse::ByBucket;
use super::split::Apart;
use super::tally::{LOG_UNIT, Tally};
use bets::{Odds, bet};
use labels::Labels;
use metric::{COUNT_OF_ALTERNATIVES, log_sum, mix};
use rows::{BucketRow, BucketRows, rate_shock};
use suspects::{EXAMINE_EVERY, Suspects};
use urns::Urns;
use window::Window;

pub use baseline::{Baseline, Usual};
pub use examination::{Examination, Finding};
pub use harm::{HarmBound, tolerable};
pub use metric::{ALTERNATIVES, Alternative, Metric};
pub use observation::{BucketTally, Examined};

/// A bot with this many requests in its past is known well enough to measure the shock of all its buckets.
const LEARNT: f64 = 1_000.0;

/// The interval at which A, C and U are computed. With a shorter one, trouble that comes and goes is found sooner, but A's recent
/// past misleads more often.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// In a step younger than this, A, C and U are computed as often as suspects are searched for.
const LOOK_SOON: Duration = Duration::from_secs(60);

/// The parts of E: A, C, U, X, and N·X.
const PARTS: [f64; 5] = [0.34, 0.25, 0.10, 0.14, 0.17];

/// The evidence against one rollout's canary.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Evidence {
    #[serde(deserialize_with = "baselines_as_kept")]
    baselines: Arc<ByBucket<Baseline>>,
    /// Whether the bot has latency marks.
    marked: bool,
    /// Whether the bot has had `LEARNT` requests, so that its usual errors are known.
    learnt: bool,
    labels: Labels,
    window: Window,
    /// C's wealth under each alternative, from the steps before this one.
    cohorts: [f64; COUNT_OF_ALTERNATIVES],
    /// C's wealth under each alternative, from this step alone.
    cohort: [f64; COUNT_OF_ALTERNATIVES],
    urns: Urns,
    suspects: Suspects,
    wealth: Wealth,
    harm: HarmBound,
    shock: f64,
    leading: Metric,
    looked: Option<Duration>,
    #[serde(skip)]
    done: Done,
}

/// What was already computed from the window, by the window's number of changes. While the number stays, it need not be computed again.
#[derive(Clone, Debug, Default)]
struct Done {
    /// The tracks' exposures in the step.
    exposures: Option<(u64, [Exposure; 2])>,
    /// The urns of N have seen the window.
    drawn: Option<u64>,
    /// A look at the window, and whether its recent past differed from the step.
    looked: Option<(u64, bool)>,
}

/// The bettors' wealths, as logarithms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Wealth {
    pub all: f64,
    pub cohorts: f64,
    pub urn: f64,
    pub newly_broken: f64,
    pub examinations: f64,
}

impl Wealth {
    /// ln E, `E = .34A + .25C + .10U + .14X + .17(N·X)`.
    pub fn log_e(&self) -> f64 {
        let parts = [self.all, self.cohorts, self.urn, self.examinations, self.newly_broken + self.examinations];
        log_sum(PARTS.iter().zip(parts).map(|(part, log)| part.ln() + log))
    }
}

/// A track's requests and buckets in this step, as the evidence counts them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Exposure {
    pub tally: Tally,
    /// Buckets with at least one request.
    pub buckets: usize,
}

/// What the evidence says at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Judgement {
    pub wealth: Wealth,
    pub harm: HarmBound,
    /// The factor by which the errors of all buckets lie above the usual, in the last two minutes; 1 if the usual is not known.
    pub shock: f64,
    /// The metric that looks worst.
    pub leading: Metric,
    pub stable: Exposure,
    pub canary: Exposure,
    /// The time at which A, C and U were last computed.
    pub looked: Duration,
}

impl Evidence {
    /// The evidence of a rollout that begins now. It compares with the past as it is now. `seed` makes the coins, and must be new
    /// for each rollout.
    pub fn new(usual: &Usual, seed: u64, examine: bool, now: Duration) -> Evidence {
        Evidence {
            labels: Labels::new(),
            marked: usual.marks().is_some(),
            learnt: usual.requests() >= LEARNT,
            baselines: Arc::new(usual.baselines()),
            window: Window::new(now),
            cohorts: [0.0; COUNT_OF_ALTERNATIVES],
            cohort: [0.0; COUNT_OF_ALTERNATIVES],
            urns: Urns::new(),
            suspects: Suspects::new(seed, examine),
            wealth: Wealth::default(),
            harm: HarmBound(f64::INFINITY),
            shock: 1.0,
            leading: Metric::Errors,
            looked: None,
            done: Done::default(),
        }
    }

    /// Begins a step with a new weight, a share of the buckets; `canary` says which buckets are canary. The window begins anew; C,
    /// U, N and X keep what they won.
    pub fn begin_step(&mut self, weight: f64, canary: impl Fn(Bucket) -> bool, now: Duration) {
        for (sum, step) in self.cohorts.iter_mut().zip(&mut self.cohort) {
            *sum += std::mem::take(step);
        }
        self.labels.begin_step(weight, canary);
        self.urns.refill(&self.labels);
        self.window = Window::new(now);
        self.wealth.all = 0.0;
        self.harm = HarmBound(f64::INFINITY);
        self.looked = None;
        self.done = Done::default();
    }

    /// Adds what happened since the last call. Requests in `examined` must also be in `seen`.
    pub fn observe(&mut self, now: Duration, seen: impl IntoIterator<Item = BucketTally>, examined: impl IntoIterator<Item = Examined>) {
        self.window.forget(now);
        for one in seen {
            self.labels.active(one.bucket);
            self.window.add(now, one.bucket, one.tally);
        }
        self.suspects.count(examined);
        self.suspects.pass(now, &self.labels);
    }

    /// Sets whether workspaces may be switched between the tracks. Returns `true` if [`Evidence::apart`] has changed.
    pub fn examine(&mut self, may: bool) -> bool {
        self.suspects.enable(may)
    }

    /// Returns the judgement, and whether coins were tossed, so that [`Evidence::apart`] has changed.
    pub fn judge(&mut self, now: Duration) -> (Judgement, bool) {
        let changed = self.suspects.end_blocks(now);
        let moved = self.labels.is_a_split() && self.look(now);
        self.wealth.examinations = self.suspects.log_wealth();
        self.wealth.newly_broken = self.urns.log_newly_broken();
        (self.judgement(now), changed || moved)
    }

    /// Does what is due: suspects, urns, bets. Returns `true` if a bucket must move.
    fn look(&mut self, now: Duration) -> bool {
        let baselines = self.baselines.clone();
        let (changes, has_a_past) = (self.window.changes(), self.window.has_a_past(now));
        let (look, mut lately, mut moved) = (self.is_due(now), BucketRows::default(), false);
        if look || self.suspects.is_due(now) {
            lately = BucketRows::of(rows(&baselines, self.marked, &self.labels, self.window.recent()));
            moved = self.examine_suspects(now, &mut lately);
        }
        let bet = look && self.done.looked != Some((changes, has_a_past));
        // N may be drawn at any time, so a bucket that is completely broken is found one tick after its third request.
        let draw = self.done.drawn != Some(changes) && self.labels.odds().fresh > 0.0;
        if bet {
            let in_step = BucketRows::of(rows(&baselines, self.marked, &self.labels, self.window.step()));
            if draw {
                self.urns.look_for_newly_broken(&in_step.rows, |metric| in_step.shocks.rates[metric as usize]);
            }
            self.place_bets(&in_step, Some(&lately).filter(|_| has_a_past));
            if self.learnt {
                self.shock = lately.shocks.rates[Metric::Errors as usize];
            }
            self.done.looked = Some((changes, has_a_past));
        } else if draw {
            let in_step = rows(&baselines, self.marked, &self.labels, self.window.step());
            self.urns.look_for_newly_broken(&in_step, |metric| rate_shock(&in_step, metric));
        }
        if draw {
            self.done.drawn = Some(changes);
        }
        if look {
            self.wealth.urn = self.urns.log_wealth();
            self.looked = Some(now);
        }
        moved
    }

    fn examine_suspects(&mut self, now: Duration, lately: &mut BucketRows<'_>) -> bool {
        let moved = self.suspects.examine(now, lately, &self.labels);
        for bucket in self.suspects.newly_refuted() {
            self.labels.refute(bucket);
            self.urns.take_back(bucket);
            lately.rows.iter_mut().filter(|row| row.bucket == bucket).for_each(|row| row.refuted = true);
            self.done.looked = None;
        }
        moved
    }

    fn judgement(&mut self, now: Duration) -> Judgement {
        let changes = self.window.changes();
        let known = self.done.exposures.filter(|(at, _)| *at == changes).map(|(_, exposures)| exposures);
        let exposures = known.unwrap_or_else(|| self.exposures(self.window.step()));
        self.done.exposures = Some((changes, exposures));
        let [stable, canary] = exposures;
        Judgement {
            wealth: self.wealth,
            harm: self.harm,
            shock: self.shock,
            leading: self.leading,
            stable,
            canary,
            looked: self.looked.unwrap_or(now),
        }
    }

    /// Computes A, C and U, and the harm bound. `lately` is the recent past, if it differs from the step.
    fn place_bets(&mut self, in_step: &BucketRows<'_>, lately: Option<&BucketRows<'_>>) {
        let odds = self.labels.odds();
        let urns = &mut self.urns;
        let since_step =
            bet(in_step, odds, &ALTERNATIVES, |alternative, row, log_ratio| urns.look(alternative, &in_step.rows[row], log_ratio));
        if odds.fresh > 0.0 {
            self.cohort.copy_from_slice(&since_step.fresh);
        }
        self.harm = harm::bound(&in_step.rows);
        let all: [f64; COUNT_OF_ALTERNATIVES] = std::array::from_fn(|i| since_step.all[i]);
        let recent = lately.map_or(all, |lately| {
            let recent = bet(lately, Odds { fresh: 0.0, ..odds }, &ALTERNATIVES, |_, _, _| {});
            std::array::from_fn(|i| recent.all[i])
        });
        let cohorts: [f64; COUNT_OF_ALTERNATIVES] = std::array::from_fn(|i| self.cohorts[i] + self.cohort[i]);
        self.wealth.all = log_sum([mix(&all), mix(&recent)].into_iter()) - 2.0_f64.ln();
        self.wealth.cohorts = mix(&cohorts);
        self.leading = leading([&all, &recent, &cohorts]);
    }

    /// A look is due every 5 s in a step's first minute, then every 15 s.
    fn is_due(&self, now: Duration) -> bool {
        let age = now.saturating_sub(self.window.began());
        let every = if age <= LOOK_SOON { EXAMINE_EVERY } else { LOOK_EVERY };
        now >= self.looked.unwrap_or(self.window.began()) + every
    }

    /// The requests of the last two minutes of this step: stable's and the canary's.
    pub fn recently(&self) -> [Exposure; 2] {
        self.exposures(self.window.recent())
    }

    fn exposures(&self, tallies: &ByBucket<Tally>) -> [Exposure; 2] {
        let mut exposures = [Exposure::default(); 2];
        for (index, tally) in tallies.iter().filter(|(_, tally)| tally.requests > 0) {
            let exposure = &mut exposures[usize::from(self.labels.canary(index))];
            exposure.tally += *tally;
            exposure.buckets += 1;
        }
        exposures
    }

    /// The canary's buckets that do not go by rank now: a coin decides, or they were refuted.
    pub fn apart(&self) -> impl Iterator<Item = (Bucket, Apart)> + '_ {
        self.suspects.apart().filter_map(|(index, apart)| Some((Bucket::try_from(index as u16).ok()?, apart)))
    }

    pub fn examinations(&self) -> &[Examination] {
        self.suspects.examinations()
    }
}

/// One row for each active bucket.
fn rows<'a>(baselines: &'a ByBucket<Baseline>, marked: bool, labels: &Labels, tallies: &ByBucket<Tally>) -> Vec<BucketRow<'a>> {
    let mut rows = Vec::with_capacity(tallies.values().len());
    for (bucket, tally) in tallies.iter().filter(|(_, tally)| tally.requests > 0) {
        rows.push(BucketRow {
            bucket,
            canary: labels.canary(bucket),
            fresh: labels.fresh(bucket),
            refuted: labels.refuted(bucket),
            requests: f64::from(tally.requests),
            timed: f64::from(tally.timed),
            marked: if marked { f64::from(tally.timed) } else { 0.0 },
            counts: Metric::COUNTS.map(|metric| metric.of(tally).0),
            log_latency: tally.log_latency as f64 / LOG_UNIT,
            baseline: baselines.get(bucket),
        });
    }
    rows
}

fn baselines_as_kept<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<ByBucket<Baseline>>, D::Error> {
    ByBucket::as_kept(deserializer).map(Arc::new)
}

/// The metric of the alternative that won most.
fn leading(wealths: [&[f64; COUNT_OF_ALTERNATIVES]; 3]) -> Metric {
    let worth = |i: &usize| wealths.iter().map(|logs| logs[*i]).fold(f64::NEG_INFINITY, f64::max) + ALTERNATIVES[*i].prior.ln();
    let best = (0..COUNT_OF_ALTERNATIVES).max_by(|a, b| worth(a).total_cmp(&worth(b)));
    best.map_or(Metric::Errors, |i| ALTERNATIVES[i].metric)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shock with two per cent of errors, which is four times the rate of a bot without a past.
    fn shock_after(past_requests: u32) -> f64 {
        let seen = |bucket, requests| BucketTally {
            bucket,
            set_aside: false,
            tally: Tally { requests, errors: requests / 50, ..Tally::default() },
        };
        let mut usual = Usual::default();
        Bucket::all().take(50).for_each(|bucket| usual.learn(bucket, &seen(bucket, past_requests).tally));
        let mut evidence = Evidence::new(&usual, 1, true, Duration::ZERO);
        evidence.begin_step(0.5, |bucket| bucket.index() % 2 == 0, Duration::ZERO);
        let now = Duration::from_secs(5);
        evidence.observe(now, Bucket::all().take(50).map(|bucket| seen(bucket, 500)), []);
        evidence.judge(now).0.shock
    }

    #[test]
    fn a_bot_without_a_past_is_not_broken_by_its_own_rate() {
        assert_eq!(shock_after(0), 1.0);
        assert!((shock_after(500) - 1.0).abs() < 0.2, "{}", shock_after(500));
    }
}
