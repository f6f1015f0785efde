//! When a weight has to fall, and what keeps it down.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::{Checked, must};
use crate::core::ratchet::{Command, Decision, Input, Refusal};
use crate::core::{Connections, Hold, Phase, Policy, Release, State, Weight};
use crate::sim::faults::happened::{Arrived, Decided, Restarted};

/// What the breaker may look back on.
const LOOKS_BACK: Duration = Duration::from_secs(15);

#[derive(Default)]
pub struct Lower {
    quarantine: Vec<Release>,
    /// An abort was answered; nobody has asked for anything since.
    aborted: bool,
    /// The canary's and stable's connections, by tick.
    connections: VecDeque<(Duration, [Connections; 2])>,
    /// The numbers of commands that changed something.
    done: BTreeSet<u64>,
    last_number: u64,
    /// The next window must know nothing.
    begins: bool,
}

impl Lower {
    /// 3: bad news of the split that serves lowers at once, in every phase, whatever the policy but `manual`.
    pub fn a_fail_lowers(&self, decided: &Decided) -> Checked {
        let Decided { before, after, guard, .. } = decided;
        let Input::Tick(facts) = &decided.input else { return Ok(()) };
        if facts.split_id != before.split_id || before.weight == Weight::ZERO {
            return Ok(());
        }
        let acts = match (before.under_way(), before.phase) {
            (Some(rollout), _) => rollout.plan.policy != Policy::Manual,
            (None, phase) => phase == Phase::Manual && guard.by_hand != Policy::Manual,
        };
        let fails = facts.judgement.is_some_and(|judgement| judgement.wealth.log_e().exp() >= guard.abort_at || facts.crossed.is_some());
        let trips = facts.trip.is_some() && guard.brake;
        let must_lower = acts && fails || trips;
        must(!must_lower || after.weight < before.weight, 3, || format!("{} stays in spite of a fail", before.weight))?;
        must(!trips || after.weight == Weight::ZERO, 3, || "the breaker left something".to_owned())?;
        let lowered = after.weight < before.weight && after.stable == before.stable;
        let marginal = matches!(decided.decision, Decision::Retreat { .. });
        must(!lowered || must_lower || marginal, 5, || format!("lowered for nothing: {:?}", decided.decision))
    }

    /// 3: a new release starts at the plan's first step, whatever was there before.
    pub fn a_start_begins_at_the_first_step(&mut self, decided: &Decided, stood: bool) -> Checked {
        match (&decided.decision, &decided.input) {
            (Decision::Start, Input::Command { command: Command::Start { plan, release, .. }, .. }) => {
                self.begins |= stood;
                let first = plan.steps[0].weight;
                let begun = decided.after.weight == first && decided.after.canary.as_ref() == Some(release);
                must(begun, 3, || format!("{release} starts at {} instead of {first}", decided.after.weight))
            }
            _ => Ok(()),
        }
    }

    /// 3: and its evidence knows nothing of others.
    pub fn opened(&mut self, fresh: bool) -> Checked {
        must(fresh || !self.begins, 3, || "a new release inherits evidence".to_owned())?;
        self.begins = false;
        Ok(())
    }

    /// 4: what was taken back stays away, but for who insists.
    pub fn quarantine_holds(&mut self, decided: &Decided, stood: bool) -> Checked {
        let Decided { before, after, decision, .. } = decided;
        match (decision, &decided.input) {
            (Decision::Start, Input::Command { command: Command::Start { release, retry, .. }, .. }) => {
                let known = self.quarantine.contains(release);
                must(*retry || !known, 4, || format!("{release} was started in spite of its quarantine"))?;
                self.quarantine.retain(|quarantined| quarantined != release || !stood);
            }
            (Decision::Abort { .. }, _) if stood && before.under_way().is_some() => self.quarantine.extend(before.canary.clone()),
            (Decision::Promote { .. }, _) if stood => self.quarantine.retain(|quarantined| *quarantined != after.stable),
            _ => {}
        }
        Ok(())
    }

