//! What the ratchet answers: a decision, with what allowed it, or a refusal.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::core::breaker::Trip;
use crate::core::guard::Frozen;
use crate::core::hold::AbortReason;
use crate::core::plan::Release;
use crate::core::weight::Weight;

/// What the ratchet made of an input.
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

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
