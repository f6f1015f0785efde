//! Tests of single sentences; and of every phase × hold × verdict, for what must be true of all sentences.

use std::sync::Arc;
use std::time::Duration;

use super::looks::limit;
use super::*;
use crate::core::evidence::{Exposure, HarmBound, Judgement, Metric, Wealth};
use crate::core::{
    AbortReason, AtDeadline, Connections, Crossed, Doubt, Fail, Former, Freeze, Hold, Landmark, Most, Plan, Policy, Quarantined, Release,
    Rollout, State, Tally, Trip, Verdict, Weight,
};
use crate::live::{Concentration, Durability, Failing, Judged, Times};

/// 2026-11-28, 22:40 UTC; the controller's clock is at one hour.
const NOW: Times = Times { clock: Duration::from_secs(3_600), unix: 1_795_905_600.0 };
const ABORT_AT: f64 = 150.0;

fn release(upstream: &str, version: &str) -> Release {
    Release { upstream: upstream.into(), version: Some(version.into()) }
}

fn percent(percent: f64) -> Weight {
    Weight::from_percent(percent).unwrap()
}

fn ago(secs: u64) -> Duration {
    NOW.clock - Duration::from_secs(secs)
}

/// v42 on green at 25 %, for five minutes; v41 on blue is stable.
fn at_a_quarter(phase: Phase, hold: Option<Hold>) -> Status {
    let mut state = State::new(release("blue", "v41"));
    let rollout = Rollout {
        release: release("green", "v42"),
        plan: Plan::usual(),
        step: 3,
        step_began: ago(300),
        looked: NOW.clock,
        no_retreat_before: Duration::ZERO,
        failing: false,
    };
    (state.phase, state.hold, state.rollout, state.canary) = (phase, hold, Some(rollout), Some(release("green", "v42")));
    (state.weight, state.attempt, state.attempts, state.revision) = (percent(25.0), 1, 1, 7);
    let mut status = Status { in_step: Some(Duration::from_secs(300)), times: NOW, ..Status::of(state, crate::core::Guard::default()) };
    status.durability = Durability { durable: true, failing: None };
    note(&mut status, landmark(2, "start", 2_400, 0.0, 1.0));
    note(&mut status, Landmark { kind: "ratchet".to_owned(), by: "ratchet".to_owned(), ..landmark(7, "advance", 300, 10.0, 25.0) });
    status
}

fn landmark(revision: u64, decision: &str, secs_ago: u64, from: f64, to: f64) -> Landmark {
    let at = NOW.unix - secs_ago as f64;
    let release = Some("v42 on green".to_owned());
    Landmark { at, from: percent(from), to: percent(to), release, ..Landmark::of_test(revision, decision) }
}

fn note(status: &mut Status, landmark: Landmark) {
    Arc::make_mut(&mut status.landmarks).note(landmark);
}

/// A judgement with x errors of n requests on the canary, and y of m on stable.
fn judged(e: f64, verdict: Verdict, [x, n]: [u32; 2], [y, m]: [u32; 2]) -> Judged {
    let exposure = |errors, requests| Exposure { tally: Tally { requests, errors, ..Tally::default() }, buckets: 40 };
    let log_e = e.ln();
    let wealth = Wealth { all: log_e, cohorts: log_e, urn: log_e, newly_broken: 0.0, examinations: log_e };
    let judgement = Judgement {
        wealth,
        harm: HarmBound(0.03),
        shock: 1.0,
        leading: Metric::Errors,
        stable: exposure(y, m),
        canary: exposure(x, n),
        looked: NOW.clock,
    };
    Judged { judgement, verdict }
}

fn good() -> Judged {
    judged(0.4, Verdict::Pass, [1, 239], [2, 610])
}

fn worse() -> Judged {
    judged(67.0, Verdict::Marginal, [8, 239], [0, 610])
}

fn failing() -> Judged {
    judged(211.0, Verdict::Fail(Fail::Evidence), [20, 239], [0, 610])
}

fn trip() -> Trip {
    Trip { canary: Connections { wanted: 8, broken: 8 } }
}

#[track_caller]
fn says(status: &Status, urgency: Urgency, action: Option<Action>, text: &str) {
    let summary = Summary::of(status);
    assert_eq!(summary.text(), text);
    assert_eq!((summary.urgency, summary.action), (urgency, action), "{text}");
}

