//! Builds all parts of serin and stops them in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use super::listeners::{Listeners, Open};
use super::upstream_checks::UpstreamChecks;
use crate::acme::Orders;
use crate::admin;
use crate::config::Config;
use crate::controller::{self, Controller};
use crate::live::Live;
use crate::meters::Metrics;
use crate::notify::{Dispatcher, Notifications};
use crate::proxy::{FrontTls, Problem, Proxy, Queue, Resolver, Shared, TlsClients, most_connections};
use crate::store::{Found, OpenError, Place, Store, Written};
use crate::telemetry::Exporter;

/// A config that is checked, and what all parts share. It has no sockets and no history.
pub struct Basis {
    pub config: Config,
    shared: Shared,
    orders: Arc<Orders>,
}

/// All parts, built and ready. They accept no connections yet.
pub struct Built {
    proxy: Proxy,
    controller: Arc<Controller>,
    shared: Shared,
    orders: Arc<Orders>,
    listeners: Listeners,
    admin_listener: TcpListener,
    probes_listener: Option<TcpListener>,
    running: controller::Running,
}

/// The running parts.
pub struct App {
    pub proxy: Proxy,
    pub admin: std::net::SocketAddr,
    pub controller: Arc<Controller>,
    pub live: Arc<Live>,
    pub shared: Shared,
    /// The orders of certificates.
    pub orders: Arc<Orders>,
    pub keys: Arc<admin::Keys>,
    /// The address of `[admin] probes`.
    pub probes: Option<std::net::SocketAddr>,
    pub listeners: Listeners,
    notifications: Arc<Notifications>,
    ready: Arc<AtomicBool>,
    admin_servers: AdminServers,
    /// The controller's task.
    running: controller::Running,
    /// The task that waits for changes to notify people of.
    telling: tokio::task::JoinHandle<()>,
}

/// The tasks of the admin listener and of the one for probes.
struct AdminServers {
    stop: watch::Sender<bool>,
    admin: tokio::task::JoinHandle<()>,
    probes: Option<tokio::task::JoinHandle<()>>,
}

/// An open history.
pub type History = (Store, Found, mpsc::Receiver<Written>);

/// The limit for sending notifications at a shutdown. What was not sent by then is sent after a restart.
const TELLING: Duration = Duration::from_secs(2);
/// The limit for changes under way at a shutdown, so that a disk that hangs does not keep serin running.
const FINISHING: Duration = Duration::from_secs(5);
/// The limit for changes under way before the history is handed over: the disk may take 3 s for one, and the workers 5 s.
const SETTLING: Duration = Duration::from_secs(10);
/// The limit for writing the last checkpoints and closing the history: as long as the disk may take for a change.
const CLOSING: Duration = Duration::from_secs(3);
/// The limit for requests in flight to the admin listener at a shutdown: a client that keeps its connection open must not keep serin
/// running.
const LEAVING_ADMIN: Duration = Duration::from_secs(1);

impl Basis {
    /// Logs the config's warnings. Errors if a certificate authority cannot be read, or there is no folder for certificates.
    pub fn new(config: Config, history: &Place) -> anyhow::Result<Basis> {
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let metrics = Arc::new(Metrics::new(config.proxy.workers, Problem::codes()));
        let shared = Shared {
            front: Arc::new(FrontTls::new(config.proxy.tls.as_ref(), metrics.clone())),
            metrics,
            resolver: Arc::new(Resolver::new(tokio::runtime::Handle::current())),
            tls: Arc::new(TlsClients::default()),
            most_connections: most_connections(getrlimit(Resource::Nofile).current),
        };
        let (wanted, most) = (config.proxy.limits.max_connections, shared.most_connections);
        if wanted > most {
            tracing::warn!(
                max_connections = wanted,
                most,
                "the limit of open files allows fewer connections: raise it (LimitNOFILE=, ulimit -n)"
            );
        }
        shared.tls.check(&config)?;
        let history = match history {
            Place::File(path) => Some(path.as_path()),
            Place::Memory(_) => None,
        };
        let orders = Orders::new(config.proxy.tls.as_ref(), history, shared.front.clone(), shared.metrics.clone())?;
        Ok(Basis { config, shared, orders: Arc::new(orders) })
    }

    /// Builds all parts. Returns once all workers could serve.
    pub async fn build(self, history: History, listeners: Listeners) -> anyhow::Result<Built> {
        let Basis { config, shared, orders } = self;
        let (admin_listener, probes) = (listeners.admin.listener()?, listeners.probes.as_ref());
        let probes_listener = probes.map(|probes| probes.listener()).transpose()?;
        let sides = Arc::new(UpstreamChecks { resolver: shared.resolver.clone(), tls: shared.tls.clone() });
        let (controller, running) = controller::begin(config, shared.metrics.clone(), history, sides).await;
        let controller = Arc::new(controller);
        let live = controller.live();
        let proxy = Proxy::start(&listeners.for_webhooks(), live, &shared)?;
        live.applied_everywhere(live.current().sequence).await?;
        Ok(Built { proxy, controller, shared, orders, listeners, admin_listener, probes_listener, running })
    }
}

impl Built {
    pub fn listeners(&self) -> &Listeners {
        &self.listeners
    }

