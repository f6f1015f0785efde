//! What a change did, in one sentence: for messages, the log, the page and the command line.

use super::texts::NOTHING_TO_DO;
use super::words::{name_of, percent};
use crate::store::Row;

/// What the readers of a message about the change must do.
pub fn todo_after(row: &Row) -> String {
    let upstream = row.canary.as_deref().map_or("the canary", |canary| canary.rsplit(" on ").next().unwrap_or(canary));
    match (row.decision.as_str(), row.phase.as_str()) {
        ("trip", "paused") => format!("Resume it when {upstream} takes connections again, or abort it."),
        ("trip", _) => format!("Set the weight again when {upstream} takes connections."),
        ("retreat", "paused") => "Resume it when the cause is mended, or abort it.".to_owned(),
        ("retreat", _) => "Nothing to do: it goes on by itself from there, or back.".to_owned(),
        ("start" | "advance" | "resume", "progressing") => "Nothing to do: if it fails, it goes back by itself.".to_owned(),
        _ => NOTHING_TO_DO.to_owned(),
    }
}

/// What the change did. Its author and reason are shown beside this sentence.
pub fn happened(row: &Row) -> String {
    let tried = row.release.as_deref().map_or("the canary", name_of);
    let stable = name_of(&row.stable);
    // Two releases with the same version are shown with their upstreams.
    let (tried, stable) = match (&row.release, tried == stable) {
        (Some(release), true) if *release != row.stable => (release.as_str(), row.stable.as_str()),
        _ => (tried, stable),
    };
    let (from, to) = (percent(row.from_percent), percent(row.to_percent));
    let back = format!("everybody is on {stable}");
    match row.decision.as_str() {
        "begin" => format!("serin begins with everybody on {stable}"),
        "start" => format!("{tried} starts at {to}"),
        "advance" => format!("{tried} goes from {from} to {to}"),
        "set_weight" if row.from_percent == row.to_percent => format!("{tried} is set to {to}"),
        "set_weight" => format!("{tried} is set from {from} to {to}"),
        "pause" => format!("{tried} is paused at {to}"),
        "resume" if row.from_percent == row.to_percent => format!("{tried} goes on at {to}"),
        "resume" => format!("{tried} goes on, from {from} to {to}"),
        "abort" => format!("{tried} is taken back from {from}; {back}"),
        "trip" => format!("{tried} takes no connections and goes from {from} to {to}; {back}"),
        "retreat" => format!("{tried} goes back from {from} to {to}"),
        "undo" => format!("{tried} is undone; {back} again"),
        "withdraw" if row.rehearsal => format!("the drill's {from} are back; {back}"),
        "withdraw" => format!("{tried} is withdrawn at {from}; {back}"),
        "promote" => format!("{tried} is promoted; everybody is on it"),
        "switch" => format!("everybody is switched to {tried}"),
        "adopt" => format!("{stable} is taken for what is live; everybody is on it"),
        "reassign" => "workspaces are assigned anew, by a change of the config".to_owned(),
        "desire" => "the config names another release".to_owned(),
        "freeze" => "it is frozen: nothing rises".to_owned(),
        "thaw" => "it is thawed".to_owned(),
        "drill" => format!("a drill sends {to} to {tried} for a moment"),
        "drilled" => "a drill of the way back went well".to_owned(),
        other => format!("{}: {tried} at {to}", other.replace('_', " ")),
    }
}
