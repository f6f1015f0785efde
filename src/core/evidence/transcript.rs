//! Compares a whole rollout, tick by tick, with the judgements of a version in which every bucket had a row in every table
//! (`transcript.json`), and with what that version stored of itself after half of the time (`kept.msgpack`).

use std::collections::HashMap;
use std::time::Duration;

use super::*;
use crate::core::{Bucket, LatencyMarks};

/// The seconds between two observations.
const TICK: u64 = 5;
const TICKS: u64 = 120;
/// The tick at which the evidence was stored.
const HALF_WAY: u64 = 60;
/// The ticks at which a new step begins, and its weight in buckets.
const STEPS: [(u64, usize); 3] = [(0, 500), (40, 2_000), (80, 5_000)];

/// Pseudo-random numbers, the same in each run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn shuffled(bucket: usize) -> usize {
    bucket * 7_919 % usize::from(crate::core::BUCKETS)
}

fn active(every: usize) -> impl Iterator<Item = Bucket> {
    Bucket::all().filter(move |bucket| bucket.index() % every == 3)
}

fn usual(every: usize) -> Usual {
    let mut usual = Usual::default();
    let mut noise = Noise(1);
    usual.set_marks(LatencyMarks { slow_micros: 80_000, very_slow_micros: 400_000 });
    for bucket in active(every).filter(|bucket| bucket.index() % 4 != 0) {
        usual.learn(bucket, &tally(&mut noise, 400, false));
        usual.fade(60.0);
    }
    usual
}

fn tally(noise: &mut Noise, requests: u64, broken: bool) -> Tally {
    let requests = requests + noise.below(requests + 1);
    let often = |noise: &mut Noise, per_mille: u64| (0..requests).filter(|_| noise.below(1_000) < per_mille).count() as u32;
    let log_mean = 10_000 + noise.below(400) + if broken { 300 } else { 0 };
    Tally {
        requests: requests as u32,
        errors: often(noise, if broken { 300 } else { 5 }),
        late: often(noise, 1),
        rejected: often(noise, 20),
        timed: requests as u32,
        slow: often(noise, 100),
        very_slow: often(noise, 5),
        log_latency: (log_mean * requests) as i64 * (1 << 20) / 1_000,
    }
}

/// What happens in a tick: some buckets are broken on the canary, and one in 90 is broken on both tracks.
fn observed(evidence: &Evidence, noise: &mut Noise, every: usize, tick: u64, weight: usize) -> (Vec<BucketTally>, Vec<Examined>) {
    let apart: HashMap<Bucket, Apart> = evidence.apart().collect();
    let (mut seen, mut examined) = (Vec::new(), Vec::new());
    for bucket in active(every).filter(|bucket| !(bucket.index() as u64 + tick).is_multiple_of(3)) {
        let place = shuffled(bucket.index());
        let by_rank = place < weight;
        let set_aside = match apart.get(&bucket) {
            Some(Apart::Examined { track, .. }) => *track == crate::core::Track::Stable,
            Some(Apart::Refuted) => true,
            None => false,
        };
        let on_canary = by_rank && !set_aside;
        let broken = (on_canary && tick > 90 && place.is_multiple_of(5)) || (place % 90 == 7 && tick > 20);
        let tally = tally(noise, 1 + bucket.index() as u64 % 4, broken);
        seen.push(BucketTally { bucket, set_aside, tally });
        if let Some(Apart::Examined { turn, .. }) = apart.get(&bucket) {
            examined.push(Examined { bucket, turn: *turn, tally, under_way: u32::from(tick.is_multiple_of(7)) });
        }
    }
    (seen, examined)
}

fn figures(judgement: &Judgement, evidence: &Evidence) -> Vec<f64> {
    let Wealth { all, cohorts, urn, newly_broken, examinations } = judgement.wealth;
    let mut figures = vec![all, cohorts, urn, newly_broken, examinations, judgement.harm.0, judgement.shock];
    for exposure in [judgement.stable, judgement.canary].iter().chain(&evidence.recently()) {
        figures.extend([exposure.tally.requests, exposure.tally.errors].map(f64::from));
        figures.push(exposure.buckets as f64);
    }
    figures.extend([judgement.leading as u8 as f64, evidence.apart().count() as f64, judgement.looked.as_secs_f64()]);
    figures
}

