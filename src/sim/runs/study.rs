//! Many runs, on all cores, summed up for each scenario and rule. The result depends on the seeds alone, not on the number of
//! threads or their speed.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::run::{Record, RunSetting, run};
use crate::sim::rules::{Judge, SerinSettings};
use crate::sim::scenario::Scenario;
use crate::sim::world::{Latency, Volume};

pub struct Study {
    pub scenarios: Vec<Scenario>,
    pub volumes: Vec<Volume>,
    pub judges: Vec<Judge>,
    pub settings: SerinSettings,
    pub first_seed: u64,
    pub seeds: u32,
    pub tick: Duration,
}

/// The results of one rule with one scenario at one volume.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleSummary {
    pub scenario: String,
    pub harmful: bool,
    pub volume: String,
    pub judge: Judge,
    pub seeds: u32,
    pub rolled_back: u32,
    pub promoted: u32,
    /// The number that was neither rolled back nor promoted by the end.
    pub held: u32,
    /// The reasons of the holds, and how often each occurred.
    pub holds: BTreeMap<&'static str, u32>,
    pub made_bad: Spread,
    pub bad_workspaces_mean: f64,
    /// Of the rollouts that were promoted.
    pub minutes_to_full_median: Option<f64>,
    pub minutes_to_rollback_median: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    pub mean: f64,
    /// The standard error of the mean.
    pub error: f64,
    pub p95: f64,
}

impl Study {
    pub fn runs(&self) -> usize {
        self.volumes.len() * self.scenarios.len() * self.seeds as usize
    }

    /// Runs everything. Calls `done` for each run that has ended, from any thread, and `summed_up` with the summaries of each
    /// scenario, in order, as soon as they are complete.
    pub fn conduct(&self, threads: usize, done: impl Fn() + Sync, mut summed_up: impl FnMut(&[RuleSummary]) + Send) {
        let latency = Latency::default();
        let next = AtomicUsize::new(0);
        let seeds = self.seeds as usize;
        let collected = Mutex::new(Collected { waiting: 0, runs: (0..self.runs()).map(|_| None).collect() });
        let report = Mutex::new(&mut summed_up);
        std::thread::scope(|scope| {
            for _ in 0..threads.max(1) {
                scope.spawn(|| {
                    loop {
                        let index = next.fetch_add(1, Ordering::Relaxed);
                        if index >= self.runs() {
                            return;
                        }
                        let records = self.run(index, &latency);
                        done();
                        // Calls `summed_up` under the lock, to keep the order.
                        let mut collected = collected.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        collected.runs[index] = Some(records);
                        while let Some(group) = collected.take_group(seeds) {
                            let summaries = self.sum_up(collected.waiting - 1, &group);
                            (report.lock().unwrap_or_else(std::sync::PoisonError::into_inner))(&summaries);
                        }
                    }
                });
            }
        });
    }

    fn setting<'a>(&'a self, group: usize, latency: &'a Latency) -> RunSetting<'a> {
        let (volume, scenario) = (group / self.scenarios.len(), group % self.scenarios.len());
        RunSetting {
            scenario: &self.scenarios[scenario],
            volume: &self.volumes[volume],
            judges: &self.judges,
            settings: &self.settings,
            tick: self.tick,
            latency,
        }
    }

    fn run(&self, index: usize, latency: &Latency) -> Vec<Record> {
        let seeds = self.seeds as usize;
        run(&self.setting(index / seeds, latency), self.first_seed + (index % seeds) as u64, |_, _| {})
    }

    /// `group` has the records of each seed.
    fn sum_up(&self, number: usize, group: &[Vec<Record>]) -> Vec<RuleSummary> {
        let (volume, scenario) = (&self.volumes[number / self.scenarios.len()], &self.scenarios[number % self.scenarios.len()]);
        let of = |place: usize| group.iter().map(|records| &records[place]).collect::<Vec<_>>();
        let judges = self.judges.iter().enumerate();
        judges.map(|(place, judge)| summary(scenario, volume, *judge, &of(place))).collect()
    }
}

