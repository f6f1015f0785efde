//! The sides of a bot, as they are asked before anybody is sent there. How that is done is the proxy's; who does it is
//! handed in.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::config::Bot;
use crate::core::Release;

use super::pilot::index;

/// Fit, or why not.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

pub trait Sides: Send + Sync {
    /// Does it take a connection, within that time?
    fn connects<'a>(&'a self, bot: &'a Bot, upstream: usize, within: Duration) -> Answer<'a>;

    /// Does it answer as `[bot.preflight]` wants it?
    fn preflight<'a>(&'a self, bot: &'a Bot, upstream: usize) -> Answer<'a>;
}

/// The way back must not wait for a side that is gone.
pub(super) const UNDO_CHECK: Duration = Duration::from_millis(50);

pub(super) async fn takes_connections(sides: &dyn Sides, bot: &Bot, release: &Release) -> Result<(), String> {
    match index(bot, release) {
        Some(upstream) => sides.connects(bot, upstream, UNDO_CHECK).await,
        None => Err("the config does not know it any more".to_owned()),
    }
}