fn with(mut status: Status, judged: Judged) -> Status {
    status.judged = Some(judged);
    status
}

#[test]
fn a_rollout_that_goes_on_by_itself() {
    let baking = || at_a_quarter(Phase::Progressing, Some(Hold::Baking { left: Duration::from_secs(300) }));
    says(
        &with(baking(), good()),
        Urgency::Watch,
        None,
        "v42 looks as good as v41: 0.42 % errors against 0.33 % (1 of 239, 2 of 610). It is at 25 %, step 4 of 7. About 25 % of the \
         workspaces are on v42, all others are on v41. It bakes until 22:45 UTC (5 min), then it goes to 50 % if it stays well. Nothing to do.",
    );
    let doubt = Verdict::Inconclusive(Doubt::NoCanaryTraffic);
    says(
        &with(baking(), judged(1.0, doubt, [0, 3], [2, 610])),
        Urgency::Watch,
        None,
        "There are too few requests to judge v42: 0 % errors against 0.33 % (0 of 3, 2 of 610). It is at 25 %, step 4 of 7. About 25 % \
         of the workspaces are on v42, all others are on v41. It bakes until 22:45 UTC (5 min). It needs about 7 more requests on v42. At 22:50 \
         UTC at the latest you are asked. Nothing to do.",
    );
    let (could_be, tolerated) = (0.03, 0.01);
    let mut waits = at_a_quarter(Phase::Progressing, Some(Hold::Harm { could_be, tolerated }));
    waits.state.rollout.as_mut().unwrap().step_began = ago(720);
    waits.in_step = Some(Duration::from_secs(720));
    let harm = judged(0.4, Verdict::Inconclusive(Doubt::Harm { could_be, tolerated }), [1, 239], [2, 6_100]);
    says(
        &with(waits, harm),
        Urgency::Watch,
        None,
        "v42 looks as good as v41: 0.42 % errors against 0.033 % (1 of 239, 2 of 6,100). It is at 25 %, step 4 of 7. About 25 % of the \
         workspaces are on v42, all others are on v41. There are too few requests to rule out harm: up to 3 % of its requests could be \
         failing unseen, 1 % is tolerated. It needs about 1,393 more requests on v42. At 22:43 UTC at the latest it goes to 50 % if it is \
         well. Nothing to do.",
    );
    let evidence = judged(7.3, Verdict::Inconclusive(Doubt::Evidence), [4, 239], [2, 610]);
    says(
        &with(at_a_quarter(Phase::Progressing, Some(Hold::Evidence { e: 7.3 })), evidence),
        Urgency::Watch,
        None,
        "v42 looks slightly worse than v41, which may be chance: 1.7 % errors against 0.33 % (4 of 239, 2 of 610). It is at 25 %, step 4 of \
         7. About 25 % of the workspaces are on v42, all others are on v41. It goes to 50 % once E is below 5, now 7.3. At 22:50 UTC at the \
         latest you are asked. Nothing to do.",
    );
    says(
        &with(at_a_quarter(Phase::Progressing, Some(Hold::SharedCause { shock: 4.1 })), good()),
        Urgency::Act,
        None,
        "All workspaces together have 4.1 times their usual errors, on v41 as well: v42 alone is not the cause. It is at 25 %, step 4 of 7. \
         About 25 % of the workspaces are on v42, all others are on v41. It goes to 50 % when that is over. At 22:50 UTC at the latest you \
         are asked. Look for what both have in common, such as a database, the network or the platform.",
    );
    let refused = Hold::Refusals { canary: Connections { wanted: 240, broken: 12 } };
    says(
        &with(at_a_quarter(Phase::Progressing, Some(refused)), good()),
        Urgency::Watch,
        None,
        "12 of 240 connections to green were refused or reset; v41 answered in its place. v42 looks as good as v41: 0.42 % errors against \
         0.33 % (1 of 239, 2 of 610). It is at 25 %, step 4 of 7. About 25 % of the workspaces are on v42, all others are on v41. It goes to \
         50 % when that has stopped. At 22:50 UTC at the latest you are asked. See why green refuses connections.",
    );
}

