//! What an action would do, in sentences: shown before an operator confirms it.

use std::time::Duration;

use super::action::Action;
use super::phrases::ReleaseNames;
use super::words::{lasting, share, some, weight};
use crate::core::{Hold, Phase, Release, State, Weight};

/// An action that was planned, but not done.
#[derive(Clone, Debug)]
pub struct Preview {
    pub bot: String,
    pub action: Action,
    /// The names of the action's decisions. Empty if nothing would change.
    pub decisions: Vec<&'static str>,
    pub before: State,
    pub after: State,
    /// The workspaces that would change their track. `None` if the traffic is not known, or none would.
    pub moves: Option<Moves>,
    /// The release that would be quarantined.
    pub quarantines: Option<Release>,
    /// How long a switch would be watched.
    pub watch: Option<Duration>,
    /// The config's window that is open, which a thaw does not end.
    pub frozen_by_config: Option<String>,
    /// How long the current step has lasted.
    pub in_step: Option<Duration>,
    /// A drill's idle side, and how long customers would be on it.
    pub rehearsed: Option<(Release, Option<Duration>)>,
}

/// What would move, by the bot's usual traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moves {
    pub active_buckets: usize,
    /// The share of all the bot's requests, 0 to 1.
    pub requests_share: f64,
}

impl Preview {
    /// One or more sentences.
    pub fn lines(&self) -> Vec<String> {
        if self.decisions.is_empty() && self.action != Action::Drill {
            return vec!["It is so already: nothing would change.".to_owned()];
        }
        let mut lines = self.what_happens();
        if let Some(quarantined) = &self.quarantines {
            lines.push(format!("{quarantined} is quarantined: it is not rolled out again unless somebody starts it with retry."));
        }
        lines
    }

    fn what_happens(&self) -> Vec<String> {
        let (before, after) = (&self.before, &self.after);
        let ReleaseNames { tried, stable } = ReleaseNames::of(if after.canary.is_some() { after } else { before });
        let moves = self.moving();
        if after.phase == Phase::Promoted && self.action != Action::Switch && before.stable != after.stable {
            return vec![
                format!("Everybody goes to {tried} now{moves}, and it becomes stable."),
                format!("{} stays there for an undo.", before.stable),
            ];
        }
        match self.action {
            Action::Advance => vec![
                format!("{tried} goes from {} to {} of the workspaces{moves}.", weight(before.weight), weight(after.weight)),
                format!("That step bakes for {}; if {tried} fails, it goes to 0 % by itself.", self.bake()),
            ],
            Action::Start => self.start(&tried, &moves),
            Action::Weight => self.set_weight(&tried, &stable, &moves),
            Action::Pause => {
                vec![format!("{tried} stays at {}. It is still watched: if it fails, it goes to 0 % by itself.", weight(before.weight))]
            }
            Action::Resume => self.resume(&tried, &moves),
            Action::Abort => vec![format!("Everybody goes back to {} at once{moves}.", after.stable)],
            Action::Undo if before.stable != after.stable => vec![
                format!("Everybody goes back from {} to {} at once{moves}.", before.stable, after.stable),
                "Requests that are under way end where they began.".to_owned(),
            ],
            Action::Undo => vec![format!("Everybody goes back to {} at once{moves}.", after.stable)],
            Action::Switch => {
                let watched = self.watch.map_or(String::new(), |time| format!(" It is watched for {}.", lasting(time)));
                vec![
                    format!("Everybody goes from {} to {} at once{moves}, without a rollout.", before.stable, after.stable),
                    format!("Nobody is left to compare with.{watched} {} stays there for an undo.", before.stable),
                ]
            }
            Action::Adopt => {
                vec![format!("serin takes {} for what is live: everybody is sent there at once, without a rollout.", after.stable)]
            }
            Action::Promote => Vec::new(),
            Action::Drill => self.drill(),
            Action::Freeze => vec!["Nothing rises until it is thawed. Everything may still fall.".to_owned()],
            Action::Thaw => {
                let window = self.frozen_by_config.as_ref().map(|window| format!("A window of the config still freezes it: {window}."));
                vec![window.unwrap_or_else(|| "What was held by the freeze goes on.".to_owned())]
            }
        }
    }

