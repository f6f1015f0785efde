//! Measures the evidence by the number of active buckets, of 10,000: the time to begin it, to take in one second's requests, and
//! to look. A look computes both windows, all alternatives, the urns, the harm bound and the suspects.
//!
//! `cargo bench --bench evidence`

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use serin::core::evidence::{BucketTally, Evidence, Usual};
use serin::core::{Bucket, LatencyMarks, Pins, Salt, Split, Tally, Track, Weight};

const ACTIVE: [usize; 5] = [10, 50, 100, 1_000, 10_000];
const NOW: Duration = Duration::from_secs(600);

fn begin(c: &mut Criterion) {
    // As serin does at its start: a look's megabyte is not taken from the kernel each time.
    serin::proxy::memory::keep_freed();
    let mut group = c.benchmark_group("evidence begins");
    for count in ACTIVE {
        let usual = usual(count);
        group.bench_function(BenchmarkId::from_parameter(count), |b| b.iter(|| black_box(begun(&usual))));
    }
}

/// Looks in the third minute of a step. New requests come before each look, since a look without new requests costs nothing.
fn look(c: &mut Criterion) {
    const LOOKS: u64 = 7;
    let mut group = c.benchmark_group("a look");
    for count in ACTIVE {
        let mut evidence = begun(&usual(count));
        evidence.observe(NOW, seen(count, 60), []);
        let one = seen(count, 1)[0];
        let looks = |mut evidence: Evidence| {
            let began = Instant::now();
            for look in 0..LOOKS {
                let now = NOW + Duration::from_secs(15) * look as u32;
                evidence.observe(now, [one], []);
                black_box(evidence.judge(now));
            }
            began.elapsed()
        };
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter_custom(|times| {
                let rounds = times.div_ceil(LOOKS);
                let took: Duration = (0..rounds).map(|_| looks(evidence.clone())).sum();
                took.mul_f64(times as f64 / (rounds * LOOKS) as f64)
            });
        });
    }
}

fn second(c: &mut Criterion) {
    let mut group = c.benchmark_group("a second without a look");
    for count in ACTIVE {
        let mut evidence = begun(&usual(count));
        evidence.observe(NOW, seen(count, 60), []);
        evidence.judge(NOW);
        let news = seen(count, 1);
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            let one = |mut evidence: Evidence| {
                evidence.observe(NOW + Duration::from_secs(1), news.iter().copied(), []);
                (evidence.judge(NOW + Duration::from_secs(1)), evidence)
            };
            b.iter_batched(|| evidence.clone(), one, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("nothing came in", count), |b| {
            let mut evidence = evidence.clone();
            b.iter(|| {
                evidence.observe(NOW + Duration::from_secs(1), [], []);
                black_box(evidence.judge(NOW + Duration::from_secs(1)))
            });
        });
    }
}

fn active(count: usize) -> impl Iterator<Item = Bucket> {
    Bucket::all().step_by(Bucket::all().count() / count)
}

fn usual(count: usize) -> Usual {
    let mut usual = Usual::default();
    usual.set_marks(LatencyMarks { slow_micros: 80_000, very_slow_micros: 400_000 });
    active(count).for_each(|bucket| usual.learn(bucket, &tally(bucket, 500)));
    usual
}

fn begun(usual: &Usual) -> Evidence {
    let weight = Weight::from_percent(10.0).expect("a weight");
    let split = Split::new(Salt::new("serin"), "support", 1, weight, Pins::default());
    let mut evidence = Evidence::new(usual, 7, true, Duration::ZERO);
    evidence.begin_step(weight.ratio(), |bucket| split.track(bucket) == Track::Canary, Duration::ZERO);
    evidence
}

fn seen(count: usize, requests: u32) -> Vec<BucketTally> {
    active(count).map(|bucket| BucketTally { bucket, set_aside: false, tally: tally(bucket, requests) }).collect()
}

/// Some errors here and there, latencies around 30 ms.
fn tally(bucket: Bucket, requests: u32) -> Tally {
    let noise = (bucket.index() * 7_919) % 101;
    let log_latency = (10.3 + noise as f64 / 500.0) * f64::from(requests) * serin::core::LOG_UNIT;
    Tally {
        requests,
        errors: u32::from(noise < 20),
        late: u32::from(noise == 50),
        rejected: u32::from(noise > 80) * 2,
        timed: requests,
        slow: requests / 10,
        very_slow: u32::from(noise > 70),
        log_latency: log_latency as i64,
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(30);
    targets = begin, look, second
}
criterion_main!(benches);
