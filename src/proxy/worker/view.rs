//! One worker's copy of the snapshot, with this worker's shards and pools, so that a request follows only pointers of its own thread.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::load::{Answers, Load, PlaceAtUpstream};
use crate::config::{Bot, ProxyLimits};
use crate::core::Track;
use crate::live::{Epoch, Shard, Snapshot};
use crate::meters::{BotMeters, BotShard, Metrics, RetryMeter, SourceMeter};
use crate::proxy::front_tls::FrontTls;
use crate::proxy::upstream::{Descriptors, Endpoint, Pool, Resolver, TlsClients};
use crate::proxy::wire::clock::Clock;

/// What this worker serves.
pub struct View {
    pub snapshot: Arc<Snapshot>,
    /// In the order of the config's bots.
    pub bots: Vec<Rc<BotView>>,
    pub limits: Arc<ProxyLimits>,
    pub shares: Shares,
}

/// This worker's shares of the limits that are for all workers together.
pub struct Shares {
    pub connections: usize,
    pub connections_per_source: usize,
    pub inflight: usize,
    pub inflight_per_source: usize,
    pub rate_per_source: Option<u32>,
    pub memory_bytes: usize,
}

/// One bot, as one worker sees it at one moment. A request keeps its view until it is recorded, so that one revision applies to the
/// whole request.
pub struct BotView {
    pub snapshot: Arc<Snapshot>,
    pub index: usize,
    pub epoch: Arc<Epoch>,
    pub meters: Arc<BotMeters>,
    /// In the order of the extractor's sources.
    pub sources: Vec<Arc<SourceMeter>>,
    /// For requests in which no source found a workspace.
    pub no_source: Arc<SourceMeter>,
    /// One for each reason by which the extractor recognises a platform's retry.
    retries: Vec<Arc<RetryMeter>>,
    pub worker: usize,
    pools: [Option<Rc<Pool>>; 2],
    loads: [Option<Rc<Load>>; 2],
}

/// What all workers share.
#[derive(Clone, Debug)]
pub struct Shared {
    pub metrics: Arc<Metrics>,
    pub resolver: Arc<Resolver>,
    pub tls: Arc<TlsClients>,
    pub front: Arc<FrontTls>,
    /// The most connections of clients, and the most to upstreams, that the limit of open files allows.
    pub most_connections: usize,
}

/// What a worker needs to make its views.
pub struct Surroundings {
    pub worker: usize,
    pub shared: Shared,
    /// The pools stay when the view changes: a change of weight must not close connections.
    pub pools: RefCell<HashMap<String, Rc<Pool>>>,
    loads: RefCell<Vec<Rc<Load>>>,
    descriptors: Rc<Descriptors>,
}

impl View {
    pub fn new(snapshot: Arc<Snapshot>, around: &Surroundings) -> View {
        let bots: Vec<_> = (0..snapshot.config.bots.len()).map(|index| Rc::new(BotView::new(&snapshot, index, around))).collect();
        // A pool that no bot uses is dropped once its last request has ended.
        around.pools.borrow_mut().retain(|_, pool| bots.iter().any(|bot| bot.pools.iter().flatten().any(|p| Rc::ptr_eq(p, pool))));
        around.loads.borrow_mut().retain(|load| bots.iter().any(|bot| bot.loads.iter().flatten().any(|l| Rc::ptr_eq(l, load))));
        let limits = Arc::new(snapshot.config.proxy.limits.clone());
        let shares = Shares::of(&limits, around.shared.most_connections, snapshot.config.proxy.workers.max(1));
        View { snapshot, bots, limits, shares }
    }
}

