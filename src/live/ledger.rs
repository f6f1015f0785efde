//! What was counted in an epoch, one shard for each worker and one for the control thread. A shard has a single writer,
//! so counting is a plain load and store, no locked instruction; whoever asks sums the shards and may see the last
//! requests a moment late.

use std::collections::HashMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::core::evidence::{Examined, Seen};
use crate::core::{
    BUCKETS, Bucket, Connections, LATENCY_BINS, LOG_UNIT, Latencies, LatencyMarks, Sample, Split, Tally, Track, Turn, UNNOTICED_MICROS,
    latency_bin,
};

/// Buckets to a page. Pages come into being when a bucket of theirs is first counted: 10,000 buckets for each core and
/// bot must not cost memory unused.
const PAGE: usize = 100;
const PAGES: usize = BUCKETS as usize / PAGE;
const _: () = assert!(PAGES * PAGE == BUCKETS as usize);

#[derive(Debug)]
pub struct Ledger {
    shards: Box<[Shard]>,
}

/// One writer's counts.
#[derive(Debug)]
pub struct Shard {
    /// From which latency on an answer is slow, and very slow.
    marks: [AtomicU64; 2],
    /// By the track of the bucket's rank.
    ranked: Pages,
    /// Of canary buckets that stable answered for.
    set_aside: Pages,
    /// Of what was routed under examination, by the turn of its block. The same requests once more.
    examined: [Pages; 2],
    tracks: [Lane; 2],
}

#[derive(Debug)]
struct Pages(Box<[OnceLock<Box<[Cell; PAGE]>>]>);

#[derive(Debug, Default)]
struct Cell {
    requests: AtomicU32,
    errors: AtomicU32,
    late: AtomicU32,
    rejected: AtomicU32,
    timed: AtomicU32,
    slow: AtomicU32,
    very_slow: AtomicU32,
    /// Only of what is examined: requests that have not ended.
    under_way: AtomicU32,
    log_latency: AtomicI64,
}

/// What is counted by track, not by bucket.
#[derive(Debug)]
struct Lane {
    wanted: AtomicU32,
    broken: AtomicU32,
    /// The track's failures that the other one answered for: shown with its errors, but no evidence.
    rescued: AtomicU32,
    /// Only of requests that count as evidence. Made when the first one comes.
    latencies: OnceLock<Box<[AtomicU32; LATENCY_BINS]>>,
}

/// A track's sums over its buckets, in integers that a split of years does not fill.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TrackTotals {
    pub requests: u64,
    pub errors: u64,
    pub late: u64,
    pub rejected: u64,
    timed: u64,
    log_latency: f64,
    /// Buckets with at least one request.
    pub active_buckets: usize,
}

/// How far a ledger has been read.
#[derive(Debug)]
pub struct Reading {
    ranked: Box<[Tally]>,
    set_aside: Box<[Tally]>,
    examined: HashMap<Bucket, [Tally; 2]>,
    connections: [Connections; 2],
    rescued: [u32; 2],
    latencies: [Latencies; 2],
}

/// What came in since the last reading.
#[derive(Debug, Default)]
pub struct News {
    pub seen: Vec<Seen>,
    /// Only where something has ended or is under way.
    pub examined: Vec<Examined>,
    /// By track.
    pub connections: [Connections; 2],
    pub rescued: [u32; 2],
    pub latencies: [Latencies; 2],
}

impl Ledger {
    pub fn new(workers: usize, marks: LatencyMarks) -> Ledger {
        Ledger { shards: (0..=workers).map(|_| Shard::new(marks)).collect() }
    }

    pub fn shard(&self, worker: usize) -> &Shard {
        &self.shards[worker]
    }

    /// For what the control thread counts: reports that come later, by the API.
    pub fn own_shard(&self) -> &Shard {
        &self.shards[self.shards.len() - 1]
    }

    /// From now on slow means this.
    pub fn set_marks(&self, marks: LatencyMarks) {
        for shard in &self.shards {
            shard.marks[0].store(marks.slow_micros, Relaxed);
            shard.marks[1].store(marks.very_slow_micros, Relaxed);
        }
    }

    /// A track's sums, of the buckets whose rank puts them there; what was rescued counts as its errors.
    pub fn totals(&self, split: &Split) -> [TrackTotals; 2] {
        let mut totals = [TrackTotals::default(); 2];
        for (_, track, tally) in self.by_bucket(split) {
            totals[track as usize].add(&tally);
        }
        for (track, total) in totals.iter_mut().enumerate() {
            let rescued = u64::from(self.rescued(track));
            total.requests += rescued;
            total.errors += rescued;
        }
        totals
    }

