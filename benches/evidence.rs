//! What one look at the evidence costs, when each of the 10,000 buckets had requests: both windows, all alternatives, the
//! urns, the harm bound.
//!
//! `cargo bench --bench evidence`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use serin::core::evidence::{Evidence, History, Seen};
use serin::core::{Bucket, LatencyMarks, Pins, Salt, Split, Tally, Weight};

fn look(c: &mut Criterion) {
    let mut history = History::default();
    history.set_marks(LatencyMarks { slow_micros: 80_000, very_slow_micros: 400_000 });
    for bucket in Bucket::all() {
        history.learn(bucket, &tally(bucket, 500));
    }
    let weight = Weight::from_percent(10.0).expect("a weight");
    let split = Split::new(Salt::new("serin"), "support", 1, weight, Pins::default());
    let mut evidence = Evidence::new(&history, 7, true, Duration::ZERO);
    evidence.begin_step(weight.ratio(), |bucket| split.track(bucket) == serin::core::Track::Canary, Duration::ZERO);
    let mut now = Duration::from_secs(600);
    evidence.observe(now, Bucket::all().map(|bucket| Seen { bucket, set_aside: false, tally: tally(bucket, 60) }), []);
    c.bench_function("a look at 10,000 active buckets", |b| {
        b.iter(|| {
            now += Duration::from_secs(30);
            black_box(evidence.judge(now))
        });
    });
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

criterion_group!(benches, look);
criterion_main!(benches);
