//! Looks at a side: whether it takes connections, or answers as the preflight wants it. They take their time, so they are made
//! outside the owner; what each was for is kept here until its answer comes.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::drill::Rehearsal;
use super::owner::{Effect, Owner};
use super::wish::Waiting;
use crate::config::{Bot, BotName, Config};
use crate::core::Release;
use crate::core::ratchet::Facts;
use crate::store::Ticket;

/// Fit, or why not.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// Who can look at a side. How that is done is the proxy's; who does it is handed in.
pub trait Sides: Send + Sync {
    /// Does it take a connection, within that time?
    fn connects<'a>(&'a self, bot: &'a Bot, upstream: usize, within: Duration) -> Answer<'a>;

    /// Does it answer as `[bot.preflight]` wants it?
    fn preflight<'a>(&'a self, bot: &'a Bot, upstream: usize) -> Answer<'a>;
}

/// A look to be made. It bears the config that its bot belongs to: in that one the indices are right, whatever is reloaded
/// meanwhile.
#[derive(Clone, Debug)]
pub struct Look {
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

impl Look {
    pub async fn make(&self, sides: &dyn Sides) -> Result<(), String> {
        let bot = &self.config.bots[self.bot];
        match self.how {
            How::Connects { within } => sides.connects(bot, self.upstream, within).await,
            How::Preflight => sides.preflight(bot, self.upstream).await,
        }
    }
}

/// What a look is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// A change that would send somebody to this side; and the config that the side was looked up in.
    Change {
        waiting: Waiting,
        side: Release,
        config: Arc<Config>,
    },
    Drill(Box<Rehearsal>),
    /// A switch is in trouble: can it be undone? With the facts of that tick.
    Undo {
        bot: BotName,
        facts: Facts,
    },
    /// The config names the release that was stable before: is it still there to go back to?
    WayBack {
        bot: BotName,
    },
    /// The config names a release that is to be rolled out.
    Follow {
        bot: BotName,
        wanted: Release,
    },
    /// Nothing is known of before: does the config's stable side take connections?
    IsStableThere {
        bot: BotName,
    },
    /// It does not: is the config's release fit to serve instead?
    StandIn {
        bot: BotName,
        wanted: Release,
    },
}

/// The way back must not wait long for a side that is gone. A side behind TLS takes some round trips more.
const CONNECTS_WITHIN: Duration = Duration::from_millis(50);
const CONNECTS_WITHIN_TLS: Duration = Duration::from_secs(1);

/// How long a side may take to show that it is there to go back to: 50 ms, and 1 s where the connection is TLS.
pub(super) fn there(bot: &Bot, upstream: usize) -> How {
    How::Connects { within: if bot.upstreams[upstream].url.tls { CONNECTS_WITHIN_TLS } else { CONNECTS_WITHIN } }
}

impl Owner {
    /// Begins a look at an upstream of a bot.
    pub(super) fn begin_look(&mut self, number: usize, upstream: usize, how: How, purpose: Purpose) -> Ticket {
        let ticket = self.ticket();
        self.looks.insert(ticket, purpose);
        self.effects.push(Effect::Look { ticket, look: Look { config: self.config.clone(), bot: number, upstream, how } });
        ticket
    }

    pub(super) fn looked(&mut self, ticket: Ticket, answer: Result<(), String>) {
        self.pilots.iter_mut().filter(|pilot| pilot.following == Some(ticket)).for_each(|pilot| pilot.following = None);
        let Some(purpose) = self.looks.remove(&ticket) else { return };
        match purpose {
            Purpose::Change { waiting, side, config } => self.looked_for_a_change(waiting, &side, &config, answer),
            Purpose::Drill(rehearsal) => self.looked_for_a_drill(rehearsal, answer),
            Purpose::Undo { bot, facts } => self.looked_for_an_undo(&bot, facts, answer.is_ok()),
            Purpose::WayBack { bot } => self.looked_for_the_way_back(&bot, answer.is_ok()),
            Purpose::Follow { bot, wanted } => self.looked_for_what_is_wanted(&bot, &wanted, answer),
            Purpose::IsStableThere { bot } => self.looked_for_stable(&bot, answer.is_ok()),
            Purpose::StandIn { bot, wanted } => self.looked_for_a_stand_in(&bot, wanted, answer.is_ok()),
        }
    }
}
