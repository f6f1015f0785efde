//! Loops that are wrong in one way each. The checker has to notice every one of them, or it is worth nothing.

use std::time::Duration;

use super::super::*;
use super::decisions_differ;
use crate::core::ratchet::{Command, Facts, Refusal, step};
use crate::core::{Hold, Phase, Policy, Weight};

type Stepped = (State, Decision);

/// Within so many seeds each mutant has to be caught.
const SEEDS: u64 = 400;

/// The invariants that a mutant breaks, by the first that the checker names in each of its stories.
fn caught(settings: &Settings, enough: impl Fn(u8) -> bool) -> Vec<u8> {
    let mut invariants = Vec::new();
    for failure in (0..SEEDS).filter_map(|seed| tell(seed, settings).err()) {
        invariants.push(failure.broken.invariant);
        if enough(failure.broken.invariant) || invariants.len() >= 12 {
            break;
        }
    }
    invariants.sort_unstable();
    invariants.dedup();
    invariants
}

fn tick(input: &Input, change: impl Fn(&mut Facts)) -> Input {
    let mut input = input.clone();
    if let Input::Tick(facts) = &mut input {
        change(facts);
    }
    input
}

fn raises_without_a_bake(mut state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    state.rollout.iter_mut().for_each(|rollout| rollout.step_began = Duration::ZERO);
    step(state, input, guard, now)
}

fn bakes_in_its_sleep(mut state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    state.rollout.iter_mut().for_each(|rollout| rollout.looked = now);
    step(state, input, guard, now)
}

fn ignores_the_age_of_a_look(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let input = tick(input, |facts| facts.judgement.iter_mut().for_each(|judgement| judgement.looked = now));
    step(state, &input, guard, now)
}

fn takes_no_number_for_nothing(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let calm = |facts: &mut Facts| {
        if let Some(judgement) = facts.judgement.as_mut().filter(|judgement| judgement.wealth.log_e().is_nan()) {
            judgement.wealth.all = 0.0;
        }
    };
    step(state, &tick(input, calm), guard, now)
}

fn raises_on_a_few_requests(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let more = |facts: &mut Facts| {
        if let Some(judgement) = &mut facts.judgement {
            judgement.canary.tally.requests += 10;
            judgement.stable.tally.requests += 10;
            judgement.harm.0 = 0.0;
        }
    };
    step(state, &tick(input, more), guard, now)
}

fn ignores_harm(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let harmless = |facts: &mut Facts| facts.judgement.iter_mut().for_each(|judgement| judgement.harm.0 = 0.0);
    step(state, &tick(input, harmless), guard, now)
}

fn never_believes_the_evidence(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    step(state, input, &Guard { abort_at: f64::INFINITY, ..guard.clone() }, now)
}

fn ignores_limits(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    step(state, &tick(input, |facts| facts.crossed = None), guard, now)
}

fn ignores_the_breaker(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    step(state, &tick(input, |facts| facts.trip = None), guard, now)
}

fn forgets_quarantine(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let mut input = input.clone();
    if let Input::Command { command: Command::Start { retry, .. }, .. } = &mut input {
        *retry = true;
    }
    step(state, &input, guard, now)
}

fn raises_while_paused(mut state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    if state.phase == Phase::Paused && matches!(input, Input::Tick(_)) {
        state.phase = Phase::Progressing;
    }
    step(state, input, guard, now)
}

fn goes_on_after_an_abort(mut state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    if let (Phase::Aborted, Input::Tick(_), Some(rollout)) = (state.phase, input, &state.rollout) {
        let (release, plan) = (rollout.release.clone(), rollout.plan.clone());
        let command = Command::Start { release, plan, retry: true };
        return step(state, &Input::Command { command, based_on: None }, guard, now);
    }
    if let Input::Tick(_) = input {
        state.rollout.iter_mut().for_each(|rollout| rollout.plan.policy = Policy::Automatic);
    }
    step(state, input, guard, now)
}

fn raises_two_steps(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let (after, decision) = step(state, input, guard, now);
    match decision {
        Decision::Advance { .. } => {
            let again = Input::Command { command: Command::Advance { force: true }, based_on: None };
            let (twice, _) = step(after.clone(), &again, guard, now);
            (State { revision: after.revision, split_id: after.split_id, ..twice }, decision)
        }
        decision => (after, decision),
    }
}

