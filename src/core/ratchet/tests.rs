//! Rollouts as sequences of inputs.

mod exposure;
mod properties;
mod releases;

use std::sync::Arc;

use super::*;
use crate::core::breaker::{Connections, Trip};
use crate::core::evidence::{Exposure, HarmBound, Judgement, Metric, Wealth};
use crate::core::guard::{Crossed, Most};
use crate::core::hold::{AbortReason, Hold};
use crate::core::plan::{AtDeadline, OnTrouble, Plan, Policy, Step};
use crate::core::rollout::Phase;
use crate::core::tally::Tally;

fn release(upstream: &str, version: &str) -> Release {
    Release { upstream: upstream.into(), version: Some(version.into()) }
}

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn percent(n: u16) -> Weight {
    Weight::from_bp(n * 100).unwrap()
}

/// A judgement with evidence E, `requests` on each track and a harm bound.
fn judged(e: f64, requests: u32, harm: f64, now: Duration) -> Judgement {
    let log = e.ln();
    let exposure = |buckets| Exposure { tally: Tally { requests, ..Tally::default() }, buckets };
    Judgement {
        wealth: Wealth { all: log, cohorts: log, urn: log, newly_broken: 0.0, examinations: log },
        harm: HarmBound(harm),
        shock: 1.0,
        leading: Metric::Errors,
        stable: exposure(100),
        canary: exposure(100),
        looked: now,
    }
}

/// A state to which inputs are applied one after the other.
struct Story {
    state: State,
    guard: Guard,
    now: Duration,
}

impl Story {
    fn new() -> Story {
        Story { state: State::new(release("blue", "v1")), guard: Guard::default(), now: secs(1_000) }
    }

    fn started(plan: Plan) -> Story {
        let mut story = Story::new();
        let start = Command::Start { release: release("green", "v2"), plan, retry: false };
        assert_eq!(story.does(start), Decision::Start);
        story
    }

    fn does(&mut self, command: Command) -> Decision {
        self.input(&Input::Command { command, based_on: None })
    }

    fn input(&mut self, input: &Input) -> Decision {
        let (state, decision) = step(self.state.clone(), input, &self.guard, self.now);
        self.state = state;
        decision
    }

    fn facts(&self, e: f64, requests: u32, harm: f64) -> Facts {
        Facts {
            split_id: self.state.split_id,
            judgement: Some(judged(e, requests, harm, self.now)),
            crossed: None,
            trip: None,
            connections: Default::default(),
            previous_answers: true,
        }
    }

    /// Ticks once a second for so many seconds, always with the same evidence. Returns the first decision that is not a hold, or a
    /// hold.
    fn ticks(&mut self, seconds: u64, e: f64, requests: u32, harm: f64) -> Decision {
        for _ in 0..seconds {
            self.now += secs(1);
            let decision = self.input(&Input::Tick(self.facts(e, requests, harm)));
            if decision != Decision::Hold {
                return decision;
            }
        }
        Decision::Hold
    }

    fn good(&mut self, seconds: u64) -> Decision {
        self.ticks(seconds, 1.0, 10_000, 0.0001)
    }

    fn hold(&self) -> &'static str {
        self.state.hold.as_ref().map_or("", Hold::code)
    }
}

fn policy(policy: Policy) -> Plan {
    Plan { policy, ..Plan::usual() }
}

#[test]
fn a_good_release_climbs_step_by_step_and_becomes_stable() {
    let mut story = Story::started(Plan::usual());
    let began = story.now;
    let mut weights = vec![story.state.weight.percent()];
    while let Decision::Advance { because, .. } = story.good(3_600) {
        assert_eq!(because, Because::Evidence);
        weights.push(story.state.weight.percent());
    }
    assert_eq!(weights, [1.0, 5.0, 10.0, 25.0, 50.0, 98.0]);
    assert_eq!(story.now - began, secs(54 * 60));
    assert_eq!((story.state.phase, &story.state.stable, &story.state.canary), (Phase::Promoted, &release("green", "v2"), &None));
    assert_eq!(story.state.weight, Weight::ZERO);
}

