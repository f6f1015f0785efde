//! What one worker counts in: plain cells with a single writer, so that counting is a load and a store, without a lock or an atomic
//! read-modify-write. Any thread may read them.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A counter with a single writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    pub fn add(&self, by: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    pub fn load(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A gauge with a single writer.
#[derive(Debug, Default)]
pub struct Level(AtomicI64);

impl Level {
    pub fn set(&self, value: i64) {
        self.0.store(value, Relaxed);
    }

    pub fn add(&self, by: i64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(by), Relaxed);
    }

    pub fn load(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// Upper bounds in seconds. They include the platforms' deadlines (2, 3, 5, 10), so that the number of late answers can be read
/// exactly.
pub const EDGES: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0];
/// Upper bounds in seconds, from 5 µs, for what serin itself adds.
pub const FINE_EDGES: [f64; 15] =
    [0.000_005, 0.000_01, 0.000_02, 0.000_03, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 1.0];

/// A histogram with a single writer.
#[derive(Debug)]
pub struct Histogram {
    edges: &'static [f64; 15],
    /// One more than the edges: values above the last edge.
    counts: [Count; 16],
    sum_nanos: Count,
}

impl Histogram {
    pub(super) fn new(edges: &'static [f64; 15]) -> Histogram {
        Histogram { edges, counts: Default::default(), sum_nanos: Count::default() }
    }

    pub fn record(&self, value: Duration) {
        let seconds = value.as_secs_f64();
        let at = self.edges.iter().position(|edge| seconds <= *edge).unwrap_or(self.edges.len());
        self.counts[at].add(1);
        self.sum_nanos.add(value.as_nanos() as u64);
    }

    pub fn edges(&self) -> &'static [f64; 15] {
        self.edges
    }

    pub fn counts(&self) -> [u64; 16] {
        std::array::from_fn(|i| self.counts[i].load())
    }

    pub fn sum_nanos(&self) -> u64 {
        self.sum_nanos.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_on_an_edge_belongs_below_it() {
        let histogram = Histogram::new(&EDGES);
        histogram.record(Duration::from_secs(3));
        histogram.record(Duration::from_nanos(3_000_000_001));
        histogram.record(Duration::from_secs(100));
        let counts = histogram.counts();
        assert_eq!((counts[11], counts[12], counts[15]), (1, 1, 1));
        assert_eq!(histogram.sum_nanos(), 106_000_000_001);
    }
}
