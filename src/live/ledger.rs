//! The tallies of one epoch: one shard for each worker and one for the control thread. A total sums the shards. For a caller that reads
//! each bot each second, `read` looks only at what has changed since the last call.

use std::collections::HashMap;

use super::shard::{COUNTERS, Cell, Kind, PAGE, PAGES, Page, Shard};
use crate::core::evidence::{BucketTally, Examined};
use crate::core::{Bucket, Connections, Latencies, LatencyMarks, Split, Tally, Track, Turn, typical_micros};

#[derive(Debug)]
pub struct Ledger {
    shards: Box<[Shard]>,
}

/// A track's sums over its buckets, in integers that do not overflow in a split of years.
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

/// How far a ledger was read, with the sums up to then.
#[derive(Debug, Default)]
pub struct LedgerReading {
    /// Change counters by kind, summed over the shards.
    changes: [u32; COUNTERS],
    ranked: PagesRead,
    set_aside: PagesRead,
    examined: HashMap<Bucket, [Tally; 2]>,
    /// By turn: the buckets with requests under way, and how many.
    under_way: [Vec<(Bucket, u32)>; 2],
    connections: [Connections; 2],
    rescued: [u32; 2],
    latencies: [Latencies; 2],
}

/// The buckets' sums over all shards, by page; empty until a bucket has a request.
#[derive(Debug, Default)]
struct PagesRead(Vec<PageRead>);

#[derive(Clone, Debug, Default)]
struct PageRead {
    changes: u32,
    tallies: Option<Box<[Tally; PAGE]>>,
}

/// What was counted since the last reading.
#[derive(Debug, Default)]
pub struct News {
    pub seen: Vec<BucketTally>,
    /// Only buckets with a request that has ended or is under way.
    pub examined: Vec<Examined>,
    /// By track.
    pub connections: [Connections; 2],
    pub rescued: [u32; 2],
    pub latencies: [Latencies; 2],
}

impl LedgerReading {
    /// Each bucket's tally on the track of its rank; buckets without requests are left out.
    pub fn by_bucket(&self) -> impl Iterator<Item = (Bucket, Tally)> + '_ {
        let pages = self.ranked.0.iter().enumerate();
        let cells = pages.filter_map(|(number, page)| Some((number, page.tallies.as_deref()?)));
        let tallies =
            cells.flat_map(|(number, tallies)| tallies.iter().enumerate().map(move |(place, tally)| (number * PAGE + place, *tally)));
        tallies
            .filter(|(_, tally)| *tally != Tally::default())
            .filter_map(|(index, tally)| Some((Bucket::try_from(index as u16).ok()?, tally)))
    }

    /// Stable's answers to a bucket that its rank puts on the canary.
    pub fn set_aside(&self, bucket: Bucket) -> Tally {
        let page = self.set_aside.0.get(bucket.index() / PAGE).and_then(|page| page.tallies.as_deref());
        page.map_or_else(Tally::default, |tallies| tallies[bucket.index() % PAGE])
    }

    /// Requests of this track that the other track answered because this one took no connection.
    pub fn rescued(&self, track: Track) -> u32 {
        self.rescued[track as usize]
    }
}

impl Ledger {
    pub fn new(workers: usize, marks: LatencyMarks) -> Ledger {
        Ledger { shards: (0..=workers).map(|_| Shard::new(marks)).collect() }
    }

    pub fn shard(&self, worker: usize) -> &Shard {
        &self.shards[worker]
    }

    /// The shard of the control thread: reports that come later by the API.
    pub fn own_shard(&self) -> &Shard {
        &self.shards[self.shards.len() - 1]
    }

    /// Sets the latency marks for what is counted from now on.
    pub fn set_marks(&self, marks: LatencyMarks) {
        self.shards.iter().for_each(|shard| shard.set_marks(marks));
    }

    /// A number that changes whenever something is counted.
    pub fn changes(&self) -> u32 {
        self.changes_by_counter().into_iter().fold(0, u32::wrapping_add)
    }

    fn changes_by_counter(&self) -> [u32; COUNTERS] {
        let mut sums = [0_u32; COUNTERS];
        for shard in &self.shards {
            sums.iter_mut().zip(shard.changes()).for_each(|(sum, changes)| *sum = sum.wrapping_add(changes));
        }
        sums
    }

    /// The sums by the track of the buckets' ranks. Rescued requests count as errors of their track.
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

    /// Returns what is new since `reading`, and updates `reading`.
    pub fn read(&self, reading: &mut LedgerReading) -> News {
        let mut news = News::default();
        let changes = self.changes_by_counter();
        let before = std::mem::replace(&mut reading.changes, changes);
        let has_changed = |kind: Kind| changes[kind as usize] != before[kind as usize];
        if has_changed(Kind::Ranked) {
            self.read_pages(Kind::Ranked, &mut reading.ranked, &mut news.seen);
        }
        if has_changed(Kind::SetAside) {
            self.read_pages(Kind::SetAside, &mut reading.set_aside, &mut news.seen);
        }
        for turn in Turn::ALL {
            self.read_examined(turn, has_changed(Kind::of(turn)), reading, &mut news.examined);
        }
        if changes != before {
            self.read_lanes(reading, &mut news);
        }
        news
    }

