//! The last hour in points, for the dashboard's chart. No decision uses it, and a restart begins it anew; older weights are in the
//! history.

use std::collections::VecDeque;
use std::time::{Duration, SystemTime};

use super::recent_answers::Answers;
use super::time::TICK;
use crate::core::Weight;

/// What was counted in one slot of time.
#[derive(Clone, Debug)]
pub struct Point {
    /// The first moment of the slot that was counted.
    pub at: SystemTime,
    /// The time that was counted: the first slot after a start is shorter, and the last one still grows.
    pub lasted: Duration,
    /// The weight at the slot's end.
    pub weight: Weight,
    /// The highest ln E of the slot; `None` if nothing was judged.
    pub log_e: Option<f64>,
    measured: Measured,
}

/// Counts by the track that answered. A slot without traffic takes no memory, and a slot that is over keeps no histogram.
#[derive(Clone, Debug, Default)]
enum Measured {
    #[default]
    Nothing,
    Open(Box<([Answers; 2], [u32; 2])>),
    Over(Box<[Counted; 2]>),
}

/// A track's counts in one slot.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counted {
    pub requests: u64,
    pub errors: u64,
    pub late: u64,
    pub rejected: u64,
    pub p50_micros: Option<u64>,
    pub p99_micros: Option<u64>,
}

#[derive(Debug, Default)]
pub(super) struct LastHour(VecDeque<Point>);

pub const SLOT_SECS: u64 = 15;
const SLOTS: usize = 3600 / SLOT_SECS as usize;

impl LastHour {
    /// Adds what was counted in the tick that ended at `at`.
    pub fn add(&mut self, at: SystemTime, answers: &[Answers; 2], rescued: [u32; 2], weight: Weight) {
        let slot = |at: SystemTime| at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs() / SLOT_SECS);
        // Also true after the clock was set back.
        if self.0.back().is_none_or(|last| slot(last.at) != slot(at)) {
            self.0.back_mut().into_iter().for_each(|last| last.measured.close());
            self.0.push_back(Point { at, lasted: TICK, weight, log_e: None, measured: Measured::Nothing });
            if self.0.len() > SLOTS {
                self.0.pop_front();
            }
        }
        let Some(point) = self.0.back_mut() else { return };
        if rescued != [0; 2] || !answers.iter().all(Answers::is_empty) {
            point.measured.add(answers, rescued);
        }
        point.weight = weight;
        point.lasted = at.duration_since(point.at).unwrap_or_default() + TICK;
    }

    /// Adds a judgement to the current slot.
    pub fn judge(&mut self, log_e: f64) {
        if let Some(point) = self.0.back_mut() {
            point.log_e = Some(point.log_e.map_or(log_e, |worst| worst.max(log_e)));
        }
    }

    pub fn points(&self) -> Vec<Point> {
        self.0.iter().cloned().collect()
    }
}

impl Point {
    /// By track: stable, then canary.
    pub fn counted(&self) -> [Counted; 2] {
        self.measured.counted()
    }
}

impl Measured {
    fn add(&mut self, answers: &[Answers; 2], rescued: [u32; 2]) {
        if !matches!(self, Measured::Open(_)) {
            *self = Measured::Open(Box::default());
        }
        let Measured::Open(sums) = self else { return };
        let (tracks, rescues) = &mut **sums;
        tracks.iter_mut().zip(answers).for_each(|(sum, new)| sum.merge(new));
        rescues.iter_mut().zip(rescued).for_each(|(sum, new)| *sum = sum.saturating_add(new));
    }

    fn close(&mut self) {
        if matches!(self, Measured::Open(_)) {
            *self = Measured::Over(Box::new(self.counted()));
        }
    }

    /// A request that the canary refused and stable answered counts as the canary's error.
    fn counted(&self) -> [Counted; 2] {
        let (tracks, rescued) = match self {
            Measured::Nothing => return Default::default(),
            Measured::Over(counted) => return **counted,
            Measured::Open(sums) => &**sums,
        };
        std::array::from_fn(|track| {
            let (Answers { tally, latencies }, rescued) = (&tracks[track], u64::from(rescued[track]));
            Counted {
                requests: u64::from(tally.requests) + rescued,
                errors: u64::from(tally.errors) + rescued,
                late: u64::from(tally.late),
                rejected: u64::from(tally.rejected),
                p50_micros: latencies.quantile_micros(0.5),
                p99_micros: latencies.quantile_micros(0.99),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Latencies, Tally, latency_bin};

    fn answers(requests: u32, errors: u32) -> [Answers; 2] {
        let mut latencies = Latencies::default();
        latencies.add(latency_bin(40_000), requests);
        [Answers { tally: Tally { requests, errors, ..Tally::default() }, latencies }, Answers::default()]
    }

    fn at(secs: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + secs)
    }

    #[test]
    fn what_belongs_to_a_slot_is_added_up() {
        let mut trail = LastHour::default();
        trail.add(at(0), &answers(10, 1), [0, 0], Weight::ZERO);
        trail.judge(1.5);
        trail.add(at(14), &answers(5, 0), [0, 2], Weight::FULL);
        trail.judge(0.5);
        trail.add(at(15), &answers(1, 1), [0, 0], Weight::FULL);
        let points = trail.points();
        assert_eq!(points.iter().map(|point| point.lasted.as_secs()).collect::<Vec<_>>(), [15, 1]);
        let [stable, canary] = points[0].counted();
        assert_eq!((stable.requests, stable.errors, points[0].weight, points[0].log_e), (15, 1, Weight::FULL, Some(1.5)));
        assert_eq!((canary.requests, canary.errors, canary.p50_micros), (2, 2, None));
        assert!((36_000..44_000).contains(&stable.p50_micros.unwrap()));
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let mut trail = LastHour::default();
        for slot in 0..1_000 {
            trail.add(at(slot * SLOT_SECS), &answers(1, 0), [0, 0], Weight::ZERO);
        }
        let points = trail.points();
        assert_eq!((points.len() as u64 * SLOT_SECS, points[0].at), (3600, at((1_000 - 240) * SLOT_SECS)));
    }
}
