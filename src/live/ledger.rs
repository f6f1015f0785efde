//! Tallies per bucket, one shard for each worker. A shard has a single writer, its worker, so counting is a plain load
//! and store, no locked instruction; whoever asks sums the shards and may see the last requests a moment late.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering::Relaxed};

use crate::core::{BUCKETS, Bucket, LatencyMarks, Sample, Split, Tally};

/// Buckets to a page. Pages come into being when a bucket of theirs is first counted: 10,000 buckets for each core and
/// bot must not cost memory unused.
const PAGE: usize = 100;
const PAGES: usize = BUCKETS as usize / PAGE;
const _: () = assert!(PAGES * PAGE == BUCKETS as usize);

#[derive(Debug)]
pub struct Ledger {
    shards: Box<[Shard]>,
}

/// One worker's tallies.
#[derive(Debug)]
pub struct Shard {
    pages: Box<[OnceLock<Box<[Cell; PAGE]>>]>,
}

#[derive(Debug, Default)]
struct Cell {
    requests: AtomicU32,
    errors: AtomicU32,
    late: AtomicU32,
    rejected: AtomicU32,
    timed: AtomicU32,
    slow: AtomicU32,
    very_slow: AtomicU32,
    log_latency: AtomicI64,
}

/// A track's sums over its buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrackTotals {
    pub tally: Tally,
    /// Buckets with at least one request.
    pub active_buckets: usize,
}

impl Ledger {
    pub fn new(workers: usize) -> Ledger {
        Ledger { shards: (0..workers).map(|_| Shard::new()).collect() }
    }

    pub fn shard(&self, worker: usize) -> &Shard {
        &self.shards[worker]
    }

    /// The sum over all workers of one bucket.
    pub fn bucket(&self, bucket: Bucket) -> Tally {
        let mut sum = Tally::default();
        for shard in &self.shards {
            sum += shard.bucket(bucket);
        }
        sum
    }

    pub fn totals(&self, split: &Split) -> [TrackTotals; 2] {
        let mut totals = [TrackTotals::default(); 2];
        for bucket in Bucket::all() {
            let tally = self.bucket(bucket);
            if tally.requests > 0 {
                let total = &mut totals[split.track(bucket) as usize];
                total.tally += tally;
                total.active_buckets += 1;
            }
        }
        totals
    }
}

impl Shard {
    fn new() -> Shard {
        Shard { pages: (0..PAGES).map(|_| OnceLock::new()).collect() }
    }

    /// Only for the worker whose shard this is.
    pub fn record(&self, bucket: Bucket, sample: Sample) {
        let page = self.pages[bucket.index() / PAGE].get_or_init(|| Box::new(std::array::from_fn(|_| Cell::default())));
        page[bucket.index() % PAGE].add(Tally::of(sample, LatencyMarks::NONE));
    }

    fn bucket(&self, bucket: Bucket) -> Tally {
        self.pages[bucket.index() / PAGE].get().map(|page| page[bucket.index() % PAGE].tally()).unwrap_or_default()
    }
}

impl Cell {
    fn add(&self, tally: Tally) {
        let bump = |count: &AtomicU32, by: u32| {
            if by != 0 {
                count.store(count.load(Relaxed).wrapping_add(by), Relaxed);
            }
        };
        bump(&self.requests, tally.requests);
        bump(&self.errors, tally.errors);
        bump(&self.late, tally.late);
        bump(&self.rejected, tally.rejected);
        bump(&self.timed, tally.timed);
        bump(&self.slow, tally.slow);
        bump(&self.very_slow, tally.very_slow);
        self.log_latency.store(self.log_latency.load(Relaxed).wrapping_add(tally.log_latency), Relaxed);
    }

    fn tally(&self) -> Tally {
        Tally {
            requests: self.requests.load(Relaxed),
            errors: self.errors.load(Relaxed),
            late: self.late.load(Relaxed),
            rejected: self.rejected.load(Relaxed),
            timed: self.timed.load(Relaxed),
            slow: self.slow.load(Relaxed),
            very_slow: self.very_slow.load(Relaxed),
            log_latency: self.log_latency.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Outcome, Pins, Salt, Track, Weight};

    fn split(bp: u16) -> Split {
        Split::new(Salt::new("serin"), "support", 0, Weight::from_bp(bp).unwrap(), Pins::default())
    }

    #[test]
    fn what_the_workers_recorded_is_summed_by_track() {
        let ledger = Ledger::new(3);
        let split = split(5_000);
        let ok = Sample { outcome: Outcome::Ok, latency_micros: Some(1_000) };
        let error = Sample { outcome: Outcome::Error, latency_micros: None };
        let canary = Bucket::all().find(|b| split.track(*b) == Track::Canary).unwrap();
        let stable = Bucket::all().find(|b| split.track(*b) == Track::Stable).unwrap();
        for worker in 0..3 {
            ledger.shard(worker).record(canary, error);
            ledger.shard(worker).record(stable, ok);
        }
        let [s, c] = ledger.totals(&split);
        assert_eq!((s.tally.requests, s.tally.errors, s.active_buckets), (3, 0, 1));
        assert_eq!((c.tally.requests, c.tally.errors, c.tally.timed, c.active_buckets), (3, 3, 0, 1));
    }

    #[test]
    fn an_unused_ledger_holds_no_pages() {
        let ledger = Ledger::new(2);
        ledger.shard(0).record(Bucket::all().next().unwrap(), Sample { outcome: Outcome::Ok, latency_micros: None });
        let pages: usize = ledger.shards.iter().map(|s| s.pages.iter().filter(|p| p.get().is_some()).count()).sum();
        assert_eq!(pages, 1);
    }
}
