//! Commands: carries out what is allowed and refuses the rest. Commands about whole releases are in `releases`.

use std::time::Duration;

use super::decision::{Because, Decision, Refusal};
use super::input::Command;
use super::moves::{abort_by_hand, begin_step, promote, raise};
use super::permits::{may_promote, may_raise, refuse_above};
use super::releases;
use crate::core::guard::Guard;
use crate::core::hold::Hold;
use crate::core::plan::{Plan, Release};
use crate::core::rollout::{HeldBy, Phase, Rollout, State};
use crate::core::weight::Weight;

pub(super) fn obey(state: &mut State, command: &Command, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    match command {
        Command::Start { release, plan, retry } => {
            let decision = start(state, release, plan, *retry, guard, now)?;
            state.held_by = Some(HeldBy::Start);
            Ok(decision)
        }
        Command::SetWeight { weight, canary } => set_weight(state, *weight, canary, guard, now),
        Command::Pause => pause(state),
        Command::Resume => resume(state, guard, now),
        Command::Advance { force } => {
            let rollout = may_raise(state, *force)?;
            let next = rollout.next().map_or(Weight::FULL, |step| step.weight);
            refuse_above(next, guard)?;
            Ok(raise(state, Because::Operator, now))
        }
        Command::Promote { force } => {
            may_promote(state, *force)?;
            refuse_above(Weight::FULL, guard)?;
            Ok(promote(state, Because::Operator, now))
        }
        Command::Abort => Ok(abort_by_hand(state)?),
        Command::Adopt { stable } => releases::adopt(state, stable),
        Command::Switch { release, watch } => releases::switch(state, release, *watch, guard, now),
        Command::Undo { by } => releases::undo(state, by, now),
        Command::Withdraw => releases::withdraw(state),
        Command::Desire { release, warm } => releases::desire(state, release.as_ref(), *warm),
        Command::Follow { plan } => {
            let release = state.to_start().cloned().ok_or(Refusal::NothingDesired)?;
            start(state, &release, plan, false, guard, now)
        }
        Command::Configure { weight, canary } => {
            let decision = set_weight(state, *weight, canary, guard, now)?;
            state.last_config.weight = *weight;
            Ok(decision)
        }
        Command::Freeze(freeze) => {
            state.frozen = Some(freeze.clone());
            Ok(Decision::Freeze)
        }
        Command::Thaw if state.frozen.is_none() => Ok(Decision::Nothing),
        Command::Thaw => {
            state.frozen = None;
            Ok(Decision::Thaw)
        }
        Command::Drill { weight, canary, lasts } => releases::drill(state, *weight, canary, now + *lasts, guard),
        Command::Drilled { took } => Ok(releases::drilled(state, *took)),
        Command::Reassign { rule, exposes } => {
            state.last_config.rule = *rule;
            begin_step(state, now);
            Ok(Decision::Reassign { exposes: *exposes })
        }
    }
}

fn start(state: &mut State, release: &Release, plan: &Plan, retry: bool, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    if let (Some(_), Some(canary)) = (state.under_way(), &state.canary) {
        return Err(Refusal::UnderWay(canary.clone()));
    }
    if release.upstream == state.stable.upstream {
        return Err(Refusal::IsStable(state.stable.clone()));
    }
    if state.drill_until.is_some() {
        return Err(Refusal::Drill);
    }
    if let (Some(quarantined), false) = (state.quarantine.iter().find(|q| q.release == *release), retry) {
        return Err(Refusal::Quarantined { release: release.clone(), why: quarantined.why });
    }
    let first = plan.steps[0].weight;
    refuse_above(first, guard)?;
    state.quarantine.retain(|quarantined| quarantined.release != *release);
    forget_previous_on(state, release);
    state.undone = None;
    state.watched_until = None;
    state.attempts += 1;
    state.attempt = state.attempts;
    state.canary = Some(release.clone());
    state.closed = false;
    state.weight = first;
    state.phase = Phase::Progressing;
    state.hold = None;
    state.rollout = Some(Rollout {
        release: release.clone(),
        plan: plan.clone(),
        step: 0,
        step_began: now,
        looked: now,
        no_retreat_before: Duration::ZERO,
        failing: false,
    });
    Ok(Decision::Start)
}

fn set_weight(state: &mut State, weight: Weight, canary: &Release, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    refuse_above(weight, guard)?;
    let from = state.weight;
    if state.under_way().is_some() {
        state.phase = Phase::Paused;
        state.weight = weight;
        state.closed &= weight == Weight::ZERO;
        begin_step(state, now);
        state.hold = Some(Hold::SetByHand);
        return Ok(Decision::SetWeight { from });
    }
    if canary.upstream == state.stable.upstream {
        return Err(Refusal::IsStable(state.stable.clone()));
    }
    if state.drill_until.is_some() && weight > Weight::ZERO {
        return Err(Refusal::Drill);
    }
    state.undone = None;
    state.watched_until = None;
    state.drill_until = None;
    state.hold = None;
    state.attempt = 0;
    state.weight = weight;
    match weight > Weight::ZERO {
        true => {
            forget_previous_on(state, canary);
            state.phase = Phase::Manual;
            state.canary = Some(canary.clone());
            state.closed = false;
        }
        // At 0 % the canary stays as it was, and so does whether pins and testers reach it.
        false => {
            state.closed = state.canary_is_closed();
            state.phase = Phase::Idle;
        }
    }
    Ok(Decision::SetWeight { from })
}

fn pause(state: &mut State) -> Result<Decision, Refusal> {
    state.under_way().ok_or(Refusal::NoRollout)?;
    if state.phase == Phase::Paused {
        return Ok(Decision::Nothing);
    }
    state.phase = Phase::Paused;
    state.hold = Some(Hold::Paused);
    Ok(Decision::Pause)
}

/// After a pause alone the step continues and keeps its bake. After a weight by hand, a trip or a retreat, the highest step that is not
/// above the weight begins with a whole bake. At 100 % by hand that is the last step: a promotion.
fn resume(state: &mut State, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    let rollout = state.under_way().ok_or(Refusal::NoRollout)?;
    if state.phase != Phase::Paused {
        return Err(Refusal::NotPaused);
    }
    if state.weight == Weight::FULL {
        may_promote(state, false)?;
        return Ok(promote(state, Because::Operator, now));
    }
    let only_paused = state.hold == Some(Hold::Paused) && state.weight == rollout.current().weight;
    let below = rollout.plan.steps.iter().rposition(|step| step.weight <= state.weight).unwrap_or(0);
    let weight = rollout.plan.steps[below].weight;
    if weight != state.weight {
        refuse_above(weight, guard)?;
    }
    state.phase = Phase::Progressing;
    state.hold = None;
    state.closed = false;
    if let Some(rollout) = state.rollout.as_mut().filter(|_| !only_paused) {
        rollout.step = below;
        state.weight = weight;
        begin_step(state, now);
    }
    Ok(Decision::Resume)
}

/// Another version will be on that upstream, so an undo to the one before is impossible.
fn forget_previous_on(state: &mut State, release: &Release) {
    state.previous.take_if(|former| former.release.upstream == release.upstream);
}
