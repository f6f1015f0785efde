//! Checks `exposes` against an oracle that does not use weights: it compares which sides each of the 10,000 buckets, and a pinned
//! workspace, can reach before and after a decision.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::properties::{any_plan, command};
use super::*;
use crate::core::guard::Frozen;
use crate::core::{Bucket, Pins, Salt, Split, Track, Workspace};

/// An upstream and, for the canary, the version that is tried on it.
type Side = (Arc<str>, Option<Arc<str>>);

/// The sides that each bucket can reach; the last element is for a workspace that is pinned to the canary.
fn reach(state: &State) -> Vec<BTreeSet<Side>> {
    let pins = Pins::new(&["T-pinned".to_owned()], &[]).unwrap();
    let split = Split::new(Salt::new("serin"), "support", state.attempt, state.weight, pins);
    let split = if state.canary_is_closed() { split.closed() } else { split };
    // Stable answers what the canary cannot, and the previous stable is the way back.
    let usual = [Some(&state.stable), state.previous.as_ref().map(|former| &former.release)];
    let usual: BTreeSet<Side> = usual.into_iter().flatten().map(|release| (release.upstream.clone(), None)).collect();
    let canary = state.canary.as_ref().map(|canary| (canary.upstream.clone(), canary.version.clone()));
    let with = |on_canary: bool| {
        let mut sides = usual.clone();
        sides.extend(canary.clone().filter(|_| on_canary));
        sides
    };
    let pinned = split.assign(&Workspace { namespace: "team", id: "T-pinned".into() });
    let tracks = Bucket::all().map(|bucket| split.track(bucket)).chain([pinned.track]);
    tracks.map(|track| with(track == Track::Canary)).collect()
}

/// Whether somebody can reach more than before. Stable's version does not count, because the same upstream answers.
fn oracle(before: &State, after: &State) -> bool {
    let knows = |sides: &BTreeSet<Side>, (upstream, version): &Side| match version {
        None => sides.iter().any(|(known, _)| known == upstream),
        Some(_) => sides.contains(&(upstream.clone(), version.clone())),
    };
    reach(before).iter().zip(&reach(after)).any(|(before, after)| after.iter().any(|side| !knows(before, side)))
}

proptest! {
    #[test]
    fn exposes_agrees_with_the_oracle(plan in any_plan(), commands in proptest::collection::vec((0u8..26, 0u16..=10_000, any::<bool>()), 1..25)) {
        let mut story = Story::new();
        for (which, bp, frozen) in commands {
            story.guard.frozen = frozen.then(|| Frozen::Asked("a test".into()));
            story.now += secs(1);
            let before = story.state.clone();
            // After a trip pins must not reach the canary, so the test includes trips.
            let decision = match which {
                25 => {
                    let trip = Some(Trip { canary: Connections { wanted: 8, broken: 8 } });
                    story.input(&Input::Tick(Facts { trip, ..story.facts(1.0, 20, 0.1) }))
                }
                which => story.does(command(which, bp, &plan)),
            };
            if !decision.commits() {
                continue;
            }
            let (after, said) = (&story.state, exposes(&before, &story.state, &decision));
            let exposed = oracle(&before, after);
            prop_assert!(said || !exposed, "{:?} exposes somebody: {:?} → {:?}", decision, before, after);
            prop_assert!(!(frozen && exposed), "{:?} in a freeze", decision);
            // A decision that exposes nobody must not count as exposing, except where other ranks or a raise happen to reach no new
            // bucket.
            let by_chance = before.attempt != after.attempt || after.weight > before.weight || before.weight == Weight::FULL;
            prop_assert!(exposed || !said || by_chance, "{:?} exposes nobody: {:?} → {:?}", decision, before, after);
        }
    }
}

#[test]
fn a_rollout_at_a_lower_weight_than_the_one_by_hand_exposes() {
    let mut story = Story::new();
    story.does(Command::SetWeight { weight: percent(5), canary: release("green", "v2") });
    story.guard.frozen = Some(Frozen::Asked("a test".into()));
    let start = Command::Start { release: release("green", "v2"), plan: Plan::usual(), retry: false };
    assert!(matches!(story.does(start), Decision::Refuse(Refusal::Frozen(_))), "1 % of other workspaces");
    let other = Command::SetWeight { weight: percent(4), canary: release("red", "v2") };
    assert!(matches!(story.does(other), Decision::Refuse(Refusal::Frozen(_))), "4 % on another release");
    assert!(matches!(story.does(Command::Adopt { stable: release("green", "v2") }), Decision::Refuse(_)));
    let lower = Command::SetWeight { weight: percent(4), canary: release("green", "v2") };
    assert_eq!(story.does(lower), Decision::SetWeight { from: percent(5) });
}

#[test]
fn a_drill_of_zero_percent_opens_the_canary_to_nobody() {
    let mut story = Story::new();
    let before = story.state.clone();
    let decision = story.does(Command::Drill { weight: Weight::ZERO, canary: release("green", "v2"), lasts: secs(10) });
    assert_eq!(decision, Decision::Drill);
    assert!(!oracle(&before, &story.state), "a pinned workspace reaches the idle side");
    story.does(Command::Withdraw);
    assert!(!story.state.canary_is_closed(), "as before the drill");
}

#[test]
fn nobody_is_pinned_to_what_was_taken_back() {
    let by_hand = || {
        let mut story = Story::new();
        story.does(Command::SetWeight { weight: percent(5), canary: release("green", "v2") });
        assert!(!story.state.canary_is_closed());
        story
    };
    let mut aborted = by_hand();
    aborted.does(Command::Abort);
    assert!(aborted.state.canary_is_closed());
    let mut failed = by_hand();
    assert!(matches!(failed.ticks(1, 1e9, 100, 0.5), Decision::Abort { .. }));
    assert!(failed.state.canary_is_closed());
    let mut tripped = by_hand();
    let trip = Some(Trip { canary: Connections { wanted: 8, broken: 8 } });
    tripped.input(&Input::Tick(Facts { trip, ..tripped.facts(1.0, 20, 0.1) }));
    assert!(tripped.state.canary_is_closed());
    // A weight of 0 % does not open the canary again; another weight does.
    tripped.does(Command::SetWeight { weight: Weight::ZERO, canary: release("green", "v2") });
    assert!(tripped.state.canary_is_closed());
    tripped.does(Command::SetWeight { weight: percent(1), canary: release("green", "v2") });
    assert!(!tripped.state.canary_is_closed());
    let mut lowered = by_hand();
    lowered.does(Command::SetWeight { weight: Weight::ZERO, canary: release("green", "v2") });
    assert!(!lowered.state.canary_is_closed(), "at 0 % by hand, pins and testers still reach it");
}

#[test]
fn a_step_that_is_resumed_after_a_weight_by_hand_bakes_whole() {
    let mut story = Story::started(Plan::usual());
    // The step's own weight, set by hand: the time until the resume does not count for the bake.
    story.does(Command::SetWeight { weight: percent(1), canary: release("green", "v2") });
    assert_eq!(story.good(2_000), Decision::Hold);
    assert_eq!(story.does(Command::Resume), Decision::Resume);
    assert_eq!(story.good(599), Decision::Hold);
    assert!(matches!(story.good(1), Decision::Advance { .. }));
}
