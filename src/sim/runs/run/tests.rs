//! Whole runs: they depend only on their seeds, and end as expected.

use std::sync::Mutex;

use super::*;
use crate::core::{Plan, Policy};
use crate::sim::rules::Operator;
use crate::sim::runs::{RuleSummary, Study};
use crate::sim::scenario::library;

const TICK: Duration = Duration::from_secs(5);

fn named(name: &str) -> Scenario {
    library().into_iter().find(|one| one.name == name).expect("it is in the library")
}

fn records(name: &str, volume: &str, judges: &[Judge], settings: &SerinSettings, seed: u64) -> Vec<Record> {
    let (scenario, volume, latency) = (named(name), Volume::parse(volume).expect("a volume"), Latency::default());
    let setting = RunSetting { scenario: &scenario, volume: &volume, judges, settings, tick: TICK, latency: &latency };
    run(&setting, seed, |_, _| {})
}

#[test]
fn a_release_that_fails_everything_is_taken_back_by_everyone() {
    let records = records("R_hardfail", "medium", &Judge::ALL, &SerinSettings::default(), 1);
    for (record, judge) in records.iter().zip(Judge::ALL) {
        assert!(record.rolled_back.is_some() && record.made_bad > 0 && record.bad_workspaces > 0, "{}: {record:?}", judge.name());
    }
    let [ours, .., oracle] = records.as_slice() else { panic!("two at least") };
    assert!(ours.made_bad < 50 && oracle.made_bad <= ours.made_bad, "{ours:?} {oracle:?}");
}

#[test]
fn a_good_release_reaches_everybody_under_serin() {
    let record = &records("AA_plain", "medium", &[Judge::Serin], &SerinSettings::default(), 2)[0];
    assert_eq!((record.rolled_back, record.made_bad, record.weight), (None, 0, Weight::FULL), "{record:?}");
    assert!(record.promoted.is_some());
}

#[test]
fn an_absent_operator_leaves_what_was_asked() {
    let plan = Plan { policy: Policy::Guarded, ..Plan::usual() };
    let with = |operator| {
        let settings = SerinSettings { plan: plan.clone(), operator, ..SerinSettings::default() };
        records("AA_plain", "9rps", &[Judge::Serin], &settings, 3)[0].clone()
    };
    let alone = with(Operator::Absent);
    assert_eq!((alone.promoted, alone.rolled_back, alone.weight), (None, None, plan.steps[0].weight), "{alone:?}");
    assert!(with(Operator::Approving).promoted.is_some());
}

#[test]
fn what_is_let_through_harms_for_half_an_hour() {
    let (scenario, latency) = (named("R_late02pp"), Latency::default());
    let volume = Volume::parse("2rps").expect("a volume");
    let settings = SerinSettings::default();
    let setting = RunSetting {
        scenario: &scenario,
        volume: &volume,
        judges: &[Judge::CodeDeploy],
        settings: &settings,
        tick: TICK,
        latency: &latency,
    };
    let mut last = Duration::ZERO;
    let record = &run(&setting, 4, |_, moment| last = moment.now)[0];
    assert_eq!((record.promoted, last), (Some(Duration::from_secs(300)), Duration::from_secs(300 + 1_800)));
}

#[test]
fn a_study_is_the_same_with_any_number_of_threads() {
    let study = Study {
        scenarios: vec![named("R_err5pp"), named("R_401ws2pct")],
        volumes: vec![Volume::parse("9rps").expect("a volume"), Volume::parse("20").expect("a volume")],
        judges: Judge::ALL.to_vec(),
        settings: SerinSettings::default(),
        first_seed: 7,
        seeds: 2,
        tick: TICK,
    };
    let conduct = |threads| -> Vec<RuleSummary> {
        let (all, done) = (Mutex::new(Vec::new()), Mutex::new(0));
        study.conduct(threads, || *done.lock().expect("no panic") += 1, |some| all.lock().expect("no panic").extend_from_slice(some));
        assert_eq!(*done.lock().expect("no panic"), study.runs());
        all.into_inner().expect("no panic")
    };
    let alone = conduct(1);
    assert_eq!(alone.len(), 2 * 2 * Judge::ALL.len());
    assert_eq!(alone, conduct(3));
    for summary in &alone {
        assert_eq!(summary.seeds, 2);
        assert!(summary.held + summary.rolled_back + summary.promoted >= summary.seeds, "{summary:?}");
    }
}
