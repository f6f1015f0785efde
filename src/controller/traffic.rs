//! A bot's traffic for the dashboard: the last hour in points, and how much of it a weight reaches. Five per cent of the workspaces may
//! well make a third of the requests.

use super::owner::Owner;
use super::pilot::FailingBucket;
use super::trail::Point;
use crate::core::Weight;

#[derive(Debug)]
pub struct Traffic {
    /// The oldest first.
    pub points: Vec<Point>,
    /// What the current weight reaches.
    pub now: Option<Reach>,
    /// What the weight of the next step reaches.
    pub next: Option<Reach>,
    /// Buckets that were active in the last day or so.
    pub active_buckets: usize,
    /// Of the current split, the worst first.
    pub failing: Vec<FailingBucket>,
}

/// The usual traffic of the buckets below a weight.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    pub weight: Weight,
    pub active_buckets: usize,
    /// The share of all the bot's requests, 0 to 1.
    pub requests_share: f64,
}

impl Owner {
    /// Returns `None` if there is no such bot.
    pub(super) fn traffic(&self, name: &str) -> Option<Traffic> {
        let number = self.number(name)?;
        let (bot, pilot) = (&self.config.bots[number], &self.pilots[number]);
        let next = pilot.state.under_way().and_then(|rollout| rollout.next()).map(|step| step.weight);
        let reach = |weight| pilot.reach(&self.config, bot, weight);
        Some(Traffic {
            points: pilot.trail.points(),
            now: reach(pilot.state.weight),
            next: next.and_then(reach),
            active_buckets: pilot.active_buckets(),
            failing: pilot.failing(),
        })
    }
}