impl Shares {
    fn of(limits: &ProxyLimits, most_connections: usize, workers: usize) -> Shares {
        Shares {
            connections: limits.max_connections.min(most_connections).div_ceil(workers),
            connections_per_source: limits.max_connections_per_source.div_ceil(workers),
            inflight: limits.max_inflight.div_ceil(workers),
            inflight_per_source: limits.max_inflight_per_source.div_ceil(workers),
            rate_per_source: limits.max_rate_per_source.map(|rate| rate.div_ceil(workers as u32)),
            memory_bytes: limits.max_memory_bytes / workers,
        }
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
            sources: bot.extractor.sources().iter().map(|source| meters.source(&source.to_string())).collect(),
            no_source: meters.source("none"),
            retries: bot.extractor.retry_reasons().into_iter().map(|reason| meters.retry(reason)).collect(),
            meters,
            worker: around.worker,
            pools: [pool(roles.stable), roles.canary.and_then(pool)],
            loads: [Some(around.load(bot, roles.stable)), roles.canary.map(|canary| around.load(bot, canary))],
        }
    }

    pub fn bot(&self) -> &Bot {
        &self.snapshot.config.bots[self.index]
    }

    pub fn meters(&self) -> &BotShard {
        self.meters.shard(self.worker)
    }

    /// Counts a webhook that the platform sent before.
    pub fn retried(&self, track: Track, reason: &'static str) {
        if let Some(meter) = self.retries.iter().find(|meter| meter.reason == reason) {
            meter.add(self.worker, track);
        }
    }

    /// A track's pool. `None` if the track has no upstream, or it could not be set up.
    pub fn pool(&self, track: Track) -> Option<&Rc<Pool>> {
        self.pools[track as usize].as_ref()
    }

    /// A place for one more request at a track's upstream. `None`: the upstream could not answer it in time.
    pub fn place(&self, track: Track, clock: &Clock) -> Option<PlaceAtUpstream> {
        // A track without an upstream is never assigned.
        let load = self.loads[track as usize].as_ref()?;
        load.goes_on(clock, self.answers(track));
        let place = load.place();
        if place.is_none() {
            self.meters().shed[track as usize].add(1);
        }
        place
    }

    /// Called by the worker at an interval.
    pub fn watch_loads(&self, clock: &Clock) {
        for track in Track::ALL {
            if let Some(load) = &self.loads[track as usize] {
                load.goes_on(clock, self.answers(track));
            }
        }
    }

    fn answers(&self, track: Track) -> Answers<'_> {
        Answers { meters: &self.meters, worker: self.worker, track }
    }

    pub fn has_canary(&self) -> bool {
        self.pools[Track::Canary as usize].is_some()
    }

    pub fn shard(&self) -> &Shard {
        self.epoch.ledger.shard(self.worker)
    }
}

impl Surroundings {
    pub fn new((worker, workers): (usize, usize), shared: Shared) -> Surroundings {
        let descriptors = Descriptors::new(shared.most_connections.div_ceil(workers));
        Surroundings { worker, shared, pools: RefCell::default(), loads: RefCell::default(), descriptors }
    }

    fn load(&self, bot: &Bot, upstream: usize) -> Rc<Load> {
        let mut loads = self.loads.borrow_mut();
        if let Some(load) = loads.iter().find(|load| load.is_of(bot, upstream)) {
            return load.clone();
        }
        let load = Rc::new(Load::new(bot, upstream));
        loads.push(load.clone());
        load
    }

    fn pool(&self, bot: &Bot, upstream: usize) -> Option<Rc<Pool>> {
        let url = &bot.upstreams[upstream].url;
        let tls = url.tls.then(|| self.shared.tls.client(url.ca_file.as_deref()).map(|client| Arc::as_ptr(&client)).ok());
        // The key contains the TLS client's identity: another file of authorities, or new contents of the same file, make another pool.
        let key = format!("{url:?} {:?} {:?} {tls:?}", bot.connect_timeout, bot.upstream_idle);
        if let Some(pool) = self.pools.borrow().get(&key) {
            return Some(pool.clone());
        }
        match Endpoint::new(url, bot.connect_timeout, &self.shared.resolver, &self.shared.tls) {
            Ok(target) => {
                let pool = Pool::new(target, bot.upstream_idle, &self.descriptors);
                self.pools.borrow_mut().insert(key, pool.clone());
                Some(pool)
            }
            Err(error) => {
                // The controller checks this before it publishes a snapshot. The file can still disappear in between.
                tracing::error!(bot = %bot.name, upstream = %bot.upstreams[upstream].name, %error, "cannot set up an upstream");
                None
            }
        }
    }
}
