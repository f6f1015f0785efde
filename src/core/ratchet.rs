//! The only way to change a rollout. Ticks, operators, the config and the simulator all call [`step`] with a state, an input and the
//! time; it returns the next state and the decision.
//!
//! The rule: a raise needs fresh, sufficient and good evidence about the current split. One credible piece of bad news lowers the
//! weight, at once and in every phase. Where the evidence is insufficient, the weight stays.

mod decision;
mod exposure;
mod input;
mod moves;
mod obey;
mod permits;
mod releases;
mod watch;

use std::time::Duration;

use super::guard::Guard;
use super::plan::Release;
use super::rollout::State;
use super::weight::Weight;
use obey::obey;
use watch::tick;

pub use decision::{Because, Decision, Refusal};
pub use exposure::exposes;
pub use input::{Command, Facts, Input};
pub use watch::at_deadline;

/// Makes the next state of `state` and `input` at the time `now`, and the decision. A refused command changes nothing.
pub fn step(mut state: State, input: &Input, guard: &Guard, now: Duration) -> (State, Decision) {
    let before = state.clone();
    let decision = match input {
        Input::Tick(facts) => tick(&mut state, facts, guard, now),
        Input::Command { based_on: Some(revision), .. } if *revision != state.revision => {
            Decision::Refuse(Refusal::Stale { based_on: *revision, actual: state.revision })
        }
        Input::Command { command, .. } => obey(&mut state, command, guard, now).unwrap_or_else(Decision::Refuse),
    };
    if !decision.commits() {
        // A refusal changes nothing; a hold may change only what the state says about it.
        return (if matches!(decision, Decision::Refuse(_)) { before } else { state }, decision);
    }
    if let Some(frozen) = guard.frozen.as_ref().filter(|_| exposes(&before, &state, &decision)) {
        return (before, Decision::Refuse(Refusal::Frozen(frozen.clone())));
    }
    state.revision += 1;
    state.split_id += u64::from(matches!(decision, Decision::Reassign { .. }) || assignment(&state) != assignment(&before));
    (state, decision)
}

fn assignment(state: &State) -> (Weight, u64, &Release, Option<&Release>) {
    (state.weight, state.attempt, &state.stable, state.canary.as_ref())
}

#[cfg(test)]
mod tests;
