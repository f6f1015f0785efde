//! The counts of one writer. Only its own thread writes to a shard, so that counting is a plain load and store without a locked
//! instruction; a reader may see the last requests a moment late. The changes are counted as well, so that a reader can skip what has
//! not changed.

use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64};

use crate::core::{BUCKETS, Bucket, Connections, LATENCY_BINS, Latencies, LatencyMarks, Sample, Tally, Track, Turn, latency_bin};

/// Buckets per page. A page is allocated when one of its buckets is first counted, because 10,000 buckets for each worker and bot would
/// waste memory. Workspaces are spread evenly, so pages are small: fifty workspaces need nearly fifty pages.
pub(super) const PAGE: usize = 50;
pub(super) const PAGES: usize = BUCKETS as usize / PAGE;
const _: () = assert!(PAGES * PAGE == BUCKETS as usize);

/// What is counted by bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// By the track of the bucket's rank.
    Ranked,
    /// Buckets that their rank puts on the canary and stable answered for.
    SetAside,
    /// Buckets under examination, by the turn of the block. These requests are also counted in one of the other kinds.
    Even,
    Odd,
}

/// The index in `changes` for what is counted by track, after the kinds.
const OF_LANES: usize = 4;
pub(super) const COUNTERS: usize = 5;

#[derive(Debug)]
pub struct Shard {
    /// The latencies from which an answer is slow, and very slow.
    marks: [AtomicU64; 2],
    /// The number of changes, by kind and for the lanes. Each is stored after the change that it counts, so a reader that loads it
    /// first also sees that change.
    changes: [AtomicU32; COUNTERS],
    /// The pages of [`Kind::Ranked`], which every request needs.
    ranked: Box<[Page; PAGES]>,
    /// The pages of the other kinds, in their order.
    others: [Pages; 3],
    tracks: [Lane; 2],
}

/// Allocated when a bucket is first counted.
#[derive(Debug, Default)]
struct Pages(OnceLock<Box<[Page; PAGES]>>);

#[derive(Debug, Default)]
pub(super) struct Page {
    changes: AtomicU32,
    cells: OnceLock<Box<[Cell; PAGE]>>,
}

#[derive(Debug, Default)]
pub(super) struct Cell {
    requests: AtomicU32,
    errors: AtomicU32,
    late: AtomicU32,
    rejected: AtomicU32,
    timed: AtomicU32,
    slow: AtomicU32,
    very_slow: AtomicU32,
    /// Only under examination: requests that have not ended.
    under_way: AtomicU32,
    log_latency: AtomicI64,
}

/// What is counted by track, not by bucket.
#[derive(Debug, Default)]
struct Lane {
    wanted: AtomicU32,
    broken: AtomicU32,
    /// The track's requests that the other track answered: shown among its errors, but no evidence.
    rescued: AtomicU32,
    /// Of requests that count as evidence. Allocated at the first one.
    latencies: OnceLock<Box<[AtomicU32; LATENCY_BINS]>>,
}

/// Only the thread that owns the shard may call these.
impl Shard {
    /// Counts a request of a bucket under examination as under way.
    pub fn set_out(&self, bucket: Bucket, turn: Turn) {
        self.change(Kind::of(turn), bucket, |cell| bump(&cell.under_way, 1));
    }

    /// The request has ended, with whatever outcome.
    pub fn came_back(&self, bucket: Bucket, turn: Turn) {
        self.change(Kind::of(turn), bucket, |cell| bump(&cell.under_way, 1_u32.wrapping_neg()));
    }

    /// Counts the outcome of a request that was routed in a block of this turn.
    pub fn examined(&self, bucket: Bucket, turn: Turn, sample: Sample) {
        self.change(Kind::of(turn), bucket, |cell| cell.add(Tally::of(sample, LatencyMarks::NONE)));
    }

    /// Counts a finished request of the bucket. `track` is the one that answered.
    pub fn record(&self, bucket: Bucket, set_aside: bool, track: Track, sample: Sample) {
        let kind = if set_aside { Kind::SetAside } else { Kind::Ranked };
        self.change(kind, bucket, |cell| {
            let [slow_micros, very_slow_micros] = [self.marks[0].load(Relaxed), self.marks[1].load(Relaxed)];
            cell.add(Tally::of(sample, LatencyMarks { slow_micros, very_slow_micros }));
            // Before the change is counted, so that a reader that sees the change also sees this latency.
            if let Some(micros) = sample.latency_micros {
                let bins = self.tracks[track as usize].latencies.get_or_init(|| Box::new(std::array::from_fn(|_| AtomicU32::new(0))));
                bump(&bins[latency_bin(micros)], 1);
            }
        });
    }

