//! The counters that the hot path writes. Each worker is the only writer of its shard, so that counting is a plain load and store; a
//! scrape sums the shards.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::core::{Outcome, Track};

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

#[derive(Debug)]
pub struct Histogram {
    edges: &'static [f64; 15],
    /// One more than the edges: values above the last edge.
    counts: [Count; 16],
    sum_nanos: Count,
}

impl Histogram {
    fn new(edges: &'static [f64; 15]) -> Histogram {
        Histogram { edges, counts: Default::default(), sum_nanos: Count::default() }
    }

    pub fn record(&self, value: Duration) {
        let seconds = value.as_secs_f64();
        let at = self.edges.iter().position(|edge| seconds <= *edge).unwrap_or(self.edges.len());
        self.counts[at].add(1);
        self.sum_nanos.add(value.as_nanos() as u64);
    }

    pub(super) fn edges(&self) -> &'static [f64; 15] {
        self.edges
    }

    pub(super) fn counts(&self) -> [u64; 16] {
        std::array::from_fn(|i| self.counts[i].load())
    }

    pub(super) fn sum_nanos(&self) -> u64 {
        self.sum_nanos.load()
    }
}

/// The class of an answer's status by its first digit; `None` if there was no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeClass {
    Informational,
    Success,
    Redirection,
    ClientError,
    ServerError,
    None,
}

impl CodeClass {
    pub const ALL: [CodeClass; 6] = [
        CodeClass::Informational,
        CodeClass::Success,
        CodeClass::Redirection,
        CodeClass::ClientError,
        CodeClass::ServerError,
        CodeClass::None,
    ];

    pub fn of(status: Option<u16>) -> CodeClass {
        match status.map(|s| s / 100) {
            None => CodeClass::None,
            Some(1) => CodeClass::Informational,
            Some(2) => CodeClass::Success,
            Some(3) => CodeClass::Redirection,
            Some(4) => CodeClass::ClientError,
            Some(_) => CodeClass::ServerError,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            CodeClass::Informational => "1xx",
            CodeClass::Success => "2xx",
            CodeClass::Redirection => "3xx",
            CodeClass::ClientError => "4xx",
            CodeClass::ServerError => "5xx",
            CodeClass::None => "none",
        }
    }
}

/// The result of looking for the workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentifyResult {
    Found,
    Missing,
    Invalid,
    Mixed,
    TooLarge,
}

impl IdentifyResult {
    pub const ALL: [IdentifyResult; 5] =
        [IdentifyResult::Found, IdentifyResult::Missing, IdentifyResult::Invalid, IdentifyResult::Mixed, IdentifyResult::TooLarge];

    pub fn name(self) -> &'static str {
        match self {
            IdentifyResult::Found => "found",
            IdentifyResult::Missing => "missing",
            IdentifyResult::Invalid => "invalid",
            IdentifyResult::Mixed => "mixed",
            IdentifyResult::TooLarge => "too_large",
        }
    }
}

/// Why stable answered for the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RescueReason {
    Refused,
    Unreachable,
    ConnectTimeout,
    Tls,
    Unresolved,
}

impl RescueReason {
    pub const ALL: [RescueReason; 5] =
        [RescueReason::Refused, RescueReason::Unreachable, RescueReason::ConnectTimeout, RescueReason::Tls, RescueReason::Unresolved];

    pub fn name(self) -> &'static str {
        match self {
            RescueReason::Refused => "refused",
            RescueReason::Unreachable => "unreachable",
            RescueReason::ConnectTimeout => "connect_timeout",
            RescueReason::Tls => "tls",
            RescueReason::Unresolved => "unresolved",
        }
    }
}

/// One worker's counters for one bot.
#[derive(Debug)]
pub struct BotShard {
    pub requests: [[[Count; CodeClass::ALL.len()]; Outcome::ALL.len()]; 2],
    pub duration: [Histogram; 2],
    pub first_byte: [Histogram; 2],
    pub overhead: Histogram,
    pub inflight: [Level; 2],
    pub rescues: [Count; RescueReason::ALL.len()],
    pub handshakes: Count,
}

