//! A bot's traffic for the dashboard: the last hour in points, and how much of it a weight reaches. Five per cent of the workspaces may
//! well make a third of the requests.

use super::last_hour::Point;
use super::pilot::FailingBucket;
use super::reach::Reach;

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