    /// Counts a request of the track that was rescued.
    pub fn rescued(&self, track: Track) {
        bump(&self.tracks[track as usize].rescued, 1);
        count_change(&self.changes[OF_LANES]);
    }

    /// Counts a request that needed a connection of the track; `broken`: the connection failed.
    pub fn connection(&self, track: Track, broken: bool) {
        let lane = &self.tracks[track as usize];
        bump(&lane.wanted, 1);
        bump(&lane.broken, u32::from(broken));
        count_change(&self.changes[OF_LANES]);
    }

    #[inline]
    fn change(&self, kind: Kind, bucket: Bucket, change: impl FnOnce(&Cell)) {
        let page = match kind {
            Kind::Ranked => &self.ranked[bucket.index() / PAGE],
            Kind::SetAside | Kind::Even | Kind::Odd => &self.others[kind as usize - 1].0.get_or_init(no_pages)[bucket.index() / PAGE],
        };
        change(&page.cells.get_or_init(|| Box::new(std::array::from_fn(|_| Cell::default())))[bucket.index() % PAGE]);
        count_change(&page.changes);
        count_change(&self.changes[kind as usize]);
    }
}

/// For the ledger, which sums the shards.
impl Shard {
    pub(super) fn new(marks: LatencyMarks) -> Shard {
        let shard = Shard {
            marks: Default::default(),
            changes: Default::default(),
            ranked: no_pages(),
            others: Default::default(),
            tracks: Default::default(),
        };
        shard.set_marks(marks);
        shard
    }

    pub(super) fn set_marks(&self, marks: LatencyMarks) {
        self.marks[0].store(marks.slow_micros, Relaxed);
        self.marks[1].store(marks.very_slow_micros, Relaxed);
    }

    pub(super) fn changes(&self) -> [u32; COUNTERS] {
        std::array::from_fn(|place| self.changes[place].load(Acquire))
    }

    pub(super) fn pages(&self, kind: Kind) -> Option<&[Page; PAGES]> {
        match kind {
            Kind::Ranked => Some(&self.ranked),
            Kind::SetAside | Kind::Even | Kind::Odd => self.others[kind as usize - 1].0.get().map(|pages| &**pages),
        }
    }

    pub(super) fn connections(&self, track: usize) -> Connections {
        let lane = &self.tracks[track];
        Connections { wanted: lane.wanted.load(Relaxed), broken: lane.broken.load(Relaxed) }
    }

    pub(super) fn rescues(&self, track: usize) -> u32 {
        self.tracks[track].rescued.load(Relaxed)
    }

    pub(super) fn add_latencies(&self, track: usize, sum: &mut Latencies) {
        for (bin, count) in self.tracks[track].latencies.get().into_iter().flat_map(|bins| bins.iter().enumerate()) {
            sum.add(bin, count.load(Relaxed));
        }
    }
}

fn no_pages() -> Box<[Page; PAGES]> {
    Box::new(std::array::from_fn(|_| Page::default()))
}

impl Kind {
    pub(super) fn of(turn: Turn) -> Kind {
        match turn {
            Turn::Even => Kind::Even,
            Turn::Odd => Kind::Odd,
        }
    }
}

impl Page {
    /// Must be read before the cells.
    pub(super) fn changes(&self) -> u32 {
        self.changes.load(Acquire)
    }

    pub(super) fn cells(&self) -> Option<&[Cell; PAGE]> {
        self.cells.get().map(|cells| &**cells)
    }
}

fn bump(count: &AtomicU32, by: u32) {
    if by != 0 {
        count.store(count.load(Relaxed).wrapping_add(by), Relaxed);
    }
}

/// Must be called after the change that it counts.
fn count_change(changes: &AtomicU32) {
    changes.store(changes.load(Relaxed).wrapping_add(1), Release);
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

    pub(super) fn under_way(&self) -> u32 {
        self.under_way.load(Relaxed)
    }

    pub(super) fn tally(&self) -> Tally {
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