impl BotShard {
    fn new() -> BotShard {
        BotShard {
            requests: Default::default(),
            duration: [Histogram::new(&EDGES), Histogram::new(&EDGES)],
            first_byte: [Histogram::new(&EDGES), Histogram::new(&EDGES)],
            overhead: Histogram::new(&FINE_EDGES),
            inflight: Default::default(),
            rescues: Default::default(),
            handshakes: Count::default(),
        }
    }

    pub fn request(&self, track: Track, outcome: Outcome, class: CodeClass) -> &Count {
        &self.requests[track as usize][outcome as usize][class as usize]
    }
}

/// One source of one bot: how often each result occurred, by worker.
#[derive(Debug)]
pub struct SourceMeter {
    pub source: String,
    shards: Box<[[Count; IdentifyResult::ALL.len()]]>,
}

impl SourceMeter {
    pub fn add(&self, worker: usize, result: IdentifyResult) {
        self.shards[worker][result as usize].add(1);
    }

    /// Whether this is the result that is expected of the source. Such a series exists from the start, even at 0.
    pub(super) fn usually(&self, result: IdentifyResult) -> bool {
        result == if self.source == "none" { IdentifyResult::Missing } else { IdentifyResult::Found }
    }

    pub(super) fn sum(&self, result: IdentifyResult) -> u64 {
        self.shards.iter().map(|shard| shard[result as usize].load()).sum()
    }
}

/// One reason why the platform sends a webhook again: how often, by worker and track.
#[derive(Debug)]
pub struct RetryMeter {
    pub reason: &'static str,
    shards: Box<[[Count; 2]]>,
}

impl RetryMeter {
    pub fn add(&self, worker: usize, track: Track) {
        self.shards[worker][track as usize].add(1);
    }

    pub(super) fn sum(&self, track: Track) -> u64 {
        self.shards.iter().map(|shard| shard[track as usize].load()).sum()
    }
}

/// The counters of one bot, by name. They outlive splits and reloads.
#[derive(Debug)]
pub struct BotMeters {
    pub name: String,
    shards: Box<[BotShard]>,
    sources: Mutex<Vec<Arc<SourceMeter>>>,
    retries: Mutex<Vec<Arc<RetryMeter>>>,
}

impl BotMeters {
    pub(super) fn new(name: &str, workers: usize) -> BotMeters {
        BotMeters {
            name: name.to_owned(),
            shards: (0..workers).map(|_| BotShard::new()).collect(),
            sources: Mutex::default(),
            retries: Mutex::default(),
        }
    }

    /// Only that worker may write to its shard.
    pub fn shard(&self, worker: usize) -> &BotShard {
        &self.shards[worker]
    }

    pub fn shards(&self) -> &[BotShard] {
        &self.shards
    }

    /// The meter of a source as the config writes it; `none` counts requests in which no source found a workspace.
    pub fn source(&self, source: &str) -> Arc<SourceMeter> {
        let mut sources = self.sources.lock().expect("no panic under this lock");
        if let Some(meter) = sources.iter().find(|meter| meter.source == source) {
            return meter.clone();
        }
        let shards = self.shards.iter().map(|_| Default::default()).collect();
        let meter = Arc::new(SourceMeter { source: source.to_owned(), shards });
        sources.push(meter.clone());
        meter
    }

    /// The meter of a platform's retry reason.
    pub fn retry(&self, reason: &'static str) -> Arc<RetryMeter> {
        let mut retries = self.retries.lock().expect("no panic under this lock");
        if let Some(meter) = retries.iter().find(|meter| meter.reason == reason) {
            return meter.clone();
        }
        let meter = Arc::new(RetryMeter { reason, shards: self.shards.iter().map(|_| Default::default()).collect() });
        retries.push(meter.clone());
        meter
    }

    pub(super) fn sources(&self) -> Vec<Arc<SourceMeter>> {
        self.sources.lock().expect("no panic under this lock").clone()
    }

    pub(super) fn retries(&self) -> Vec<Arc<RetryMeter>> {
        self.retries.lock().expect("no panic under this lock").clone()
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
