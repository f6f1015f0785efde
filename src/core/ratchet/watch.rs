//! A tick: what the facts mean for what serves. Bad news is handled first; a raise is considered only if there is none.

use std::time::Duration;

use super::decision::{Because, Decision};
use super::input::Facts;
use super::moves::{abort, end_drill, raise, retreat, undo};
use crate::core::breaker::{Connections, Trip};
use crate::core::evidence::Judgement;
use crate::core::guard::{Doubt, Fail, Guard, Verdict};
use crate::core::hold::{AbortReason, Hold};
use crate::core::plan::{AtDeadline, OnTrouble, Policy};
use crate::core::rollout::{Phase, Rollout, State};
use crate::core::weight::Weight;

/// The greatest age of the look that a raise rests on; looks are at most 30 s apart.
const FRESH: Duration = Duration::from_secs(60);
/// If there was no tick for longer than this, the time in between does not count for the bake.
const GAP: Duration = Duration::from_secs(60);
/// Below this traffic a human is asked at the deadline, unless the plan says otherwise.
const THIN_PER_SECOND: f64 = 5.0;
const THIN_BUCKETS: usize = 50;
/// A raise waits if more than this share of the canary's connections breaks, and at least `REFUSALS_LEAST` of them.
const REFUSALS_SHARE: f64 = 0.01;
const REFUSALS_LEAST: u32 = 3;
/// If all tracks together have this many times the usual errors, something else is broken, and nothing is raised.
const SHARED_CAUSE: f64 = 3.0;

pub(super) fn tick(state: &mut State, facts: &Facts, guard: &Guard, now: Duration) -> Decision {
    wait_out_a_gap(state, facts, now);
    if facts.split_id != state.split_id {
        return doubt(state, Hold::StaleEvidence { age: since_step(state, now) });
    }
    if let Some(trip) = facts.trip.filter(|_| guard.brake && state.weight > Weight::ZERO) {
        return trip_off(state, trip);
    }
    if state.drill_until.is_some_and(|until| now >= until) {
        return end_drill(state);
    }
    match state.phase {
        Phase::Idle | Phase::Aborted => Decision::Hold,
        Phase::Promoted => watch_switch(state, facts, guard, now),
        Phase::Manual => watch_by_hand(state, facts, guard),
        Phase::Progressing | Phase::Held | Phase::Paused => watch_rollout(state, facts, guard, now),
    }
}

/// Time without ticks does not count for the bake, nor does time in which the split before still served.
fn wait_out_a_gap(state: &mut State, facts: &Facts, now: Duration) {
    let of_this_split = facts.split_id == state.split_id;
    if let Some(rollout) = &mut state.rollout {
        let gap = now.saturating_sub(rollout.looked);
        if gap > GAP || !of_this_split {
            rollout.step_began += gap;
        }
        rollout.looked = now;
    }
}

fn since_step(state: &State, now: Duration) -> Duration {
    state.rollout.as_ref().map_or(Duration::ZERO, |rollout| now.saturating_sub(rollout.step_began))
}

/// Takes the canary to 0 % and pauses, without quarantine, because the canary may just be restarting.
fn trip_off(state: &mut State, trip: Trip) -> Decision {
    let from = state.weight;
    state.weight = Weight::ZERO;
    state.closed = true;
    state.drill_until = None;
    state.hold = Some(Hold::Breaker(trip));
    if state.under_way().is_some() {
        state.phase = Phase::Paused;
    }
    Decision::Trip { from, trip }
}

/// After a switch there is no second track: stable is compared with the one before. Connections that break, or a limit that is crossed,
/// only now undo the switch, if the side before takes connections.
fn watch_switch(state: &mut State, facts: &Facts, guard: &Guard, now: Duration) -> Decision {
    if state.watched_until.is_none_or(|until| now >= until) {
        state.watched_until = None;
        state.hold = None;
        return Decision::Hold;
    }
    let trip = facts.trip.filter(|_| guard.brake).map(AbortReason::Broken);
    let Some(why) = trip.or(facts.crossed.map(AbortReason::Limit)) else {
        state.hold = None;
        return Decision::Hold;
    };
    if facts.previous_answers && guard.by_hand == Policy::Automatic {
        return undo(state, why).unwrap_or(Decision::Hold);
    }
    state.hold = Some(Hold::Failed(why));
    Decision::Hold
}

