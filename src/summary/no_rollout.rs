//! The sentences about a bot without a rollout under way: a weight that was set by hand, a rollout that has ended, or neither.

use super::action::Action;
use super::looks::{self, Looks};
use super::phrases::{ReleaseNames, broken, by_whom, canary_looks, customers};
use super::texts::{NOTHING_TO_DO, Summary, Urgency};
use super::words::{clock, count, evidence, lasting, short, weight};
use crate::core::{AbortReason, Hold, Landmark, Policy, Release, Weight, Worth};
use crate::live::Status;

fn said(urgency: Urgency, state: String, customers: String) -> Summary {
    Summary { urgency, state, customers, next: String::new(), todo: NOTHING_TO_DO.to_owned(), action: None }
}

/// A weight that was set by hand, or a drill, and what serin made of either.
pub(super) fn by_hand(status: &Status) -> Summary {
    let (state, names) = (&status.state, ReleaseNames::of(&status.state));
    let tried = &names.tried;
    let moved = status.landmarks.moved();
    let at = |landmark: Option<&Landmark>| landmark.map_or(String::new(), |one| format!(" at {}", clock(one.at, status.times.unix)));
    if let (Hold::Drill, Some(until)) = (state.hold.as_ref().unwrap_or(&Hold::SetByHand), state.drill_until) {
        let until = clock(status.times.unix_at(until), status.times.unix);
        let mut drill = said(
            Urgency::Watch,
            format!("A drill is on: {} of the workspaces rehearse on {tried}.", weight(state.weight)),
            customers(state, &names, false),
        );
        drill.next = format!("They go back by themselves, at {until} at the latest.");
        return drill;
    }
    if state.weight == Weight::ZERO {
        let from = status.landmarks.newest_of(&["abort", "trip"]);
        let share = from.map_or(String::new(), |landmark| format!(" from {}", weight(landmark.from)));
        let customers = customers(state, &names, true);
        return match &state.hold {
            Some(Hold::Breaker(trip)) => Summary {
                todo: format!("Set the weight again when {tried} takes connections."),
                action: Some(Action::Weight),
                ..said(
                    Urgency::Act,
                    format!("{tried} takes no connections: {}. It was taken{share} to 0 %{}.", broken(trip), at(from)),
                    customers,
                )
            },
            Some(Hold::Failed(why)) => {
                said(Urgency::None, format!("{tried} was taken back{share} to 0 %{}: {}.", at(from), reason(why, from, &names)), customers)
            }
            _ => said(Urgency::None, format!("Nobody is on {tried}."), customers),
        };
    }
    let looks = Looks::of(status.judged.as_ref());
    let set = format!("It was set to {}{}.", weight(state.weight), by_whom(status, moved));
    let shown = format!("{} {set}", canary_looks(status, &names));
    let mut summary = said(Urgency::Watch, shown, customers(state, &names, looks.is_suspicious()));
    let acts = status.guard.by_hand != Policy::Manual;
    let e = looks::e(status.judged.as_ref());
    summary.next = match (acts, looks) {
        (false, _) => "serin changes it only if it takes no connections: the policy is manual.".to_owned(),
        (true, Looks::Fails) => "It goes to 0 % by itself now.".to_owned(),
        (true, Looks::Worse) => format!("It goes to 0 % by itself at E = {}, now {}.", count(status.guard.abort_at as u64), Worth(e)),
        (true, _) => "serin does not raise it; if it fails, it goes to 0 % by itself.".to_owned(),
    };
    if looks.is_suspicious() {
        summary.urgency = Urgency::Act;
        summary.todo = if acts { "Abort it if in doubt." } else { "Abort it." }.to_owned();
        summary.action = Some(Action::Abort);
    }
    summary
}

