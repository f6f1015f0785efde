//! The moves of a rollout: a step up, a step back, promotion, abort, undo.

use std::time::Duration;

use super::decision::{Because, Decision, Refusal};
use crate::core::hold::{AbortReason, Hold};
use crate::core::plan::Release;
use crate::core::rollout::{Former, HeldBy, Phase, Quarantined, State};
use crate::core::weight::Weight;

/// The most releases that stay quarantined; the oldest makes room for another.
const QUARANTINE_MOST: usize = 100;

/// Goes to the next step; after the last one, promotes.
pub(super) fn raise(state: &mut State, because: Because, now: Duration) -> Decision {
    let from = state.weight;
    let Some(rollout) = &mut state.rollout else { return Decision::Hold };
    match rollout.next() {
        Some(step) if step.weight < Weight::FULL => {
            rollout.step += 1;
            state.weight = step.weight;
            begin_step(state, now);
            Decision::Advance { from, because }
        }
        Some(_) | None => promote(state, because, now),
    }
}

pub(super) fn begin_step(state: &mut State, now: Duration) {
    if let Some(rollout) = &mut state.rollout {
        rollout.step_began = now;
        rollout.looked = now;
        rollout.failing = false;
    }
    if state.phase == Phase::Held {
        state.phase = Phase::Progressing;
    }
    if state.phase == Phase::Progressing {
        state.hold = None;
    }
}

/// Goes back by one step; from the first one, or in a pause, to 0 % and a pause.
pub(super) fn retreat(state: &mut State, now: Duration) -> Decision {
    let from = state.weight;
    let Some(rollout) = &mut state.rollout else { return Decision::Hold };
    rollout.no_retreat_before = now + rollout.current().bake;
    match rollout.step.checked_sub(1) {
        Some(lower) if state.phase != Phase::Paused => {
            rollout.step = lower;
            state.weight = rollout.current().weight.min(from);
            begin_step(state, now);
        }
        _ => {
            state.weight = Weight::ZERO;
            state.phase = Phase::Paused;
            begin_step(state, now);
        }
    }
    state.hold = Some(Hold::Retreated);
    Decision::Retreat { from }
}

/// Takes the canary to 0 % and quarantines its release.
pub(super) fn abort(state: &mut State, why: AbortReason) -> Decision {
    let from = state.weight;
    state.weight = Weight::ZERO;
    state.closed = true;
    state.hold = None;
    state.phase = Phase::Aborted;
    if let Some(release) = state.canary.take() {
        quarantine(state, release, why);
    }
    state.attempt = 0;
    state.held_by = Some(HeldBy::Abort);
    Decision::Abort { from, why }
}

/// Takes the canary to 0 % because an operator wants it. A split by hand is no release that failed, so it quarantines nothing.
pub(super) fn abort_by_hand(state: &mut State) -> Result<Decision, Refusal> {
    match state.phase {
        Phase::Progressing | Phase::Paused | Phase::Held => Ok(abort(state, AbortReason::Operator)),
        Phase::Manual => {
            let from = state.weight;
            state.weight = Weight::ZERO;
            state.phase = Phase::Idle;
            state.closed = true;
            state.hold = None;
            state.drill_until = None;
            Ok(Decision::Abort { from, why: AbortReason::Operator })
        }
        Phase::Aborted => Ok(Decision::Nothing),
        Phase::Idle | Phase::Promoted => Err(Refusal::NoRollout),
    }
}

fn quarantine(state: &mut State, release: Release, why: AbortReason) {
    state.quarantine.retain(|quarantined| quarantined.release != release);
    state.quarantine.push(Quarantined { release, attempt: state.attempt, why });
    let too_many = state.quarantine.len().saturating_sub(QUARANTINE_MOST);
    state.quarantine.drain(..too_many);
}

/// Makes the canary stable, for everybody.
pub(super) fn promote(state: &mut State, because: Because, now: Duration) -> Decision {
    let Some(canary) = state.canary.take() else { return Decision::Hold };
    make_stable(state, canary, now);
    Decision::Promote { because }
}

/// Makes the release stable and keeps the one before for an undo.
pub(super) fn make_stable(state: &mut State, release: Release, now: Duration) {
    state.quarantine.retain(|quarantined| quarantined.release != release);
    let before = std::mem::replace(&mut state.stable, release);
    state.previous = Some(Former { release: before, until: now });
    state.canary = None;
    state.closed = true;
    state.weight = Weight::ZERO;
    state.attempt = 0;
    state.hold = None;
    state.undone = None;
    state.watched_until = None;
    state.phase = Phase::Promoted;
}

/// Makes the previous stable release stable again, and quarantines the one that was. Returns `None` if there is no previous one.
pub(super) fn undo(state: &mut State, why: AbortReason) -> Option<Decision> {
    let former = state.previous.take()?;
    let undone = std::mem::replace(&mut state.stable, former.release);
    quarantine(state, undone, why);
    state.canary = None;
    state.closed = true;
    state.weight = Weight::ZERO;
    state.attempt = 0;
    state.hold = None;
    state.watched_until = None;
    state.phase = Phase::Aborted;
    state.held_by = Some(HeldBy::Undo);
    Some(Decision::Undo { why })
}

/// Ends a drill: its customers go back to stable.
pub(super) fn end_drill(state: &mut State) -> Decision {
    let from = state.weight;
    state.drill_until = None;
    state.weight = Weight::ZERO;
    state.phase = Phase::Idle;
    state.canary = None;
    state.closed = std::mem::take(&mut state.closed_before_drill);
    state.hold = None;
    Decision::Withdraw { from }
}
