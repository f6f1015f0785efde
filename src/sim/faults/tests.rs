//! Stories by the thousand, and what the checker is worth.

mod mutants;

use std::ops::Range;

use super::*;

/// So many stories have a million events and more.
const STORIES: u64 = 1_400;
const EVENTS_LEAST: usize = 1_000_000;

/// More seeds in the proportion in which `SERIN_TEST_COUNT` is above 300.
fn seeds(usually: u64) -> Range<u64> {
    let count: u64 = std::env::var("SERIN_TEST_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    0..(usually * count / 300).max(1)
}

/// All of them hold; how many events they had, and what happened in them.
fn told(seeds: Range<u64>, settings: &Settings) -> (usize, Sometimes) {
    let (mut events, mut sometimes) = (0, Sometimes::default());
    for seed in seeds {
        let told = tell(seed, settings).unwrap_or_else(|failure| panic!("{failure}"));
        events += told.events;
        sometimes.add(&told.sometimes);
    }
    (events, sometimes)
}

/// The first seed whose decisions depend on the wall clock.
fn decisions_differ_without_wall_jumps(mut seeds: Range<u64>, settings: &Settings) -> Option<u64> {
    let decisions = |seed, wall_jumps| tell(seed, &Settings { wall_jumps, ..settings.clone() }).map(|told| told.decisions);
    seeds.find(|seed| match (decisions(*seed, true), decisions(*seed, false)) {
        (Ok(with), Ok(without)) => with != without,
        (Err(_), _) | (_, Err(_)) => true,
    })
}

#[test]
fn the_invariants_hold_after_every_event() {
    let began = std::time::Instant::now();
    let seeds = seeds(STORIES);
    let whole = seeds.end >= STORIES;
    let (events, sometimes) = told(seeds, &Settings::default());
    println!("{events} events, {:.0} a second", events as f64 / began.elapsed().as_secs_f64());
    if whole {
        assert!(events >= EVENTS_LEAST, "only {events} events");
        for (what, count) in sometimes.all() {
            println!("{count:>8} {what}");
            assert!(count > 0, "{what} never happened: the faults are too gentle");
        }
    }
}

#[test]
fn the_invariants_hold_with_the_real_evidence() {
    let (events, _) = told(seeds(12), &Settings { judges: Judges::Real, events: 250, ..Settings::default() });
    assert!(events > 0);
}

#[test]
fn the_wall_clock_changes_no_decision() {
    assert_eq!(decisions_differ_without_wall_jumps(seeds(150), &Settings::default()), None);
}

#[test]
fn a_seed_always_tells_the_same_story() {
    for seed in seeds(20) {
        let [first, second] = [(); 2].map(|()| tell(seed, &Settings::default()).unwrap_or_else(|failure| panic!("{failure}")));
        assert_eq!((first.events, first.decisions), (second.events, second.decisions));
    }
}

#[test]
fn a_failure_tells_its_story_up_to_the_event_that_broke_something() {
    let settings = Settings { flaw: Some(Flaw::ForgetsQuarantine), ..Settings::default() };
    let failure = (0..).find_map(|seed| tell(seed, &settings).err()).expect("it is caught");
    let text = failure.to_string();
    let last = text.lines().last().unwrap_or_default();
    assert_eq!(text.lines().count(), failure.story.len() + 1);
    assert!(last.starts_with(&format!("seed {}, event ", failure.seed)) && last.contains("invariant 9"), "{last}");
    assert!(failure.story.last().is_some_and(|line| line.contains("came back")), "{text}");
}
