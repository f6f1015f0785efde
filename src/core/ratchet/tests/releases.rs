//! Switch, undo, the config's release, freeze, drill.

use super::*;
use crate::core::guard::Frozen;
use crate::core::rollout::{Freeze, HeldBy};

const WATCH: Duration = Duration::from_secs(600);

fn switched() -> Story {
    let mut story = Story::new();
    assert_eq!(story.does(switch("green", "v2")), Decision::Switch);
    story
}

fn switch(upstream: &str, version: &str) -> Command {
    Command::Switch { release: release(upstream, version), watch: WATCH }
}

fn undo() -> Command {
    Command::Undo { by: "ana".into() }
}

fn desire(wanted: Option<Release>) -> Command {
    Command::Desire { release: wanted, warm: true }
}

fn promoted() -> Story {
    let mut story = Story::started(Plan::usual());
    assert!(matches!(story.does(Command::Promote { force: false }), Decision::Promote { .. }));
    story
}

#[test]
fn a_switch_is_everyone_at_once_and_undo_goes_back_once() {
    let mut story = switched();
    assert_eq!((&story.state.stable, story.state.weight, story.state.phase), (&release("green", "v2"), Weight::ZERO, Phase::Promoted));
    assert_eq!(story.state.previous.as_ref().unwrap().release, release("blue", "v1"));
    assert_eq!(story.does(undo()), Decision::Undo { why: AbortReason::Undone });
    assert_eq!((&story.state.stable, story.state.phase), (&release("blue", "v1"), Phase::Aborted));
    story.now += secs(12);
    let Decision::Refuse(refusal) = story.does(undo()) else { panic!("undone twice") };
    assert_eq!(refusal.to_string(), "it was taken back already, by ana, 12 s ago; to serve something else, switch");
    assert!(matches!(story.does(switch("green", "v2")), Decision::Switch), "an operator's own word needs no second one");
}

#[test]
fn an_undo_during_a_rollout_is_an_abort_and_after_a_promotion_the_way_back() {
    let mut story = Story::started(Plan::usual());
    assert!(matches!(story.does(undo()), Decision::Abort { .. }));
    assert!(story.state.is_quarantined(&release("green", "v2")));
    assert!(matches!(story.does(undo()), Decision::Refuse(Refusal::Undone { .. })));
    let mut story = promoted();
    assert_eq!(story.does(undo()), Decision::Undo { why: AbortReason::Undone });
    assert_eq!(story.state.stable, release("blue", "v1"));
    assert!(story.state.is_quarantined(&release("green", "v2")));
}

#[test]
fn an_abort_by_the_evidence_leaves_nothing_to_undo() {
    let mut story = promoted();
    assert_eq!(story.does(Command::Start { release: release("blue", "v3"), plan: Plan::usual(), retry: false }), Decision::Start);
    assert_eq!(story.state.previous, None, "another version is on that side now");
    story.now += secs(5);
    assert!(matches!(story.ticks(1, 200.0, 50, 0.1), Decision::Abort { .. }));
    assert!(matches!(story.does(undo()), Decision::Refuse(Refusal::NothingToUndo { .. })));
    assert!(matches!(Story::new().does(undo()), Decision::Refuse(Refusal::NothingToUndo { .. })));
}

#[test]
fn what_breaks_after_a_switch_is_undone_if_the_other_side_answers() {
    let broken = |answers, after| {
        let mut story = switched();
        story.now += after;
        let trip = Some(Trip { canary: Connections { wanted: 10, broken: 9 } });
        let facts = Facts { judgement: None, trip, previous_answers: answers, ..story.facts(1.0, 0, 0.0) };
        let decision = story.input(&Input::Tick(facts));
        (decision.name(), story.state.hold.as_ref().map(Hold::code))
    };
    assert_eq!(broken(true, secs(30)), ("undo", None));
    assert_eq!(broken(false, secs(30)), ("hold", Some("failed")));
    assert_eq!(broken(true, WATCH), ("hold", None));
}

#[test]
fn a_crossed_limit_undoes_a_switch_only_where_serin_may_and_the_other_side_answers() {
    let crossed = Crossed { limit: Most::ErrorRate(0.05), canary: 0.07, stable: Some(0.01) };
    let after = |policy, answers| {
        let mut story = switched();
        story.guard.by_hand = policy;
        story.now += secs(30);
        let facts = Facts { judgement: None, crossed: Some(crossed), previous_answers: answers, ..story.facts(1.0, 0, 0.0) };
        let decision = story.input(&Input::Tick(facts));
        (decision, story)
    };
    let (decision, story) = after(Policy::Automatic, true);
    assert_eq!(decision, Decision::Undo { why: AbortReason::Limit(crossed) });
    assert_eq!((&story.state.stable, story.state.phase), (&release("blue", "v1"), Phase::Aborted));
    assert!(story.state.is_quarantined(&release("green", "v2")));
    for (policy, answers) in [(Policy::Automatic, false), (Policy::Guarded, true), (Policy::Manual, true)] {
        let (decision, mut story) = after(policy, answers);
        assert_eq!((decision, &story.state.stable), (Decision::Hold, &release("green", "v2")), "{policy:?}");
        assert_eq!(story.state.hold, Some(Hold::Failed(AbortReason::Limit(crossed))));
        assert_eq!(story.does(undo()), Decision::Undo { why: AbortReason::Undone }, "a human may");
    }
}

