//! What an operator may ask for, and how that becomes a command.

use std::sync::Arc;
use std::time::Duration;

use super::owner::Reply;
use super::pilot::{candidate, index, release};
use crate::config::Bot;
use crate::core::ratchet::{Command, Refusal};
use crate::core::{Freeze, Release, State, Weight};
use crate::live::{NotApplied, Snapshot};
use crate::store::NotDurable;
use crate::summary::{Action, Preview};

/// Who makes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// By name.
    Operator(Arc<str>),
    Config,
    /// serin itself.
    Ratchet,
}

impl Actor {
    pub fn kind(&self) -> &'static str {
        match self {
            Actor::Operator(_) => "operator",
            Actor::Config => "config",
            Actor::Ratchet => "ratchet",
        }
    }

    pub fn name(&self) -> &str {
        match self {
            Actor::Operator(name) => name,
            Actor::Config | Actor::Ratchet => self.kind(),
        }
    }
}

/// A wish, and how it is meant.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    pub bot: String,
    pub wish: Wish,
    /// The revision that they saw.
    pub based_on: Option<u64>,
    pub actor: Actor,
    /// Against a freeze, a preflight, or evidence that says fail.
    pub force: bool,
    pub reason: Option<String>,
}

/// A request, and who waits for its answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub request: ChangeRequest,
    pub reply: ReplyTo,
}

/// Who waits for the answer to a request.
#[derive(Debug)]
pub enum ReplyTo {
    /// It is to be done.
    Change(Reply<Arc<Snapshot>, ChangeError>),
    /// It is only to be told what would be done.
    Preview(Reply<Preview, ChangeError>),
}

