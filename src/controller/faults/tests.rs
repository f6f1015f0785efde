//! Stories by the thousand, and what the checker is worth.

mod mutants;

use std::ops::Range;

use super::*;

/// So many stories have a million events and more. `SERIN_FAULT_STORIES` says another number.
const STORIES: u64 = 1_600;
const EVENTS_LEAST: usize = 1_000_000;
/// The stories are told by so many tests at a time.
const PARTS: u64 = 4;

/// More seeds in the proportion in which `SERIN_TEST_COUNT` is above 300.
fn seeds(usually: u64) -> u64 {
    let count: u64 = std::env::var("SERIN_TEST_COUNT").ok().and_then(|count| count.parse().ok()).unwrap_or(300);
    (usually * count / 300).max(1)
}

/// One part of all stories: they hold, and what has to happen sometimes did.
fn part(number: u64) {
    let all = std::env::var("SERIN_FAULT_STORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(STORIES);
    let began = std::time::Instant::now();
    let (mut events, mut sometimes) = (0, Sometimes::default());
    for seed in (number..all).step_by(PARTS as usize) {
        let told = tell(seed, &Settings::default()).unwrap_or_else(|failure| panic!("{failure}"));
        events += told.events;
        sometimes.add(&told.sometimes);
    }
    println!("{events} events, {:.0} a second", events as f64 / began.elapsed().as_secs_f64());
    if all >= STORIES {
        assert!(events >= EVENTS_LEAST / PARTS as usize, "only {events} events");
        for (what, count) in sometimes.all() {
            println!("{count:>8} {what}");
            assert!(count > 0, "{what} never happened: the faults are too gentle");
        }
    }
}

/// The first seed whose decisions are not the same in both settings.
fn decisions_differ(mut seeds: Range<u64>, one: &Settings, other: &Settings) -> Option<u64> {
    let decisions = |seed, settings: &Settings| tell(seed, settings).map(|told| told.decisions);
    seeds.find(|seed| match (decisions(*seed, one), decisions(*seed, other)) {
        (Ok(one), Ok(other)) => {
            let differs = one.iter().zip(&other).find(|(one, other)| one != other);
            differs.inspect(|differ| println!("seed {seed}: {differ:?}")).is_some() || one.len() != other.len()
        }
        (Err(failure), _) | (_, Err(failure)) => {
            println!("{failure}");
            true
        }
    })
}

#[test]
fn the_invariants_hold_after_every_event_of_the_first_part() {
    part(0);
}

#[test]
fn the_invariants_hold_after_every_event_of_the_second_part() {
    part(1);
}

#[test]
fn the_invariants_hold_after_every_event_of_the_third_part() {
    part(2);
}

#[test]
fn the_invariants_hold_after_every_event_of_the_fourth_part() {
    part(3);
}

#[test]
fn the_wall_clock_changes_no_decision() {
    let settings = Settings::default();
    assert_eq!(decisions_differ(0..seeds(100), &settings, &Settings { wall_jumps: false, ..settings.clone() }), None);
}

#[test]
fn a_client_that_hangs_up_changes_no_decision() {
    let settings = Settings::default();
    assert_eq!(decisions_differ(0..seeds(100), &settings, &Settings { hang_ups: false, ..settings.clone() }), None);
}

#[test]
fn a_seed_always_tells_the_same_story() {
    assert_eq!(decisions_differ(0..seeds(20), &Settings::default(), &Settings::default()), None);
}

#[test]
fn a_failure_tells_its_story_up_to_the_event_that_broke_something() {
    let settings = Settings { flaw: Some(Flaw::ForgetsQuarantine), ..Settings::default() };
    let failure = (0..).find_map(|seed| tell(seed, &settings).err().filter(|failure| failure.broken.invariant == 9)).expect("it is caught");
    let text = failure.to_string();
    let last = text.lines().last().unwrap_or_default();
    assert_eq!(text.lines().count(), failure.story.len() + 1);
    assert!(last.starts_with(&format!("seed {}, event ", failure.seed)) && last.contains("invariant 9"), "{last}");
    assert!(failure.story.last().is_some_and(|line| line.contains("restarted")), "{text}");
}