    /// Accepts connections from now on.
    pub fn serve(self) -> anyhow::Result<App> {
        let Built { proxy, controller, shared, orders, listeners, admin_listener, probes_listener, running } = self;
        let live = controller.live().clone();
        let config = live.current().config.clone();
        shared.metrics.reloaded(Some(config.hash));
        let admin = admin_listener.local_addr()?;
        let ready = Arc::new(AtomicBool::new(true));
        let keys = Arc::new(admin::Keys::new(&config.admin, shared.metrics.clone()));
        let notifications = Arc::new(Notifications::new(live.clone(), controller.clone(), shared.metrics.clone()));
        let context = admin::Context {
            notifications: notifications.clone(),
            live: live.clone(),
            controller: controller.clone(),
            metrics: shared.metrics.clone(),
            exporter: Exporter::new(shared.metrics.clone(), live.clone(), controller.store().clone()),
            keys: keys.clone(),
            attempts: Arc::default(),
            ready: ready.clone(),
            address: admin,
        };
        // Before an operator can make a change.
        let telling = tokio::spawn(Dispatcher::new(notifications.clone()).run());
        // Before a client can ask for a certificate.
        orders.begin();
        proxy.serve();
        let (stop, stopped) = watch::channel(false);
        let probes_server = probes_listener
            .map(|listener| tokio::spawn(admin::serve_probes(listener, ready.clone(), shared.metrics.clone(), stopped.clone())));
        let admin_server =
            tokio::spawn(admin::serve(admin_listener, admin::router(context), keys.clone(), shared.metrics.clone(), stopped));
        let probes = config.admin.probes;
        Ok(App {
            proxy,
            admin,
            controller,
            live,
            shared,
            orders,
            keys,
            probes,
            listeners,
            notifications,
            ready,
            admin_servers: AdminServers { stop, admin: admin_server, probes: probes_server },
            running,
            telling,
        })
    }
}

impl App {
    /// Starts all parts with sockets of its own. Returns once all workers serve.
    pub async fn start(config: Config, history: Place) -> anyhow::Result<App> {
        App::build(Basis::new(config, &history)?, history, Open::default()).await?.serve()
    }

    /// Opens the history, then the listeners that are not open already, and builds all parts.
    pub async fn build(basis: Basis, history: Place, open: Open) -> anyhow::Result<Built> {
        let history = Store::open(history, basis.config.history.keep)?;
        let listeners = Listeners::open(&basis.config, open).await?;
        basis.build(history, listeners).await
    }

    /// Fails `/readyz`, serves as a lame duck, and drains. The admin listener closes last, so that an operator can watch the drain.
    pub async fn stop(self) {
        self.ready.store(false, Ordering::Release);
        self.orders.end().await;
        self.running.stops_deciding();
        let limits = self.live.current().config.proxy.clone();
        tracing::info!(lame_duck = ?limits.lame_duck, drain = ?limits.drain, "draining");
        // The workers close the sockets, each after it has taken the queue.
        drop(self.listeners);
        self.proxy.drain(limits.lame_duck, limits.drain).await;
        self.notifications.finish(TELLING).await;
        self.telling.abort();
        self.admin_servers.stop().await;
        self.running.finish(FINISHING).await;
    }

    /// Decides nothing more, finishes the changes and the messages under way, and closes the history, so that a newer serin can open it.
    /// On an error this serin decides again, unless `has_history` says otherwise.
    pub async fn hand_over(&mut self) -> anyhow::Result<()> {
        if !self.has_history() {
            return Ok(());
        }
        self.orders.end().await;
        self.notifications.finish(TELLING).await;
        self.telling.abort();
        let closed = match self.running.hand_over(SETTLING).await {
            Ok(checkpoints) => self.controller.store().close(checkpoints, CLOSING).await.map_err(anyhow::Error::from),
            Err(error) => Err(error.into()),
        };
        if closed.is_err() && self.has_history() {
            self.decide_again(None).await;
        }
        closed
    }

    /// Whether this process has the history: it has none between `hand_over` and `resume`.
    pub fn has_history(&self) -> bool {
        self.controller.store().is_open()
    }

    /// Opens the history again after `hand_over`, and decides again.
    pub async fn resume(&mut self) -> Result<(), OpenError> {
        let store = self.controller.store().clone();
        // It reads the file, which may be large, and the control thread must not wait for the disk.
        let opened = tokio::task::spawn_blocking(move || store.reopen()).await;
        let history = opened.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))?;
        self.decide_again(Some(history)).await;
        Ok(())
    }

    async fn decide_again(&mut self, history: Option<(Found, mpsc::Receiver<Written>)>) {
        let dispatcher = Dispatcher::new(self.notifications.clone());
        self.running.resume(history).await;
        self.telling = tokio::spawn(dispatcher.run());
        self.orders.begin();
    }

    /// A newer serin has everything: closes the admin listener, and finishes the requests of open connections. `hurry`: when it returns,
    /// idle connections are closed, as in a drain.
    pub async fn retire(self, queue: Queue, hurry: impl Future<Output = ()>) {
        let drain = self.live.current().config.proxy.drain;
        self.ready.store(false, Ordering::Release);
        drop(self.listeners);
        let webhooks = async {
            tokio::select! {
                () = self.proxy.retire(queue, drain) => {}
                () = hurry => {}
            }
            self.proxy.drain(Duration::ZERO, drain).await;
        };
        tokio::join!(webhooks, self.admin_servers.stop());
        self.running.finish(FINISHING).await;
    }
}

impl AdminServers {
    /// Accepts no more, and waits for at most `LEAVING_ADMIN` until the requests in flight are answered.
    async fn stop(self) {
        let _ = self.stop.send(true);
        let servers = futures_util::future::join_all([self.admin].into_iter().chain(self.probes));
        let _ = tokio::time::timeout(LEAVING_ADMIN, servers).await;
    }
}
