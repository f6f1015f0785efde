//! Invariants of a rollout under any sequence of inputs.

use proptest::prelude::*;

use super::*;
use crate::core::guard::Frozen;

#[derive(Clone, Debug)]
enum Happening {
    Tick { e: f64, requests: u32, harm: f64, crossed: bool, trip: bool, of_this_split: bool },
    Quiet { secs: u64 },
    Command(u8, u16),
}

fn any_happening() -> impl Strategy<Value = Happening> {
    let evidence = prop_oneof![8 => 0.1..4.9_f64, 1 => 5.0..149.0_f64, 1 => 150.0..1e9_f64, 1 => Just(f64::NAN)];
    let tick = (evidence, 0u32..30, prop_oneof![0.0..0.004_f64, 0.0..0.9_f64], 0u8..40, 0u8..40, 0u8..10);
    prop_oneof![
        20 => tick.prop_map(|(e, requests, harm, crossed, trip, split)| Happening::Tick {
            e, requests, harm, crossed: crossed == 0, trip: trip == 0, of_this_split: split != 0
        }),
        3 => (1u64..2_000).prop_map(|secs| Happening::Quiet { secs }),
        3 => (0u8..26, 0u16..=10_000).prop_map(|(which, bp)| Happening::Command(which, bp)),
    ]
}

pub(super) fn any_plan() -> impl Strategy<Value = Plan> {
    let policies = prop_oneof![Just(Policy::Automatic), Just(Policy::Guarded), Just(Policy::Manual)];
    let deadlines = prop_oneof![Just(AtDeadline::Proceed), Just(AtDeadline::Wait), Just(AtDeadline::Ask), Just(AtDeadline::ByTraffic)];
    let troubles = || prop_oneof![Just(OnTrouble::Usual), Just(OnTrouble::Retreat)];
    (policies, deadlines, troubles(), troubles(), 1u64..700).prop_map(|(policy, at_deadline, on_marginal, on_limit, bake)| {
        let steps = [100, 2_000, 9_800, 10_000].map(|bp| Step { weight: Weight::from_bp(bp).unwrap(), bake: secs(bake) });
        Plan { steps: steps.to_vec(), policy, at_deadline, on_marginal, on_limit, ..Plan::usual() }
    })
}

/// A release that a config may name.
fn wanted(bp: u16) -> Option<Release> {
    match bp % 5 {
        0 => None,
        1 => Some(release("blue", "v1")),
        2 => Some(release("green", "v2")),
        3 => Some(release("green", "v8")),
        _ => Some(release("blue", "v9")),
    }
}

/// Any command; `which` is below 26.
pub(super) fn command(which: u8, bp: u16, plan: &Plan) -> Command {
    let weight = Weight::from_bp(bp).unwrap();
    match which {
        0 => Command::Start { release: release("green", "v2"), plan: plan.clone(), retry: bp.is_multiple_of(2) },
        1 => Command::Start { release: release("blue", "v3"), plan: plan.clone(), retry: false },
        2 => Command::SetWeight { weight, canary: release("green", "v2") },
        3 => Command::Pause,
        4 | 5 => Command::Resume,
        6 => Command::Advance { force: bp.is_multiple_of(2) },
        7 => Command::Promote { force: bp.is_multiple_of(2) },
        8 => Command::Reassign { rule: 0, exposes: false },
        9 => Command::Adopt { stable: release(if bp.is_multiple_of(3) { "green" } else { "blue" }, "v7") },
        10 => Command::Switch { release: release(if bp.is_multiple_of(2) { "green" } else { "blue" }, "v2"), watch: secs(60) },
        11 | 12 => Command::Undo { by: "ana".into() },
        13 => Command::Withdraw,
        14..=16 => Command::Desire { release: wanted(bp), warm: bp.is_multiple_of(2) },
        17 => Command::Follow { plan: plan.clone() },
        18 => Command::Configure { weight, canary: release("green", "v2") },
        19 => Command::Drill { weight, canary: release("green", "v2"), lasts: secs(5) },
        20 => Command::Drilled { took: secs(1) },
        21 => Command::Thaw,
        _ => Command::Abort,
    }
}