    /// Reads the pages that have changed.
    fn read_pages(&self, kind: Kind, read: &mut PagesRead, news: &mut Vec<BucketTally>) {
        let shards: Vec<&[Page; PAGES]> = self.shards.iter().filter_map(|shard| shard.pages(kind)).collect();
        read.0.resize_with(PAGES, PageRead::default);
        for (number, read) in read.0.iter_mut().enumerate() {
            let changes = shards.iter().map(|pages| pages[number].changes()).fold(0, u32::wrapping_add);
            if std::mem::replace(&mut read.changes, changes) == changes {
                continue;
            }
            let tallies = read.tallies.get_or_insert_with(|| Box::new([Tally::default(); PAGE]));
            for (bucket, sum, _) in page(number, cells(&shards, number)) {
                let mut tally = sum;
                tally -= std::mem::replace(&mut tallies[bucket.index() % PAGE], sum);
                if tally != Tally::default() {
                    news.push(BucketTally { bucket, set_aside: kind == Kind::SetAside, tally });
                }
            }
        }
    }

    /// Requests under way are reported each time, whether or not their number has changed.
    fn read_examined(&self, turn: Turn, has_changed: bool, reading: &mut LedgerReading, news: &mut Vec<Examined>) {
        let still = &mut reading.under_way[turn as usize];
        if !has_changed {
            let waits =
                |(bucket, under_way): &(Bucket, u32)| Examined { bucket: *bucket, turn, tally: Tally::default(), under_way: *under_way };
            news.extend(still.iter().map(waits));
            return;
        }
        still.clear();
        for (bucket, sum, under_way) in self.cells(Kind::of(turn)) {
            let mut tally = sum;
            if sum != Tally::default() {
                tally -= std::mem::replace(&mut reading.examined.entry(bucket).or_default()[turn as usize], sum);
            }
            if under_way > 0 {
                still.push((bucket, under_way));
            }
            if tally != Tally::default() || under_way > 0 {
                news.push(Examined { bucket, turn, tally, under_way });
            }
        }
    }

    fn read_lanes(&self, reading: &mut LedgerReading, news: &mut News) {
        for track in Track::ALL.map(|track| track as usize) {
            let sum = self.connections(track);
            let before = std::mem::replace(&mut reading.connections[track], sum);
            news.connections[track] =
                Connections { wanted: sum.wanted.wrapping_sub(before.wanted), broken: sum.broken.wrapping_sub(before.broken) };
            let sum = self.rescued(track);
            news.rescued[track] = sum.wrapping_sub(std::mem::replace(&mut reading.rescued[track], sum));
            let sum = self.latencies(track);
            if sum != reading.latencies[track] {
                news.latencies[track].merge(&sum);
                news.latencies[track].take_out(&std::mem::replace(&mut reading.latencies[track], sum));
            }
        }
    }

    /// Each bucket that has a page: its tally and its requests under way, summed over the shards.
    fn cells(&self, kind: Kind) -> impl Iterator<Item = (Bucket, Tally, u32)> + '_ {
        let shards: Vec<&[Page; PAGES]> = self.shards.iter().filter_map(|shard| shard.pages(kind)).collect();
        (0..PAGES).flat_map(move |number| page(number, cells(&shards, number)))
    }

    /// Each bucket with a request: the track of its rank, and its tally.
    pub fn by_bucket<'a>(&'a self, split: &'a Split) -> impl Iterator<Item = (Bucket, Track, Tally)> + 'a {
        let used = self.cells(Kind::Ranked).filter(|(_, tally, _)| *tally != Tally::default());
        used.map(|(bucket, tally, _)| (bucket, split.track(bucket), tally))
    }

    fn rescued(&self, track: usize) -> u32 {
        self.shards.iter().map(|shard| shard.rescues(track)).fold(0, u32::wrapping_add)
    }

    fn connections(&self, track: usize) -> Connections {
        let mut sum = Connections::default();
        for lane in self.shards.iter().map(|shard| shard.connections(track)) {
            sum.wanted = sum.wanted.wrapping_add(lane.wanted);
            sum.broken = sum.broken.wrapping_add(lane.broken);
        }
        sum
    }

    fn latencies(&self, track: usize) -> Latencies {
        let mut sum = Latencies::default();
        self.shards.iter().for_each(|shard| shard.add_latencies(track, &mut sum));
        sum
    }
}

/// The cells of one page, from each shard that has the page.
fn cells<'a>(shards: &[&'a [Page; PAGES]], number: usize) -> Vec<&'a [Cell; PAGE]> {
    shards.iter().filter_map(|pages| pages[number].cells()).collect()
}

