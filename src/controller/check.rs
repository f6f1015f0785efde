//! Checks of an upstream: whether it takes connections, or passes the preflight. A check takes time, so it is made outside the owner.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::rehearsal::Rehearsal;
use super::wish::Waiting;
use crate::config::{Bot, BotName, Config};
use crate::core::Release;
use crate::core::ratchet::Facts;

/// The outcome of a check: `Ok` if the side is fit, otherwise the reason.
pub type Checking<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Makes the checks. `app` implements it by calls to the proxy, so that the controller does not depend on the proxy.
pub trait Sides: Send + Sync {
    /// Checks that the upstream takes a connection within that time.
    fn connects<'a>(&'a self, bot: &'a Bot, upstream: usize, within: Duration) -> Checking<'a>;

    /// Checks that the upstream answers as `[bot.preflight]` demands.
    fn preflight<'a>(&'a self, bot: &'a Bot, upstream: usize) -> Checking<'a>;
}

/// A check to be made. `bot` and `upstream` are indices into `config`, which stays the same when another config is loaded.
#[derive(Clone, Debug)]
pub struct Check {
    pub config: Arc<Config>,
    pub bot: usize,
    pub upstream: usize,
    pub how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    Connects { within: Duration },
    Preflight,
}

impl Check {
    pub async fn make(&self, sides: &dyn Sides) -> Result<(), String> {
        let bot = &self.config.bots[self.bot];
        match self.how {
            How::Connects { within } => sides.connects(bot, self.upstream, within).await,
            How::Preflight => sides.preflight(bot, self.upstream).await,
        }
    }
}

/// What a check is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// An operator's change that would send workspaces to `side`; `config` is the one in force when the check began.
    Change {
        waiting: Waiting,
        side: Release,
        config: Arc<Config>,
    },
    Drill(Box<Rehearsal>),
    /// A switch looks bad: does the side before it take connections, so that the switch can be undone? With the facts of that tick.
    Undo {
        bot: BotName,
        facts: Facts,
    },
    /// The config names the release that was stable before: does its side take connections?
    WayBack {
        bot: BotName,
    },
    /// The config names a release to roll out: does its side pass the preflight?
    Follow {
        bot: BotName,
        wanted: Release,
    },
    /// The bot has no history: does the config's stable side take connections?
    IsStableThere {
        bot: BotName,
    },
    /// It does not: does the side of the config's release pass the preflight, so that it can serve instead?
    StandIn {
        bot: BotName,
        wanted: Release,
    },
}

/// An undo must not wait long for a side that is gone. TLS takes some more round trips.
const CONNECTS_WITHIN: Duration = Duration::from_millis(50);
const CONNECTS_WITHIN_TLS: Duration = Duration::from_secs(1);

/// The check of a side before going back to it: a connection within 50 ms, or 1 s with TLS.
pub(super) fn there(bot: &Bot, upstream: usize) -> How {
    How::Connects { within: if bot.upstreams[upstream].url.tls { CONNECTS_WITHIN_TLS } else { CONNECTS_WITHIN } }
}
