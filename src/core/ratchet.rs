//! The one way to change a rollout. Ticks, operators, the config and the simulator all come through [`step`]: a state, an
//! input and the time go in, the next state and what was decided come out.
//!
//! The law: a raise needs fresh, sufficient, good evidence of the split that serves. One credible piece of bad news
//! lowers, at once and in every phase. What is not known holds.

use std::time::Duration;

use super::breaker::Trip;
use super::evidence::Judgement;
use super::guard::{Crossed, Doubt, Fail, Guard, Verdict};
use super::rollout::{AbortReason, AtDeadline, Hold, OnTrouble, Phase, Plan, Policy, Quarantined, Release, Rollout, State};
use super::weight::Weight;

#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// What is known now. To come every second.
    Tick(Facts),
    /// What somebody wants; `based_on` is the revision that they saw.
    Command { command: Command, based_on: Option<u64> },
}

/// What was observed of one split.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// Of which split.
    pub split_id: u64,
    pub judgement: Option<Judgement>,
    pub crossed: Option<Crossed>,
    pub trip: Option<Trip>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// `retry` rolls out what was quarantined.
    Start {
        release: Release,
        plan: Plan,
        retry: bool,
    },
    /// By hand. `canary` is whom a weight means where no rollout runs.
    SetWeight {
        weight: Weight,
        canary: Release,
    },
    Pause,
    Resume,
    /// The next step now; `force` even if the evidence says fail.
    Advance {
        force: bool,
    },
    /// Everyone now.
    Promote {
        force: bool,
    },
    /// Nobody now.
    Abort,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The weight stays; the state says why.
    Hold,
    Start,
    SetWeight {
        from: Weight,
    },
    Pause,
    Resume,
    Advance {
        from: Weight,
        because: Because,
    },
    Retreat {
        from: Weight,
    },
    /// To zero: evidence, a limit, or an operator.
    Abort {
        from: Weight,
        why: AbortReason,
    },
    /// To zero: connections.
    Trip {
        from: Weight,
        trip: Trip,
    },
    Promote {
        because: Because,
    },
    /// What was asked for is so already.
    Nothing,
    Refuse(Refusal),
}

/// What allowed a raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// No sign of harm, and enough requests to have seen one.
    Evidence,
    /// No sign of harm; the deadline waived the bound on it.
    Deadline,
    Operator,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("the change is based on revision {based_on}, but {actual} serves: look again and repeat it")]
    Stale { based_on: u64, actual: u64 },
    #[error("there is no rollout under way")]
    NoRollout,
    #[error("the rollout of {0} is under way: abort it first")]
    UnderWay(Release),
    #[error("{0} is stable already")]
    IsStable(Release),
    #[error("{release} was taken back ({why}): start it with retry if it is to be tried again")]
    Quarantined { release: Release, why: AbortReason },
    #[error("no weight above max = \"{max}\" is taken")]
    AboveMax { max: Weight },
    #[error("the evidence says that the canary fails: force it if you know better")]
    Failing,
    #[error("the rollout is paused: resume it first")]
    Paused,
    #[error("the rollout is not paused")]
    NotPaused,
}

impl Decision {
    pub fn name(&self) -> &'static str {
        match self {
            Decision::Hold => "hold",
            Decision::Start => "start",
            Decision::SetWeight { .. } => "set_weight",
            Decision::Pause => "pause",
            Decision::Resume => "resume",
            Decision::Advance { .. } => "advance",
            Decision::Retreat { .. } => "retreat",
            Decision::Abort { .. } => "abort",
            Decision::Trip { .. } => "trip",
            Decision::Promote { .. } => "promote",
            Decision::Nothing => "nothing",
            Decision::Refuse(_) => "refuse",
        }
    }

    /// Did it change more than the reason for holding?
    pub fn commits(&self) -> bool {
        !matches!(self, Decision::Hold | Decision::Nothing | Decision::Refuse(_))
    }
}

/// A raise rests on a look no older than this; looks are at most 30 s apart.
const FRESH: Duration = Duration::from_secs(60);
/// Without a tick for longer than this, the time does not count as baking.
const GAP: Duration = Duration::from_secs(60);
/// Below this traffic a human is asked at the deadline, if nothing else is configured.
const THIN_PER_SECOND: f64 = 5.0;
const THIN_BUCKETS: usize = 50;