/// The judgements of all ticks. `at_half_way` may replace the evidence.
fn judged(every: usize, mut at_half_way: impl FnMut(&mut Evidence)) -> Vec<Vec<f64>> {
    judged_with(every, false, |tick, evidence| {
        if tick == HALF_WAY {
            at_half_way(evidence)
        }
    })
}

/// With `pauses` there are minutes without requests.
fn judged_with(every: usize, pauses: bool, mut between: impl FnMut(u64, &mut Evidence)) -> Vec<Vec<f64>> {
    let mut evidence = Evidence::new(&usual(every), 7, true, Duration::ZERO);
    let (mut noise, mut weight, mut judged) = (Noise(2), 0, Vec::new());
    for tick in 0..TICKS {
        let now = Duration::from_secs(tick * TICK);
        if let Some((_, of)) = STEPS.iter().find(|(at, _)| *at == tick) {
            weight = *of;
            evidence.begin_step(weight as f64 / 10_000.0, |bucket| shuffled(bucket.index()) < weight, now);
        }
        let (seen, examined) = match pauses && tick % 40 > 8 {
            true => (Vec::new(), Vec::new()),
            false => observed(&evidence, &mut noise, every, tick, weight),
        };
        evidence.observe(now + Duration::from_secs(TICK), seen, examined);
        let judgement = evidence.judge(now + Duration::from_secs(TICK)).0;
        judged.push(figures(&judgement, &evidence));
        between(tick, &mut evidence);
    }
    judged
}

fn recorded(which: &str) -> Vec<Vec<f64>> {
    let all: HashMap<String, Vec<Vec<Option<f64>>>> = serde_json::from_str(include_str!("transcript.json")).unwrap();
    all[which].iter().map(|row| row.iter().map(|figure| figure.unwrap_or(f64::INFINITY)).collect()).collect()
}

#[track_caller]
fn same(got: &[Vec<f64>], want: &[Vec<f64>]) {
    assert_eq!(got.len(), want.len());
    for (tick, (got, want)) in got.iter().zip(want).enumerate() {
        for (got, want) in got.iter().zip(want) {
            assert!(got == want || (got - want).abs() <= 1e-9 * want.abs().max(1.0), "tick {tick}: {got} is not {want}");
        }
    }
}

#[test]
fn a_rollout_is_judged_as_it_was_with_a_row_for_every_bucket() {
    same(&judged(31, |_| {}), &recorded("many"));
    same(&judged(307, |_| {}), &recorded("few"));
}

#[test]
fn what_an_earlier_version_kept_is_read_and_goes_on() {
    let (_, kept): (Usual, Evidence) = rmp_serde::from_slice(include_bytes!("kept.msgpack")).unwrap();
    same(&judged(307, |evidence| *evidence = kept.clone()), &recorded("few"));
}

#[test]
fn a_history_of_an_earlier_version_is_read() {
    let (kept, _): (Usual, Evidence) = rmp_serde::from_slice(include_bytes!("kept.msgpack")).unwrap();
    let now = usual(307);
    assert_eq!((kept.requests(), kept.active(), kept.marks()), (now.requests(), now.active(), now.marks()));
    assert!(active(307).all(|bucket| kept.baselines().get(bucket.index()) == now.baselines().get(bucket.index())));
}

/// Fields that are not stored can be computed again, so they change nothing.
#[test]
fn evidence_that_was_kept_and_taken_up_at_any_tick_goes_on_the_same() {
    let again = |evidence: &mut Evidence| *evidence = rmp_serde::from_slice(&rmp_serde::to_vec_named(evidence).unwrap()).unwrap();
    for pauses in [false, true] {
        let kept = judged_with(31, pauses, |_, evidence| again(evidence));
        assert_eq!(kept, judged_with(31, pauses, |_, _| {}));
    }
}