proptest! {
    /// The invariants, after every input of any sequence.
    #[test]
    fn the_invariants_hold_after_any_inputs(plan in any_plan(), happenings in proptest::collection::vec(any_happening(), 1..120)) {
        let mut story = Story::started(plan.clone());
        for happening in happenings {
            let before = story.state.clone();
            let input = match happening {
                Happening::Quiet { secs: quiet } => {
                    story.now += secs(quiet);
                    continue;
                }
                Happening::Tick { e, requests, harm, crossed, trip, of_this_split } => {
                    story.now += secs(1);
                    let crossed = crossed.then_some(Crossed { limit: Most::Late(0.01), canary: 0.02, stable: None });
                    let trip = trip.then_some(Trip { canary: Connections { wanted: 8, broken: 8 } });
                    let split_id = if of_this_split { story.state.split_id } else { story.state.split_id - 1 };
                    Input::Tick(Facts { split_id, crossed, trip, ..story.facts(e, requests, harm) })
                }
                Happening::Command(which, bp) => {
                    if which == 21 {
                        story.guard.frozen = Some(Frozen::Asked("a test".into())).filter(|_| bp.is_multiple_of(2));
                    }
                    let command = command(which, bp, &plan);
                    Input::Command { command, based_on: None }
                }
            };
            let decision = story.input(&input);
            let (after, guard) = (&story.state, &story.guard);
            let changed = (before.weight, before.attempt, &before.stable, &before.canary) != (after.weight, after.attempt, &after.stable, &after.canary);
            prop_assert_eq!(after.revision, before.revision + u64::from(decision.commits()));
            prop_assert_eq!(after.split_id, before.split_id + u64::from(changed || matches!(decision, Decision::Reassign { .. })));
            prop_assert!(matches!(after.phase, Phase::Progressing | Phase::Held | Phase::Paused) == after.under_way().is_some());
            if let Decision::Refuse(_) | Decision::Nothing = decision {
                prop_assert_eq!(&before, after);
            }
            // In a freeze nothing exposes anybody.
            prop_assert!(guard.frozen.is_none() || !decision.commits() || !exposes(&before, after, &decision), "{:?}", decision);
            // The canary is never on stable's upstream, and a stored state reads back equal.
            prop_assert!(after.weight == Weight::ZERO || after.canary.as_ref().is_some_and(|canary| canary.upstream != after.stable.upstream));
            let kept = rmp_serde::to_vec_named(after).unwrap();
            prop_assert_eq!(&rmp_serde::from_slice::<State>(&kept).unwrap(), after);
            // A quarantined release is never rolled out.
            prop_assert!(after.under_way().is_none() || !after.quarantine.iter().any(|q| Some(&q.release) == after.canary.as_ref()));
            let Input::Tick(facts) = input else { continue };
            // A tick raises by one step at most, only a rollout that progresses, and only on good and fresh evidence after the bake.
            let judgement = facts.judgement.unwrap();
            let raised = after.weight > before.weight || after.phase == Phase::Promoted && before.phase != Phase::Promoted;
            if raised {
                let rollout = before.under_way().unwrap();
                let next = rollout.next().unwrap().weight;
                prop_assert!(after.weight == next || (next == Weight::FULL && after.phase == Phase::Promoted));
                prop_assert!(matches!(before.phase, Phase::Progressing | Phase::Held));
                prop_assert_eq!(rollout.plan.policy, Policy::Automatic);
                prop_assert!(facts.split_id == before.split_id && facts.crossed.is_none() && facts.trip.is_none());
                prop_assert!(judgement.wealth.log_e() < 5.0_f64.ln());
                prop_assert!(judgement.canary.tally.requests >= 10 && judgement.stable.tally.requests >= 10);
                prop_assert!(story.now >= rollout.baked_at());
            }
            // One credible negative finding lowers, at once and in every phase.
            let under_policy = |policy: Policy| policy != Policy::Manual;
            let ours = facts.split_id == before.split_id && before.weight > Weight::ZERO;
            let fail = judgement.wealth.log_e() >= guard.abort_at.ln() || facts.crossed.is_some();
            let acts = before.under_way().map_or(before.phase == Phase::Manual, |rollout| under_policy(rollout.plan.policy));
            if ours && ((fail && acts) || facts.trip.is_some()) {
                prop_assert!(after.weight < before.weight, "{:?} {:?}", before, decision);
            }
            // A rollout that holds says why.
            if after.under_way().is_some() && decision == Decision::Hold {
                prop_assert!(after.hold.is_some(), "{:?}", after);
            }
        }
    }
}