pub fn step(mut state: State, input: &Input, guard: &Guard, now: Duration) -> (State, Decision) {
    let assignment = |state: &State| (state.weight, state.attempt, state.stable.clone(), state.canary.clone());
    let before = assignment(&state);
    let decision = match input {
        Input::Tick(facts) => tick(&mut state, facts, guard, now),
        Input::Command { based_on: Some(revision), .. } if *revision != state.revision => {
            Decision::Refuse(Refusal::Stale { based_on: *revision, actual: state.revision })
        }
        Input::Command { command, .. } => obey(&mut state, command, guard, now).unwrap_or_else(Decision::Refuse),
    };
    if decision.commits() {
        state.revision += 1;
        state.split_id += u64::from(assignment(&state) != before);
    }
    (state, decision)
}

fn tick(state: &mut State, facts: &Facts, guard: &Guard, now: Duration) -> Decision {
    wait_out_a_gap(state, now);
    if facts.split_id != state.split_id {
        return doubt(state, Hold::StaleEvidence { age: since_step(state, now) });
    }
    if let Some(trip) = facts.trip.filter(|_| guard.brake && state.weight > Weight::ZERO) {
        return trip_off(state, trip);
    }
    match state.phase {
        Phase::Idle | Phase::Promoted | Phase::Aborted => Decision::Hold,
        Phase::Manual => watch_by_hand(state, facts, guard),
        Phase::Progressing | Phase::Held | Phase::Paused => watch_rollout(state, facts, guard, now),
    }
}

/// What did not happen under our eyes did not bake.
fn wait_out_a_gap(state: &mut State, now: Duration) {
    if let Some(rollout) = &mut state.rollout {
        let gap = now.saturating_sub(rollout.looked);
        if gap > GAP {
            rollout.step_began += gap;
        }
        rollout.looked = now;
    }
}

fn since_step(state: &State, now: Duration) -> Duration {
    state.rollout.as_ref().map_or(Duration::ZERO, |rollout| now.saturating_sub(rollout.step_began))
}

/// To zero, paused, without quarantine: it may be a restart of the canary.
fn trip_off(state: &mut State, trip: Trip) -> Decision {
    let from = state.weight;
    state.weight = Weight::ZERO;
    state.hold = Some(Hold::Breaker(trip));
    if state.under_way().is_some() {
        state.phase = Phase::Paused;
    }
    Decision::Trip { from, trip }
}

/// A split by hand is never raised, but a fail takes it to zero.
fn watch_by_hand(state: &mut State, facts: &Facts, guard: &Guard) -> Decision {
    if let (Some(judgement), true) = (&facts.judgement, state.weight > Weight::ZERO && guard.by_hand != Policy::Manual) {
        if let Verdict::Fail(fail) = guard.verdict(judgement, facts.crossed, Weight::FULL) {
            let (from, why) = (state.weight, reason(fail, judgement));
            state.weight = Weight::ZERO;
            state.hold = Some(Hold::Failed(why));
            return Decision::Abort { from, why };
        }
    }
    Decision::Hold
}

fn reason(fail: Fail, judgement: &Judgement) -> AbortReason {
    match fail {
        Fail::Evidence => AbortReason::Evidence { e: judgement.wealth.log_e().exp() },
        Fail::Limit(crossed) => AbortReason::Limit(crossed),
    }
}

fn watch_rollout(state: &mut State, facts: &Facts, guard: &Guard, now: Duration) -> Decision {
    let (Some(rollout), Some(judgement)) = (&mut state.rollout, &facts.judgement) else {
        return doubt(state, Hold::StaleEvidence { age: since_step(state, now) });
    };
    let verdict = guard.verdict(judgement, facts.crossed, rollout.next().map_or(Weight::FULL, |step| step.weight));
    rollout.failing = matches!(verdict, Verdict::Fail(_)) && state.weight > Weight::ZERO;
    if rollout.plan.policy == Policy::Manual {
        return doubt(state, Hold::PolicyManual);
    }
    match verdict {
        Verdict::Fail(_) if state.weight == Weight::ZERO => Decision::Hold,
        Verdict::Fail(Fail::Limit(_)) if rollout.plan.on_limit == OnTrouble::Retreat && now >= rollout.no_retreat_before => {
            retreat(state, now)
        }
        Verdict::Fail(fail) => abort(state, reason(fail, judgement)),
        _ if state.phase == Phase::Paused => Decision::Hold,
        Verdict::Marginal if rollout.plan.on_marginal == OnTrouble::Retreat && now >= rollout.no_retreat_before => retreat(state, now),
        Verdict::Marginal => hold(state, Hold::Marginal { e: judgement.wealth.log_e().exp(), abort_at: guard.abort_at }),
        Verdict::Pass | Verdict::Inconclusive(_) => maybe_raise(state, judgement, verdict, guard, now),
    }
}