/// A split by hand is never raised, but the verdict `fail` takes it to 0 %.
fn watch_by_hand(state: &mut State, facts: &Facts, guard: &Guard) -> Decision {
    let watched = state.weight > Weight::ZERO && guard.by_hand != Policy::Manual;
    let Some(judgement) = facts.judgement.as_ref().filter(|_| watched) else { return Decision::Hold };
    let Verdict::Fail(fail) = guard.verdict(judgement, facts.crossed, Weight::FULL) else { return Decision::Hold };
    let (from, why) = (state.weight, reason(fail, judgement));
    state.weight = Weight::ZERO;
    state.closed = true;
    state.drill_until = None;
    state.hold = Some(Hold::Failed(why));
    Decision::Abort { from, why }
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
        Verdict::Pass | Verdict::Inconclusive(_) => maybe_raise(state, facts, judgement, verdict, guard, now),
    }
}

/// Raises if the evidence suffices; there is no bad news here.
fn maybe_raise(state: &mut State, facts: &Facts, judgement: &Judgement, verdict: Verdict, guard: &Guard, now: Duration) -> Decision {
    let Some(rollout) = state.under_way() else { return Decision::Hold };
    if now < rollout.baked_at() {
        let left = rollout.baked_at() - now;
        return doubt(state, Hold::Baking { left });
    }
    if now.saturating_sub(judgement.looked) > FRESH {
        return doubt(state, Hold::StaleEvidence { age: now.saturating_sub(judgement.looked) });
    }
    let late = now >= rollout.step_began + rollout.plan.deadline;
    let because = match permitted(rollout, facts, judgement, verdict, late, now) {
        Ok(because) => because,
        // The plan says that such a step waits.
        Err(why @ Hold::Harm { .. }) => return doubt(state, why),
        Err(why) if late => return hold(state, why),
        Err(why) => return doubt(state, why),
    };
    if let Some(frozen) = &guard.frozen {
        return doubt(state, Hold::Frozen(frozen.to_string().into()));
    }
    let next = rollout.next().map_or(Weight::FULL, |step| step.weight);
    if next > guard.max {
        return hold(state, Hold::MaxWeight { max: guard.max });
    }
    if rollout.plan.policy == Policy::Guarded {
        return hold(state, Hold::AwaitingAdvance);
    }
    raise(state, because, now)
}

/// Returns what allows a raise now, or the reason against it. At the deadline only the harm bound may be waived; anything else that is
/// missing needs a human.
fn permitted(
    rollout: &Rollout,
    facts: &Facts,
    judgement: &Judgement,
    verdict: Verdict,
    late: bool,
    now: Duration,
) -> Result<Because, Hold> {
    if refuses(facts.connections) {
        return Err(Hold::Refusals { canary: facts.connections[0] });
    }
    if judgement.shock > SHARED_CAUSE {
        return Err(Hold::SharedCause { shock: judgement.shock });
    }
    match verdict {
        Verdict::Pass => Ok(Because::Evidence),
        Verdict::Inconclusive(Doubt::Harm { could_be, .. }) if !could_be.is_finite() => Err(Hold::NotJudged),
        Verdict::Inconclusive(Doubt::Harm { could_be, tolerated }) if late => match at_deadline(rollout, judgement, now) {
            AtDeadline::Proceed => Ok(Because::Deadline),
            AtDeadline::Wait => Err(Hold::Harm { could_be, tolerated }),
            AtDeadline::Ask | AtDeadline::ByTraffic => Err(Hold::Deadline { could_be, tolerated }),
        },
        Verdict::Inconclusive(Doubt::Harm { could_be, tolerated }) => Err(Hold::Harm { could_be, tolerated }),
        Verdict::Inconclusive(Doubt::NoCanaryTraffic) => Err(Hold::NoCanaryTraffic { requests: judgement.canary.tally.requests }),
        Verdict::Inconclusive(Doubt::NoStableTraffic) => Err(Hold::NoStableTraffic { requests: judgement.stable.tally.requests }),
        Verdict::Inconclusive(Doubt::Evidence) | Verdict::Marginal | Verdict::Fail(_) => {
            Err(Hold::Evidence { e: judgement.wealth.log_e().exp() })
        }
    }
}

/// Whether the canary breaks connections that stable would not.
fn refuses([canary, stable]: [Connections; 2]) -> bool {
    canary.broken >= REFUSALS_LEAST && canary.share() > REFUSALS_SHARE && canary.share() > 2.0 * stable.share()
}

/// What the plan wants for a step whose harm is not bounded at the deadline, with the current traffic. Never returns `ByTraffic`.
pub fn at_deadline(rollout: &Rollout, judgement: &Judgement, now: Duration) -> AtDeadline {
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

/// Holds without a human: what is missing may still come.
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

/// Holds until a human decides.
fn hold(state: &mut State, why: Hold) -> Decision {
    state.phase = Phase::Held;
    state.hold = Some(why);
    Decision::Hold
}