#[test]
fn numbers_that_differ_are_not_called_alike() {
    let early = judged(1.2, Verdict::Inconclusive(Doubt::Harm { could_be: 0.1, tolerated: 0.02 }), [7, 150], [2, 455]);
    let status = with(at_a_quarter(Phase::Progressing, Some(Hold::Baking { left: Duration::from_secs(300) })), early);
    let state = Summary::of(&status).state;
    assert!(
        state.starts_with("v42 has 4.7 % errors against 0.44 % (7 of 150, 2 of 455), but nothing says yet that it causes them. It is at"),
        "{state}"
    );
}

#[test]
fn a_rollout_that_looks_bad_says_so_first() {
    let marginal = Hold::Marginal { e: 67.0, abort_at: ABORT_AT };
    says(
        &with(at_a_quarter(Phase::Held, Some(marginal)), worse()),
        Urgency::Act,
        Some(Action::Abort),
        "v42 looks worse than v41: 3.3 % errors against 0 % (8 of 239, 0 of 610). It is held at 25 %, step 4 of 7. About 25 % of the \
         workspaces are on v42, all others are safe on v41. It goes back by itself at E = 150, now 67. Abort it if in doubt.",
    );
    let mut manual = at_a_quarter(Phase::Progressing, Some(Hold::PolicyManual));
    manual.state.rollout.as_mut().unwrap().plan.policy = Policy::Manual;
    manual.state.rollout.as_mut().unwrap().failing = true;
    says(
        &with(manual, failing()),
        Urgency::Act,
        Some(Action::Abort),
        "v42 fails: 8.4 % errors against 0 % (20 of 239, 0 of 610). It is at 25 %, step 4 of 7. About 25 % of the workspaces are on v42, \
         all others are safe on v41. The policy is manual: serin does not take it back by itself. Abort it.",
    );
    let mut few = worse();
    few.judgement.canary.tally.errors = 0;
    let said = Summary::of(&with(at_a_quarter(Phase::Held, Some(Hold::Marginal { e: 67.0, abort_at: ABORT_AT })), few)).state;
    assert_eq!(
        said,
        "v42 looks worse than v41: a few workspaces have trouble on v42 that work on v41 (0 % errors against 0 % (0 of 239, 0 of 610) over \
         all). It is held at 25 %, step 4 of 7."
    );
}

#[test]
fn one_workspace_with_trouble_of_its_own_is_named_at_once() {
    let mut status = with(at_a_quarter(Phase::Held, Some(Hold::Marginal { e: 67.0, abort_at: ABORT_AT })), worse());
    status.concentration = Some(Concentration {
        failing: Failing::Errors,
        bucket: 8_753,
        in_bucket: 7,
        of: 8,
        fails_on_stable: Some(true),
        workspaces_per_bucket: 1.0,
        over: false,
    });
    let state = Summary::of(&status).state;
    assert!(
        state.contains("(8 of 239, 0 of 610). 7 of 8 errors come from one workspace (bucket 8753), which fails on stable too"),
        "{state}"
    );
}

#[test]
fn a_rollout_that_waits_for_a_human_says_for_what() {
    let held = |hold| with(at_a_quarter(Phase::Held, Some(hold)), good());
    let tail = |status: &Status| {
        let Summary { next, todo, action, urgency, .. } = Summary::of(status);
        assert_eq!(urgency, Urgency::Act);
        (format!("{next} {todo}"), action)
    };
    assert_eq!(
        tail(&held(Hold::AwaitingAdvance)),
        ("The policy is guarded: a human raises it. Advance it to 50 %, or abort it.".to_owned(), Some(Action::Advance))
    );
    assert_eq!(
        tail(&held(Hold::Deadline { could_be: 0.1057, tolerated: 0.02 })),
        (
            "At the deadline there were still too few requests to rule out harm: up to 11 % of its requests could be failing unseen, 2 % is \
             tolerated. Nothing rises until you decide. Advance it to 50 % if that is enough for you, or abort it."
                .to_owned(),
            Some(Action::Advance)
        )
    );
    assert_eq!(
        tail(&held(Hold::MaxWeight { max: percent(30.0) })),
        (
            "The next step, 50 %, is above the most that the config allows, max = 30 %. Raise `max` in the config to go on, or abort it."
                .to_owned(),
            None
        )
    );
    let mut last = held(Hold::AwaitingAdvance);
    last.state.rollout.as_mut().unwrap().step = 5;
    assert_eq!(tail(&last).0, "The policy is guarded: a human raises it. Advance it to everybody, or abort it.");
}