/// There is no bad news: is there enough good?
fn maybe_raise(state: &mut State, judgement: &Judgement, verdict: Verdict, guard: &Guard, now: Duration) -> Decision {
    let Some(rollout) = state.under_way() else { return Decision::Hold };
    if now < rollout.baked_at() {
        let left = rollout.baked_at() - now;
        return doubt(state, Hold::Baking { left });
    }
    if now.saturating_sub(judgement.looked) > FRESH {
        return doubt(state, Hold::StaleEvidence { age: now.saturating_sub(judgement.looked) });
    }
    let because = match verdict {
        Verdict::Pass => Because::Evidence,
        Verdict::Inconclusive(Doubt::Harm { could_be, tolerated }) => {
            if now < rollout.step_began + rollout.plan.deadline {
                return doubt(state, Hold::Harm { could_be, tolerated });
            }
            match at_deadline(rollout, judgement, now) {
                AtDeadline::Wait => return doubt(state, Hold::Harm { could_be, tolerated }),
                AtDeadline::Ask | AtDeadline::ByTraffic => return hold(state, Hold::Deadline { could_be, tolerated }),
                AtDeadline::Proceed => Because::Deadline,
            }
        }
        Verdict::Inconclusive(Doubt::Evidence) => return doubt(state, Hold::Evidence { e: judgement.wealth.log_e().exp() }),
        Verdict::Inconclusive(Doubt::NoCanaryTraffic) => {
            return doubt(state, Hold::NoCanaryTraffic { requests: judgement.canary.tally.requests });
        }
        Verdict::Inconclusive(Doubt::NoStableTraffic) => {
            return doubt(state, Hold::NoStableTraffic { requests: judgement.stable.tally.requests });
        }
        Verdict::Marginal | Verdict::Fail(_) => return Decision::Hold,
    };
    let next = rollout.next().map_or(Weight::FULL, |step| step.weight);
    if next > guard.max {
        return hold(state, Hold::MaxWeight { max: guard.max });
    }
    if rollout.plan.policy == Policy::Guarded {
        return hold(state, Hold::AwaitingAdvance);
    }
    raise(state, because, now)
}

fn at_deadline(rollout: &Rollout, judgement: &Judgement, now: Duration) -> AtDeadline {
    match rollout.plan.at_deadline {
        AtDeadline::ByTraffic => {
            let requests = judgement.stable.tally.requests + judgement.canary.tally.requests;
            let per_second = f64::from(requests) / now.saturating_sub(rollout.step_began).as_secs_f64().max(1.0);
            let buckets = judgement.stable.buckets + judgement.canary.buckets;
            if per_second < THIN_PER_SECOND || buckets < THIN_BUCKETS { AtDeadline::Ask } else { AtDeadline::Proceed }
        }
        chosen => chosen,
    }
}

/// The next step; the last one makes the canary stable.
fn raise(state: &mut State, because: Because, now: Duration) -> Decision {
    let from = state.weight;
    let Some(rollout) = &mut state.rollout else { return Decision::Hold };
    match rollout.next() {
        Some(step) if step.weight < Weight::FULL => {
            rollout.step += 1;
            state.weight = step.weight;
            begin_step(state, now);
            Decision::Advance { from, because }
        }
        Some(_) | None => promote(state, because),
    }
}

