//! What a bot's status means, in sentences: what happens and why, whether customers are safe, what comes next and when at the
//! latest, and what to do. The page, the command line, the API (`summary`), the log and the messages all use this one generator, so
//! that they say the same. Pure functions of a [`Status`] from the controller.

mod happened;
mod looks;
mod preview;
mod rest;
mod rollout;
mod until;
pub mod words;

use std::fmt;

use crate::core::{Phase, State, Trip, Weight};
use crate::live::Status;
use words::{clock, short, weight};

pub use happened::{happened, todo_after};
pub use looks::{Looks, rates, why};
pub use preview::{Moves, Preview};
pub use until::{Needs, Then, Until};

/// Each text is one or two whole sentences, or empty.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    pub urgency: Urgency,
    /// What happens and why, with both tracks' rates.
    pub state: String,
    /// How many workspaces are on each track, and whether they are safe.
    pub customers: String,
    /// What comes next, and when at the latest.
    pub next: String,
    pub todo: String,
    /// The action that an operator most likely wants, if there is one.
    pub action: Option<Action>,
}

/// Whether a human must look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A human should look now.
    Act,
    /// Something is under way, and goes on without a human.
    Watch,
    None,
}

impl Urgency {
    pub fn name(self) -> &'static str {
        match self {
            Urgency::Act => "act",
            Urgency::Watch => "watch",
            Urgency::None => "none",
        }
    }
}

/// The actions that an operator can request for a bot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Advance,
    Pause,
    Resume,
    Abort,
    Undo,
    Promote,
    Start,
    Weight,
    Switch,
    Adopt,
    Drill,
    Freeze,
    Thaw,
}

impl Action {
    pub const ALL: [Action; 13] = [
        Action::Advance,
        Action::Pause,
        Action::Resume,
        Action::Abort,
        Action::Undo,
        Action::Promote,
        Action::Start,
        Action::Weight,
        Action::Switch,
        Action::Adopt,
        Action::Drill,
        Action::Freeze,
        Action::Thaw,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Action::Advance => "advance",
            Action::Pause => "pause",
            Action::Resume => "resume",
            Action::Abort => "abort",
            Action::Undo => "undo",
            Action::Promote => "promote",
            Action::Start => "start",
            Action::Weight => "weight",
            Action::Switch => "switch",
            Action::Adopt => "adopt",
            Action::Drill => "drill",
            Action::Freeze => "freeze",
            Action::Thaw => "thaw",
        }
    }

    /// Whether the action lowers the weight or stops it. Such an action is allowed in a freeze.
    pub fn takes_back(self) -> bool {
        matches!(self, Action::Abort | Action::Undo | Action::Pause | Action::Freeze)
    }
}

const NOTHING_TO_DO: &str = "Nothing to do.";

impl Summary {
    pub fn of(status: &Status) -> Summary {
        let state = &status.state;
        let mut summary = match (state.phase, state.under_way()) {
            (Phase::Progressing | Phase::Held | Phase::Paused, Some(under_way)) => rollout::summary(status, under_way),
            (Phase::Manual, _) => rest::by_hand(status),
            (Phase::Promoted, _) => rest::promoted(status),
            (Phase::Aborted, _) => rest::aborted(status),
            (Phase::Idle | Phase::Progressing | Phase::Held | Phase::Paused, _) => rest::idle(status),
        };
        summary.mind_the_config(status);
        summary.mind_a_freeze(status);
        summary.mind_the_history(status);
        if status.waits_for_human().is_some() {
            summary.urgency = Urgency::Act;
        }
        summary
    }

    /// Adds the release that the config wants, and why it is not there yet.
    fn mind_the_config(&mut self, status: &Status) {
        let Some(wanted) = status.state.desired_elsewhere() else { return };
        let waits = status.config_waits.clone().or_else(|| status.waits_for_human().map(|waits| waits.to_string()));
        if let Some(waits) = waits.filter(|_| status.state.under_way().is_none()) {
            self.add_next(&format!("The config wants {wanted}: {}.", waits.trim_end_matches('.')));
            if self.todo == NOTHING_TO_DO {
                self.todo = "See what the config's release waits for.".to_owned();
            }
            if self.urgency == Urgency::None {
                self.urgency = Urgency::Watch;
            }
        }
    }