#[test]
fn a_pause_says_who_and_why_and_a_trip_that_everybody_is_safe() {
    let mut paused = with(at_a_quarter(Phase::Paused, Some(Hold::Paused)), good());
    note(&mut paused, Landmark { reason: Some("waiting for support".to_owned()), ..landmark(8, "pause", 60, 25.0, 25.0) });
    says(
        &paused,
        Urgency::Watch,
        Some(Action::Resume),
        "v42 looks as good as v41: 0.42 % errors against 0.33 % (1 of 239, 2 of 610). It is paused at 25 % by ana at 22:39 UTC (“waiting \
         for support”). About 25 % of the workspaces are on v42, all others are on v41. If it fails, it goes to 0 % by itself. Resume it when it \
         should go on.",
    );
    let mut tripped = at_a_quarter(Phase::Paused, Some(Hold::Breaker(trip())));
    tripped.state.weight = Weight::ZERO;
    note(&mut tripped, Landmark { kind: "ratchet".to_owned(), ..landmark(8, "trip", 60, 25.0, 0.0) });
    says(
        &tripped,
        Urgency::Act,
        Some(Action::Resume),
        "v42 takes no connections: 8 of 8 were refused or reset. It was taken to 0 % at 22:39 UTC. Everybody is safe on v41. It does not go \
         on by itself. Resume it when green takes connections again, or abort it.",
    );
}

#[test]
fn endings_look_like_endings() {
    let mut promoted = with(at_a_quarter(Phase::Promoted, None), good());
    promoted.state.previous = Some(Former { release: promoted.state.stable.clone(), until: ago(0) });
    (promoted.state.stable, promoted.state.canary, promoted.state.weight) = (release("green", "v42"), None, Weight::ZERO);
    promoted.previous = Some((Duration::ZERO, false));
    note(&mut promoted, landmark(9, "promote", 0, 98.0, 0.0));
    note(&mut promoted, landmark(3, "start", 54 * 60, 0.0, 1.0));
    says(
        &promoted,
        Urgency::None,
        None,
        "100 % on v42 since 22:40 UTC, took 54 min. Everybody is on v42. v41 on blue stays there for an undo. Nothing to do.",
    );
    let mut aborted = at_a_quarter(Phase::Aborted, None);
    let why = AbortReason::Evidence { e: 211.0 };
    aborted.state.quarantine.push(Quarantined { release: release("green", "v42"), attempt: 1, why });
    (aborted.state.canary, aborted.state.weight) = (None, Weight::ZERO);
    let reason = "8.4 % errors against 0 % (20 of 239, 0 of 610), E = 211";
    let ended = Landmark { kind: "ratchet".to_owned(), why: Some(reason.to_owned()), ..landmark(9, "abort", 60, 25.0, 0.0) };
    note(&mut aborted, ended);
    says(
        &aborted,
        Urgency::None,
        None,
        "v42 was taken back at 25 % at 22:39 UTC: 8.4 % errors against 0 % (20 of 239, 0 of 610), E = 211. Nobody is on it; everybody is on \
         v41. It is not rolled out again unless somebody starts it with retry. Nothing to do.",
    );
    aborted.state.quarantine[0].why = AbortReason::Operator;
    note(&mut aborted, Landmark { reason: Some("wrong build".to_owned()), ..landmark(10, "abort", 60, 25.0, 0.0) });
    assert_eq!(Summary::of(&aborted).state, "v42 was taken back at 25 % by ana at 22:39 UTC (“wrong build”).");
}

#[test]
fn a_freeze_and_a_disk_take_away_what_would_be_refused() {
    let mut frozen = with(at_a_quarter(Phase::Held, Some(Hold::AwaitingAdvance)), good());
    frozen.state.frozen = Some(Freeze { by: "ben".into(), why: Some("release weekend".into()) });
    frozen.frozen = Some("by ben: release weekend".to_owned());
    let summary = Summary::of(&frozen);
    assert!(summary.next.ends_with("Nothing rises: it is frozen by ben: release weekend."), "{summary}");
    assert_eq!(summary.action, None);
    frozen.judged = Some(worse());
    assert_eq!(Summary::of(&frozen).action, Some(Action::Abort), "what lowers is possible");
    let mut unwritable = with(at_a_quarter(Phase::Progressing, None), good());
    unwritable.durability.failing = Some("No space left on device".to_owned());
    let summary = Summary::of(&unwritable);
    assert!(summary.next.contains("The history cannot be written (No space left on device)"), "{summary}");
    assert_eq!((summary.urgency, summary.todo.as_str()), (Urgency::Act, "See to the disk that holds the history."));
}

