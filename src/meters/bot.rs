//! What is counted of one bot. Each worker is the only writer of its shard; a scrape sums the shards.

use std::sync::{Arc, Mutex};

use super::cells::{Count, EDGES, FINE_EDGES, Histogram, Level};
use super::labels::{CodeClass, IdentifyResult, RescueReason};
use crate::core::{Outcome, Track};

/// One worker's counters for one bot.
#[derive(Debug)]
pub struct BotShard {
    pub requests: [[[Count; CodeClass::ALL.len()]; Outcome::ALL.len()]; 2],
    pub duration: [Histogram; 2],
    pub first_byte: [Histogram; 2],
    pub overhead: Histogram,
    pub inflight: [Level; 2],
    /// Connections that have changed to another protocol.
    pub tunnels: [Level; 2],
    pub rescues: [Count; RescueReason::ALL.len()],
    /// The requests that the track's upstream has answered within the last deadline, for the other workers.
    pub answered_lately: [Level; 2],
    /// Requests that were refused because the upstream answers too late.
    pub shed: [Count; 2],
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
            tunnels: Default::default(),
            rescues: Default::default(),
            answered_lately: Default::default(),
            shed: Default::default(),
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
    pub fn usually(&self, result: IdentifyResult) -> bool {
        result == if self.source == "none" { IdentifyResult::Missing } else { IdentifyResult::Found }
    }

    pub fn sum(&self, result: IdentifyResult) -> u64 {
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

    pub fn sum(&self, track: Track) -> u64 {
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
    pub fn new(name: &str, workers: usize) -> BotMeters {
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

    pub fn sources(&self) -> Vec<Arc<SourceMeter>> {
        self.sources.lock().expect("no panic under this lock").clone()
    }

    pub fn retries(&self) -> Vec<Arc<RetryMeter>> {
        self.retries.lock().expect("no panic under this lock").clone()
    }
}
