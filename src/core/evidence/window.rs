//! What was counted since the step began, and in the last two minutes of it.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::sparse::ByBucket;
use crate::core::{Bucket, Tally};

/// The length of the recent past: long enough to see trouble that comes and goes, short enough not to hide it in older requests.
const RECENT: Duration = Duration::from_secs(120);
const INTERVAL: Duration = Duration::from_secs(5);
const INTERVALS: u128 = RECENT.as_millis() / INTERVAL.as_millis();

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Window {
    began: Duration,
    step: ByBucket<Tally>,
    recent: ByBucket<Tally>,
    /// What will be subtracted from `recent`, oldest first. Only buckets that had requests are in it.
    #[serde(rename = "slots")]
    intervals: VecDeque<Interval>,
    /// Rises with each change of a tally in `step` or `recent`.
    #[serde(skip)]
    changes: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Interval {
    number: u128,
    tallies: Vec<(Bucket, Tally)>,
}

impl Window {
    pub fn new(began: Duration) -> Window {
        let empty = ByBucket::new(Tally::default());
        Window { began, step: empty.clone(), recent: empty, intervals: VecDeque::new(), changes: 0 }
    }

    pub fn began(&self) -> Duration {
        self.began
    }

    /// Whether the step is older than the recent past. Until then `step` and `recent` are the same.
    pub fn has_a_past(&self, now: Duration) -> bool {
        now.saturating_sub(self.began) > RECENT
    }

    pub fn step(&self) -> &ByBucket<Tally> {
        &self.step
    }

    /// Contains only buckets that had requests in the recent past.
    pub fn recent(&self) -> &ByBucket<Tally> {
        &self.recent
    }

    pub fn add(&mut self, now: Duration, bucket: Bucket, tally: Tally) {
        let number = self.interval(now);
        if self.intervals.back().is_none_or(|interval| interval.number < number) {
            self.intervals.back_mut().into_iter().for_each(Interval::close);
            self.intervals.push_back(Interval { number, tallies: Vec::new() });
        }
        if let Some(interval) = self.intervals.back_mut() {
            interval.tallies.push((bucket, tally));
        }
        *self.step.at(bucket.index()) += tally;
        *self.recent.at(bucket.index()) += tally;
        self.changes += 1;
    }

    /// As long as this number stays the same, no tally has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Removes what is older than the recent past.
    pub fn forget(&mut self, now: Duration) {
        let (number, intervals) = (self.interval(now), self.intervals.len());
        while let Some(interval) = self.intervals.pop_front_if(|interval| interval.number + INTERVALS <= number) {
            for (bucket, tally) in interval.tallies {
                *self.recent.at(bucket.index()) -= tally;
            }
        }
        if self.intervals.len() < intervals {
            self.recent.forget_usual();
            self.changes += 1;
        }
    }

    /// The number of the interval. The very end of an interval belongs to it.
    fn interval(&self, now: Duration) -> u128 {
        now.saturating_sub(self.began).as_nanos().saturating_sub(1) / INTERVAL.as_nanos()
    }
}

impl Interval {
    /// Merges the entries of each bucket into one.
    fn close(&mut self) {
        self.tallies.sort_unstable_by_key(|(bucket, _)| *bucket);
        self.tallies.dedup_by(|(bucket, tally), (kept, sum)| {
            let same = bucket == kept;
            if same {
                *sum += *tally;
            }
            same
        });
        self.tallies.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recent_past_is_the_last_two_minutes() {
        let bucket = Bucket::all().nth(4).unwrap();
        let mut window = Window::new(Duration::from_secs(1_000));
        let one = Tally { requests: 1, errors: 1, log_latency: -7, timed: 1, ..Tally::default() };
        for second in 1..=300 {
            let now = Duration::from_secs(1_000 + second);
            window.forget(now);
            window.add(now, bucket, one);
            assert_eq!(u64::from(window.step().get(4).requests), second);
            let recent = u64::from(window.recent().get(4).requests);
            assert!(recent <= 120 && recent >= second.min(116), "{second}: {recent}");
        }
        assert_eq!(window.recent().get(4).log_latency, -7 * i64::from(window.recent().get(4).requests));
        window.forget(Duration::from_secs(1_000 + 1_000));
        assert_eq!((window.recent().get(4), window.recent().iter().count()), (&Tally::default(), 0));
    }
}