fn goes_above_max(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    step(state, input, &Guard { max: Weight::FULL, ..guard.clone() }, now)
}

fn does_not_ask_where_it_should(mut state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let policy = state.rollout.as_ref().map(|rollout| rollout.plan.policy);
    state.rollout.iter_mut().for_each(|rollout| rollout.plan.policy = Policy::Automatic);
    let automatic = step(state.clone(), input, guard, now);
    match automatic.1 {
        Decision::Advance { .. } | Decision::Promote { .. } => automatic,
        _ => {
            if let (Some(rollout), Some(policy)) = (&mut state.rollout, policy) {
                rollout.plan.policy = policy;
            }
            step(state, input, guard, now)
        }
    }
}

fn keeps_the_revision(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let (after, decision) = step(state.clone(), input, guard, now);
    (State { revision: state.revision, ..after }, decision)
}

fn keeps_the_split(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let (after, decision) = step(state.clone(), input, guard, now);
    (State { split_id: state.split_id, ..after }, decision)
}

fn aborts_and_leaves_some(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let (after, decision) = step(state, input, guard, now);
    match decision {
        Decision::Abort { from, .. } => (State { weight: from, ..after }, decision),
        decision => (after, decision),
    }
}

fn ignores_an_abort_while_paused(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    match input {
        Input::Command { command: Command::Abort, .. } if state.phase == Phase::Paused => (state, Decision::Refuse(Refusal::Paused)),
        input => step(state, input, guard, now),
    }
}

fn takes_stale_commands(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    match input {
        Input::Command { command, .. } => step(state, &Input::Command { command: command.clone(), based_on: None }, guard, now),
        input => step(state, input, guard, now),
    }
}

fn holds_without_a_reason(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let (after, decision) = step(state, input, guard, now);
    let hold = after.hold.filter(|hold| !matches!(hold, Hold::Harm { .. }));
    (State { hold, ..after }, decision)
}

fn lowers_for_nothing(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let missing = matches!(input, Input::Tick(Facts { judgement: None, .. })) && state.under_way().is_some();
    match missing && state.weight > Weight::ZERO {
        true => step(state, &Input::Command { command: Command::Abort, based_on: None }, guard, now),
        false => step(state, input, guard, now),
    }
}

fn never_raises(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let (after, decision) = step(state.clone(), input, guard, now);
    let raised = matches!((&decision, input), (Decision::Advance { .. } | Decision::Promote { .. }, Input::Tick(_)));
    if raised { (State { hold: Some(Hold::Evidence { e: 1.0 }), ..state }, Decision::Hold) } else { (after, decision) }
}

fn promotes_without_a_swap(state: State, input: &Input, guard: &Guard, now: Duration) -> Stepped {
    let (after, decision) = step(state.clone(), input, guard, now);
    match decision {
        Decision::Promote { .. } => (State { canary: state.canary, stable: state.stable, ..after }, decision),
        decision => (after, decision),
    }
}

/// As it was when a raise was told from the weights.
fn exposes_by_weight(before: &State, after: &State, decision: &Decision) -> bool {
    after.weight > before.weight || matches!(decision, Decision::Promote { .. } | Decision::Switch)
}

fn never_exposes(_: &State, _: &State, _: &Decision) -> bool {
    false
}