    /// What is new since `reading`, which is brought up to date.
    pub fn read(&self, reading: &mut Reading) -> News {
        let mut news = News::default();
        for (of, set_aside) in [(&mut reading.ranked, false), (&mut reading.set_aside, true)] {
            for (bucket, sum) in self.sum(|shard| if set_aside { &shard.set_aside } else { &shard.ranked }) {
                let mut tally = sum;
                tally -= std::mem::replace(&mut of[bucket.index()], sum);
                if tally != Tally::default() {
                    news.seen.push(Seen { bucket, set_aside, tally });
                }
            }
        }
        for turn in Turn::ALL {
            self.read_examined(turn, reading, &mut news.examined);
        }
        for track in Track::ALL.map(|track| track as usize) {
            let sum = self.connections(track);
            let before = std::mem::replace(&mut reading.connections[track], sum);
            news.connections[track] =
                Connections { wanted: sum.wanted.wrapping_sub(before.wanted), broken: sum.broken.wrapping_sub(before.broken) };
            let sum = self.rescued(track);
            news.rescued[track] = sum.wrapping_sub(std::mem::replace(&mut reading.rescued[track], sum));
            let sum = self.latencies(track);
            news.latencies[track].merge(&sum);
            news.latencies[track].take_out(&std::mem::replace(&mut reading.latencies[track], sum));
        }
        news
    }

    fn read_examined(&self, turn: Turn, reading: &mut Reading, news: &mut Vec<Examined>) {
        for (bucket, sum, under_way) in self.cells(move |shard| &shard.examined[turn as usize]) {
            let mut tally = sum;
            if sum != Tally::default() {
                tally -= std::mem::replace(&mut reading.examined.entry(bucket).or_default()[turn as usize], sum);
            }
            if tally != Tally::default() || under_way > 0 {
                news.push(Examined { bucket, turn, tally, under_way });
            }
        }
    }

