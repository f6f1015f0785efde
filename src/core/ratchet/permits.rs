//! What a command needs to be permitted.

use super::decision::Refusal;
use crate::core::guard::Guard;
use crate::core::hold::Hold;
use crate::core::rollout::{Phase, Rollout, State};
use crate::core::weight::Weight;

/// Checks that the next step is allowed: not in a pause, otherwise like a promotion.
pub(super) fn may_raise(state: &State, force: bool) -> Result<&Rollout, Refusal> {
    if state.under_way().is_some() && state.phase == Phase::Paused {
        return Err(Refusal::Paused);
    }
    may_promote(state, force)
}

/// Checks that a promotion is allowed, also in a pause. Without `force` it is not if the canary fails or takes no connections.
pub(super) fn may_promote(state: &State, force: bool) -> Result<&Rollout, Refusal> {
    let rollout = state.under_way().ok_or(Refusal::NoRollout)?;
    match state.hold {
        _ if force => Ok(rollout),
        Some(Hold::Breaker(trip)) => Err(Refusal::Broken(trip)),
        _ if rollout.failing => Err(Refusal::Failing),
        _ => Ok(rollout),
    }
}

/// Refuses a weight above the guard's `max`.
pub(super) fn refuse_above(weight: Weight, guard: &Guard) -> Result<(), Refusal> {
    if weight > guard.max { Err(Refusal::AboveMax { max: guard.max }) } else { Ok(()) }
}

/// Refuses what needs nobody on the canary: a rollout, a drill or a split by hand is in the way.
pub(super) fn refuse_if_live(state: &State) -> Result<(), Refusal> {
    match (state.under_way(), &state.canary) {
        (Some(_), Some(canary)) => Err(Refusal::UnderWay(canary.clone())),
        _ if state.drill_until.is_some() => Err(Refusal::Drill),
        _ if state.weight > Weight::ZERO => Err(Refusal::LiveSplit { weight: state.weight }),
        _ => Ok(()),
    }
}