    /// Adds the freeze. An action that is refused in a freeze is no longer offered.
    fn mind_a_freeze(&mut self, status: &Status) {
        let Some(why) = &status.frozen else { return };
        if !self.next.contains(why.as_str()) {
            self.add_next(&format!("Nothing rises: it is frozen {why}."));
        }
        self.action.take_if(|action| !action.takes_back());
    }

    fn mind_the_history(&mut self, status: &Status) {
        let Some(why) = &status.durability.failing else { return };
        self.urgency = Urgency::Act;
        self.add_next(&format!(
            "The history cannot be written ({why}): nothing rises until it can, and a restart may forget what was lowered."
        ));
        let mend = "See to the disk that holds the history.";
        self.todo = if self.todo == NOTHING_TO_DO { mend.to_owned() } else { format!("{} {mend}", self.todo) };
        self.action.take_if(|action| !action.takes_back());
    }

    fn add_next(&mut self, sentence: &str) {
        if !self.next.is_empty() {
            self.next.push(' ');
        }
        self.next.push_str(sentence);
    }

    /// All texts in one line.
    pub fn text(&self) -> String {
        let parts = [&self.state, &self.customers, &self.next, &self.todo].into_iter().filter(|part| !part.is_empty());
        parts.map(String::as_str).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// The names of the canary and of stable in the sentences: their versions, if these differ.
struct ReleaseNames {
    tried: String,
    stable: String,
}

impl ReleaseNames {
    fn of(state: &State) -> ReleaseNames {
        let tried = state.canary.as_ref().or(state.rollout.as_ref().map(|rollout| &rollout.release));
        let stable = &state.stable;
        match tried {
            Some(tried) if short(tried) == short(stable) => ReleaseNames { tried: tried.to_string(), stable: stable.to_string() },
            Some(tried) => ReleaseNames { tried: short(tried).to_owned(), stable: short(stable).to_owned() },
            None => ReleaseNames { tried: "the canary".to_owned(), stable: short(stable).to_owned() },
        }
    }
}

/// How the canary looks beside stable; and the source of its failures, if that is mostly one bucket.
fn looks(status: &Status, names: &ReleaseNames) -> String {
    let sentence = looks::sentence(status.judged.as_ref(), &names.tried, &names.stable);
    match status.concentration.filter(|concentration| !concentration.over) {
        Some(concentration) => format!("{sentence} {concentration}"),
        None => sentence,
    }
}

/// How many workspaces are on each track. If `worried`, the sentence says that those on stable are safe.
fn customers(state: &State, names: &ReleaseNames, worried: bool) -> String {
    let safe = if worried { "safe on" } else { "on" };
    match state.weight {
        Weight::ZERO => format!("Everybody is {safe} {}.", names.stable),
        Weight::FULL => format!("Everybody is on {}.", names.tried),
        some => format!("About {} of the workspaces are on {}, all others are {safe} {}.", weight(some), names.tried, names.stable),
    }
}

/// `8 of 8 were refused or reset`.
fn broken(trip: &Trip) -> String {
    format!("{} of {} were refused or reset", trip.canary.broken, trip.canary.wanted)
}

/// ` by ana at 22:40 UTC (“their reason”)`, as far as it is known. The author is shown if it was a person or the config.
fn by_whom(status: &Status, landmark: Option<&crate::core::Landmark>) -> String {
    let Some(landmark) = landmark else { return String::new() };
    let by = match landmark.kind.as_str() {
        "ratchet" => String::new(),
        "config" => " by the config".to_owned(),
        _ => format!(" by {}", landmark.by),
    };
    let reason = landmark.reason.as_ref().map_or(String::new(), |reason| format!(" (“{reason}”)"));
    format!("{by} at {}{reason}", clock(landmark.at, status.times.unix))
}

#[cfg(test)]
mod tests;
