//! The answer to `?dry_run=true`: what an action would do.

use serde::Serialize;

use super::document::{self, Side};
use crate::summary::Preview;

#[derive(Debug, Serialize)]
pub struct PreviewDocument {
    /// Always true: nothing was done.
    dry_run: bool,
    bot: String,
    action: &'static str,
    /// The revision that the answer is based on.
    revision: u64,
    /// The decision; `nothing` if the state is already as requested.
    decision: &'static str,
    /// For people, a sentence or two each.
    lines: Vec<String>,
    from_percent: f64,
    to_percent: f64,
    phase: &'static str,
    stable: Side,
    canary: Option<Side>,
    /// The traffic that would go to another upstream; null if none would, or if that is not known.
    moves: Option<Moves>,
    /// The release that would be quarantined.
    quarantines: Option<String>,
}

/// By what is usual for the bot.
#[derive(Debug, Serialize)]
struct Moves {
    active_buckets: usize,
    requests_percent: f64,
}

impl From<Preview> for PreviewDocument {
    fn from(preview: Preview) -> PreviewDocument {
        let moves =
            |moves: crate::summary::Moves| Moves { active_buckets: moves.active_buckets, requests_percent: moves.requests_share * 100.0 };
        let (before, after) = (&preview.before, &preview.after);
        PreviewDocument {
            dry_run: true,
            bot: preview.bot.clone(),
            action: preview.action.name(),
            revision: before.revision,
            decision: preview.decisions.last().copied().unwrap_or("nothing"),
            lines: preview.lines(),
            from_percent: before.weight.percent(),
            to_percent: after.weight.percent(),
            phase: after.phase.name(),
            stable: document::side(&after.stable),
            canary: after.canary.as_ref().map(document::side),
            moves: preview.moves.map(moves),
            quarantines: preview.quarantines.as_ref().map(ToString::to_string),
        }
    }
}
