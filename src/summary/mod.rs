//! What a bot's status means, in sentences: what happens and why, whether customers are safe, what comes next and when at the
//! latest, and what to do. The page, the command line, the API (`summary`), the log and the messages all use this one generator, so
//! that they say the same. Pure functions of a [`Status`] from the controller.

#![forbid(unsafe_code)]

mod action;
mod happened;
mod looks;
mod no_rollout;
mod phrases;
mod preview;
mod rollout;
mod texts;
mod until;
pub mod words;

use crate::core::Phase;
use crate::live::Status;
use texts::NOTHING_TO_DO;

pub use action::Action;
pub use happened::{happened, todo_after};
pub use looks::{Looks, rates, why};
pub use preview::{Moves, Preview};
pub use texts::{Summary, Urgency};
pub use until::{Needs, Then, Until};

impl Summary {
    pub fn of(status: &Status) -> Summary {
        let state = &status.state;
        let mut summary = match (state.phase, state.under_way()) {
            (Phase::Progressing | Phase::Held | Phase::Paused, Some(under_way)) => rollout::summary(status, under_way),
            (Phase::Manual, _) => no_rollout::by_hand(status),
            (Phase::Promoted, _) => no_rollout::promoted(status),
            (Phase::Aborted, _) => no_rollout::aborted(status),
            (Phase::Idle | Phase::Progressing | Phase::Held | Phase::Paused, _) => no_rollout::idle(status),
        };
        summary.add_config(status);
        summary.add_freeze(status);
        summary.add_history_failure(status);
        if status.waits_for_human().is_some() {
            summary.urgency = Urgency::Act;
        }
        summary
    }

    /// Adds the release that the config wants, and why it is not there yet.
    fn add_config(&mut self, status: &Status) {
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
    fn add_freeze(&mut self, status: &Status) {
        let Some(why) = &status.frozen else { return };
        if !self.next.contains(why.as_str()) {
            self.add_next(&format!("Nothing rises: it is frozen {why}."));
        }
        self.action.take_if(|action| !action.takes_back());
    }

    /// Adds that the history cannot be written.
    fn add_history_failure(&mut self, status: &Status) {
        let Some(why) = &status.durability.failing else { return };
        self.urgency = Urgency::Act;
        self.add_next(&format!(
            "The history cannot be written ({why}): nothing rises until it can, and a restart may forget what was lowered."
        ));
        let mend = "See to the disk that holds the history.";
        self.todo = if self.todo == NOTHING_TO_DO { mend.to_owned() } else { format!("{} {mend}", self.todo) };
        self.action.take_if(|action| !action.takes_back());
    }
}

#[cfg(test)]
mod tests;