/// The buckets of one page, summed over the shards; empty if no shard has the page.
fn page(number: usize, shards: Vec<&[Cell; PAGE]>) -> impl Iterator<Item = (Bucket, Tally, u32)> + '_ {
    let places = if shards.is_empty() { 0..0 } else { 0..PAGE };
    places.filter_map(move |place| {
        let (mut sum, mut under_way) = (Tally::default(), 0_u32);
        for cell in shards.iter().map(|cells| &cells[place]) {
            sum += cell.tally();
            under_way = under_way.wrapping_add(cell.under_way());
        }
        let bucket = Bucket::try_from((number * PAGE + place) as u16).ok()?;
        Some((bucket, sum, under_way))
    })
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

    /// The geometric mean of the latencies, in microseconds; `None` if there are none.
    pub fn typical_micros(&self) -> Option<f64> {
        (self.timed > 0).then(|| typical_micros(self.log_latency, self.timed as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::{Outcome, Pins, Salt, Sample, Weight, latency_bin};
    use proptest::prelude::*;

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
    fn a_reading_reports_each_request_once() {
        let ledger = Ledger::new(2, LatencyMarks { slow_micros: 999, very_slow_micros: 1_000 });
        let mut reading = LedgerReading::default();
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
        let all =
            |reading: &LedgerReading| reading.by_bucket().map(|(bucket, tally)| (bucket, tally.requests, tally.errors)).collect::<Vec<_>>();
        assert_eq!((all(&reading), reading.set_aside(canary).errors), (vec![(canary, 1, 0)], 1));
        let news = ledger.read(&mut reading);
        assert!(news.seen.is_empty() && news.connections == [Connections::default(); 2] && news.latencies[1].count() == 0);
    }

    #[test]
    fn examined_requests_are_read_by_turn_with_those_under_way() {
        let ledger = Ledger::new(2, LatencyMarks::NONE);
        let mut reading = LedgerReading::default();
        let canary = bucket_on(Track::Canary);
        let read = |reading: &mut LedgerReading| -> Vec<(Turn, u32, u32)> {
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
        let kinds = [Kind::Ranked, Kind::SetAside, Kind::Even, Kind::Odd];
        let made =
            |shard: &Shard| kinds.iter().filter_map(|kind| shard.pages(*kind)).flatten().filter(|page| page.cells().is_some()).count();
        assert_eq!(ledger.shards.iter().map(made).collect::<Vec<_>>(), [1, 0, 0]);
    }

    /// The sum of all readings of a ledger.
    #[derive(Debug, Default, PartialEq)]
    struct Told {
        seen: HashMap<(Bucket, bool), Tally>,
        connections: [Connections; 2],
        rescued: [u32; 2],
        latencies: [Latencies; 2],
    }

    impl Told {
        fn hear(&mut self, news: News) {
            news.seen.iter().for_each(|one| *self.seen.entry((one.bucket, one.set_aside)).or_default() += one.tally);
            for track in 0..2 {
                self.connections[track] += news.connections[track];
                self.rescued[track] += news.rescued[track];
                self.latencies[track].merge(&news.latencies[track]);
            }
        }
    }

    proptest! {
        /// However often the ledger is read, each request is reported once.
        #[test]
        fn readings_add_up_to_what_was_counted(
            events in proptest::collection::vec((0usize..3, 0u16..10_000, any::<bool>(), 0usize..2, 60u64..5_000, 0u8..5), 0..120),
        ) {
            let ledger = Ledger::new(2, LatencyMarks::NONE);
            let (mut told, mut want, mut reading) = (Told::default(), Told::default(), LedgerReading::default());
            for (shard, bucket, set_aside, track, micros, what) in events {
                let (bucket, shard) = (Bucket::try_from(bucket).unwrap(), &ledger.shards[shard]);
                match what {
                    0 => told.hear(ledger.read(&mut reading)),
                    1 => {
                        shard.connection(Track::ALL[track], set_aside);
                        want.connections[track] += Connections { wanted: 1, broken: u32::from(set_aside) };
                    }
                    2 => {
                        shard.rescued(Track::ALL[track]);
                        want.rescued[track] += 1;
                    }
                    _ => {
                        let sample = Sample { outcome: Outcome::Ok, latency_micros: Some(micros) };
                        shard.record(bucket, set_aside, Track::ALL[track], sample);
                        *want.seen.entry((bucket, set_aside)).or_default() += Tally::of(sample, LatencyMarks::NONE);
                        want.latencies[track].add(latency_bin(micros), 1);
                    }
                }
            }
            let before = ledger.changes();
            told.hear(ledger.read(&mut reading));
            prop_assert_eq!(told, want);
            let nothing = ledger.read(&mut reading);
            prop_assert!(nothing.seen.is_empty() && nothing.latencies.iter().all(Latencies::is_empty) && ledger.changes() == before);
        }
    }
}
