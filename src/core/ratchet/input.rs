//! What the ratchet is told: the facts of a tick, or a command.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::breaker::{Connections, Trip};
use crate::core::evidence::Judgement;
use crate::core::guard::Crossed;
use crate::core::plan::{Plan, Release};
use crate::core::rollout::Freeze;
use crate::core::weight::Weight;

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
    /// [`LastConfig`](crate::core::LastConfig).
    Reassign {
        rule: u64,
        /// Whether the new rule pins a workspace to the canary that the old one did not pin there.
        #[serde(default)]
        exposes: bool,
    },
}
