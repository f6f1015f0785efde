//! The sentences about a rollout that is under way.

use super::action::Action;
use super::looks::{self, Looks};
use super::phrases::{ReleaseNames, broken, by_whom, canary_looks, customers};
use super::texts::{NOTHING_TO_DO, Summary, Urgency};
use super::until::{Then, Until};
use super::words::{clock, count, lasting, share, some, weight};
use crate::core::{Hold, Phase, RAISE_BELOW, Rollout, State, Weight, Worth};
use crate::live::Status;

pub(super) fn summary(status: &Status, rollout: &Rollout) -> Summary {
    let about = About::of(status, rollout);
    match status.state.phase {
        Phase::Paused => about.paused(),
        Phase::Held => about.held(),
        Phase::Progressing | Phase::Idle | Phase::Manual | Phase::Promoted | Phase::Aborted => about.progressing(),
    }
}

struct About<'a> {
    status: &'a Status,
    state: &'a State,
    rollout: &'a Rollout,
    names: ReleaseNames,
    looks: Looks,
    until: Option<Until>,
}

impl<'a> About<'a> {
    fn of(status: &'a Status, rollout: &'a Rollout) -> About<'a> {
        // At 0 % the last judgement is about requests of the past.
        let live = status.judged.as_ref().filter(|_| status.state.weight > Weight::ZERO);
        let looks = Looks::of(live);
        About { status, state: &status.state, rollout, names: ReleaseNames::of(&status.state), looks, until: Until::of(status) }
    }

    fn progressing(&self) -> Summary {
        let ReleaseNames { tried, stable } = &self.names;
        let hold = self.state.hold.as_ref();
        let mut said = self.said("is", Urgency::Watch);
        said.next = self.next(hold);
        match hold {
            Some(Hold::SharedCause { shock }) => {
                said.urgency = Urgency::Act;
                said.state = format!(
                    "All workspaces together have {shock:.1} times their usual errors, on {stable} as well: {tried} alone is not the cause. {}",
                    self.position("is")
                );
                said.todo = "Look for what both have in common, such as a database, the network or the platform.".to_owned();
            }
            Some(Hold::Refusals { .. }) => {
                let green = &self.rollout.release.upstream;
                said.state = format!("{} {}", self.refusals(hold), said.state);
                said.todo = format!("See why {green} refuses connections.");
            }
            Some(Hold::Retreated) => said.state = format!("{} {}", self.went_back(), said.state),
            Some(Hold::PolicyManual) if self.looks.is_suspicious() => return self.suspicious(said),
            Some(_) | None => {}
        }
        if self.looks == Looks::Fails {
            said.next = "It goes back by itself now.".to_owned();
            said.urgency = Urgency::Act;
        }
        said
    }

    /// The rollout waits for a human.
    fn held(&self) -> Summary {
        let said = self.said("is held", Urgency::Act);
        if self.looks.is_suspicious() {
            return self.suspicious(said);
        }
        let onward = self.onward();
        let decide = |why: &str| format!("{why} Nothing rises until you decide.");
        let (next, todo, action) = match self.state.hold.as_ref() {
            Some(Hold::AwaitingAdvance) => (
                "The policy is guarded: a human raises it.".to_owned(),
                format!("Advance it to {onward}, or abort it."),
                Some(Action::Advance),
            ),
            Some(Hold::PolicyManual) => (
                "The policy is manual: a human raises it.".to_owned(),
                format!("Advance it to {onward}, or abort it."),
                Some(Action::Advance),
            ),
            Some(Hold::MaxWeight { max }) => (
                format!("The next step, {onward}, is above the most that the config allows, max = {}.", weight(*max)),
                "Raise `max` in the config to go on, or abort it.".to_owned(),
                None,
            ),
            Some(Hold::Deadline { could_be, tolerated }) => (
                decide(&format!("At the deadline there were still too few requests to rule out harm: {}.", unseen(*could_be, *tolerated))),
                format!("Advance it to {onward} if that is enough for you, or abort it."),
                Some(Action::Advance),
            ),
            Some(Hold::Evidence { .. }) => {
                (decide("The deadline has passed."), "Abort it if in doubt, or advance it.".to_owned(), Some(Action::Abort))
            }
            Some(Hold::SharedCause { shock }) => (
                decide(&format!("The deadline has passed, and all workspaces together have {shock:.1} times their usual errors.")),
                "Look for what both have in common, such as a database, the network or the platform.".to_owned(),
                None,
            ),
            hold @ Some(Hold::Refusals { .. }) => (
                decide(&format!("The deadline has passed. {}", self.refusals(hold))),
                format!("See why {} refuses connections, or abort it.", self.rollout.release.upstream),
                Some(Action::Abort),
            ),
            Some(Hold::NoCanaryTraffic { .. } | Hold::NoStableTraffic { .. } | Hold::NotJudged) => (
                decide("The deadline has passed without enough requests to judge by."),
                format!("Advance it to {onward} if it should go on unjudged, or abort it."),
                Some(Action::Advance),
            ),
            Some(_) | None => (decide(""), format!("Advance it to {onward}, or abort it."), Some(Action::Advance)),
        };
        Summary { next: next.trim_start().to_owned(), todo, action, ..said }
    }

    fn paused(&self) -> Summary {
        let (status, names) = (self.status, &self.names);
        let (tried, green) = (&names.tried, &self.rollout.release.upstream);
        let moved = status.landmarks.moved();
        let at = moved.map_or(String::new(), |landmark| format!(" at {}", clock(landmark.at, status.times.unix)));
        let watched = "If it fails, it goes to 0 % by itself.".to_owned();
        let mut said = match self.state.hold.as_ref() {
            Some(Hold::Breaker(trip)) => {
                let broke = format!("{tried} takes no connections: {}.", broken(trip));
                return Summary {
                    urgency: Urgency::Act,
                    state: format!("{broke} It was taken to 0 %{at}."),
                    customers: customers(self.state, names, true),
                    next: "It does not go on by itself.".to_owned(),
                    todo: format!("Resume it when {green} takes connections again, or abort it."),
                    action: Some(Action::Resume),
                };
            }
            Some(Hold::Retreated) => {
                return Summary {
                    urgency: Urgency::Act,
                    state: self.went_back(),
                    customers: customers(self.state, names, true),
                    next: "It does not go on by itself.".to_owned(),
                    todo: "Resume it when the cause is mended, or abort it.".to_owned(),
                    action: Some(Action::Resume),
                };
            }
            Some(Hold::SetByHand) => {
                let set = format!("It was set to {}{}, which paused the rollout.", weight(self.state.weight), by_whom(status, moved));
                Summary { state: self.with_looks(&set), next: watched, ..self.said("is", Urgency::Watch) }
            }
            Some(_) | None => {
                let by = by_whom(status, status.landmarks.of("pause"));
                let paused = format!("It is paused at {}{by}.", weight(self.state.weight));
                Summary { state: self.with_looks(&paused), next: watched, ..self.said("is", Urgency::Watch) }
            }
        };
        if self.looks.is_suspicious() {
            return self.suspicious(said);
        }
        if self.state.weight == Weight::ZERO {
            said.next = "It does not go on by itself.".to_owned();
        }
        said.todo = "Resume it when it should go on.".to_owned();
        said.action = Some(Action::Resume);
        said
    }

    /// The evidence is against the canary, and a human decides, or may decide.
    fn suspicious(&self, said: Summary) -> Summary {
        let by_itself = self.rollout.plan.policy != crate::core::Policy::Manual;
        let next = match (by_itself, self.looks) {
            (false, _) => "The policy is manual: serin does not take it back by itself.".to_owned(),
            (true, Looks::Fails) => "It goes back by itself now.".to_owned(),
            (true, _) => self.goes_back_at(),
        };
        let todo = if by_itself { "Abort it if in doubt." } else { "Abort it." }.to_owned();
        let customers = customers(self.state, &self.names, true);
        Summary { urgency: Urgency::Act, next, todo, action: Some(Action::Abort), customers, ..said }
    }

    fn said(&self, is: &str, urgency: Urgency) -> Summary {
        Summary {
            urgency,
            state: self.with_looks(&self.position(is)),
            customers: customers(self.state, &self.names, self.looks.is_suspicious()),
            next: String::new(),
            todo: NOTHING_TO_DO.to_owned(),
            action: None,
        }
    }

    /// Adds how the canary looks, if any workspace is on it.
    fn with_looks(&self, position: &str) -> String {
        if self.state.weight == Weight::ZERO {
            return position.replacen("It ", &format!("{} ", self.names.tried), 1);
        }
        format!("{} {position}", canary_looks(self.status, &self.names))
    }

    /// `It is held at 25 %, step 4 of 7.`
    fn position(&self, is: &str) -> String {
        let (step, steps) = (self.rollout.step + 1, self.rollout.plan.steps.len());
        format!("It {is} at {}, step {step} of {steps}.", weight(self.state.weight))
    }

    fn went_back(&self) -> String {
        let landmark = self.status.landmarks.of("retreat");
        let (from, at) = landmark.map_or((String::new(), String::new()), |landmark| {
            (format!(" from {}", weight(landmark.from)), format!(" at {}", clock(landmark.at, self.status.times.unix)))
        });
        format!("{} went back{from} to {}{at}.", self.names.tried, weight(self.state.weight))
    }

    fn refusals(&self, hold: Option<&Hold>) -> String {
        let Some(Hold::Refusals { canary }) = hold else { return String::new() };
        format!(
            "{} of {} connections to {} were refused or reset; {} answered in its place.",
            canary.broken, canary.wanted, self.rollout.release.upstream, self.names.stable
        )
    }

    /// The next step, in words.
    fn onward(&self) -> String {
        match self.rollout.next().map(|step| step.weight).filter(|next| *next < Weight::FULL) {
            Some(next) => weight(next),
            None => "everybody".to_owned(),
        }
    }

    fn goes_back_at(&self) -> String {
        let e = looks::e(self.status.judged.as_ref());
        format!("It goes back by itself at E = {}, now {}.", count(self.status.guard.abort_at as u64), Worth(e))
    }

    /// What comes next while the rollout goes on without a human.
    fn next(&self, hold: Option<&Hold>) -> String {
        let Some(until) = &self.until else { return "It is looked at within a second.".to_owned() };
        let goes_on = format!("it goes to {}", self.onward());
        match hold {
            Some(Hold::Baking { left }) => {
                let bakes = format!("It bakes until {} ({})", self.clock(until.bakes), lasting(*left));
                match (&until.needs, until.then) {
                    (Some(_), _) => format!("{bakes}. {}", self.needs(until)),
                    _ if self.rollout.plan.policy == crate::core::Policy::Automatic => format!("{bakes}, then {goes_on} if it stays well."),
                    _ => format!("{bakes}, then you are asked."),
                }
            }
            Some(Hold::PolicyManual) => match until.bakes > self.status.times.unix {
                true => format!("It bakes until {}, then you are asked.", self.clock(until.bakes)),
                false => "The policy is manual: a human raises it.".to_owned(),
            },
            Some(Hold::Evidence { e }) => {
                format!("{} once E is below {RAISE_BELOW}, now {}. {}", capital(&goes_on), Worth(*e), self.latest(until))
            }
            Some(Hold::Frozen(why)) => format!("{} once it is thawed; it is frozen {why}.", capital(&goes_on)),
            Some(Hold::SharedCause { .. }) => format!("{} when that is over. {}", capital(&goes_on), self.latest(until)),
            Some(Hold::Refusals { .. }) => format!("{} when that has stopped. {}", capital(&goes_on), self.latest(until)),
            Some(Hold::Harm { could_be, tolerated }) => {
                format!("There are too few requests to rule out harm: {}. {}", unseen(*could_be, *tolerated), self.needs(until))
            }
            Some(Hold::NoCanaryTraffic { .. } | Hold::NoStableTraffic { .. }) => self.needs(until),
            Some(Hold::NotJudged) => format!("It has not been looked at in this step yet. {}", self.latest(until)),
            Some(Hold::StaleEvidence { .. }) => "Its evidence begins anew, with the requests of this step.".to_owned(),
            Some(_) | None => format!("It bakes until {}, then {goes_on} if it stays well.", self.clock(until.bakes)),
        }
    }

    /// `It needs about 60 more requests on v42, likely by 23:05 UTC. At 23:16 UTC at the latest you are asked.`
    fn needs(&self, until: &Until) -> String {
        let Some(needs) = until.needs else { return self.latest(until) };
        let on = if needs.of_canary { &self.names.tried } else { &self.names.stable };
        let by = until.expected.map_or(String::new(), |when| format!(", likely by {}", self.clock(when)));
        format!("It needs about {} on {on}{by}. {}", some(needs.requests, "more request"), self.latest(until))
    }

    fn latest(&self, until: &Until) -> String {
        match (until.decides, until.then) {
            (None, _) | (_, Then::Waits) => "There is no deadline.".to_owned(),
            (Some(at), Then::GoesOn) => format!("At {} at the latest it goes to {} if it is well.", self.clock(at), self.onward()),
            (Some(at), Then::Asks) => format!("At {} at the latest you are asked.", self.clock(at)),
        }
    }

    fn clock(&self, at: f64) -> String {
        clock(at, self.status.times.unix)
    }
}

/// `up to 11 % of its requests could be failing unseen, 2 % is tolerated`; the arguments are shares.
fn unseen(could_be: f64, tolerated: f64) -> String {
    format!("up to {} of its requests could be failing unseen, {} is tolerated", share(could_be.min(1.0), 1.0), share(tolerated, 1.0))
}

fn capital(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}
