//! What can happen to a rollout, whoever wants it: a step up, a step back, everyone, nobody.

use std::time::Duration;

use super::{Because, Decision};
use crate::core::hold::{AbortReason, Hold};
use crate::core::rollout::{Former, HeldBy, Phase, Quarantined, Release, State};
use crate::core::weight::Weight;

/// So many releases stay quarantined; the oldest is forgotten for another one.
const QUARANTINE_MOST: usize = 100;

/// The next step; the last one makes the canary stable.
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

/// Back by a step; from the first one to nobody.
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

/// To nobody, for good: the release is quarantined.
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

fn quarantine(state: &mut State, release: Release, why: AbortReason) {
    state.quarantine.retain(|quarantined| quarantined.release != release);
    state.quarantine.push(Quarantined { release, attempt: state.attempt, why });
    let too_many = state.quarantine.len().saturating_sub(QUARANTINE_MOST);
    state.quarantine.drain(..too_many);
}

/// Everyone: the roles swap, the canary is stable now.
pub(super) fn promote(state: &mut State, because: Because, now: Duration) -> Decision {
    let Some(canary) = state.canary.take() else { return Decision::Hold };
    make_stable(state, canary, now);
    Decision::Promote { because }
}

/// The release is stable; who was it before stays there to go back to.
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

/// Stable is again who it was before; what it was is quarantined.
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