#[test]
fn bad_news_needs_no_bake() {
    let mut story = Story::started(Plan::usual());
    assert_eq!(story.ticks(1, 149.0, 20, 0.5), Decision::Hold);
    assert_eq!(story.hold(), "marginal");
    assert_eq!(story.state.phase, Phase::Held);
    assert!(matches!(story.ticks(1, 151.0, 20, 0.5), Decision::Abort { why: AbortReason::Evidence { .. }, .. }));
    assert_eq!((story.state.phase, story.state.weight), (Phase::Aborted, Weight::ZERO));
    assert_eq!(story.state.quarantine.len(), 1);
}

#[test]
fn suspicion_holds_and_is_forgotten_when_it_fades() {
    let mut story = Story::started(Plan::usual());
    assert_eq!(story.ticks(650, 21.0, 10_000, 0.0001), Decision::Hold);
    assert_eq!(
        story.state.hold.as_ref().unwrap().to_string(),
        "it looks worse than stable: E is 21, suspicious from 20 on, and taken back at 150"
    );
    assert_eq!(story.ticks(10, 6.1, 10_000, 0.0001), Decision::Hold);
    assert_eq!(
        story.state.hold.as_ref().unwrap().to_string(),
        "it looks slightly worse than stable: E is 6.1, and must be below 5 for a raise"
    );
    assert_eq!(story.state.phase, Phase::Progressing);
    assert!(matches!(story.good(1), Decision::Advance { .. }));
}

#[test]
fn a_step_without_traffic_is_never_left() {
    let mut story = Story::started(Plan { at_deadline: AtDeadline::Proceed, ..Plan::usual() });
    assert_eq!(story.ticks(899, 1.0, 4, 0.0), Decision::Hold);
    assert_eq!(story.state.hold.as_ref().unwrap().to_string(), "too few requests on the canary: 4 of at least 10");
    assert_eq!(story.state.phase, Phase::Progressing);
    assert_eq!(story.ticks(7_200, 1.0, 4, 0.0), Decision::Hold);
    assert_eq!((story.hold(), story.state.phase), ("no_canary_traffic", Phase::Held), "a human is asked at the deadline");
}

#[test]
fn at_the_deadline_only_the_bound_on_harm_is_waived() {
    let at = |at_deadline, seconds: u64, e| {
        let mut story = Story::started(Plan { at_deadline, ..Plan::usual() });
        let decision = story.ticks(seconds, e, 10_000, 0.3);
        (decision, story.hold(), story.state.phase)
    };
    assert_eq!(at(AtDeadline::Proceed, 899, 1.0), (Decision::Hold, "harm", Phase::Progressing));
    assert_eq!(at(AtDeadline::Proceed, 900, 1.0).0, Decision::Advance { from: percent(1), because: Because::Deadline });
    assert_eq!(at(AtDeadline::ByTraffic, 900, 1.0).0, Decision::Advance { from: percent(1), because: Because::Deadline });
    assert_eq!(at(AtDeadline::Proceed, 2_000, 6.0), (Decision::Hold, "evidence", Phase::Held));
    assert_eq!(at(AtDeadline::Wait, 2_000, 1.0), (Decision::Hold, "harm", Phase::Progressing));
    assert_eq!(at(AtDeadline::Ask, 2_000, 1.0), (Decision::Hold, "deadline", Phase::Held));
}

#[test]
fn thin_traffic_asks_a_human_who_may_advance() {
    let mut story = Story::started(Plan::usual());
    assert_eq!(story.ticks(900, 1.0, 40, 0.3), Decision::Hold);
    assert_eq!(story.hold(), "deadline");
    assert_eq!(story.does(Command::Advance { force: false }), Decision::Advance { from: percent(1), because: Because::Operator });
    assert_eq!((story.state.weight, story.state.phase), (percent(5), Phase::Progressing));
}