fn every_hold() -> Vec<Option<Hold>> {
    let crossed = Crossed { limit: Most::ErrorRate(0.05), canary: 0.071, stable: Some(0.002) };
    let mut holds: Vec<Option<Hold>> = [
        Hold::Baking { left: Duration::from_secs(60) },
        Hold::Evidence { e: 7.3 },
        Hold::Marginal { e: 67.0, abort_at: ABORT_AT },
        Hold::NoCanaryTraffic { requests: 3 },
        Hold::NoStableTraffic { requests: 3 },
        Hold::Harm { could_be: 0.1, tolerated: 0.02 },
        Hold::SharedCause { shock: 4.0 },
        Hold::Refusals { canary: Connections { wanted: 240, broken: 12 } },
        Hold::Deadline { could_be: 0.1, tolerated: 0.02 },
        Hold::StaleEvidence { age: Duration::from_secs(70) },
        Hold::NotJudged,
        Hold::Paused,
        Hold::SetByHand,
        Hold::Breaker(trip()),
        Hold::AwaitingAdvance,
        Hold::PolicyManual,
        Hold::MaxWeight { max: percent(30.0) },
        Hold::Retreated,
        Hold::Failed(AbortReason::Evidence { e: 211.0 }),
        Hold::Failed(AbortReason::Limit(crossed)),
        Hold::Failed(AbortReason::Broken(trip())),
        Hold::Frozen("by ana".into()),
        Hold::Drill,
        Hold::NoHistory,
    ]
    .map(Some)
    .into();
    holds.push(None);
    holds
}

fn every_judgement() -> Vec<Option<Judged>> {
    let crossed = Crossed { limit: Most::Latency(crate::core::Quantile::P99, Duration::from_secs(1)), canary: 1.4, stable: None };
    let doubts = [
        Doubt::Evidence,
        Doubt::NoCanaryTraffic,
        Doubt::NoStableTraffic,
        Doubt::Harm { could_be: 0.1, tolerated: 0.02 },
        Doubt::Harm { could_be: f64::INFINITY, tolerated: 0.02 },
    ];
    let mut verdicts = vec![Verdict::Pass, Verdict::Marginal, Verdict::Fail(Fail::Evidence), Verdict::Fail(Fail::Limit(crossed))];
    verdicts.extend(doubts.map(Verdict::Inconclusive));
    let mut judgements = vec![None];
    for metric in [Metric::Errors, Metric::Slow, Metric::Late, Metric::Rejected, Metric::VerySlow, Metric::LogLatency] {
        for (verdict, counts) in verdicts.iter().flat_map(|verdict| [(*verdict, [8, 239]), (*verdict, [0, 0])]) {
            let mut judged = judged(30.0, verdict, counts, [0, 610]);
            judged.judgement.leading = metric;
            judgements.push(Some(judged));
        }
    }
    judgements
}

/// Checks what must be true of all sentences, for every phase × hold × verdict × weight × policy, frozen and not.
#[test]
fn whatever_the_state_is_the_sentences_are_whole_and_offer_nothing_that_exposes_in_a_freeze() {
    let mut count = 0;
    for phase in Phase::ALL {
        for hold in every_hold() {
            for judged in every_judgement() {
                for (weight, policy, frozen) in variants() {
                    let mut status = at_a_quarter(phase, hold.clone());
                    (status.judged, status.state.weight) = (judged, weight);
                    status.guard.by_hand = policy;
                    let rollout = status.state.rollout.as_mut().unwrap();
                    rollout.plan.policy = policy;
                    rollout.plan.at_deadline = [AtDeadline::Proceed, AtDeadline::Wait, AtDeadline::ByTraffic][count % 3];
                    status.frozen = frozen.then(|| "by ana".to_owned());
                    count += 1;
                    check(&status);
                }
            }
        }
    }
    assert!(count > 100_000, "{count}");
}