#[test]
fn what_the_config_wants_is_started_once() {
    let mut story = Story::new();
    assert_eq!(story.does(desire(Some(release("green", "v2")))), Decision::Desire);
    assert_eq!(story.state.to_start(), Some(&release("green", "v2")));
    assert_eq!(story.does(Command::Follow { plan: Plan::usual() }), Decision::Start);
    assert_eq!((story.state.to_start(), story.state.desired_elsewhere()), (None, None));
    assert_eq!(story.does(desire(Some(release("green", "v2")))), Decision::Nothing);
    assert!(matches!(story.ticks(1, 200.0, 50, 0.1), Decision::Abort { .. }));
    assert_eq!((story.state.to_start(), story.state.held_by), (None, Some(HeldBy::Abort)), "it stays away until the config changes");
    assert_eq!(story.does(desire(Some(release("green", "v3")))), Decision::Desire);
    assert_eq!(story.state.to_start(), Some(&release("green", "v3")));
}

#[test]
fn a_revert_in_the_config_is_the_fast_way_back() {
    let mut story = Story::new();
    story.does(desire(Some(release("blue", "v1"))));
    story.does(desire(Some(release("green", "v2"))));
    story.does(Command::Follow { plan: Plan::usual() });
    assert!(matches!(story.does(desire(Some(release("blue", "v1")))), Decision::Abort { .. }));
    assert_eq!((story.state.weight, story.state.desired_elsewhere(), story.state.held_by), (Weight::ZERO, None, None));
    // After a promotion this is an undo; to name the release again retries it.
    story.does(desire(Some(release("green", "v2"))));
    story.does(Command::Follow { plan: Plan::usual() });
    story.does(Command::Promote { force: true });
    assert_eq!(story.does(desire(Some(release("blue", "v1")))), Decision::Undo { why: AbortReason::Undone });
    story.does(desire(Some(release("green", "v2"))));
    assert_eq!(story.state.to_start(), Some(&release("green", "v2")));
    assert_eq!(story.does(desire(Some(release("blue", "v9")))), Decision::Desire);
    assert_eq!((story.state.to_start(), story.state.held_by), (None, Some(HeldBy::SameUpstream)));
}

#[test]
fn what_an_operator_does_holds_against_the_config_until_it_changes() {
    let mut story = Story::new();
    story.does(desire(Some(release("blue", "v1"))));
    story.does(switch("green", "v2"));
    assert_eq!((story.state.to_start(), story.state.held_by), (None, Some(HeldBy::Switch)));
    assert_eq!(story.state.desired_elsewhere(), Some(&release("blue", "v1")));
    story.does(undo());
    assert_eq!(story.state.desired_elsewhere(), None);
}

#[test]
fn nothing_rises_in_a_freeze_and_everything_may_fall() {
    let frozen = Some(Frozen::Asked("change freeze".into()));
    let mut story = Story::started(Plan::usual());
    story.guard.frozen = frozen.clone();
    assert_eq!(story.good(7_200), Decision::Hold);
    assert_eq!(story.state.hold, Some(Hold::Frozen("change freeze".into())));
    let before = story.state.clone();
    for command in [Command::Advance { force: false }, Command::Promote { force: true }] {
        assert!(matches!(story.does(command), Decision::Refuse(Refusal::Frozen(_))));
        assert_eq!(story.state, before, "a refusal changes nothing");
    }
    assert_eq!(story.does(Command::Pause), Decision::Pause);
    assert!(matches!(story.ticks(1, 200.0, 50, 0.1), Decision::Abort { .. }));
    let mut story = switched();
    story.guard.frozen = frozen;
    assert!(matches!(story.does(undo()), Decision::Undo { .. }));
    assert!(matches!(story.does(switch("green", "v2")), Decision::Refuse(Refusal::Frozen(_))));
    story.does(Command::Freeze(Freeze { by: "ana".into(), why: None }));
    assert_eq!((story.does(Command::Thaw), story.does(Command::Thaw)), (Decision::Thaw, Decision::Nothing));
}

#[test]
fn a_rollout_makes_room_without_being_blamed() {
    let mut story = Story::started(Plan::usual());
    assert_eq!(story.does(Command::Withdraw), Decision::Withdraw { from: percent(1) });
    assert_eq!((story.state.weight, &story.state.canary, story.state.quarantine.len()), (Weight::ZERO, &None, 0));
    assert_eq!(story.does(Command::Start { release: release("green", "v3"), plan: Plan::usual(), retry: false }), Decision::Start);
    assert_eq!(story.state.attempt, 2);
}

#[test]
fn a_drill_ends_by_itself_and_is_refused_during_a_rollout() {
    let drill = || Command::Drill { weight: percent(1), canary: release("green", "v2"), lasts: secs(5) };
    assert!(matches!(Story::started(Plan::usual()).does(drill()), Decision::Refuse(Refusal::UnderWay(_))));
    let mut story = Story::new();
    assert_eq!(story.does(drill()), Decision::Drill);
    assert_eq!((story.state.weight, story.hold()), (percent(1), "drill"));
    assert!(matches!(story.does(switch("green", "v2")), Decision::Refuse(Refusal::Drill)));
    assert_eq!(story.ticks(4, 1.0, 10, 0.1), Decision::Hold);
    assert_eq!(story.ticks(2, 1.0, 10, 0.1), Decision::Withdraw { from: percent(1) }, "whoever began it may have died");
    story.does(drill());
    assert_eq!(story.does(Command::Drilled { took: secs(1) }), Decision::Drilled { took: secs(1) });
    assert_eq!((story.state.weight, story.state.phase, &story.state.hold), (Weight::ZERO, Phase::Idle, &None));
}