#[test]
fn an_abort_works_in_every_phase_of_a_rollout_and_twice_is_once() {
    for prepare in [
        (|_| ()) as fn(&mut Story),
        |story| assert_eq!(story.does(Command::Pause), Decision::Pause),
        |story| assert_eq!(story.ticks(1, 30.0, 20, 0.5), Decision::Hold),
    ] {
        let mut story = Story::started(Plan::usual());
        prepare(&mut story);
        assert!(matches!(story.does(Command::Abort), Decision::Abort { why: AbortReason::Operator, .. }));
        assert_eq!(story.state.weight, Weight::ZERO);
        assert_eq!(story.does(Command::Abort), Decision::Nothing);
        assert_eq!(story.good(3_600), Decision::Hold);
        assert_eq!(story.does(Command::Resume), Decision::Refuse(Refusal::NoRollout));
    }
}

#[test]
fn a_first_step_with_hardly_anybody_is_warned_of() {
    let plan = Plan::usual();
    assert_eq!(plan.thin_start(300), None);
    let warning = plan.thin_start(50).unwrap();
    assert!(warning.contains("1%, has about 0.5 of 50 active buckets") && warning.contains("6% would have 3"), "{warning}");
    assert!(plan.thin_start(0).unwrap().contains("cannot be told"));
}

#[test]
fn a_canary_that_refuses_connections_now_and_then_is_not_raised() {
    let mut story = Story::started(Plan::usual());
    story.good(599);
    story.now += secs(1);
    let of = |wanted, broken| Connections { wanted, broken };
    for (canary, stable, held) in [
        (of(1_000, 11), of(9_000, 0), true),
        (of(1_000, 11), of(9_000, 90), false),
        (of(1_000, 9), of(9_000, 0), false),
        (of(20, 2), of(9_000, 0), false),
    ] {
        let facts = Facts { connections: [canary, stable], ..story.facts(1.0, 10_000, 0.0) };
        let (state, decision) = step(story.state.clone(), &Input::Tick(facts), &story.guard, story.now);
        assert_eq!(decision == Decision::Hold, held, "{canary:?}");
        assert_eq!(state.hold.is_some_and(|hold| hold.code() == "refusals"), held);
    }
}

#[test]
fn nothing_is_raised_while_everything_is_broken() {
    let mut story = Story::started(Plan { at_deadline: AtDeadline::Proceed, ..Plan::usual() });
    story.good(599);
    for _ in 0..600 {
        story.now += secs(1);
        let mut facts = story.facts(1.0, 10_000, 0.0001);
        facts.judgement.as_mut().unwrap().shock = 3.1;
        assert_eq!(story.input(&Input::Tick(facts)), Decision::Hold);
    }
    assert_eq!((story.hold(), story.state.phase), ("shared_cause", Phase::Held));
    assert!(matches!(story.good(1), Decision::Advance { .. }));
}

#[test]
fn a_paused_rollout_never_rises_and_still_aborts_on_a_fail() {
    let mut story = Story::started(Plan::usual());
    assert_eq!(story.does(Command::Pause), Decision::Pause);
    assert_eq!(story.good(7_200), Decision::Hold);
    assert_eq!(story.hold(), "paused");
    assert!(matches!(story.ticks(1, 200.0, 20, 0.5), Decision::Abort { .. }));
}

#[test]
fn a_pause_does_not_cost_the_bake() {
    let mut story = Story::started(Plan::usual());
    story.good(500);
    story.does(Command::Pause);
    let (revision, split_id) = (story.state.revision, story.state.split_id);
    story.good(50);
    assert_eq!(story.does(Command::Resume), Decision::Resume);
    assert_eq!((story.state.revision, story.state.split_id), (revision + 1, split_id));
    assert_eq!(story.good(49), Decision::Hold);
    assert!(matches!(story.good(1), Decision::Advance { .. }));
}

#[test]
fn time_without_ticks_does_not_bake() {
    let mut story = Story::started(Plan::usual());
    story.good(500);
    story.now += secs(5_000);
    assert_eq!(story.good(99), Decision::Hold);
    assert_eq!(story.hold(), "baking");
    assert!(matches!(story.good(2), Decision::Advance { .. }));
}