struct Collected {
    /// The index of the first group that was not taken yet.
    waiting: usize,
    runs: Vec<Option<Vec<Record>>>,
}

impl Collected {
    fn take_group(&mut self, seeds: usize) -> Option<Vec<Vec<Record>>> {
        let group = self.runs.get_mut(self.waiting * seeds..(self.waiting + 1) * seeds)?;
        if group.iter().any(Option::is_none) || seeds == 0 {
            return None;
        }
        self.waiting += 1;
        Some(group.iter_mut().filter_map(Option::take).collect())
    }
}

fn summary(scenario: &Scenario, volume: &Volume, judge: Judge, records: &[&Record]) -> RuleSummary {
    let count = |is: fn(&Record) -> bool| records.iter().filter(|record| is(record)).count() as u32;
    let minutes =
        |of: fn(&Record) -> Option<Duration>| median(records.iter().filter_map(|record| of(record)).map(|at| at.as_secs_f64() / 60.0));
    let mut holds = BTreeMap::new();
    records.iter().filter_map(|record| record.hold).for_each(|hold| *holds.entry(hold).or_default() += 1);
    RuleSummary {
        holds,
        scenario: scenario.name.clone(),
        harmful: scenario.is_harmful(),
        volume: volume.name.clone(),
        judge,
        seeds: records.len() as u32,
        rolled_back: count(|record| record.rolled_back.is_some()),
        promoted: count(|record| record.promoted.is_some()),
        held: count(|record| record.rolled_back.is_none() && record.promoted.is_none()),
        made_bad: spread(records.iter().map(|record| record.made_bad as f64).collect()),
        bad_workspaces_mean: records.iter().map(|record| f64::from(record.bad_workspaces)).sum::<f64>() / records.len() as f64,
        minutes_to_full_median: minutes(|record| record.promoted),
        minutes_to_rollback_median: minutes(|record| record.rolled_back),
    }
}

fn spread(mut values: Vec<f64>) -> Spread {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0).max(1.0);
    Spread { mean, error: (variance / n).sqrt(), p95: quantile(&values, 0.95) }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    (!values.is_empty()).then(|| quantile(&values, 0.5))
}

/// The quantile of sorted values, with linear interpolation.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (low, part) = (at as usize, at.fract());
    sorted[low] + part * (sorted[(low + 1).min(sorted.len() - 1)] - sorted[low])
}

/// The one-sided upper bound, at 95 %, on the probability of an event that happened in `k` of `n` trials (Clopper and Pearson):
/// with that probability, at most `k` happen once in twenty times.
pub fn upper_bound(k: u32, n: u32) -> f64 {
    if k >= n {
        return 1.0;
    }
    let (mut low, mut high) = (f64::from(k) / f64::from(n), 1.0);
    for _ in 0..50 {
        let middle = (low + high) / 2.0;
        if at_most(k, n, middle) > 0.05 {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// P(at most k of n), each with probability p.
fn at_most(k: u32, n: u32, p: f64) -> f64 {
    let mut log_term = f64::from(n) * (1.0 - p).ln();
    let mut sum = log_term.exp();
    for i in 0..k {
        log_term += (f64::from(n - i) / f64::from(i + 1)).ln() + (p / (1.0 - p)).ln();
        sum += log_term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_is_that_of_the_tables() {
        // 1 − .05^(1/n) if the event never happened.
        assert!((upper_bound(0, 1_000) - 0.002_991_2).abs() < 1e-6);
        assert!((upper_bound(3, 100) - 0.075_711).abs() < 1e-5, "{}", upper_bound(3, 100));
        assert_eq!(upper_bound(5, 5), 1.0);
    }

    #[test]
    fn quantiles_lie_between_the_values() {
        assert_eq!((quantile(&[1.0, 2.0], 0.5), quantile(&[7.0], 0.95)), (1.5, 7.0));
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median(std::iter::empty()), None);
        let spread = spread(vec![1.0, 2.0, 3.0]);
        assert!((spread.mean, spread.p95) == (2.0, 2.9) && (spread.error - 1.0 / 3.0_f64.sqrt()).abs() < 1e-12);
    }
}