    fn start(&self, tried: &str, moves: &str) -> Vec<String> {
        let (before, after) = (&self.before, &self.after);
        let room =
            before.under_way().map(|rollout| format!("The rollout of {} ends first, at 0 %, without a quarantine.", rollout.release));
        let steps = after.rollout.as_ref().map_or(String::new(), |rollout| {
            let steps: Vec<String> = rollout.plan.steps.iter().map(|step| weight(step.weight)).collect();
            format!(
                "The steps are {}; serin goes on by the policy {}, and back by itself if {tried} fails.",
                steps.join(", "),
                rollout.plan.policy.name()
            )
        });
        room.into_iter().chain([format!("{tried} starts at {} of the workspaces{moves}.", weight(after.weight)), steps]).collect()
    }

    fn set_weight(&self, tried: &str, stable: &str, moves: &str) -> Vec<String> {
        let (before, after) = (&self.before, &self.after);
        let goes = match (before.weight, after.weight) {
            (Weight::ZERO, Weight::ZERO) => format!("Everybody stays on {stable}."),
            (_, Weight::ZERO) => format!("Everybody goes back to {stable} at once{moves}."),
            (_, to) => format!("{tried} goes from {} to {} of the workspaces{moves}.", weight(before.weight), weight(to)),
        };
        let then = match (after.under_way(), after.weight) {
            (Some(_), _) => "The rollout pauses there.".to_owned(),
            (None, Weight::ZERO) => format!("{tried} is not quarantined."),
            (None, _) => format!("serin does not raise it; if {tried} fails, it goes to 0 % by itself."),
        };
        vec![goes, then]
    }

    fn resume(&self, tried: &str, moves: &str) -> Vec<String> {
        let (before, after) = (&self.before, &self.after);
        let goes = match before.weight == after.weight {
            true => format!("The rollout of {tried} goes on at {}.", weight(after.weight)),
            false => format!(
                "The rollout of {tried} goes on: from {} to {} of the workspaces{moves}.",
                weight(before.weight),
                weight(after.weight)
            ),
        };
        let only_paused = before.hold == Some(Hold::Paused) && before.weight == after.weight;
        let bake = after.rollout.as_ref().map_or(Duration::ZERO, |rollout| rollout.current().bake);
        let left = bake.saturating_sub(self.in_step.unwrap_or_default());
        let bakes = match only_paused {
            true if left.is_zero() => "The step has baked; the next one follows when the evidence allows it.".to_owned(),
            true => format!("What has baked counts: {} are left.", lasting(left)),
            false => format!("The step bakes anew, for {}.", lasting(bake)),
        };
        vec![goes, bakes]
    }

    fn drill(&self) -> Vec<String> {
        let Some((idle, lasts)) = &self.rehearsed else { return Vec::new() };
        let moved = match lasts {
            None => "No workspace is moved.".to_owned(),
            Some(lasts) => {
                format!("Then {} of the workspaces{} go to it for {}, and back.", weight(self.after.weight), self.moving(), lasting(*lasts))
            }
        };
        vec![format!("{idle} is asked whether it is well, and the way back is gone through and measured."), moved]
    }

    /// ` (about 31 active buckets, usually 38 % of the requests)`, or empty if that is not known.
    fn moving(&self) -> String {
        self.moves.map_or(String::new(), |moves| {
            let buckets = some(moves.active_buckets as u64, "active bucket");
            format!(" (about {buckets}, usually {} of the requests)", share(moves.requests_share, 1.0))
        })
    }

    fn bake(&self) -> String {
        self.after.rollout.as_ref().map_or(String::new(), |rollout| lasting(rollout.current().bake))
    }
}