#[test]
fn a_split_does_not_bake_while_another_one_serves() {
    let mut story = Story::started(Plan::usual());
    for _ in 0..550 {
        story.now += secs(1);
        let facts = Facts { split_id: story.state.split_id - 1, ..story.facts(1.0, 10_000, 0.0) };
        assert_eq!(story.input(&Input::Tick(facts)), Decision::Hold);
        assert_eq!(story.hold(), "stale_evidence");
    }
    assert_eq!(story.good(599), Decision::Hold);
    assert!(matches!(story.good(1), Decision::Advance { .. }));
}

#[test]
fn evidence_of_another_split_or_an_old_look_raises_nothing() {
    let mut story = Story::started(Plan::usual());
    story.good(599);
    let mut facts = story.facts(1.0, 10_000, 0.0);
    story.now += secs(1);
    facts.split_id -= 1;
    assert_eq!(story.input(&Input::Tick(facts)), Decision::Hold);
    assert_eq!(story.hold(), "stale_evidence");
    story.now += secs(1);
    let mut facts = story.facts(1.0, 10_000, 0.0);
    facts.judgement.as_mut().unwrap().looked = story.now - secs(61);
    assert_eq!(story.input(&Input::Tick(facts)), Decision::Hold);
    assert_eq!(story.state.hold, Some(Hold::StaleEvidence { age: secs(61) }));
    assert_eq!(story.input(&Input::Tick(Facts { judgement: None, ..facts })), Decision::Hold);
    let mut nan = story.facts(1.0, 10_000, f64::NAN);
    assert_eq!(story.input(&Input::Tick(nan)), Decision::Hold);
    nan.judgement.as_mut().unwrap().wealth.all = f64::NAN;
    assert_eq!(story.input(&Input::Tick(nan)), Decision::Hold);
}

#[test]
fn an_aborted_version_is_refused_without_retry() {
    let mut story = Story::started(Plan::usual());
    story.ticks(1, 1_000.0, 20, 0.5);
    let again = |version: &str, retry| Command::Start { release: release("green", version), plan: Plan::usual(), retry };
    assert!(matches!(story.does(again("v2", false)), Decision::Refuse(Refusal::Quarantined { .. })));
    assert_eq!(story.state.weight, Weight::ZERO);
    assert_eq!(story.does(again("v3", false)), Decision::Start);
    assert_eq!(story.state.attempt, 2);
    story.does(Command::Abort);
    assert_eq!(story.does(again("v2", true)), Decision::Start);
    assert_eq!(story.state.attempt, 3);
    assert_eq!(story.does(again("v4", false)), Decision::Refuse(Refusal::UnderWay(release("green", "v2"))));
    let same = Command::Start { release: release("blue", "v9"), plan: Plan::usual(), retry: false };
    story.does(Command::Abort);
    assert_eq!(story.does(same), Decision::Refuse(Refusal::IsStable(release("blue", "v1"))));
}

#[test]
fn a_weight_by_hand_pauses_and_resume_goes_on_from_the_step_below() {
    let mut story = Story::started(Plan::usual());
    let set = |bp: u16| Command::SetWeight { weight: Weight::from_bp(bp).unwrap(), canary: release("green", "v2") };
    assert_eq!(story.does(set(1_700)), Decision::SetWeight { from: percent(1) });
    assert_eq!((story.state.phase, story.hold()), (Phase::Paused, "set_by_hand"));
    assert_eq!(story.good(7_200), Decision::Hold);
    assert_eq!(story.does(Command::Advance { force: false }), Decision::Refuse(Refusal::Paused));
    assert_eq!(story.does(Command::Resume), Decision::Resume);
    assert_eq!(story.state.weight, percent(10));
    assert_eq!(story.good(599), Decision::Hold);
    assert!(matches!(story.good(1), Decision::Advance { .. }));
    assert_eq!(story.state.weight, percent(25));
}

