//! Answers what a bot's traffic is.

use super::Owner;
use crate::controller::traffic::Traffic;

impl Owner {
    /// Returns `None` if there is no such bot.
    pub(super) fn traffic(&self, name: &str) -> Option<Traffic> {
        let number = self.number(name)?;
        let (bot, pilot) = (&self.config.bots[number], &self.pilots[number]);
        let next = pilot.state.under_way().and_then(|rollout| rollout.next()).map(|step| step.weight);
        let reach = |weight| pilot.reach(&self.config, bot, weight);
        Some(Traffic {
            points: pilot.last_hour.points(),
            now: reach(pilot.state.weight),
            next: next.and_then(reach),
            active_buckets: pilot.active_buckets(),
            failing: pilot.failing(),
        })
    }
}