/// The release that was the canary is stable.
pub(super) fn promoted(status: &Status) -> Summary {
    let (state, now) = (&status.state, status.times.unix);
    let stable = short(&state.stable);
    let ended = status.landmarks.newest_of(&["promote", "switch"]);
    let switched = ended.is_some_and(|landmark| landmark.decision == "switch");
    let since = ended.map_or(String::new(), |landmark| format!(" since {}", clock(landmark.at, now)));
    let took = ended.zip(status.landmarks.of("start")).filter(|(end, start)| !switched && start.revision < end.revision);
    let took = took.map_or(String::new(), |(end, start)| {
        format!(", took {}", lasting(std::time::Duration::from_secs_f64((end.at - start.at).max(0.0))))
    });
    let by = if switched { format!("; switched{}", by_whom(status, ended)) } else { String::new() };
    let everybody = format!("Everybody is on {stable}.");
    let mut summary = said(Urgency::None, format!("100 % on {stable}{since}{took}{by}."), everybody);
    let former = state.previous.as_ref().map(|former| &former.release);
    summary.next = way_back(status, former);
    if let Some(until) = state.watched_until.map(|until| status.times.unix_at(until)).filter(|until| *until > now) {
        summary.urgency = Urgency::Watch;
        let back = former.map_or("the side before it".to_owned(), ToString::to_string);
        summary.next = match status.guard.by_hand {
            Policy::Automatic => format!(
                "It is watched until {}: if it takes no connections or crosses a limit, everybody goes back to {back} by themselves.",
                clock(until, now)
            ),
            Policy::Guarded | Policy::Manual => format!("It is watched until {}.", clock(until, now)),
        };
    }
    if let (Some(Hold::Failed(why)), Some(former)) = (&state.hold, former) {
        let names = ReleaseNames { tried: stable.to_owned(), stable: short(former).to_owned() };
        summary.urgency = Urgency::Act;
        summary.state = format!("{stable} fails after the switch: {}. {}", reason(why, None, &names), summary.state);
        summary.next = match status.guard.by_hand {
            Policy::Automatic => format!("serin cannot go back by itself, for {former} takes no connections."),
            Policy::Guarded | Policy::Manual => "The policy leaves the way back to you.".to_owned(),
        };
        summary.todo = format!("Undo it; if {former} is down, start it first.");
        summary.action = Some(Action::Undo);
    }
    summary
}

/// A release was taken back.
pub(super) fn aborted(status: &Status) -> Summary {
    let state = &status.state;
    let stable = short(&state.stable);
    let ended = status.landmarks.newest_of(&["abort", "undo"]);
    let taken_back = state.quarantine.last();
    let release = taken_back.map_or("The release".to_owned(), |quarantined| match short(&quarantined.release) == stable {
        true => quarantined.release.to_string(),
        false => short(&quarantined.release).to_owned(),
    });
    let names = ReleaseNames { tried: release.clone(), stable: stable.to_owned() };
    let from =
        ended.filter(|landmark| landmark.from > Weight::ZERO).map_or(String::new(), |landmark| format!(" at {}", weight(landmark.from)));
    let undone = ended.is_some_and(|landmark| landmark.decision == "undo");
    let done = if undone { "was undone".to_owned() } else { format!("was taken back{from}") };
    let by = by_whom(status, ended);
    let why = taken_back.map(|quarantined| quarantined.why);
    let why = why.filter(|why| !matches!(why, AbortReason::Operator | AbortReason::Undone));
    let why = why.map_or(String::new(), |why| format!(": {}", reason(&why, ended, &names)));
    let concentration = status.concentration.map_or(String::new(), |concentration| format!(" {concentration}"));
    let what = format!("{release} {done}{by}{why}.{concentration}");
    let mut summary = said(Urgency::None, what, format!("Nobody is on it; everybody is on {stable}."));
    summary.next = "It is not rolled out again unless somebody starts it with retry.".to_owned();
    summary
}

pub(super) fn idle(status: &Status) -> Summary {
    let state = &status.state;
    let ended = status.landmarks.moved();
    let back = ended.filter(|landmark| landmark.decision == "abort" && landmark.revision > 1);
    let happened = back.map(|landmark| {
        let release = landmark.release.as_deref().unwrap_or("The canary");
        format!(" {release} was taken back from {}{}.", weight(landmark.from), by_whom(status, Some(landmark)))
    });
    let state_text = format!("Nothing is being rolled out.{}", happened.unwrap_or_default());
    let mut summary = said(Urgency::None, state_text, format!("Everybody is on {}.", short(&state.stable)));
    summary.next = way_back(status, state.previous.as_ref().map(|former| &former.release));
    if state.hold == Some(Hold::NoHistory) {
        summary.state = "Nothing is known of what served before.".to_owned();
        summary.todo = "Start the config's release if it is new, or adopt it if it is live already.".to_owned();
    }
    summary
}

fn way_back(status: &Status, former: Option<&Release>) -> String {
    match (former, status.previous) {
        (Some(former), Some((_, true))) => format!("{former} is free to tear down."),
        (Some(former), _) => format!("{former} stays there for an undo."),
        (None, _) => String::new(),
    }
}

/// Why the release was taken back, with the rates if they are known.
fn reason(why: &AbortReason, landmark: Option<&Landmark>, names: &ReleaseNames) -> String {
    match why {
        AbortReason::Operator | AbortReason::Undone => why.to_string(),
        AbortReason::Limit(crossed) => looks::limit(crossed, &names.stable),
        AbortReason::Broken(trip) => format!("it takes no connections, {}", broken(trip)),
        AbortReason::Evidence { e } => landmark
            .and_then(|landmark| landmark.why.clone())
            .unwrap_or_else(|| format!("the evidence says that it fails ({})", evidence(*e))),
    }
}
