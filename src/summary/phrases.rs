//! The parts of sentences that stand in the summaries of several phases.

use super::looks;
use super::words::{clock, short, weight};
use crate::core::{Landmark, State, Trip, Weight};
use crate::live::Status;

/// The names of the canary and of stable in the sentences: their versions, if these differ.
pub(super) struct ReleaseNames {
    pub tried: String,
    pub stable: String,
}

impl ReleaseNames {
    pub fn of(state: &State) -> ReleaseNames {
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
pub(super) fn canary_looks(status: &Status, names: &ReleaseNames) -> String {
    let sentence = looks::sentence(status.judged.as_ref(), &names.tried, &names.stable);
    match status.concentration.filter(|concentration| !concentration.over) {
        Some(concentration) => format!("{sentence} {concentration}"),
        None => sentence,
    }
}

/// How many workspaces are on each track. If `worried`, the sentence says that those on stable are safe.
pub(super) fn customers(state: &State, names: &ReleaseNames, worried: bool) -> String {
    let safe = if worried { "safe on" } else { "on" };
    match state.weight {
        Weight::ZERO => format!("Everybody is {safe} {}.", names.stable),
        Weight::FULL => format!("Everybody is on {}.", names.tried),
        some => format!("About {} of the workspaces are on {}, all others are {safe} {}.", weight(some), names.tried, names.stable),
    }
}

/// `8 of 8 were refused or reset`.
pub(super) fn broken(trip: &Trip) -> String {
    format!("{} of {} were refused or reset", trip.canary.broken, trip.canary.wanted)
}

/// ` by ana at 22:40 UTC (“their reason”)`, as far as it is known. The author is shown if it was a person or the config.
pub(super) fn by_whom(status: &Status, landmark: Option<&Landmark>) -> String {
    let Some(landmark) = landmark else { return String::new() };
    let by = match landmark.kind.as_str() {
        "ratchet" => String::new(),
        "config" => " by the config".to_owned(),
        _ => format!(" by {}", landmark.by),
    };
    let reason = landmark.reason.as_ref().map_or(String::new(), |reason| format!(" (“{reason}”)"));
    format!("{by} at {}{reason}", clock(landmark.at, status.times.unix))
}
