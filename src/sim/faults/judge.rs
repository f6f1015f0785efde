//! What is known of a split: its requests, and what is made of them. Either the real evidence, or a stand-in that costs
//! next to nothing and follows the same outcomes: a likelihood ratio of the canary's bad requests against stable's.

use std::time::Duration;

use super::world::WORKSPACES;
use crate::core::evidence::{Evidence, Examined, Exposure, HarmBound, Judgement, Metric, Seen, Wealth};
use crate::core::{Observed, Tally, Track, Turn};

/// One answered request, as its split's ledger keeps it.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    pub workspace: usize,
    pub label: Track,
    /// It fails whoever answers it, and the evidence would have found that out.
    pub own_trouble: bool,
    /// Routed under examination, in a block of this turn.
    pub examined: Option<Turn>,
    pub seen: Seen,
}

/// The evidence about one split, from one moment on.
#[derive(Clone)]
pub struct Window {
    /// No two are the same.
    pub number: u64,
    pub split_id: u64,
    pub judge: Judge,
}

#[derive(Clone)]
pub enum Judge {
    Real(Box<Evidence>),
    Made(Box<Made>),
}

/// The stand-in.
#[derive(Clone, Default)]
pub struct Made {
    exposures: [Exposure; 2],
    /// Sets of workspaces.
    seen: [u64; 2],
    /// Stable's and the canary's, in the minute before this one and in this one.
    minutes: [[Observed; 2]; 2],
    /// Bad requests and all requests in the same minutes; without those of customers with a trouble of their own.
    bad: [[[u32; 2]; 2]; 2],
    /// Stable's errors and requests before these minutes: what is usual.
    usual: [u32; 2],
    minute: u128,
    looked: Option<Duration>,
}

impl Counted {
    fn examined(&self, under_way: u32) -> Option<Examined> {
        let Seen { bucket, tally, .. } = self.seen;
        let tally = if under_way == 0 { tally } else { Tally::default() };
        self.examined.map(|turn| Examined { bucket, turn, tally, under_way })
    }
}

impl Judge {
    pub fn judge(&mut self, now: Duration, counted: &[Counted], under_way: &[Counted]) -> (Judgement, bool) {
        match self {
            Judge::Real(evidence) => {
                let ended = counted.iter().filter_map(|one| one.examined(0));
                let examined = under_way.iter().filter_map(|one| one.examined(1)).chain(ended);
                evidence.observe(now, counted.iter().map(|one| one.seen), examined);
                evidence.judge(now)
            }
            Judge::Made(made) => (made.judge(now, counted), false),
        }
    }

    /// Stable's and the canary's last two minutes.
    pub fn recently(&self) -> [Observed; 2] {
        match self {
            Judge::Real(evidence) => evidence.recently().map(|Exposure { tally: Tally { requests, errors, late, .. }, .. }| Observed {
                requests,
                errors,
                late,
                quantiles: None,
            }),
            Judge::Made(made) => [0, 1].map(|track| {
                let [before, this] = [made.minutes[0][track], made.minutes[1][track]];
                Observed {
                    requests: before.requests + this.requests,
                    errors: before.errors + this.errors,
                    late: before.late + this.late,
                    quantiles: None,
                }
            }),
        }
    }
}

const _: () = assert!(WORKSPACES <= u64::BITS as usize);

impl Made {
    fn judge(&mut self, now: Duration, counted: &[Counted]) -> Judgement {
        let minute = now.as_nanos() / 60_000_000_000;
        if minute != self.minute {
            let next_one = minute == self.minute + 1;
            let gone = if next_one { &self.minutes[..1] } else { &self.minutes[..] };
            for [stable, _] in gone {
                self.usual[0] += stable.errors;
                self.usual[1] += stable.requests;
            }
            self.minutes = [if next_one { self.minutes[1] } else { Default::default() }, Default::default()];
            self.bad = [if next_one { self.bad[1] } else { Default::default() }, Default::default()];
            self.minute = minute;
        }
        for one in counted {
            self.count(one);
        }
        self.looked = Some(now);
        let [stable, canary] = [0, 1].map(|track| [0, 1].map(|i| self.bad[0][track][i] + self.bad[1][track][i]));
        let log_e = log_ratio(canary, stable).min(60.0);
        let wealth = Wealth { all: log_e, cohorts: log_e, urn: log_e, newly_broken: 0.0, examinations: log_e };
        Judgement {
            wealth,
            harm: harm(canary, stable),
            shock: self.shock(),
            leading: Metric::Errors,
            stable: self.exposures[0],
            canary: self.exposures[1],
            looked: now,
        }
    }

    fn shock(&self) -> f64 {
        let stable = self.minutes.map(|minute| minute[0]);
        let sum = |of: fn(&Observed) -> u32| f64::from(stable.iter().map(of).sum::<u32>());
        let usual = (f64::from(self.usual[0]) + 2.0) / (f64::from(self.usual[1]) + 100.0);
        (sum(|o| o.errors) + 2.0) / (usual * sum(|o| o.requests) + 2.0)
    }

    fn count(&mut self, one: &Counted) {
        let track = one.label as usize;
        let tally = &one.seen.tally;
        self.exposures[track].tally += *tally;
        self.seen[track] |= 1 << one.workspace;
        self.exposures[track].buckets = self.seen[track].count_ones() as usize;
        if one.own_trouble {
            return;
        }
        let lately = &mut self.minutes[1][track];
        lately.requests += tally.requests;
        lately.errors += tally.errors;
        lately.late += tally.late;
        self.bad[1][track][0] += tally.errors + tally.late + tally.rejected;
        self.bad[1][track][1] += tally.requests;
    }
}

/// ln of how much likelier it is that the canary adds 30 % bad requests than that it adds none.
fn log_ratio([bad, requests]: [u32; 2], stable: [u32; 2]) -> f64 {
    let usual = rate(stable);
    let worse = (usual + 0.3).min(0.97);
    f64::from(bad) * (worse / usual).ln() + f64::from(requests - bad) * ((1.0 - worse) / (1.0 - usual)).ln()
}

fn harm([bad, requests]: [u32; 2], stable: [u32; 2]) -> HarmBound {
    let (bad, requests) = (f64::from(bad), f64::from(requests));
    let excess = bad - requests * rate(stable);
    HarmBound((excess + 1.64 * bad.sqrt() + 1.5) / requests.max(1.0))
}

fn rate([bad, requests]: [u32; 2]) -> f64 {
    ((f64::from(bad) + 1.0) / (f64::from(requests) + 30.0)).clamp(0.01, 0.9)
}
