//! Answers the controller's questions about a side, with the proxy's probes.

use std::sync::Arc;
use std::time::Duration;

use crate::config::Bot;
use crate::controller::{Checking, Sides};
use crate::proxy::{Probe, Resolver, TlsClients};

pub struct UpstreamChecks {
    pub resolver: Arc<Resolver>,
    pub tls: Arc<TlsClients>,
}

impl UpstreamChecks {
    fn probe(&self) -> Probe<'_> {
        Probe { resolver: &self.resolver, tls: &self.tls }
    }
}

impl Sides for UpstreamChecks {
    fn connects<'a>(&'a self, bot: &'a Bot, upstream: usize, within: Duration) -> Checking<'a> {
        Box::pin(async move { self.probe().connects(&bot.upstreams[upstream].url, within).await })
    }

    fn preflight<'a>(&'a self, bot: &'a Bot, upstream: usize) -> Checking<'a> {
        Box::pin(async move { self.probe().preflight(bot, upstream).await })
    }
}
