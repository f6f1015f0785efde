//! Until when a step of a rollout waits: what it still needs, when that is likely to be there, and what happens at the latest.

use std::time::Duration;

use crate::core::ratchet::at_deadline;
use crate::core::{AtDeadline, Doubt, Phase, Policy, REQUESTS_LEAST, Rollout, Verdict};
use crate::live::{Judged, Status};

/// All times are in Unix seconds. They assume that serin goes on running, because no step bakes while it does not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Until {
    /// The step is not raised before this.
    pub bakes: f64,
    /// The time of `then`. `None` if the step has no limit.
    pub decides: Option<f64>,
    pub then: Then,
    /// About how many more requests the canary, or stable, needs before a raise.
    pub needs: Option<Needs>,
    /// When these requests are likely to have come, at the rate of this step.
    pub expected: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    pub requests: u64,
    pub of_canary: bool,
}

/// What happens at the latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// serin raises the weight.
    GoesOn,
    /// serin asks a human.
    Asks,
    /// Nothing: the step goes on waiting.
    Waits,
}

impl Then {
    pub fn name(self) -> &'static str {
        match self {
            Then::GoesOn => "goes_on",
            Then::Asks => "asks",
            Then::Waits => "waits",
        }
    }
}

impl Until {
    /// `None` if there is no step that goes on without a human.
    pub fn of(status: &Status) -> Option<Until> {
        let state = &status.state;
        let rollout = state.under_way().filter(|_| state.phase == Phase::Progressing)?;
        let at = |clock| status.times.unix_at(clock);
        let (bakes, deadline) = (at(rollout.baked_at()), at(rollout.step_began + rollout.plan.deadline));
        let then = then(rollout, status);
        let decides = match (rollout.plan.policy, then) {
            (Policy::Manual, _) => Some(bakes),
            (_, Then::Waits) => None,
            (_, Then::GoesOn | Then::Asks) => Some(deadline.max(bakes)),
        };
        let needs = status.judged.as_ref().and_then(needs).filter(|needs| needs.requests > 0);
        let expected = needs.and_then(|needs| expected(&needs, status, rollout)).map(|when| when.max(bakes));
        let expected = expected.filter(|when| decides.is_none_or(|decides| *when < decides));
        Some(Until { bakes, decides, then, needs, expected })
    }
}

fn then(rollout: &Rollout, status: &Status) -> Then {
    if rollout.plan.policy != Policy::Automatic {
        return Then::Asks;
    }
    // Only the harm bound can be waived.
    let waivable = |judged: &Judged| matches!(judged.verdict, Verdict::Pass | Verdict::Inconclusive(Doubt::Harm { .. }));
    let Some(judged) = status.judged.as_ref().filter(|judged| waivable(judged)) else { return Then::Asks };
    match at_deadline(rollout, &judged.judgement, status.times.clock) {
        AtDeadline::Proceed => Then::GoesOn,
        AtDeadline::Wait => Then::Waits,
        AtDeadline::Ask | AtDeadline::ByTraffic => Then::Asks,
    }
}

fn needs(judged: &Judged) -> Option<Needs> {
    let Judged { judgement, verdict } = judged;
    let (canary, stable) = (judgement.canary.tally.requests, judgement.stable.tally.requests);
    let more = |have: u32| u64::from(REQUESTS_LEAST.saturating_sub(have));
    match *verdict {
        Verdict::Inconclusive(Doubt::NoCanaryTraffic) => Some(Needs { requests: more(canary), of_canary: true }),
        Verdict::Inconclusive(Doubt::NoStableTraffic) => Some(Needs { requests: more(stable), of_canary: false }),
        Verdict::Inconclusive(Doubt::Harm { tolerated, .. }) => {
            let needed = judgement.harm.requests_needed(f64::from(canary), tolerated);
            (needed.is_finite() && needed < 1e9)
                .then(|| Needs { requests: (needed - f64::from(canary)).max(1.0).ceil() as u64, of_canary: true })
        }
        Verdict::Pass | Verdict::Marginal | Verdict::Fail(_) | Verdict::Inconclusive(Doubt::Evidence) => None,
    }
}

fn expected(needs: &Needs, status: &Status, rollout: &Rollout) -> Option<f64> {
    let judgement = status.judged?.judgement;
    let came = if needs.of_canary { judgement.canary } else { judgement.stable }.tally.requests;
    let lasted = status.in_step.unwrap_or_else(|| status.times.clock.saturating_sub(rollout.step_began));
    if came == 0 || lasted < RATE_FROM {
        return None;
    }
    Some(status.times.unix + needs.requests as f64 * lasted.as_secs_f64() / f64::from(came))
}

/// A younger step does not tell how fast requests come.
const RATE_FROM: Duration = Duration::from_secs(10);
