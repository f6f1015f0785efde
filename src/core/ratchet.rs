//! The only way to change a rollout. Ticks, operators, the config and the simulator all call [`step`] with a state, an input and the
//! time; it returns the next state and the decision.
//!
//! The rule: a raise needs fresh, sufficient and good evidence about the current split. One credible piece of bad news lowers the
//! weight, at once and in every phase. Where the evidence is insufficient, the weight stays.

mod exposure;
mod moves;
mod obey;
mod releases;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::breaker::{Connections, Trip};
use super::evidence::Judgement;
use super::guard::{Crossed, Frozen, Guard};
use super::hold::AbortReason;
use super::plan::{Plan, Release};
use super::rollout::{Freeze, State};
use super::weight::Weight;
pub use exposure::exposes;
use obey::obey;
pub use watch::at_deadline;
use watch::tick;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// What is known now; must come every second.
    Tick(Facts),
    /// A command of an operator or the config. `based_on`: the revision that its author saw; with another one the command is refused.
    Command { command: Command, based_on: Option<u64> },
}

/// What was observed of one split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// The split that was observed.
    pub split_id: u64,
    pub judgement: Option<Judgement>,
    pub crossed: Option<Crossed>,
    pub trip: Option<Trip>,
    /// Of the canary and of stable, in the last two minutes.
    pub connections: [Connections; 2],
    /// Whether the side that was stable before a switch takes connections.
    #[serde(default)]
    pub previous_answers: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// `retry` allows a release that is quarantined.
    Start {
        release: Release,
        plan: Plan,
        retry: bool,
    },
    /// Sets the weight by hand. `canary`: the release that it refers to if no rollout is under way.
    SetWeight {
        weight: Weight,
        canary: Release,
    },
    Pause,
    Resume,
    /// Goes to the next step; with `force` even if the evidence says fail.
    Advance {
        force: bool,
    },
    /// Makes the canary stable, for everybody; with `force` even if the evidence says fail.
    Promote {
        force: bool,
    },
    /// Takes the canary to 0 % and quarantines its release.
    Abort,
    /// Declares this release stable: it was changed without serin.
    Adopt {
        stable: Release,
    },
    /// Puts everybody on the other side at once, without a rollout. For the time `watch` afterwards a trip or a crossed limit undoes
    /// it.
    Switch {
        release: Release,
        watch: Duration,
    },
    /// Goes back to the release that was stable before; during a rollout or a split by hand, aborts it.
    Undo {
        by: Arc<str>,
    },
    /// Takes the rollout under way to 0 % without blame, to make room for another one.
    Withdraw,
    /// The config names this release now. `warm`: it is the previous stable, and its side takes connections.
    Desire {
        release: Option<Release>,
        warm: bool,
    },
    /// Starts the release that the config names.
    Follow {
        plan: Plan,
    },
    /// The config states another weight now.
    Configure {
        weight: Weight,
        canary: Release,
    },
    Freeze(Freeze),
    Thaw,
    /// Moves this share to the idle side, for at most this long.
    Drill {
        weight: Weight,
        canary: Release,
        lasts: Duration,
    },
    /// Records a drill and ends it if customers took part. `took`: the time from the decision to go back until every worker served it.
    Drilled {
        took: Duration,
    },
    /// Something else about the assignment has changed, such as a pin, so a new split begins. `rule` is the hash of the new rule, see
    /// [`LastConfig`](super::rollout::LastConfig).
    Reassign {
        rule: u64,
        /// Whether the new rule pins a workspace to the canary that the old one did not pin there.
        #[serde(default)]
        exposes: bool,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// The weight stays; `State::hold` says why.
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
    /// To 0 % because of evidence, a limit or an operator.
    Abort {
        from: Weight,
        why: AbortReason,
    },
    /// To 0 % because of connections.
    Trip {
        from: Weight,
        trip: Trip,
    },
    Promote {
        because: Because,
    },
    Adopt,
    Reassign {
        exposes: bool,
    },
    /// Everybody is on the other side.
    Switch,
    /// The release that was stable before is stable again.
    Undo {
        why: AbortReason,
    },
    Withdraw {
        from: Weight,
    },
    Desire,
    Freeze,
    Thaw,
    Drill,
    Drilled {
        took: Duration,
    },
    /// The state is already as the command wants it.
    Nothing,
    Refuse(Refusal),
}

/// What allowed a raise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Because {
    /// No sign of harm, and enough requests to have seen harm.
    Evidence,
    /// No sign of harm, but the harm bound is too high; at the deadline it was waived.
    Deadline,
    Operator,
}

impl std::fmt::Display for Because {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Because::Evidence => "no sign of harm, and enough requests to have seen it",
            Because::Deadline => "no sign of harm by the deadline, though too few requests to rule it out",
            Because::Operator => "a human decided",
        })
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refusal {
    #[error("the change is based on revision {based_on}, but {actual} serves: look again and repeat it")]
    Stale { based_on: u64, actual: u64 },
    #[error("there is no rollout under way")]
    NoRollout,
    #[error("the rollout of {0} is under way: abort it first")]
    UnderWay(Release),
    #[error("{weight} of the buckets are on the canary: take it to 0% first")]
    LiveSplit { weight: Weight },
    #[error("{0} is stable already")]
    IsStable(Release),
    #[error("{release} was taken back ({why}): start it with retry if it is to be tried again")]
    Quarantined { release: Release, why: AbortReason },
    #[error("no weight above max = \"{max}\" is taken")]
    AboveMax { max: Weight },
    #[error("the evidence says that the canary fails: force it if you know better")]
    Failing,
    #[error("{0}: force it if the canary is well again")]
    Broken(Trip),
    #[error("the rollout is paused: resume it first")]
    Paused,
    #[error("the rollout is not paused")]
    NotPaused,
    #[error("nothing rises now: {0}")]
    Frozen(Frozen),
    #[error("it was taken back already, by {by}, {} s ago; to serve something else, switch", ago.as_secs())]
    Undone { by: Arc<str>, ago: Duration },
    #[error("there is nothing to undo: everyone is on {stable}, and nothing became stable since; to serve something else, switch")]
    NothingToUndo { stable: Release },
    #[error("the config wants nothing else than what serves")]
    NothingDesired,
    #[error("a drill is on: it ends by itself")]
    Drill,
    #[error("the last switch is still watched: wait until that is over")]
    Watched,
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
            Decision::Adopt => "adopt",
            Decision::Reassign { .. } => "reassign",
            Decision::Switch => "switch",
            Decision::Undo { .. } => "undo",
            Decision::Withdraw { .. } => "withdraw",
            Decision::Desire => "desire",
            Decision::Freeze => "freeze",
            Decision::Thaw => "thaw",
            Decision::Drill => "drill",
            Decision::Drilled { .. } => "drilled",
            Decision::Nothing => "nothing",
            Decision::Refuse(_) => "refuse",
        }
    }

    /// Whether the decision changed more than the reason for a hold. Such a decision makes a new revision.
    pub fn commits(&self) -> bool {
        !matches!(self, Decision::Hold | Decision::Nothing | Decision::Refuse(_))
    }
}

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
