//! The actions that a bot's state allows now, and why the others would be refused. Each action is tried on the state that the status
//! shows. An action that is offered is refused later only if the state changes meanwhile or a side fails its preflight.

use std::sync::Arc;

use super::wish::{Actor, ChangeError, ChangeRequest, Wish, command, the_other};
use crate::config::{Bot, Config};
use crate::core::ratchet::{self, Command, Decision, Input, Refusal};
use crate::core::{Frozen, Guard, Release, State, Weight};
use crate::live::Status;
use crate::summary::Action;

/// Every action, each with the reason why it would be refused; `None` if it would be done.
pub fn possible(config: &Config, bot: &Bot, status: &Status) -> Vec<(Action, Option<String>)> {
    let tried = Tried::of(config, bot, status);
    Action::ALL.map(|action| (action, tried.refusal(action))).into()
}

/// Whether one action would be done.
pub fn is_possible(config: &Config, bot: &Bot, status: &Status, action: Action) -> bool {
    Tried::of(config, bot, status).refusal(action).is_none()
}

struct Tried<'a> {
    config: &'a Config,
    bot: &'a Bot,
    status: &'a Status,
    guard: Guard,
}

impl<'a> Tried<'a> {
    fn of(config: &'a Config, bot: &'a Bot, status: &'a Status) -> Tried<'a> {
        let frozen = Frozen::of(status.durability.failing.as_deref(), status.frozen.as_deref());
        Tried { config, bot, status, guard: Guard { frozen, ..status.guard.clone() } }
    }

    fn refusal(&self, action: Action) -> Option<String> {
        let state = &self.status.state;
        if self.config.admin.read_only && !action.takes_back() && action != Action::Drill {
            return Some(ChangeError::ReadOnly.to_string());
        }
        let wish = match action {
            Action::Advance => Wish::Advance,
            Action::Pause => Wish::Pause,
            Action::Resume => Wish::Resume,
            Action::Abort => Wish::Abort,
            Action::Undo => Wish::Undo,
            Action::Promote => Wish::Promote,
            Action::Freeze => Wish::Freeze,
            Action::Thaw => Wish::Thaw,
            Action::Weight => return self.weight(),
            Action::Adopt => Wish::Adopt { upstream: None, version: Some("another".to_owned()) },
            Action::Drill => return self.drill(),
            // The most permissive form: `retry` allows a quarantined release, and `replace` a rollout under way.
            Action::Start => return self.to_another(|upstream| Wish::Start { upstream, version: None, retry: true, replace: true }),
            Action::Switch => return self.to_another(|upstream| Wish::Switch { upstream, version: None }),
        };
        self.tried(state, wish)
    }

    /// Tries 0 % if the canary has a share, and the least weight otherwise.
    fn weight(&self) -> Option<String> {
        let weight = if self.status.state.weight > Weight::ZERO { Weight::ZERO } else { Weight::from_bp(1).unwrap_or_default() };
        match the_other(self.bot, &self.status.state) {
            // The caller must name the canary, so only a rollout under way can refuse.
            Err(ChangeError::WhichCanary { .. }) => {
                self.status.state.under_way().and_then(|_| self.tried(&self.status.state, Wish::SetWeight(weight)))
            }
            _ => self.tried(&self.status.state, Wish::SetWeight(weight)),
        }
    }

    fn to_another(&self, wish: impl Fn(Option<String>) -> Wish) -> Option<String> {
        let state = &self.status.state;
        let another = self.bot.upstreams.iter().find(|upstream| upstream.name != state.stable.upstream);
        let wish = wish(another.map(|upstream| upstream.name.to_string()));
        match (&wish, state.under_way()) {
            (Wish::Start { replace: true, .. }, Some(_)) => {
                let input = Input::Command { command: Command::Withdraw, based_on: None };
                let (after, _) = ratchet::step(state.clone(), &input, &self.guard, self.status.times.clock);
                self.tried(&after, wish)
            }
            _ => self.tried(state, wish),
        }
    }

    fn drill(&self) -> Option<String> {
        let state = &self.status.state;
        if let Err(error @ ChangeError::OneUpstream { .. }) = the_other(self.bot, state) {
            return Some(error.to_string());
        }
        let refusal = match (state.under_way(), &state.canary) {
            (Some(_), Some(canary)) => Refusal::UnderWay(canary.clone()),
            _ if state.drill_until.is_some() => Refusal::Drill,
            _ if state.is_live() => Refusal::LiveSplit { weight: state.weight },
            _ => return None,
        };
        Some(refusal.to_string())
    }

    fn tried(&self, state: &State, wish: Wish) -> Option<String> {
        let request = ChangeRequest {
            bot: self.bot.name.to_string(),
            wish,
            based_on: None,
            actor: Actor::Operator(Arc::from("")),
            force: false,
            reason: None,
        };
        let command = match command(self.bot, state, &request) {
            Ok(command) => command,
            Err(error) => return Some(error.to_string()),
        };
        let input = Input::Command { command, based_on: None };
        match ratchet::step(state.clone(), &input, &self.guard, self.status.times.clock).1 {
            Decision::Refuse(refusal) => Some(refusal.to_string()),
            Decision::Nothing => Some(already(request.wish.action(), &state.stable)),
            _ => None,
        }
    }
}

fn already(action: Action, stable: &Release) -> String {
    match action {
        Action::Pause => "it is paused already".to_owned(),
        Action::Abort => format!("it was taken back already: everybody is on {stable}"),
        Action::Thaw => "nobody has frozen it; a window of the config ends by itself".to_owned(),
        _ => "it is so already".to_owned(),
    }
}
