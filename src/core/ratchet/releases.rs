//! The commands about whole releases: adopt, switch, undo, withdraw, the config's release, drills.

use std::sync::Arc;
use std::time::Duration;

use super::decision::{Decision, Refusal};
use super::moves::{self, abort_by_hand, end_drill};
use super::permits::{refuse_above, refuse_if_live};
use crate::core::guard::Guard;
use crate::core::hold::{AbortReason, Hold};
use crate::core::plan::Release;
use crate::core::rollout::{HeldBy, Phase, State, Undone};
use crate::core::weight::Weight;

/// Declares a release stable that was changed without serin.
pub(super) fn adopt(state: &mut State, stable: &Release) -> Result<Decision, Refusal> {
    refuse_if_live(state)?;
    if state.stable == *stable && state.held_by.is_none() {
        return Ok(Decision::Nothing);
    }
    state.closed = state.canary_is_closed() && state.stable.upstream == stable.upstream;
    state.stable = stable.clone();
    state.canary = None;
    state.previous = None;
    state.undone = None;
    state.watched_until = None;
    state.phase = Phase::Idle;
    state.hold = None;
    state.held_by = Some(HeldBy::Adopt);
    Ok(Decision::Adopt)
}

/// Puts everybody on the other side at once.
pub(super) fn switch(state: &mut State, release: &Release, watch: Duration, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    refuse_if_live(state)?;
    if release.upstream == state.stable.upstream {
        return Err(Refusal::IsStable(state.stable.clone()));
    }
    refuse_above(Weight::FULL, guard)?;
    moves::make_stable(state, release.clone(), now);
    state.watched_until = Some(now + watch);
    state.held_by = Some(HeldBy::Switch);
    Ok(Decision::Switch)
}

/// Takes back what was done last. A second undo is refused, because it would bring back what the first one took away.
pub(super) fn undo(state: &mut State, by: &Arc<str>, now: Duration) -> Result<Decision, Refusal> {
    if let Some(undone) = &state.undone {
        return Err(Refusal::Undone { by: undone.by.clone(), ago: now.saturating_sub(undone.at) });
    }
    let decision = match state.phase {
        _ if state.is_live() => abort_by_hand(state)?,
        // The evidence aborted a rollout: the stable release before that has nothing to do with it.
        Phase::Aborted => return Err(nothing_to_undo(state)),
        _ => moves::undo(state, AbortReason::Undone).ok_or_else(|| nothing_to_undo(state))?,
    };
    state.undone = Some(Undone { by: by.clone(), at: now });
    Ok(decision)
}

fn nothing_to_undo(state: &State) -> Refusal {
    Refusal::NothingToUndo { stable: state.stable.clone() }
}

/// Takes the canary to 0 % without quarantine, so that another release can start.
pub(super) fn withdraw(state: &mut State) -> Result<Decision, Refusal> {
    if state.drill_until.is_some() {
        return Ok(end_drill(state));
    }
    state.under_way().ok_or(Refusal::NoRollout)?;
    let from = state.weight;
    state.weight = Weight::ZERO;
    state.canary = None;
    state.attempt = 0;
    state.hold = None;
    state.phase = Phase::Idle;
    Ok(Decision::Withdraw { from })
}

/// The config names another release. A way back is taken at once; a new release first needs a preflight and then `Command::Follow`.
pub(super) fn desire(state: &mut State, wanted: Option<&Release>, warm: bool) -> Result<Decision, Refusal> {
    if state.last_config.release.as_ref() == wanted {
        return Ok(Decision::Nothing);
    }
    let before = std::mem::replace(&mut state.last_config.release, wanted.cloned());
    // The release that the config named before, and the one that it names now, leave the quarantine: a change of the config counts as a
    // wish to retry.
    state.quarantine.retain(|quarantined| Some(&quarantined.release) != before.as_ref() && Some(&quarantined.release) != wanted);
    state.held_by = None;
    state.hold.take_if(|hold| *hold == Hold::NoHistory);
    let Some(wanted) = wanted else { return Ok(Decision::Desire) };
    if *wanted == state.stable && state.is_live() {
        let decision = abort_by_hand(state)?;
        state.held_by = None;
        return Ok(decision);
    }
    if warm && !state.is_live() && state.previous.as_ref().is_some_and(|former| former.release == *wanted) {
        let decision = moves::undo(state, AbortReason::Undone).ok_or_else(|| nothing_to_undo(state))?;
        state.held_by = None;
        return Ok(decision);
    }
    if wanted.upstream == state.stable.upstream && *wanted != state.stable {
        state.held_by = Some(HeldBy::SameUpstream);
    }
    Ok(Decision::Desire)
}

/// Moves customers to the idle side until `until`.
pub(super) fn drill(state: &mut State, weight: Weight, canary: &Release, until: Duration, guard: &Guard) -> Result<Decision, Refusal> {
    refuse_if_live(state)?;
    refuse_above(weight, guard)?;
    if state.watched_until.is_some() {
        return Err(Refusal::Watched);
    }
    if canary.upstream == state.stable.upstream {
        return Err(Refusal::IsStable(state.stable.clone()));
    }
    state.phase = Phase::Manual;
    state.closed_before_drill = state.canary_is_closed();
    // With nobody moved, pins and testers must not reach the idle side either.
    state.closed = weight == Weight::ZERO;
    state.weight = weight;
    state.attempt = 0;
    state.canary = Some(canary.clone());
    state.hold = Some(Hold::Drill);
    state.drill_until = Some(until);
    Ok(Decision::Drill)
}

pub(super) fn drilled(state: &mut State, took: Duration) -> Decision {
    if state.drill_until.is_some() {
        end_drill(state);
    }
    Decision::Drilled { took }
}