fn begin_step(state: &mut State, now: Duration) {
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
fn retreat(state: &mut State, now: Duration) -> Decision {
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
fn abort(state: &mut State, why: AbortReason) -> Decision {
    let from = state.weight;
    state.weight = Weight::ZERO;
    state.hold = None;
    state.phase = Phase::Aborted;
    if let Some(release) = state.canary.take() {
        state.quarantine.retain(|quarantined| quarantined.release != release);
        state.quarantine.push(Quarantined { release, attempt: state.attempt, why });
    }
    state.attempt = 0;
    Decision::Abort { from, why }
}

/// Everyone: the roles swap, the canary is stable now.
fn promote(state: &mut State, because: Because) -> Decision {
    let Some(canary) = state.canary.take() else { return Decision::Hold };
    state.quarantine.retain(|quarantined| quarantined.release != canary);
    state.stable = canary;
    state.weight = Weight::ZERO;
    state.attempt = 0;
    state.hold = None;
    state.phase = Phase::Promoted;
    Decision::Promote { because }
}

/// Holds by itself: what it waits for may come.
fn doubt(state: &mut State, why: Hold) -> Decision {
    match state.phase {
        Phase::Progressing | Phase::Held => {
            state.phase = Phase::Progressing;
            state.hold = Some(why);
        }
        Phase::Idle | Phase::Manual | Phase::Paused | Phase::Promoted | Phase::Aborted => {}
    }
    Decision::Hold
}

/// Holds for a human.
fn hold(state: &mut State, why: Hold) -> Decision {
    state.phase = Phase::Held;
    state.hold = Some(why);
    Decision::Hold
}

fn obey(state: &mut State, command: &Command, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    match command {
        Command::Start { release, plan, retry } => start(state, release, plan, *retry, guard, now),
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
            may_raise(state, *force)?;
            refuse_above(Weight::FULL, guard)?;
            Ok(promote(state, Because::Operator))
        }
        Command::Abort => Ok(abort_by_hand(state)?),
    }
}

fn start(state: &mut State, release: &Release, plan: &Plan, retry: bool, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    if let (Some(_), Some(canary)) = (state.under_way(), &state.canary) {
        return Err(Refusal::UnderWay(canary.clone()));
    }
    if release.upstream == state.stable.upstream {
        return Err(Refusal::IsStable(state.stable.clone()));
    }
    if let (Some(quarantined), false) = (state.quarantine.iter().find(|q| q.release == *release), retry) {
        return Err(Refusal::Quarantined { release: release.clone(), why: quarantined.why });
    }
    let first = plan.steps[0].weight;
    refuse_above(first, guard)?;
    state.quarantine.retain(|quarantined| quarantined.release != *release);
    state.attempts += 1;
    state.attempt = state.attempts;
    state.canary = Some(release.clone());
    state.weight = first;
    state.phase = Phase::Progressing;
    state.hold = None;
    state.rollout =
        Some(Rollout { plan: plan.clone(), step: 0, step_began: now, looked: now, no_retreat_before: Duration::ZERO, failing: false });
    Ok(Decision::Start)
}

fn set_weight(state: &mut State, weight: Weight, canary: &Release, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    refuse_above(weight, guard)?;
    let from = state.weight;
    if state.under_way().is_some() {
        state.phase = Phase::Paused;
        state.weight = weight;
        begin_step(state, now);
        state.hold = Some(Hold::SetByHand);
        return Ok(Decision::SetWeight { from });
    }
    if canary.upstream == state.stable.upstream {
        return Err(Refusal::IsStable(state.stable.clone()));
    }
    state.phase = if weight > Weight::ZERO { Phase::Manual } else { Phase::Idle };
    state.weight = weight;
    state.attempt = 0;
    state.canary = Some(canary.clone());
    state.hold = None;
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

/// Goes on where it stopped. After a weight by hand, the breaker or a retreat to nobody: from the highest step that is
/// not above the weight, with a whole bake.
fn resume(state: &mut State, guard: &Guard, now: Duration) -> Result<Decision, Refusal> {
    let rollout = state.under_way().ok_or(Refusal::NoRollout)?;
    if state.phase != Phase::Paused {
        return Err(Refusal::NotPaused);
    }
    let on_its_step = state.weight == rollout.current().weight;
    let below = rollout.plan.steps.iter().rposition(|step| step.weight <= state.weight && step.weight < Weight::FULL).unwrap_or(0);
    let weight = rollout.plan.steps[below].weight;
    if !on_its_step {
        refuse_above(weight, guard)?;
    }
    state.phase = Phase::Progressing;
    state.hold = None;
    if let Some(rollout) = state.rollout.as_mut().filter(|_| !on_its_step) {
        rollout.step = below;
        state.weight = weight;
        begin_step(state, now);
    }
    Ok(Decision::Resume)
}

fn may_raise(state: &State, force: bool) -> Result<&Rollout, Refusal> {
    let rollout = state.under_way().ok_or(Refusal::NoRollout)?;
    if state.phase == Phase::Paused {
        return Err(Refusal::Paused);
    }
    if rollout.failing && !force {
        return Err(Refusal::Failing);
    }
    Ok(rollout)
}

fn abort_by_hand(state: &mut State) -> Result<Decision, Refusal> {
    match state.phase {
        Phase::Progressing | Phase::Paused | Phase::Held => Ok(abort(state, AbortReason::Operator)),
        Phase::Manual => {
            let from = state.weight;
            state.weight = Weight::ZERO;
            state.phase = Phase::Idle;
            state.hold = None;
            Ok(Decision::Abort { from, why: AbortReason::Operator })
        }
        Phase::Aborted => Ok(Decision::Nothing),
        Phase::Idle | Phase::Promoted => Err(Refusal::NoRollout),
    }
}

fn refuse_above(weight: Weight, guard: &Guard) -> Result<(), Refusal> {
    if weight > guard.max { Err(Refusal::AboveMax { max: guard.max }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