#[test]
fn every_faulty_ratchet_is_caught() {
    let mut missed = Vec::new();
    type Step = fn(State, &Input, &Guard, Duration) -> Stepped;
    let mutants: [(&str, Step, &[u8]); 24] = [
        ("raises_without_a_bake", raises_without_a_bake, &[1]),
        ("bakes_in_its_sleep", bakes_in_its_sleep, &[1]),
        ("ignores_the_age_of_a_look", ignores_the_age_of_a_look, &[2]),
        ("takes_no_number_for_nothing", takes_no_number_for_nothing, &[2]),
        ("raises_on_a_few_requests", raises_on_a_few_requests, &[2]),
        ("ignores_harm", ignores_harm, &[2]),
        ("never_believes_the_evidence", never_believes_the_evidence, &[3]),
        ("ignores_limits", ignores_limits, &[3]),
        ("ignores_the_breaker", ignores_the_breaker, &[3]),
        ("forgets_quarantine", forgets_quarantine, &[4]),
        ("raises_while_paused", raises_while_paused, &[7, 10]),
        ("goes_on_after_an_abort", goes_on_after_an_abort, &[1, 7]),
        ("raises_two_steps", raises_two_steps, &[1]),
        ("goes_above_max", goes_above_max, &[1]),
        ("does_not_ask_where_it_should", does_not_ask_where_it_should, &[1]),
        ("keeps_the_revision", keeps_the_revision, &[6]),
        ("keeps_the_split", keeps_the_split, &[6]),
        ("aborts_and_leaves_some", aborts_and_leaves_some, &[7]),
        ("ignores_an_abort_while_paused", ignores_an_abort_while_paused, &[7]),
        ("takes_stale_commands", takes_stale_commands, &[7]),
        ("holds_without_a_reason", holds_without_a_reason, &[15]),
        ("lowers_for_nothing", lowers_for_nothing, &[5]),
        ("never_raises", never_raises, &[15]),
        ("promotes_without_a_swap", promotes_without_a_swap, &[10]),
    ];
    for (name, step, expected) in mutants {
        let spoilt = match name {
            "ignores_the_age_of_a_look" => Some(Spoilt::OldLook),
            "takes_no_number_for_nothing" => Some(Spoilt::NoNumber),
            _ => None,
        };
        let caught = caught(&Settings { step, spoilt, ..Settings::default() }, |invariant| expected.contains(&invariant));
        println!("{name}: {caught:?}");
        if !caught.iter().any(|invariant| expected.contains(invariant)) {
            missed.push(format!("{name} broke {caught:?}, not {expected:?}"));
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

#[test]
fn every_faulty_shell_is_caught() {
    for (flaw, expected) in [
        (Flaw::ServesWithoutARowIfItsClientHangsUp, [6, 6]),
        (Flaw::NeverOpensSomeWindows, [3, 3]),
        (Flaw::ADiskThatHangsDelaysServing, [16, 16]),
        (Flaw::SaysItIsDurable, [8, 6]),
        (Flaw::SaysALoweringIsDurable, [17, 17]),
        (Flaw::OneBadRowFreezesAll, [16, 16]),
        (Flaw::TakesOneBotForAnother, [11, 11]),
        (Flaw::CountsTwice, [13, 13]),
        (Flaw::ForgetsTheLastRecord, [8, 8]),
        (Flaw::BakesWhileItIsDown, [9, 9]),
        (Flaw::CountsLateAnswersForTheNextSplit, [13, 13]),
        (Flaw::OpensTheWindowTooEarly, [2, 7]),
        (Flaw::ForgetsQuarantine, [9, 9]),
        (Flaw::LetsWorkersGoBack, [11, 11]),
        (Flaw::RanksByAnotherAttempt, [12, 8]),
    ] {
        let caught = caught(&Settings { flaw: Some(flaw), ..Settings::default() }, |invariant| expected.contains(&invariant));
        println!("{flaw:?}: {caught:?}");
        assert!(caught.iter().any(|invariant| expected.contains(invariant)), "{flaw:?} broke {caught:?}, not {expected:?}");
    }
}

#[test]
fn who_takes_exposure_for_a_matter_of_weights_is_caught() {
    for exposes in [exposes_by_weight, never_exposes] {
        let caught = caught(&Settings { exposes, ..Settings::default() }, |invariant| invariant == 8);
        assert!(caught.contains(&8), "{caught:?}");
    }
}

#[test]
fn a_shell_that_reads_the_wall_clock_is_caught() {
    let settings = Settings { flaw: Some(Flaw::ReadsTheWallClock), ..Settings::default() };
    assert!(decisions_differ(0..SEEDS, &settings, &Settings { wall_jumps: false, ..settings.clone() }).is_some());
}

#[test]
fn a_shell_that_drops_a_request_with_its_client_is_caught() {
    let settings = Settings { flaw: Some(Flaw::DropsARequestWithItsClient), ..Settings::default() };
    assert!(decisions_differ(0..SEEDS, &settings, &Settings { hang_ups: false, ..settings.clone() }).is_some());
}