    /// Each bucket that has requests, with its sum over the shards.
    fn sum<'a>(&'a self, pages: impl Fn(&'a Shard) -> &'a Pages + Copy + 'a) -> impl Iterator<Item = (Bucket, Tally)> + 'a {
        self.cells(pages).map(|(bucket, tally, _)| (bucket, tally)).filter(|(_, tally)| *tally != Tally::default())
    }

    /// Each bucket that has a page: its tally, and what is under way, over the shards.
    fn cells<'a>(&'a self, pages: impl Fn(&'a Shard) -> &'a Pages + Copy + 'a) -> impl Iterator<Item = (Bucket, Tally, u32)> + 'a {
        let used = move |bucket: &Bucket| self.shards.iter().any(|shard| pages(shard).0[bucket.index() / PAGE].get().is_some());
        let sum = move |bucket: Bucket| {
            let (mut sum, mut under_way) = (Tally::default(), 0_u32);
            for pages in self.shards.iter().map(pages) {
                sum += pages.tally(bucket);
                under_way = under_way.wrapping_add(pages.under_way(bucket));
            }
            (bucket, sum, under_way)
        };
        Bucket::all().filter(used).map(sum)
    }

    /// What each bucket had, and on which track its rank puts it.
    pub fn by_bucket<'a>(&'a self, split: &'a Split) -> impl Iterator<Item = (Bucket, Track, Tally)> + 'a {
        self.sum(|shard| &shard.ranked).map(|(bucket, tally)| (bucket, split.track(bucket), tally))
    }

    fn rescued(&self, track: usize) -> u32 {
        self.shards.iter().map(|shard| shard.tracks[track].rescued.load(Relaxed)).fold(0, u32::wrapping_add)
    }

    fn connections(&self, track: usize) -> Connections {
        let mut sum = Connections::default();
        for lane in self.shards.iter().map(|shard| &shard.tracks[track]) {
            sum.wanted = sum.wanted.wrapping_add(lane.wanted.load(Relaxed));
            sum.broken = sum.broken.wrapping_add(lane.broken.load(Relaxed));
        }
        sum
    }

    fn latencies(&self, track: usize) -> Latencies {
        let mut sum = Latencies::default();
        for bins in self.shards.iter().filter_map(|shard| shard.tracks[track].latencies.get()) {
            bins.iter().enumerate().for_each(|(bin, count)| sum.add(bin, count.load(Relaxed)));
        }
        sum
    }
}

impl TrackTotals {
    fn add(&mut self, tally: &Tally) {
        self.requests += u64::from(tally.requests);
        self.errors += u64::from(tally.errors);
        self.late += u64::from(tally.late);
        self.rejected += u64::from(tally.rejected);
        self.timed += u64::from(tally.timed);
        self.log_latency += tally.log_latency as f64;
        self.active_buckets += 1;
    }

    /// The geometric mean of the latencies, in microseconds.
    pub fn typical_micros(&self) -> Option<f64> {
        (self.timed > 0).then(|| (self.log_latency / LOG_UNIT / self.timed as f64).exp() - UNNOTICED_MICROS as f64)
    }
}

impl Default for Reading {
    fn default() -> Reading {
        let empty = || vec![Tally::default(); usize::from(BUCKETS)].into_boxed_slice();
        Reading {
            ranked: empty(),
            set_aside: empty(),
            examined: HashMap::new(),
            connections: Default::default(),
            rescued: Default::default(),
            latencies: Default::default(),
        }
    }
}

/// Only for the one thread whose shard this is.
impl Shard {
    fn new(marks: LatencyMarks) -> Shard {
        let lane = || Lane { wanted: AtomicU32::new(0), broken: AtomicU32::new(0), rescued: AtomicU32::new(0), latencies: OnceLock::new() };
        let marks = [AtomicU64::new(marks.slow_micros), AtomicU64::new(marks.very_slow_micros)];
        Shard { marks, ranked: Pages::new(), set_aside: Pages::new(), examined: [Pages::new(), Pages::new()], tracks: [lane(), lane()] }
    }

    /// A request of a bucket under examination is on its way.
    pub fn set_out(&self, bucket: Bucket, turn: Turn) {
        let under_way = &self.examined[turn as usize].cell(bucket).under_way;
        under_way.store(under_way.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// It has ended, whatever came of it.
    pub fn came_back(&self, bucket: Bucket, turn: Turn) {
        let under_way = &self.examined[turn as usize].cell(bucket).under_way;
        under_way.store(under_way.load(Relaxed).wrapping_sub(1), Relaxed);
    }

    /// What came of a request that was routed in this block.
    pub fn examined(&self, bucket: Bucket, turn: Turn, sample: Sample) {
        self.examined[turn as usize].cell(bucket).add(Tally::of(sample, LatencyMarks::NONE));
    }

    /// A finished request of the bucket. `track` is who answered for it.
    pub fn record(&self, bucket: Bucket, set_aside: bool, track: Track, sample: Sample) {
        let pages = if set_aside { &self.set_aside } else { &self.ranked };
        let [slow_micros, very_slow_micros] = [self.marks[0].load(Relaxed), self.marks[1].load(Relaxed)];
        pages.cell(bucket).add(Tally::of(sample, LatencyMarks { slow_micros, very_slow_micros }));
        if let Some(micros) = sample.latency_micros {
            let bins = self.tracks[track as usize].latencies.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU32::new(0))));
            bump(&bins[latency_bin(micros)], 1);
        }
    }

    /// A request of the track that was rescued.
    pub fn rescued(&self, track: Track) {
        bump(&self.tracks[track as usize].rescued, 1);
    }

    /// A request wanted a connection of the track.
    pub fn connection(&self, track: Track, broken: bool) {
        let lane = &self.tracks[track as usize];
        bump(&lane.wanted, 1);
        bump(&lane.broken, u32::from(broken));
    }
}

impl Pages {
    fn new() -> Pages {
        Pages((0..PAGES).map(|_| OnceLock::new()).collect())
    }

    fn cell(&self, bucket: Bucket) -> &Cell {
        let page = self.0[bucket.index() / PAGE].get_or_init(|| Box::new(std::array::from_fn(|_| Cell::default())));
        &page[bucket.index() % PAGE]
    }

    fn under_way(&self, bucket: Bucket) -> u32 {
        self.0[bucket.index() / PAGE].get().map_or(0, |page| page[bucket.index() % PAGE].under_way.load(Relaxed))
    }

