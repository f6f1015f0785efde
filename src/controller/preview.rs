//! What a request would do, without doing it: planned as a request is, and then only told.

use super::change::Step;
use super::owner::Owner;
use super::wish::{ChangeError, ChangeRequest};
use crate::core::{Release, State};
use crate::summary::{Action, Moves, Preview};

impl Owner {
    /// What would become of a request, by all that is known now. Nothing is changed, and nothing waits for it.
    pub(super) fn preview(&self, number: usize, request: &ChangeRequest) -> Result<Preview, ChangeError> {
        let steps = self.plan(number, request)?;
        Ok(self.foretell(number, request.wish.action(), &steps))
    }

    pub(super) fn foretell(&self, number: usize, action: Action, steps: &[Step]) -> Preview {
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
            in_step: pilot.status(bot, crate::live::Durability::default(), self.now).in_step,
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