#[test]
fn everybody_by_hand_and_then_resume_is_a_promotion() {
    let mut story = Story::started(Plan::usual());
    let weight = Weight::FULL;
    assert_eq!(story.does(Command::SetWeight { weight, canary: release("green", "v2") }), Decision::SetWeight { from: percent(1) });
    assert_eq!((story.hold(), story.state.phase), ("set_by_hand", Phase::Paused));
    assert_eq!(story.does(Command::Resume), Decision::Promote { because: Because::Operator });
    assert_eq!(story.state.stable, release("green", "v2"));
}

#[test]
fn a_promotion_is_allowed_in_a_pause_but_not_to_a_broken_canary() {
    let mut story = Story::started(Plan::usual());
    story.does(Command::Pause);
    assert_eq!(story.does(Command::Advance { force: true }), Decision::Refuse(Refusal::Paused));
    let mut broken = Story { state: story.state.clone(), ..Story::new() };
    assert_eq!(story.does(Command::Promote { force: false }), Decision::Promote { because: Because::Operator });
    let trip = Trip { canary: Connections { wanted: 10, broken: 9 } };
    broken.state.hold = Some(Hold::Breaker(trip));
    assert_eq!(broken.does(Command::Promote { force: false }), Decision::Refuse(Refusal::Broken(trip)));
    assert_eq!(broken.does(Command::Promote { force: true }), Decision::Promote { because: Because::Operator });
}

#[test]
fn what_was_never_judged_is_not_raised_even_at_the_deadline() {
    let mut story = Story::started(Plan { at_deadline: AtDeadline::Proceed, ..Plan::usual() });
    assert_eq!(story.ticks(2_000, 1.0, 10_000, f64::INFINITY), Decision::Hold);
    assert_eq!((story.hold(), story.state.phase), ("not_judged", Phase::Held));
}

#[test]
fn a_split_by_hand_is_never_raised_and_a_fail_takes_it_to_zero() {
    let mut story = Story::new();
    let set = Command::SetWeight { weight: percent(5), canary: release("green", "v2") };
    assert_eq!(story.does(set.clone()), Decision::SetWeight { from: Weight::ZERO });
    assert_eq!((story.state.phase, story.state.attempt), (Phase::Manual, 0));
    assert_eq!(story.good(7_200), Decision::Hold);
    assert!(matches!(story.ticks(1, 200.0, 20, 0.5), Decision::Abort { .. }));
    assert_eq!((story.state.weight, story.hold()), (Weight::ZERO, "failed"));
    assert!(story.state.quarantine.is_empty());
    story.guard.by_hand = Policy::Manual;
    story.does(set);
    assert_eq!(story.ticks(1, 200.0, 20, 0.5), Decision::Hold);
    assert_eq!(story.state.weight, percent(5));
}

#[test]
fn the_breaker_takes_it_to_zero_paused_and_without_quarantine() {
    let trip = Trip { canary: Connections { wanted: 9, broken: 8 } };
    let mut story = Story::started(policy(Policy::Manual));
    let facts = Facts { trip: Some(trip), ..story.facts(1.0, 20, 0.5) };
    assert_eq!(story.input(&Input::Tick(facts)), Decision::Trip { from: percent(1), trip });
    assert_eq!((story.state.phase, story.state.weight, story.hold()), (Phase::Paused, Weight::ZERO, "breaker"));
    assert!(story.state.quarantine.is_empty());
    assert_eq!(story.does(Command::Resume), Decision::Resume);
    assert_eq!(story.state.weight, percent(1));
    story.guard.brake = false;
    let facts = Facts { trip: Some(trip), ..story.facts(1.0, 20, 0.5) };
    assert_eq!(story.input(&Input::Tick(facts)), Decision::Hold);
}

#[test]
fn guarded_lowers_by_itself_and_raises_only_when_told() {
    let mut story = Story::started(policy(Policy::Guarded));
    assert_eq!(story.good(3_600), Decision::Hold);
    assert_eq!((story.hold(), story.state.phase), ("awaiting_advance", Phase::Held));
    assert!(matches!(story.does(Command::Advance { force: false }), Decision::Advance { .. }));
    assert!(matches!(story.ticks(1, 200.0, 20, 0.5), Decision::Abort { .. }));
}