    fn tally(&self, bucket: Bucket) -> Tally {
        self.0[bucket.index() / PAGE].get().map(|page| page[bucket.index() % PAGE].tally()).unwrap_or_default()
    }
}

fn bump(count: &AtomicU32, by: u32) {
    if by != 0 {
        count.store(count.load(Relaxed).wrapping_add(by), Relaxed);
    }
}

impl Cell {
    fn add(&self, tally: Tally) {
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
    use crate::core::{Outcome, Pins, Salt, Weight};

    const OK: Sample = Sample { outcome: Outcome::Ok, latency_micros: Some(1_000) };
    const ERROR: Sample = Sample { outcome: Outcome::Error, latency_micros: None };

    fn split(bp: u16) -> Split {
        Split::new(Salt::new("serin"), "support", 0, Weight::from_bp(bp).unwrap(), Pins::default())
    }

    fn bucket_on(track: Track) -> Bucket {
        Bucket::all().find(|b| split(5_000).track(*b) == track).unwrap()
    }

    #[test]
    fn what_the_workers_recorded_is_summed_by_track() {
        let ledger = Ledger::new(3, LatencyMarks::NONE);
        for worker in 0..3 {
            ledger.shard(worker).record(bucket_on(Track::Canary), false, Track::Canary, ERROR);
            ledger.shard(worker).record(bucket_on(Track::Stable), false, Track::Stable, OK);
        }
        ledger.own_shard().record(bucket_on(Track::Canary), false, Track::Canary, ERROR);
        let [s, c] = ledger.totals(&split(5_000));
        assert_eq!((s.requests, s.errors, s.active_buckets), (3, 0, 1));
        assert_eq!((c.requests, c.errors, c.timed, c.active_buckets), (4, 4, 0, 1));
    }

    #[test]
    fn a_reading_tells_what_is_new_once() {
        let ledger = Ledger::new(2, LatencyMarks { slow_micros: 999, very_slow_micros: 1_000 });
        let mut reading = Reading::default();
        let canary = bucket_on(Track::Canary);
        ledger.shard(0).record(canary, false, Track::Canary, OK);
        ledger.shard(1).record(canary, true, Track::Stable, ERROR);
        ledger.shard(1).connection(Track::Canary, true);
        ledger.shard(0).connection(Track::Canary, false);
        let news = ledger.read(&mut reading);
        let [ranked, set_aside] = news.seen.as_slice() else { panic!("{:?}", news.seen) };
        assert_eq!((ranked.set_aside, ranked.tally.requests, ranked.tally.slow, ranked.tally.very_slow), (false, 1, 1, 0));
        assert_eq!((set_aside.set_aside, set_aside.bucket, set_aside.tally.errors), (true, canary, 1));
        assert_eq!(news.connections, [Connections::default(), Connections { wanted: 2, broken: 1 }]);
        assert_eq!([news.latencies[0].count(), news.latencies[1].count()], [0, 1]);
        let news = ledger.read(&mut reading);
        assert!(news.seen.is_empty() && news.connections == [Connections::default(); 2] && news.latencies[1].count() == 0);
    }

    #[test]
    fn what_is_examined_is_told_by_turns_with_what_is_under_way() {
        let ledger = Ledger::new(2, LatencyMarks::NONE);
        let mut reading = Reading::default();
        let canary = bucket_on(Track::Canary);
        let read = |reading: &mut Reading| -> Vec<(Turn, u32, u32)> {
            ledger.read(reading).examined.iter().map(|one| (one.turn, one.tally.errors, one.under_way)).collect()
        };
        ledger.shard(0).set_out(canary, Turn::Even);
        ledger.shard(1).set_out(canary, Turn::Even);
        ledger.own_shard().examined(canary, Turn::Odd, ERROR);
        assert_eq!(read(&mut reading), [(Turn::Even, 0, 2), (Turn::Odd, 1, 0)]);
        ledger.shard(1).examined(canary, Turn::Even, ERROR);
        ledger.shard(1).came_back(canary, Turn::Even);
        assert_eq!(read(&mut reading), [(Turn::Even, 1, 1)]);
        ledger.shard(0).came_back(canary, Turn::Even);
        assert_eq!(read(&mut reading), []);
    }

    #[test]
    fn an_unused_ledger_holds_no_pages() {
        let ledger = Ledger::new(2, LatencyMarks::NONE);
        ledger.shard(0).record(Bucket::all().next().unwrap(), false, Track::Stable, OK);
        let pages = |pages: &Pages| pages.0.iter().filter(|p| p.get().is_some()).count();
        let sum: usize = ledger.shards.iter().map(|shard| pages(&shard.ranked) + pages(&shard.set_aside)).sum();
        assert_eq!(sum, 1);
    }
}
