//! A bot's traffic, for whoever looks at it: the last hour in points, and whom a weight reaches. Five per cent of the workspaces
//! may well be a third of the requests.

use super::owner::Owner;
use super::pilot::FailingBucket;
use super::trail::Point;
use crate::core::Weight;

#[derive(Debug)]
pub struct Traffic {
    /// The oldest first.
    pub points: Vec<Point>,
    /// Whom the weight in force reaches.
    pub now: Option<Reach>,
    /// And the next step.
    pub next: Option<Reach>,
    /// Buckets that were active in the last day or so.
    pub active_buckets: usize,
    /// Of the split that serves, the worst first.
    pub failing: Vec<FailingBucket>,
}

/// What is usual for the buckets below a weight.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    pub weight: Weight,
    pub active_buckets: usize,
    /// Of all the bot's requests, 0 to 1.
    pub requests_share: f64,
}

impl Owner {
    /// `None` where there is no such bot.
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