fn variants() -> Vec<(Weight, Policy, bool)> {
    let policies = [Policy::Automatic, Policy::Guarded, Policy::Manual];
    let weights = [Weight::ZERO, percent(25.0), Weight::FULL];
    weights.into_iter().flat_map(|weight| policies.map(|policy| (weight, policy, policy == Policy::Guarded))).collect()
}

fn check(status: &Status) {
    let summary = Summary::of(status);
    let at = || format!("{:?} {:?} {:?}: {summary:?}", status.state.phase, status.state.hold, status.judged.map(|judged| judged.verdict));
    for part in [&summary.state, &summary.customers, &summary.todo] {
        assert!(!part.is_empty(), "{}", at());
    }
    let text = summary.text();
    for part in [&summary.state, &summary.customers, &summary.next, &summary.todo].into_iter().filter(|part| !part.is_empty()) {
        assert!(part.ends_with('.') && !part.ends_with("..") && part.trim() == part, "{}", at());
        assert!(
            part.starts_with(|c: char| c.is_uppercase() || c.is_ascii_digit()) || part.starts_with("v4") || part.starts_with("serin"),
            "{}",
            at()
        );
    }
    for strange in ["  ", " .", " ,", "inf", "NaN", "Some(", "None", "()", "1 requests", " 0 s", "-0", " pp"] {
        assert!(!text.contains(strange), "{strange:?} in {}", at());
    }
    // A sentence must not begin with E.
    assert!(!summary.state.starts_with("E "), "{}", at());
    if status.frozen.is_some() {
        assert!(summary.action.is_none_or(Action::takes_back), "{}", at());
    }
    let live = status.state.weight > Weight::ZERO && !matches!(status.state.phase, Phase::Idle | Phase::Promoted | Phase::Aborted);
    let looks = Looks::of(status.judged.as_ref());
    if live && looks.is_suspicious() && status.state.drill_until.is_none() {
        let offers = summary.action;
        assert!(offers.is_none_or(|action| action == Action::Abort) || is_braked(status), "{}", at());
    }
    if summary.action == Some(Action::Abort) {
        assert!(live || status.state.under_way().is_some(), "there is nothing to abort: {}", at());
    }
}

fn is_braked(status: &Status) -> bool {
    matches!(status.state.hold, Some(Hold::Breaker(_) | Hold::Retreated))
}

#[test]
fn until_when_is_said_in_unix_seconds_and_with_what_happens_then() {
    let mut status = at_a_quarter(Phase::Progressing, Some(Hold::Harm { could_be: 0.03, tolerated: 0.01 }));
    let doubt = Verdict::Inconclusive(Doubt::Harm { could_be: 0.03, tolerated: 0.01 });
    status.judged = Some(judged(0.4, doubt, [1, 239], [2, 6_100]));
    let until = Until::of(&status).unwrap();
    assert_eq!((until.bakes, until.decides, until.then), (NOW.unix + 300.0, Some(NOW.unix + 600.0), Then::GoesOn));
    let needs = until.needs.unwrap();
    assert!(needs.of_canary && (1_000..1_500).contains(&needs.requests), "{needs:?}");
    assert_eq!(until.expected, None, "later than the deadline");
    status.state.rollout.as_mut().unwrap().plan.at_deadline = AtDeadline::Wait;
    let waits = Until::of(&status).unwrap();
    assert_eq!((waits.decides, waits.then), (None, Then::Waits));
    let expected = NOW.unix + needs.requests as f64 * 300.0 / 239.0;
    assert!((waits.expected.unwrap() - expected).abs() < 1e-3, "at the rate of the step so far");
    status.state.rollout.as_mut().unwrap().plan.policy = Policy::Guarded;
    assert_eq!(Until::of(&status).unwrap().then, Then::Asks);
    status.state.phase = Phase::Held;
    assert_eq!(Until::of(&status), None, "it waits for a human");
}

#[test]
fn limits_are_words_too() {
    let crossed = Crossed { limit: Most::ErrorRate(0.05), canary: 0.071, stable: Some(0.002) };
    assert_eq!(limit(&crossed, "v41"), "7.1 % errors, above the limit of 5 % (v41: 0.2 %)");
    let slow = Crossed { limit: Most::Latency(crate::core::Quantile::P99, Duration::from_secs(1)), canary: 1.4, stable: None };
    assert_eq!(limit(&slow, "v41"), "1.4 s p99, above the limit of 1.0 s (v41: it has no requests)");
}
