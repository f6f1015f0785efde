//! Each track's answers in the last two minutes and in the whole step, by the track that answered: the limits are checked on them. Also
//! the connections of the last two minutes, which show whether the canary takes any.

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Duration;

use crate::core::{Connections, Latencies, Observed, Quantile, Tally, Track};

#[derive(Debug)]
pub(super) struct RecentAnswers {
    intervals: VecDeque<Interval>,
    lately: [Answers; 2],
    step: [Answers; 2],
    /// What the limits are checked on; computed on demand and discarded when the counts change.
    observed: OnceLock<[[Observed; 2]; 2]>,
    span: Duration,
    interval: Duration,
}

/// The counts of one interval of time, by track.
#[derive(Debug)]
struct Interval {
    began: Duration,
    answers: [Answers; 2],
    connections: [Connections; 2],
}

/// What a track answered.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Answers {
    pub tally: Tally,
    pub latencies: Latencies,
}

const RECENT: (Duration, Duration) = (Duration::from_secs(120), Duration::from_secs(5));
const HOUR: (Duration, Duration) = (Duration::from_secs(3600), Duration::from_secs(60));

impl Default for RecentAnswers {
    fn default() -> RecentAnswers {
        RecentAnswers::of(RECENT)
    }
}

impl RecentAnswers {
    fn of((span, interval): (Duration, Duration)) -> RecentAnswers {
        RecentAnswers {
            intervals: VecDeque::new(),
            lately: Default::default(),
            step: Default::default(),
            observed: OnceLock::new(),
            span,
            interval,
        }
    }

    /// Keeps the last hour instead of the last two minutes.
    pub fn hour() -> RecentAnswers {
        RecentAnswers::of(HOUR)
    }

    pub fn add(&mut self, now: Duration, answers: [Answers; 2], connections: [Connections; 2]) {
        while let Some(old) = self.intervals.pop_front_if(|interval| interval.began + self.span <= now) {
            self.lately.iter_mut().zip(&old.answers).for_each(|(sum, old)| sum.take_out(old));
            self.observed.take();
        }
        if answers.iter().all(Answers::is_empty) && connections == [Connections::default(); 2] {
            return;
        }
        self.observed.take();
        for sums in [&mut self.lately, &mut self.step] {
            sums.iter_mut().zip(&answers).for_each(|(sum, new)| sum.merge(new));
        }
        match self.intervals.back_mut().filter(|interval| now < interval.began + self.interval) {
            Some(interval) => {
                interval.answers.iter_mut().zip(&answers).for_each(|(sum, new)| sum.merge(new));
                interval.connections.iter_mut().zip(connections).for_each(|(sum, new)| *sum += new);
            }
            None => self.intervals.push_back(Interval { began: now, answers, connections }),
        }
    }

    /// The connections of the canary and of stable, in this order, in the last two minutes.
    pub fn connections(&self) -> [Connections; 2] {
        [Track::Canary, Track::Stable].map(|track| {
            let mut sum = Connections::default();
            self.intervals.iter().for_each(|interval| sum += interval.connections[track as usize]);
            sum
        })
    }

    /// What the limits are checked on, by track: in the last two minutes, and in the step so far.
    pub fn observed(&self) -> [[Observed; 2]; 2] {
        *self.observed.get_or_init(|| [&self.lately, &self.step].map(|answers| [answers[0].observed(), answers[1].observed()]))
    }
}

impl Answers {
    pub fn is_empty(&self) -> bool {
        self.tally == Tally::default() && self.latencies.is_empty()
    }

    pub fn merge(&mut self, other: &Answers) {
        self.tally += other.tally;
        self.latencies.merge(&other.latencies);
    }

    fn take_out(&mut self, other: &Answers) {
        self.tally -= other.tally;
        self.latencies.take_out(&other.latencies);
    }

    fn observed(&self) -> Observed {
        let quantile = |quantile: Quantile| self.latencies.quantile(quantile.share());
        let quantiles = match (quantile(Quantile::P50), quantile(Quantile::P90), quantile(Quantile::P99)) {
            (Some(p50), Some(p90), Some(p99)) => Some([p50, p90, p99]),
            _ => None,
        };
        Observed { requests: self.tally.requests, errors: self.tally.errors, late: self.tally.late, quantiles }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::latency_bin;

    fn answers(requests: u32) -> [Answers; 2] {
        let mut latencies = Latencies::default();
        latencies.add(latency_bin(40_000), requests);
        [Answers { tally: Tally { requests, ..Tally::default() }, latencies }, Answers::default()]
    }

    #[test]
    fn observations_follow_the_counts_and_old_intervals_are_dropped() {
        let (mut recent, quiet) = (RecentAnswers::default(), <[Connections; 2]>::default());
        let requests = |recent: &RecentAnswers| recent.observed().map(|of| of[0].requests);
        let mut add = |secs, count| {
            recent.add(Duration::from_secs(secs), answers(count), quiet);
            (requests(&recent), recent.intervals.len())
        };
        assert_eq!(add(0, 10), ([10, 10], 1));
        assert_eq!(add(3, 5), ([15, 15], 1));
        assert_eq!(add(7, 0), ([15, 15], 1));
        assert_eq!(add(60, 1), ([16, 16], 2));
        assert_eq!(add(121, 0), ([1, 16], 1));
        assert_eq!(add(200, 0), ([0, 16], 0));
        assert_eq!((recent.observed()[0][0].quantiles, recent.lately.iter().all(Answers::is_empty)), (None, true));
    }
}
