//! Previews: plans a request as if it were to be carried out, and returns what it would do.

use super::Owner;
use crate::controller::change::Step;
use crate::controller::wish::{ChangeError, ChangeRequest};
use crate::core::{Release, State};
use crate::summary::{Action, Moves, Preview};

impl Owner {
    /// Returns what the request would do now, as far as that is known without a check of an upstream. Changes nothing.
    pub(super) fn preview(&self, number: usize, request: &ChangeRequest) -> Result<Preview, ChangeError> {
        let steps = self.plan(number, request)?;
        Ok(self.preview_of(number, request.wish.action(), &steps))
    }

    pub(super) fn preview_of(&self, number: usize, action: Action, steps: &[Step]) -> Preview {
        let (bot, pilot) = (&self.config.bots[number], &self.pilots[number]);
        let before = pilot.state.clone();
        let after = steps.last().map_or_else(|| before.clone(), |step| step.after().clone());
        Preview {
            bot: bot.name.to_string(),
            action,
            decisions: steps.iter().map(|step| step.decision.name()).collect(),
            quarantines: newly_quarantined(&before, &after),
            moves: pilot.moves(&self.config, bot, &after).filter(|moves| *moves != Moves::default()),
            watch: after.watched_until.map(|until| until.saturating_sub(pilot.now(self.now))),
            frozen_by_config: bot.freeze.as_ref().and_then(|freeze| freeze.at(self.now.timestamp()).map(|window| freeze.text(window))),
            in_step: pilot.in_step(self.now),
            rehearsed: None,
            before,
            after,
        }
    }
}

fn newly_quarantined(before: &State, after: &State) -> Option<Release> {
    let is_new = |release: &Release| !before.is_quarantined(release);
    after.quarantine.iter().map(|quarantined| &quarantined.release).find(|release| is_new(release)).cloned()
}
