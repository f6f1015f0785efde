//! The requests that an operator can make, and the ratchet's command for each.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::roles::{candidate, index, release};
use crate::config::Bot;
use crate::core::ratchet::{Command, Refusal};
use crate::core::{Freeze, Release, State, Weight};
use crate::live::{NotApplied, Snapshot};
use crate::store::NotDurable;
use crate::summary::{Action, Preview};

/// Sends the answer to a request. A closed receiver is no error: the request is carried out all the same.
pub type ReplySender<T, E> = oneshot::Sender<Result<T, E>>;

/// Who makes a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A name: see `actor` in the glossary.
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

/// A request to change a bot.
#[derive(Clone, Debug)]
pub struct ChangeRequest {
    pub bot: String,
    pub wish: Wish,
    /// The revision that the caller saw: with another one the request is refused. `None` accepts any.
    pub based_on: Option<u64>,
    pub actor: Actor,
    /// Overrides a freeze, a failed preflight and the verdict `fail`.
    pub force: bool,
    pub reason: Option<String>,
}

/// A request, and the caller to answer.
#[derive(Debug)]
pub(super) struct Waiting {
    pub request: ChangeRequest,
    pub reply: ReplyTo,
}

/// The caller that waits for the answer.
#[derive(Debug)]
pub enum ReplyTo {
    /// The request is to be carried out.
    Change(ReplySender<Arc<Snapshot>, ChangeError>),
    /// The caller only wants to know what it would do.
    Preview(ReplySender<Preview, ChangeError>),
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
        /// Withdraws a rollout that is under way.
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

    /// Whether the wish is allowed under `[admin] read_only`.
    pub fn takes_back(&self) -> bool {
        self.action().takes_back()
    }
}

/// Why a change was refused. Nothing has changed, except after `NotApplied`: then some workers serve the change already.
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
    #[error("bot {bot:?}: {what} takes a reason, which is kept in the history")]
    NoReason { bot: String, what: &'static str },
    #[error("bot {bot:?}: not done, because {by} changed it while the request waited for the disk: check the bot, then repeat")]
    Overtaken { bot: String, by: String },
    #[error("bot {bot:?}: {waiting} requests wait for a change that is not on the disk yet: repeat the request in a moment")]
    Busy { bot: String, waiting: usize },
    #[error("serin is ending: this was not done")]
    Ending,
    #[error("a newer serin takes over: this was not done; repeat it in a moment, and the newer one answers")]
    TakesOver,
    #[error("[admin] read_only: only the config changes what serves; abort, undo, pause and freeze are possible here")]
    ReadOnly,
    #[error(transparent)]
    NotDurable(#[from] NotDurable),
    #[error(transparent)]
    NotApplied(#[from] NotApplied),
}

/// The ratchet's command for an operator's wish.
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

/// The release that is meant if the caller names no upstream.
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
