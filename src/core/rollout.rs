//! The state that is decided about: one bot's releases and weight, and how far its rollout is.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hold::{AbortReason, Hold};
use super::plan::{Plan, Release, Step};
use super::weight::Weight;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    Idle,
    /// A weight was set by hand, without a rollout.
    Manual,
    Progressing,
    /// An operator or the breaker stopped it. An operator must resume it.
    Paused,
    /// It waits for a human, or until suspicious evidence falls.
    Held,
    Promoted,
    Aborted,
}

impl Phase {
    pub const ALL: [Phase; 7] =
        [Phase::Idle, Phase::Manual, Phase::Progressing, Phase::Paused, Phase::Held, Phase::Promoted, Phase::Aborted];

    pub fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Manual => "manual",
            Phase::Progressing => "progressing",
            Phase::Paused => "paused",
            Phase::Held => "held",
            Phase::Promoted => "promoted",
            Phase::Aborted => "aborted",
        }
    }
}

/// The state of a bot. Only `ratchet::step` makes a new one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// The number of the last change; rises by one with each.
    pub revision: u64,
    /// Rises when the assignment changes, because evidence of one split says nothing about another.
    pub split_id: u64,
    pub phase: Phase,
    pub stable: Release,
    pub canary: Option<Release>,
    pub weight: Weight,
    /// The number of the rollout whose ranks are in force; 0 for a split by hand.
    pub attempt: u64,
    /// The number of rollouts so far.
    pub attempts: u64,
    pub rollout: Option<Rollout>,
    pub hold: Option<Hold>,
    pub quarantine: Vec<Quarantined>,
    /// The release that was stable before. `undo` goes back to it.
    #[serde(default)]
    pub previous: Option<Former>,
    /// After a switch: until this time the breaker and the limits may undo it.
    #[serde(default)]
    pub watched_until: Option<Duration>,
    /// Set if the last event was that an operator took a release back.
    #[serde(default)]
    pub undone: Option<Undone>,
    /// Nothing may rise until an operator ends the freeze.
    #[serde(default)]
    pub frozen: Option<Freeze>,
    /// The config's last values of what an operator can change too.
    #[serde(default, rename = "seen")]
    pub last_config: LastConfig,
    /// Why serin does not follow the config's release.
    #[serde(default)]
    pub held_by: Option<HeldBy>,
    /// A drill has sent customers to the idle side, at most until this time.
    #[serde(default)]
    pub drill_until: Option<Duration>,
    /// The canary was taken back: pins and testers do not reach it until workspaces are sent to a canary again. See
    /// [`State::canary_is_closed`].
    #[serde(default)]
    pub closed: bool,
    /// The value that `closed` gets once the drill is over.
    #[serde(default)]
    pub closed_before_drill: bool,
}

/// A release that was stable until `until`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Former {
    pub release: Release,
    pub until: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Undone {
    pub by: Arc<str>,
    pub at: Duration,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Freeze {
    pub by: Arc<str>,
    pub why: Option<Arc<str>>,
}

/// The config's last values. A value that the config does not change never replaces what an operator has set since.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastConfig {
    pub weight: Weight,
    /// The desired state.
    pub release: Option<Release>,
    /// A hash of everything that decides assignments, except the rollout: salt, sources, pins.
    #[serde(default)]
    pub rule: u64,
}

/// What was done against the config's release. serin does not follow that release until the config changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeldBy {
    /// Nothing is known of what served before: the release may be new, or live already.
    NoHistory,
    Abort,
    Undo,
    Switch,
    Start,
    Adopt,
    /// The release is another version on the upstream that is stable.
    SameUpstream,
}

impl HeldBy {
    pub fn name(self) -> &'static str {
        match self {
            HeldBy::NoHistory => "no_history",
            HeldBy::Abort => "abort",
            HeldBy::Undo => "undo",
            HeldBy::Switch => "switch",
            HeldBy::Start => "start",
            HeldBy::Adopt => "adopt",
            HeldBy::SameUpstream => "same_upstream",
        }
    }
}

/// The current rollout, or the last one once it has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub release: Release,
    pub plan: Plan,
    /// The index of the current step.
    pub step: usize,
    pub step_began: Duration,
    /// The time of the last tick. A longer gap since then does not count as baking.
    pub looked: Duration,
    /// Before this time there is no second retreat.
    pub no_retreat_before: Duration,
    /// The last verdict was a fail, and the policy leaves the reaction to a human.
    pub failing: bool,
}

/// A release that was taken back. It is rolled out again only on demand.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quarantined {
    pub release: Release,
    pub attempt: u64,
    pub why: AbortReason,
}

impl State {
    pub fn new(stable: Release) -> State {
        State {
            revision: 1,
            split_id: 1,
            phase: Phase::Idle,
            stable,
            canary: None,
            weight: Weight::ZERO,
            attempt: 0,
            attempts: 0,
            rollout: None,
            hold: None,
            quarantine: Vec::new(),
            previous: None,
            watched_until: None,
            undone: None,
            frozen: None,
            last_config: LastConfig::default(),
            held_by: None,
            drill_until: None,
            closed: false,
            closed_before_drill: false,
        }
    }

    /// Whether no request may reach a canary, not even by a pin or from a tester. True after an abort, a fail, a trip, an undo and
    /// a promotion, until workspaces are sent to a canary again.
    pub fn canary_is_closed(&self) -> bool {
        // The phases are for states that were stored before the field existed.
        self.closed || matches!(self.phase, Phase::Aborted | Phase::Promoted)
    }

    /// Whether requests go to the canary, or may do so at any moment.
    pub fn is_live(&self) -> bool {
        self.weight > Weight::ZERO || self.under_way().is_some()
    }

    /// The config's release, if it differs from the one that serves or is on its way.
    pub fn desired_elsewhere(&self) -> Option<&Release> {
        let on_its_way = self.under_way().and(self.canary.as_ref());
        self.last_config.release.as_ref().filter(|wanted| **wanted != *on_its_way.unwrap_or(&self.stable))
    }

    /// The config's release, if it should be started now.
    pub fn to_start(&self) -> Option<&Release> {
        let wanted = self.desired_elsewhere()?;
        let may = self.held_by.is_none() && !self.is_quarantined(wanted) && wanted.upstream != self.stable.upstream;
        may.then_some(wanted)
    }

    pub fn is_quarantined(&self, release: &Release) -> bool {
        self.quarantine.iter().any(|quarantined| quarantined.release == *release)
    }

    /// The rollout, if it has not ended.
    pub fn under_way(&self) -> Option<&Rollout> {
        match self.phase {
            Phase::Progressing | Phase::Paused | Phase::Held => self.rollout.as_ref(),
            Phase::Idle | Phase::Manual | Phase::Promoted | Phase::Aborted => None,
        }
    }
}

impl Rollout {
    pub fn current(&self) -> Step {
        self.plan.steps[self.step]
    }

    pub fn next(&self) -> Option<Step> {
        self.plan.steps.get(self.step + 1).copied()
    }

    pub fn baked_at(&self) -> Duration {
        self.step_began + self.current().bake
    }
}
