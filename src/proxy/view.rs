//! One worker's own copy of what serves: the snapshot with this worker's shards and pools at hand, so that a request
//! follows pointers of its own thread only.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::resolve::Resolver;
use super::upstream::{Pool, Target, TlsClients};
use crate::config::{Bot, Limits};
use crate::core::Track;
use crate::live::{Epoch, Shard, Snapshot};
use crate::telemetry::{BotMeters, BotShard, Metrics, RetryMeter, SourceMeter};

/// What serves on this worker.
pub struct View {
    pub snapshot: Arc<Snapshot>,
    /// Parallel to the config's bots.
    pub bots: Vec<Rc<BotView>>,
    pub limits: Arc<Limits>,
}

/// One bot, as one worker sees it at one moment. A request keeps its own until it is recorded, so a change never
/// splits a request between two revisions.
pub struct BotView {
    pub snapshot: Arc<Snapshot>,
    pub index: usize,
    pub epoch: Arc<Epoch>,
    pub meters: Arc<BotMeters>,
    /// Parallel to the plan's sources.
    pub sources: Vec<Arc<SourceMeter>>,
    /// For requests in which no source found anything.
    pub no_source: Arc<SourceMeter>,
    /// One for each reason that a platform's retry may have.
    retries: Vec<Arc<RetryMeter>>,
    pub worker: usize,
    pools: [Option<Rc<Pool>>; 2],
}

/// What all workers have in common.
#[derive(Clone, Debug)]
pub struct Shared {
    pub metrics: Arc<Metrics>,
    pub resolver: Arc<Resolver>,
    pub tls: Arc<TlsClients>,
}

/// What all views of a worker are made with.
pub struct Surroundings {
    pub worker: usize,
    pub shared: Shared,
    /// Pools outlive views: a change of weight must not close connections.
    pub pools: RefCell<HashMap<String, Rc<Pool>>>,
}

impl View {
    pub fn new(snapshot: Arc<Snapshot>, around: &Surroundings) -> View {
        let bots: Vec<_> = (0..snapshot.config.bots.len()).map(|index| Rc::new(BotView::new(&snapshot, index, around))).collect();
        // A pool that no bot has any more is dropped once the last request on it has ended.
        around.pools.borrow_mut().retain(|_, pool| bots.iter().any(|bot| bot.pools.iter().flatten().any(|p| Rc::ptr_eq(p, pool))));
        let limits = Arc::new(snapshot.config.proxy.limits.clone());
        View { snapshot, bots, limits }
    }
}

impl BotView {
    fn new(snapshot: &Arc<Snapshot>, index: usize, around: &Surroundings) -> BotView {
        let bot = &snapshot.config.bots[index];
        let meters = around.shared.metrics.bot(bot.name.as_str());
        let roles = snapshot.epochs[index].roles;
        let pool = |upstream: usize| around.pool(bot, upstream);
        BotView {
            snapshot: snapshot.clone(),
            index,
            epoch: snapshot.epochs[index].clone(),
            sources: bot.plan.sources().iter().map(|source| meters.source(&source.to_string())).collect(),
            no_source: meters.source("none"),
            retries: bot.plan.retry_reasons().into_iter().map(|reason| meters.retry(reason)).collect(),
            meters,
            worker: around.worker,
            pools: [pool(roles.stable), roles.canary.and_then(pool)],
        }
    }

    pub fn bot(&self) -> &Bot {
        &self.snapshot.config.bots[self.index]
    }

    pub fn meters(&self) -> &BotShard {
        self.meters.shard(self.worker)
    }

    /// The platform has sent this again.
    pub fn retried(&self, track: Track, reason: &'static str) {
        if let Some(meter) = self.retries.iter().find(|meter| meter.reason == reason) {
            meter.add(self.worker, track);
        }
    }

    /// A track's pool; `None` where there is no such upstream, or it could not be set up.
    pub fn pool(&self, track: Track) -> Option<&Rc<Pool>> {
        self.pools[track as usize].as_ref()
    }

    pub fn has_canary(&self) -> bool {
        self.pools[Track::Canary as usize].is_some()
    }

    pub fn shard(&self) -> &Shard {
        self.epoch.ledger.shard(self.worker)
    }
}

impl Surroundings {
    fn pool(&self, bot: &Bot, upstream: usize) -> Option<Rc<Pool>> {
        let url = &bot.upstreams[upstream].url;
        let tls = url.tls.then(|| self.shared.tls.client(url.ca_file.as_deref()).map(|client| Arc::as_ptr(&client)).ok());
        // With the TLS client's identity: another file of authorities, or the same one replaced, is another pool.
        let key = format!("{url:?} {:?} {:?} {tls:?}", bot.connect_timeout, bot.upstream_idle);
        if let Some(pool) = self.pools.borrow().get(&key) {
            return Some(pool.clone());
        }
        match Target::new(url, bot.connect_timeout, &self.shared.resolver, &self.shared.tls) {
            Ok(target) => {
                let pool = Rc::new(Pool::new(target, bot.upstream_idle));
                self.pools.borrow_mut().insert(key, pool.clone());
                Some(pool)
            }
            Err(error) => {
                // The controller made sure of this before it published; a file can still vanish in between.
                tracing::error!(bot = %bot.name, upstream = %bot.upstreams[upstream].name, %error, "cannot set up an upstream");
                None
            }
        }
    }
}
