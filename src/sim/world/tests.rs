//! Compares worlds with their scenarios.

use super::*;
use crate::sim::scenario::{self, library};

const TICK: Duration = Duration::from_secs(5);

fn named(name: &str) -> Scenario {
    library().into_iter().find(|one| one.name == name).expect("it is in the library")
}

fn first() -> Weight {
    Weight::from_bp(100).expect("1 %")
}

fn volume(text: &str) -> Volume {
    Volume::parse(text).expect("a volume")
}

/// Both tracks' sums, and the number of requests made bad, from minute `from` to minute `to`.
fn sums(world: &mut World<'_>, from: u64, to: u64) -> (TrackCounts, TrackCounts, i64) {
    let (mut stable, mut canary, mut made_bad) = (TrackCounts::default(), TrackCounts::default(), 0);
    while world.now().as_secs() < 60 * to {
        let counts = world.now().as_secs() >= 60 * from;
        for workspace in world.advance().iter().filter(|_| counts) {
            stable += workspace.answers.stable;
            canary += workspace.answers.canary;
            made_bad += i64::from(workspace.answers.made_bad);
        }
    }
    (stable, canary, made_bad)
}

/// The number of seeds: `usually`, scaled by `SERIN_TEST_COUNT` over its default of 300.
fn seeds(usually: u64) -> u64 {
    let count = std::env::var("SERIN_TEST_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    (usually * count / 300).max(1)
}

#[test]
fn an_ordinary_day_is_as_the_laws_say() {
    let (scenario, latency) = (named("AA_plain"), Latency::default());
    let (mut stable, seeds) = (TrackCounts::default(), seeds(30));
    for seed in 0..seeds {
        let mut world = World::new(&scenario, &volume("medium"), seed, TICK, first(), &latency);
        let (of_stable, of_canary, made_bad) = sums(&mut world, 0, 10);
        assert!(of_stable == of_canary && made_bad == 0, "seed {seed}");
        stable += of_stable;
    }
    let per = |count: u32| f64::from(count) / f64::from(stable.requests);
    // Each seed is at another time of day (± 50 %), and its few largest workspaces drift by a third and differ by a factor of e:
    // the bounds are four standard errors of 30 seeds.
    let rps = f64::from(stable.requests) / (600.0 * seeds as f64);
    assert!((35.0..65.0).contains(&rps), "{rps}");
    assert!((0.003..0.008).contains(&per(stable.errors)), "{}", per(stable.errors));
    assert!((0.012..0.045).contains(&per(stable.rejected)), "{}", per(stable.rejected));
    assert!((0.0003..0.0012).contains(&per(stable.late)), "{}", per(stable.late));
    assert!((0.08..0.125).contains(&per(stable.above_p90)), "{}", per(stable.above_p90));
    assert!((0.004..0.0065).contains(&per(stable.above_p99_5)), "{}", per(stable.above_p99_5));
}

#[test]
fn the_same_seed_is_the_same_world_and_another_is_not() {
    let (scenario, latency) = (named("R_intermittent"), Latency::default());
    let of = |seed| sums(&mut World::new(&scenario, &volume("small"), seed, TICK, first(), &latency), 0, 7);
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn every_scenario_harms_the_workspaces_that_it_names() {
    let latency = Latency::default();
    for scenario in library() {
        let mut world = World::new(&scenario, &volume("20rps"), 11, TICK, first(), &latency);
        let from = if scenario.name == "R_delay30" { 30 } else { 4 };
        let (stable, canary, made_bad) = sums(&mut world, from, from + 8);
        match scenario.name.split_once('_').map(|(kind, _)| kind) {
            Some("R") => assert!(made_bad > 0, "{}: {made_bad}", scenario.name),
            Some("G") => assert!(made_bad < 0 && canary.log_latency < stable.log_latency, "{}", scenario.name),
            _ => assert!(made_bad == 0 && stable == canary, "{}", scenario.name),
        }
    }
}

#[test]
fn an_outage_hits_both_tracks_while_it_lasts() {
    let (scenario, latency) = (named("AA_outage"), Latency::default());
    let mut world = World::new(&scenario, &volume("medium"), 3, TICK, first(), &latency);
    let rates = |world: &mut World<'_>, from, to| {
        let (stable, _, _) = sums(world, from, to);
        let requests = f64::from(stable.requests);
        (f64::from(stable.errors) / requests, stable.log_latency / requests)
    };
    let before = rates(&mut world, 7, 12);
    let during = rates(&mut world, 12, 17);
    let after = rates(&mut world, 17, 22);
    assert!((0.05..0.2).contains(&(during.0 - before.0)) && after.0 < 0.05, "{before:?} {during:?} {after:?}");
    // Twice as long, apart from the drift of five minutes.
    assert!((during.1 - before.1 - 2.0_f64.ln()).abs() < 0.2 && (after.1 - before.1).abs() < 0.2, "{before:?} {during:?} {after:?}");
}

#[test]
fn workspaces_that_must_be_in_the_first_step_are_in_it() {
    let latency = Latency::default();
    for (name, rank) in [("AA_heavy", 1), ("AA_chronic_noisy", 2), ("AA_broken_customer", 5), ("AA_token", 5)] {
        let scenario = named(name);
        for seed in 0..5 {
            let world = World::new(&scenario, &volume("small"), seed, TICK, first(), &latency);
            let bucket = world.buckets()[rank - 1];
            assert!(u128::from(world.split().rank(bucket)) < first().threshold(), "{name}, seed {seed}");
        }
    }
    let scenario = named("AA_plain");
    for seed in 0..20 {
        let world = World::new(&scenario, &volume("small"), seed, TICK, first(), &latency);
        let in_step = world.buckets().iter().filter(|bucket| u128::from(world.split().rank(**bucket)) < first().threshold());
        assert!(in_step.count() > 0, "seed {seed}");
    }
}

#[test]
fn many_workspaces_share_buckets() {
    let (scenario, latency) = (named("AA_plain"), Latency::default());
    let world = World::new(&scenario, &volume("wide"), 1, TICK, first(), &latency);
    let mut buckets = world.buckets().to_vec();
    buckets.sort_by_key(|bucket| bucket.index());
    buckets.dedup();
    // 10,000·(1 − e^−.8) = 5,507 are hit.
    assert!(buckets.len().abs_diff(5_507) < 250, "{}", buckets.len());
}

#[test]
fn a_tick_of_a_second_is_the_same_traffic() {
    let (scenario, latency) = (named("R_err5pp"), Latency::default());
    let of = |tick| sums(&mut World::new(&scenario, &volume("medium"), 5, tick, first(), &latency), 0, 10);
    let (coarse, fine) = (of(TICK).0, of(Duration::from_secs(1)).0);
    assert!((f64::from(coarse.requests) / f64::from(fine.requests) - 1.0).abs() < 0.15, "{coarse:?} {fine:?}");
}

#[test]
fn an_operators_scenario_acts_as_written() {
    let text = "[[scenario]]\nname = \"own\"\n[[scenario.effect]]\nworkspaces = \"T1\"\nstatus = 503\nfrom = \"1m\"\nto = \"2m\"\n\
                [[scenario.effect]]\ntraffic = \"x2\"\nfrom = \"2m\"\n";
    let path = std::env::temp_dir().join(format!("serin-scenario-{}.toml", std::process::id()));
    std::fs::write(&path, text).expect("a temporary file");
    let own = scenario::load(&path).unwrap_or_else(|error| panic!("{error}")).remove(0);
    std::fs::remove_file(&path).expect("it was written");
    let latency = Latency::default();
    let mut world = World::new(&own, &volume("medium"), 6, TICK, first(), &latency);
    let (mut failed, mut requests) = ([0, 0, 0], [0, 0]);
    for tick in 0..36 {
        for workspace in world.advance() {
            let canary = workspace.answers.canary;
            failed[tick / 12] += if workspace.index == 0 { canary.requests - canary.errors } else { 0 };
            if tick >= 24 {
                requests[0] += workspace.answers.stable.requests;
                requests[1] += canary.requests;
            }
        }
    }
    assert!(failed[0] > 0 && failed[1] == 0 && failed[2] > 0, "{failed:?}");
    let factor = f64::from(requests[1]) / f64::from(requests[0]);
    assert!((1.9..2.1).contains(&factor), "{factor}");
}
