//! When a weight may rise.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Checked, must};
use crate::core::evidence::tolerable;
use crate::core::ratchet::{Command, Decision, Facts, Input};
use crate::core::{AtDeadline, Phase, Policy, State, Weight};
use crate::sim::faults::happened::{Decided, Restarted};
use crate::sim::faults::live::WORKERS;

/// A longer silence is no time that was watched.
const GAP: Duration = Duration::from_secs(60);
const FRESH: Duration = Duration::from_secs(60);

#[derive(Default)]
pub struct Raise {
    /// How long the split has been watched, and the last tick.
    watched: Duration,
    last: Duration,
    /// The split that each worker serves.
    workers: [u64; WORKERS],
    /// The windows that raises rested on.
    used: BTreeSet<u64>,
}

impl Decided {
    /// The facts, if serin raised by itself.
    fn raised(&self) -> Option<&Facts> {
        let Input::Tick(facts) = &self.input else { return None };
        let promoted = self.after.stable != self.before.stable;
        (self.after.weight > self.before.weight || promoted).then_some(facts)
    }
}

impl Raise {
    pub fn took_up(&mut self, worker: usize, split_id: u64) {
        self.workers[worker] = split_id;
    }

    /// 2: evidence about a split begins once no worker serves another one.
    pub fn a_window_opens_once_the_split_serves(&mut self, window: u64, split_id: u64) -> Checked {
        must(self.workers.iter().all(|served| *served == split_id), 2, || {
            format!("window {window} of split {split_id} opened while workers serve {:?}", self.workers)
        })
    }

    /// 1: a weight is a step of the plan, or somebody set it; it is within `max`; a raise is by one step.
    pub fn steps_are_taken_one_by_one(&self, decided: &Decided) -> Checked {
        let Decided { before, after, guard, decision, input, .. } = decided;
        let by_hand = matches!(input, Input::Command { command: Command::SetWeight { .. } | Command::Start { .. } | Command::Resume, .. });
        let rises = after.weight > before.weight || after.stable != before.stable;
        if !rises || !decision.commits() {
            return must(after.weight <= before.weight, 1, || format!("{} → {} by {decision:?}", before.weight, after.weight));
        }
        if by_hand {
            return must(after.weight <= guard.max, 1, || format!("{} is above max = {}", after.weight, guard.max));
        }
        if matches!(decision, Decision::Adopt) {
            return Ok(());
        }
        let everyone = matches!(input, Input::Command { command: Command::Promote { .. }, .. });
        let next = before.under_way().map(|rollout| rollout.next().map_or(Weight::FULL, |step| step.weight));
        let promoted = after.stable != before.stable;
        let reached = if promoted { Weight::FULL } else { after.weight };
        must(next == Some(reached) || everyone, 1, || format!("{} → {reached}, the next step is {next:?}", before.weight))?;
        must(reached <= guard.max, 1, || format!("{reached} is above max = {}", guard.max))?;
        must(!promoted || before.canary.as_ref() == Some(&after.stable), 1, || "another release than the canary was promoted".to_owned())
    }

    /// 1: the bake has passed under our eyes, of this split.
    pub fn it_has_baked(&mut self, decided: &Decided, stood: bool) -> Checked {
        let Decided { before, after, now, .. } = decided;
        if let Input::Tick(facts) = &decided.input {
            let gap = now.saturating_sub(self.last);
            if gap <= GAP && facts.split_id == before.split_id {
                self.watched += gap;
            }
            self.last = *now;
        }
        if decided.raised().is_some() {
            let bake = before.under_way().map(|rollout| rollout.current().bake).unwrap_or_default();
            let watched = self.watched;
            must(watched >= bake, 1, || format!("raised after {watched:?} of watching split {}; its bake is {bake:?}", before.split_id))?;
        }
        if stood && after.split_id != before.split_id {
            (self.watched, self.last) = (Duration::ZERO, *now);
        }
        Ok(())
    }

    /// 2: fresh, sufficient, good evidence of the split that serves; no window twice; only where the policy says so.
    pub fn it_rests_on_good_evidence(&mut self, decided: &Decided, stood: bool) -> Checked {
        let Some(facts) = decided.raised() else { return Ok(()) };
        let Decided { before, guard, now, window, .. } = decided;
        let split = before.split_id;
        must(facts.split_id == split, 2, || format!("raised split {split} on facts of split {}", facts.split_id))?;
        must(self.workers.iter().all(|served| *served == split), 2, || format!("raised {split}, workers serve {:?}", self.workers))?;
        let Some(judgement) = &facts.judgement else { return must(false, 2, || "raised on nothing".to_owned()) };
        let age = now.saturating_sub(judgement.looked);
        must(age <= FRESH, 2, || format!("raised on evidence {age:?} old"))?;
        let e = judgement.wealth.log_e().exp();
        must(e < 5.0, 2, || format!("raised at E = {e}"))?;
        let requests = [judgement.stable, judgement.canary].map(|exposure| exposure.tally.requests);
        must(requests.iter().all(|requests| *requests >= 10), 2, || format!("raised on {requests:?} requests"))?;
        must(facts.crossed.is_none() && (facts.trip.is_none() || !guard.brake), 3, || "raised on bad news".to_owned())?;
        must(harm_is_bounded_or_waived(before, facts, guard.tolerated_harm, *now), 2, || format!("raised at {:?}", judgement.harm))?;
        let used = window.is_none_or(|window| self.used.contains(&window));
        self.used.extend(window.filter(|_| stood));
        must(!used, 2, || format!("window {window:?} was used before"))?;
        let automatic = before.under_way().is_some_and(|rollout| rollout.plan.policy == Policy::Automatic);
        must(automatic, 1, || "raised against the policy".to_owned())?;
        must(before.phase != Phase::Paused, 7, || "raised while paused".to_owned())
    }

    pub fn restarted(&mut self, restarted: &Restarted) {
        self.last = restarted.after.1;
        if restarted.before.0.split_id != restarted.after.0.split_id {
            self.watched = Duration::MAX / 2;
        }
    }
}

fn harm_is_bounded_or_waived(before: &State, facts: &Facts, tolerated: f64, now: Duration) -> bool {
    let (Some(rollout), Some(judgement)) = (before.under_way(), facts.judgement) else { return false };
    let next = rollout.next().map_or(1.0, |step| step.weight.ratio());
    let bounded = judgement.harm.0 <= tolerable(tolerated, next);
    let waivable = matches!(rollout.plan.at_deadline, AtDeadline::Proceed | AtDeadline::ByTraffic);
    bounded || waivable && now >= rollout.step_began + rollout.plan.deadline
}