impl ReplyTo {
    pub fn refuse(self, error: ChangeError) {
        match self {
            ReplyTo::Change(reply) => drop(reply.send(Err(error))),
            ReplyTo::Preview(reply) => drop(reply.send(Err(error))),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Wish {
    SetWeight(Weight),
    /// To the only other upstream, if none is named.
    Start {
        upstream: Option<String>,
        version: Option<String>,
        retry: bool,
        /// The rollout under way makes room.
        replace: bool,
    },
    Pause,
    Resume,
    Advance,
    Promote,
    Abort,
    Undo,
    Switch {
        upstream: Option<String>,
        version: Option<String>,
    },
    Adopt {
        upstream: Option<String>,
        version: Option<String>,
    },
    Freeze,
    Thaw,
}

impl Wish {
    pub fn action(&self) -> Action {
        match self {
            Wish::SetWeight(_) => Action::Weight,
            Wish::Start { .. } => Action::Start,
            Wish::Pause => Action::Pause,
            Wish::Resume => Action::Resume,
            Wish::Advance => Action::Advance,
            Wish::Promote => Action::Promote,
            Wish::Abort => Action::Abort,
            Wish::Undo => Action::Undo,
            Wish::Switch { .. } => Action::Switch,
            Wish::Adopt { .. } => Action::Adopt,
            Wish::Freeze => Action::Freeze,
            Wish::Thaw => Action::Thaw,
        }
    }

    /// May it be asked for where the config is the only way in?
    pub fn takes_back(&self) -> bool {
        self.action().takes_back()
    }
}

/// Why a change was not made. Nothing has changed then, except after `NotApplied`: some workers serve it already.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no bot {name:?}; there are {}", list(.known))]
    UnknownBot { name: String, known: Vec<String> },
    #[error("bot {bot:?} has only one upstream: there is nothing to send a share to; add a second one to its upstreams")]
    OneUpstream { bot: String },
    #[error("bot {bot:?} has several upstreams besides stable: say which is meant, with canary = one of {}", list(.choices))]
    WhichCanary { bot: String, choices: Vec<String> },
    #[error("bot {bot:?} has no upstream {name:?}; it has {}", list(.known))]
    UnknownUpstream { bot: String, name: String, known: Vec<String> },
    #[error("bot {bot:?}: {refusal}")]
    Refused { bot: String, refusal: Refusal },
    #[error("bot {bot:?}: {side} is not fit to serve: {why}")]
    Preflight { bot: String, side: String, why: String },
    #[error("bot {bot:?}: {what} takes a reason: it stands in the history")]
    NoReason { bot: String, what: &'static str },
    #[error("bot {bot:?}: {by} changed it while this waited for the disk, and this was not done: look again and repeat it")]
    Overtaken { bot: String, by: String },
    #[error("bot {bot:?}: {waiting} requests wait for a change of it that the disk has not taken yet: repeat this in a moment")]
    Busy { bot: String, waiting: usize },
    #[error("serin is ending: this was not done")]
    Ending,
    #[error("[admin] read_only: only the config changes what serves; abort, undo, pause and freeze are possible here")]
    ReadOnly,
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    #[error(transparent)]
    NotApplied(#[from] NotApplied),
}

/// An operator's wish as the ratchet takes it.
pub(super) fn command(bot: &Bot, state: &State, request: &ChangeRequest) -> Result<Command, ChangeError> {
    let by = || Arc::from(request.actor.name());
    Ok(match &request.wish {
        Wish::SetWeight(weight) => {
            let canary = match (&state.canary, state.under_way()) {
                (Some(canary), Some(_)) => canary.clone(),
                _ => the_other(bot, state)?,
            };
            Command::SetWeight { weight: *weight, canary }
        }
        Wish::Start { upstream, version, retry, .. } => Command::Start {
            release: wanted(bot, state, upstream.as_deref(), version.as_deref())?,
            plan: bot.rollout.clone(),
            retry: *retry,
        },
        Wish::Switch { upstream, version } => Command::Switch {
            release: wanted(bot, state, upstream.as_deref(), version.as_deref())?,
            watch: bot.rollout.steps.first().map_or(Duration::ZERO, |step| step.bake),
        },
        Wish::Adopt { upstream, version } => {
            let name = upstream.clone().unwrap_or_else(|| state.stable.upstream.to_string());
            Command::Adopt { stable: wanted(bot, state, Some(&name), version.as_deref())? }
        }
        Wish::Pause => Command::Pause,
        Wish::Resume => Command::Resume,
        Wish::Advance => Command::Advance { force: request.force },
        Wish::Promote => Command::Promote { force: request.force },
        Wish::Abort => Command::Abort,
        Wish::Undo => Command::Undo { by: by() },
        Wish::Freeze => Command::Freeze(Freeze { by: by(), why: request.reason.as_deref().map(Arc::from) }),
        Wish::Thaw => Command::Thaw,
    })
}

fn wanted(bot: &Bot, state: &State, upstream: Option<&str>, version: Option<&str>) -> Result<Release, ChangeError> {
    let mut release = match upstream {
        Some(name) => named(bot, name)?,
        None => the_other(bot, state)?,
    };
    release.version = version.map(Arc::from).or(release.version);
    Ok(release)
}

/// Who is meant where no name is given.
pub(super) fn the_other(bot: &Bot, state: &State) -> Result<Release, ChangeError> {
    let stable = index(bot, &state.stable).unwrap_or(bot.stable);
    if let Some(canary) = candidate(bot, stable) {
        return Ok(release(&bot.upstreams[canary]));
    }
    let others = bot.upstreams.iter().enumerate().filter(|(i, _)| *i != stable);
    let choices: Vec<String> = others.map(|(_, upstream)| upstream.name.to_string()).collect();
    Err(match choices.is_empty() {
        true => ChangeError::OneUpstream { bot: bot.name.to_string() },
        false => ChangeError::WhichCanary { bot: bot.name.to_string(), choices },
    })
}

pub(super) fn named(bot: &Bot, name: &str) -> Result<Release, ChangeError> {
    let found = bot.upstreams.iter().find(|upstream| &*upstream.name == name).map(release);
    found.ok_or_else(|| ChangeError::UnknownUpstream {
        bot: bot.name.to_string(),
        name: name.to_owned(),
        known: bot.upstreams.iter().map(|upstream| upstream.name.to_string()).collect(),
    })
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