#[test]
fn manual_leaves_a_fail_to_a_human_who_must_force_a_raise() {
    let mut story = Story::started(policy(Policy::Manual));
    assert_eq!(story.ticks(10, 500.0, 20, 0.5), Decision::Hold);
    assert_eq!(story.does(Command::Advance { force: false }), Decision::Refuse(Refusal::Failing));
    assert_eq!(story.does(Command::Promote { force: false }), Decision::Refuse(Refusal::Failing));
    assert!(matches!(story.does(Command::Advance { force: true }), Decision::Advance { .. }));
}

#[test]
fn a_crossed_limit_fails_and_max_caps() {
    let crossed = Crossed { limit: Most::ErrorRate(0.05), canary: 0.07, stable: Some(0.01) };
    let mut story = Story::started(Plan::usual());
    let facts = Facts { crossed: Some(crossed), ..story.facts(1.0, 10_000, 0.0) };
    assert_eq!(story.input(&Input::Tick(facts)), Decision::Abort { from: percent(1), why: AbortReason::Limit(crossed) });
    assert_eq!(AbortReason::Limit(crossed).to_string(), "error_rate is 7.00%, the limit is 5.00% (stable: 1.00%)");
    let mut story = Story::started(Plan::usual());
    story.guard.max = percent(5);
    assert!(matches!(story.good(3_600), Decision::Advance { .. }));
    assert_eq!(story.good(3_600), Decision::Hold);
    assert_eq!(story.hold(), "max_weight");
    assert_eq!(story.does(Command::Promote { force: true }), Decision::Refuse(Refusal::AboveMax { max: percent(5) }));
}

#[test]
fn a_retreat_goes_back_by_a_step_once_in_a_bake() {
    let mut story = Story::started(Plan { on_marginal: OnTrouble::Retreat, ..Plan::usual() });
    assert!(matches!(story.good(3_600), Decision::Advance { .. }));
    assert_eq!(story.ticks(1, 30.0, 20, 0.5), Decision::Retreat { from: percent(5) });
    assert_eq!(story.state.weight, percent(1));
    assert_eq!(story.ticks(599, 30.0, 20, 0.5), Decision::Hold);
    assert_eq!(story.ticks(1, 30.0, 20, 0.5), Decision::Retreat { from: percent(1) });
    assert_eq!((story.state.weight, story.state.phase), (Weight::ZERO, Phase::Paused));
}

#[test]
fn a_crossed_limit_may_be_a_retreat_and_a_second_one_within_a_bake_aborts() {
    let crossed = Crossed { limit: Most::ErrorRate(0.05), canary: 0.07, stable: Some(0.01) };
    let crosses = |story: &mut Story| {
        let facts = Facts { crossed: Some(crossed), ..story.facts(1.0, 10_000, 0.0) };
        story.input(&Input::Tick(facts))
    };
    let second = |after: u64| {
        let mut story = Story::started(Plan { on_limit: OnTrouble::Retreat, ..Plan::usual() });
        assert!(matches!(story.good(3_600), Decision::Advance { .. }));
        assert_eq!(crosses(&mut story), Decision::Retreat { from: percent(5) });
        assert_eq!((story.state.weight, story.state.phase, story.hold()), (percent(1), Phase::Progressing, "retreated"));
        story.now += secs(after);
        (crosses(&mut story), story)
    };
    let (decision, story) = second(599);
    assert_eq!((decision, story.state.phase), (Decision::Abort { from: percent(1), why: AbortReason::Limit(crossed) }, Phase::Aborted));
    let (decision, story) = second(600);
    assert_eq!((decision, story.state.phase), (Decision::Retreat { from: percent(1) }, Phase::Paused));
    assert_eq!((story.state.weight, story.state.quarantine.len()), (Weight::ZERO, 0));
}

#[test]
fn a_stale_command_changes_nothing() {
    let mut story = Story::started(Plan::usual());
    let before = story.state.clone();
    let old = Input::Command { command: Command::Abort, based_on: Some(1) };
    assert_eq!(story.input(&old), Decision::Refuse(Refusal::Stale { based_on: 1, actual: 2 }));
    assert_eq!(story.state, before);
}