    /// 5: the breaker trips only if over some of the last 15 s half of the canary's connections broke and stable's did not.
    pub fn nobody_is_blamed_for_a_shared_cause(&mut self, decided: &Decided, stood: bool) -> Checked {
        let Input::Tick(_) = &decided.input else { return Ok(()) };
        if stood && decided.before.canary != decided.after.canary {
            self.connections.clear();
            return Ok(());
        }
        self.connections.push_back((decided.now, decided.news));
        while self.connections.pop_front_if(|(then, _)| *then + LOOKS_BACK <= decided.now).is_some() {}
        let Decision::Trip { .. } = decided.decision else { return Ok(()) };
        let mut sums = [Connections::default(); 2];
        let to_blame = self.connections.iter().rev().any(|(_, news)| {
            sums[0] += news[0];
            sums[1] += news[1];
            let [canary, stable] = sums;
            canary.broken >= 8 && 2 * canary.broken >= canary.wanted && 10 * stable.broken < stable.wanted.max(1)
        });
        must(to_blame, 5, || format!("the canary is blamed for {sums:?}"))
    }

    /// 7: after an abort the weight stays at zero until somebody asks for more.
    pub fn an_abort_stays(&mut self, decided: &Decided, stood: bool) -> Checked {
        let by_hand = matches!(decided.input, Input::Command { .. });
        if by_hand && stood {
            let abort = matches!(decided.input, Input::Command { command: Command::Abort, .. });
            self.aborted = abort;
            must(!abort || decided.after.weight == Weight::ZERO, 7, || format!("aborted, and {} serve", decided.after.weight))?;
        }
        let rises = decided.after.weight > Weight::ZERO && !by_hand;
        must(!(self.aborted && rises), 7, || format!("{} after an abort", decided.after.weight))
    }

    /// 7: commands apply once and in order, or are refused as stale; what is refused changes nothing.
    pub fn commands_count_once(&mut self, decided: &Decided, stood: bool) -> Checked {
        let Decided { before, after, decision, .. } = decided;
        let Some(Arrived { number, again, based_on }) = decided.command else { return Ok(()) };
        let stale = based_on.is_some_and(|based_on| based_on != before.revision);
        must(matches!(decision, Decision::Refuse(Refusal::Stale { .. })) == stale, 7, || format!("based on {based_on:?}: {decision:?}"))?;
        if !stood {
            // A hold may carry what is no number, which equals nothing.
            let apart = |state: &State| State { hold: None, ..state.clone() };
            return must(decision.commits() || apart(before) == apart(after), 7, || {
                "what changed nothing has changed something".to_owned()
            });
        }
        must(again || number > self.last_number, 7, || format!("command {number} after {}", self.last_number))?;
        self.last_number = self.last_number.max(number);
        must(based_on.is_none() || self.done.insert(number), 7, || format!("command {number} counted twice"))
    }

    /// 15: a rollout that waits says for what.
    pub fn whoever_holds_says_why(&self, decided: &Decided) -> Checked {
        let waits = matches!((&decided.input, &decided.decision), (Input::Tick(_), Decision::Hold)) && decided.after.under_way().is_some();
        let code = decided.after.hold.as_ref().map_or("", Hold::code);
        must(!waits || !code.is_empty(), 15, || format!("{} without a reason", decided.after.phase.name()))
    }

    /// What was acked and not durable is not known any more.
    pub fn restarted(&mut self, restarted: &Restarted) {
        let after = &restarted.after.0;
        if restarted.before.0.revision != after.revision {
            self.quarantine = after.quarantine.iter().map(|quarantined| quarantined.release.clone()).collect();
            self.done.clear();
            self.aborted &= after.weight == Weight::ZERO && after.under_way().is_none();
        }
        self.connections.clear();
        self.begins = false;
    }
}
