//! When a weight may rise.

use std::time::Duration;

use super::super::machine::WORKERS;
use super::super::recorder::Decided;
use super::{Checked, must};
use crate::core::evidence::tolerable;
use crate::core::ratchet::{Command, Decision, Facts, Input};
use crate::core::{AtDeadline, Phase, Policy, State, Weight};

/// A longer silence is no time that was watched.
const GAP: Duration = Duration::from_secs(60);
const FRESH: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Raise {
    /// The split in force, how long it has been watched, and the last tick.
    split_id: u64,
    watched: Duration,
    last: Duration,
}

impl Decided {
    /// The facts, if serin raised by itself.
    fn raised(&self) -> Option<&Facts> {
        let Input::Tick(facts) = &self.input else { return None };
        let promoted = self.after.stable != self.before.stable && !matches!(self.decision, Decision::Undo { .. });
        (self.after.weight > self.before.weight || promoted).then_some(facts)
    }
}

impl Raise {
    /// 1: a weight is a step of the plan, or somebody set it; it is within `max`; a raise is by one step.
    pub fn steps_are_taken_one_by_one(&self, decided: &Decided) -> Checked {
        let Decided { before, after, guard, decision, input, .. } = decided;
        let rises = after.weight > before.weight || after.stable != before.stable;
        if !rises || !decision.commits() {
            return must(after.weight <= before.weight, 1, || format!("{} → {} by {decision:?}", before.weight, after.weight));
        }
        use Command::{Adopt, Configure, Desire, Drill, Follow, Promote, Resume, SetWeight, Start, Switch, Undo};
        match input {
            Input::Command {
                command: SetWeight { .. } | Configure { .. } | Start { .. } | Follow { .. } | Resume | Drill { .. }, ..
            } if after.stable == before.stable => {
                return must(after.weight <= guard.max, 1, || format!("{} is above max = {}", after.weight, guard.max));
            }
            Input::Command { command: Adopt { .. } | Undo { .. } | Desire { .. }, .. } => {
                return must(after.weight == Weight::ZERO, 1, || format!("{decision:?} leaves {}", after.weight));
            }
            Input::Tick(_) if matches!(decision, Decision::Undo { .. }) => return Ok(()),
            Input::Command { command: Switch { .. } | Promote { .. }, .. } => {
                return must(guard.max == Weight::FULL, 1, || format!("everybody is above max = {}", guard.max));
            }
            _ => {}
        }
        let next = before.under_way().map(|rollout| rollout.next().map_or(Weight::FULL, |step| step.weight));
        let promoted = after.stable != before.stable;
        let reached = if promoted { Weight::FULL } else { after.weight };
        let everybody_by_hand = before.weight == Weight::FULL && matches!(input, Input::Command { command: Command::Resume, .. });
        must(next == Some(reached) || everybody_by_hand, 1, || format!("{} → {reached}, the next step is {next:?}", before.weight))?;
        must(reached <= guard.max || everybody_by_hand, 1, || format!("{reached} is above max = {}", guard.max))?;
        must(!promoted || before.canary.as_ref() == Some(&after.stable), 1, || "another release than the canary was promoted".to_owned())
    }

    /// 1: the bake has passed under our eyes, of this split.
    pub fn it_has_baked(&mut self, decided: &Decided) -> Checked {
        let Decided { before, at, .. } = decided;
        if let Input::Tick(facts) = &decided.input {
            let gap = at.saturating_sub(self.last);
            if gap <= GAP && facts.split_id == before.split_id && self.split_id == before.split_id {
                self.watched += gap;
            }
            self.last = *at;
        }
        if decided.raised().is_some() {
            let bake = before.under_way().map(|rollout| rollout.current().bake).unwrap_or_default();
            let watched = self.watched;
            must(watched >= bake, 1, || format!("raised after {watched:?} of watching split {}; its bake is {bake:?}", before.split_id))?;
        }
        Ok(())
    }

    /// What is in force now.
    pub fn stands(&mut self, state: &State, at: Duration) {
        if state.split_id != self.split_id {
            (self.split_id, self.watched, self.last) = (state.split_id, Duration::ZERO, at);
        }
    }

    /// 2: fresh, sufficient, good evidence of the split that serves; only where the policy says so.
    pub fn it_rests_on_good_evidence(&self, decided: &Decided, serves: &[u64; WORKERS]) -> Checked {
        let Some(facts) = decided.raised() else { return Ok(()) };
        let Decided { before, guard, at, .. } = decided;
        let split = before.split_id;
        must(facts.split_id == split, 2, || format!("raised split {split} on facts of split {}", facts.split_id))?;
        must(serves.iter().all(|served| *served == split), 2, || format!("raised {split}, workers serve {serves:?}"))?;
        let Some(judgement) = &facts.judgement else { return must(false, 2, || "raised on nothing".to_owned()) };
        let age = at.saturating_sub(judgement.looked);
        must(age <= FRESH, 2, || format!("raised on evidence {age:?} old"))?;
        let e = judgement.wealth.log_e().exp();
        must(e < 5.0, 2, || format!("raised at E = {e}"))?;
        let requests = [judgement.stable, judgement.canary].map(|exposure| exposure.tally.requests);
        must(requests.iter().all(|requests| *requests >= 10), 2, || format!("raised on {requests:?} requests"))?;
        must(facts.crossed.is_none() && (facts.trip.is_none() || !guard.brake), 3, || "raised on bad news".to_owned())?;
        must(harm_is_bounded_or_waived(before, facts, guard.tolerated_harm, *at), 2, || format!("raised at {:?}", judgement.harm))?;
        let automatic = before.under_way().is_some_and(|rollout| rollout.plan.policy == Policy::Automatic);
        must(automatic, 1, || "raised against the policy".to_owned())?;
        must(before.phase != Phase::Paused, 7, || "raised while paused".to_owned())
    }

    pub fn restarted(&mut self, state: &State, at: Duration, was: Option<&State>) {
        self.last = at;
        // What was watched of this split in the process before counts as far as it was kept.
        if was.is_none_or(|was| was.split_id != state.split_id) {
            (self.split_id, self.watched) = (state.split_id, Duration::MAX / 2);
        }
    }
}

fn harm_is_bounded_or_waived(before: &State, facts: &Facts, tolerated: f64, at: Duration) -> bool {
    let (Some(rollout), Some(judgement)) = (before.under_way(), facts.judgement) else { return false };
    let next = rollout.next().map_or(1.0, |step| step.weight.ratio());
    let bounded = judgement.harm.0 <= tolerable(tolerated, next);
    let waivable = matches!(rollout.plan.at_deadline, AtDeadline::Proceed | AtDeadline::ByTraffic);
    bounded || waivable && at >= rollout.step_began + rollout.plan.deadline
}
