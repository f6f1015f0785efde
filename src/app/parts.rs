//! Builds all parts of serin and stops them in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::systemd::Open;
use super::upstream_checks::UpstreamChecks;
use crate::admin;
use crate::config::{self, Config, ProxyTls};
use crate::controller::{self, Controller};
use crate::live::Live;
use crate::meters::Metrics;
use crate::notify::{Dispatcher, Notifications};
use crate::proxy::{Door, FrontTls, Listener, Problem, Proxy, Resolver, Shared, TlsClients};
use crate::store::{Place, Store};
use crate::telemetry::Exporter;

/// The running parts.
pub struct App {
    pub proxy: Proxy,
    pub admin: std::net::SocketAddr,
    pub controller: Arc<Controller>,
    pub live: Arc<Live>,
    pub shared: Shared,
    pub keys: Arc<admin::Keys>,
    /// The address of `[admin] probes`.
    pub probes: Option<std::net::SocketAddr>,
    notifications: Arc<Notifications>,
    ready: Arc<AtomicBool>,
    stop_admin: watch::Sender<bool>,
    admin_server: tokio::task::JoinHandle<()>,
    probes_server: Option<tokio::task::JoinHandle<()>>,
    /// The controller's task.
    running: controller::Running,
    /// The task that waits for changes to notify people of.
    telling: tokio::task::JoinHandle<()>,
}

/// The limit for sending notifications at a shutdown. What was not sent by then is sent after a restart.
const TELLING: Duration = Duration::from_secs(2);
/// The limit for changes under way at a shutdown, so that a disk that hangs does not keep serin running.
const FINISHING: Duration = Duration::from_secs(5);

impl App {
    /// Binds both listeners and starts the workers. Returns once all workers serve.
    pub async fn start(config: Config, history: Place) -> anyhow::Result<App> {
        App::start_on(config, history, Open::default()).await
    }

    /// Like `start`, with open sockets in place of its own listeners.
    pub async fn start_on(config: Config, history: Place, open: Open) -> anyhow::Result<App> {
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let workers = config.proxy.workers;
        let metrics = Arc::new(Metrics::new(workers, Problem::codes()));
        let shared = Shared {
            front: Arc::new(FrontTls::new(config.proxy.tls.as_ref(), metrics.clone())),
            metrics,
            resolver: Arc::new(Resolver::new(tokio::runtime::Handle::current())),
            tls: Arc::new(TlsClients::default()),
        };
        shared.tls.check(&config)?;
        let history = Store::open(history, config.history.keep)?;
        let sides = Arc::new(UpstreamChecks { resolver: shared.resolver.clone(), tls: shared.tls.clone() });
        let (controller, running) = controller::begin(config, shared.metrics.clone(), history, sides).await;
        let controller = Arc::new(controller);
        let live = controller.live().clone();
        let config = live.current().config.clone();
        let listener = listen_for_admin(&config.admin, open.admin).await?;
        let admin = listener.local_addr()?;
        let probes = match config.admin.probes {
            Some(address) => Some(TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address} for probes"))?),
            None => None,
        };

        let proxy = Proxy::start(listeners(&config.proxy, open.proxy), &live, &shared)?;
        live.applied_everywhere(live.current().sequence).await?;
        shared.metrics.reloaded(Some(config.hash));
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
        // Before any change is possible.
        let telling = tokio::spawn(Dispatcher::new(notifications.clone()).run());
        let (stop_admin, stopped) = watch::channel(false);
        let probes_server =
            probes.map(|listener| tokio::spawn(admin::serve_probes(listener, ready.clone(), shared.metrics.clone(), stopped.clone())));
        let admin_server = tokio::spawn(admin::serve(listener, admin::router(context), keys.clone(), shared.metrics.clone(), stopped));
        let probes = config.admin.probes;
        Ok(App {
            proxy,
            admin,
            controller,
            live,
            shared,
            keys,
            probes,
            notifications,
            ready,
            stop_admin,
            admin_server,
            probes_server,
            running,
            telling,
        })
    }

    /// Fails `/readyz`, serves as a lame duck, and drains. The admin listener closes last, so that an operator can watch the drain.
    pub async fn stop(self) {
        self.ready.store(false, Ordering::Release);
        self.running.stops_deciding();
        let limits = self.live.current().config.proxy.clone();
        tracing::info!(lame_duck = ?limits.lame_duck, drain = ?limits.drain, "draining");
        self.proxy.drain(limits.lame_duck, limits.drain).await;
        self.notifications.finish(TELLING).await;
        self.telling.abort();
        let _ = self.stop_admin.send(true);
        // A client that keeps its admin connection open must not keep serin running.
        let end = Duration::from_secs(1);
        let probes_server = async {
            if let Some(server) = self.probes_server {
                let _ = tokio::time::timeout(end, server).await;
            }
        };
        let _ = tokio::join!(tokio::time::timeout(end, self.admin_server), probes_server);
        self.running.finish(FINISHING).await;
    }
}

/// The listeners for webhooks. `[proxy] listen` speaks TLS, if TLS has no address of its own.
fn listeners(proxy: &config::Proxy, open: Option<std::net::TcpListener>) -> Vec<Listener> {
    let (door, tls) = match &proxy.tls {
        None => (Door::Plain, None),
        Some(ProxyTls { listen: None, .. }) => (Door::Tls, None),
        Some(ProxyTls { listen, .. }) => (Door::Plain, *listen),
    };
    let tls = tls.map(|wanted| Listener { wanted, door: Door::Tls, open: None });
    [Listener { wanted: proxy.listen, door, open }].into_iter().chain(tls).collect()
}

/// Listens on `[admin] listen`, or on the open socket. A socket from systemd must be protected like an address in the config,
/// because the API can move customers.
async fn listen_for_admin(admin: &config::Admin, open: Option<std::net::TcpListener>) -> anyhow::Result<TcpListener> {
    let Some(open) = open else {
        return TcpListener::bind(admin.listen).await.with_context(|| format!("cannot listen on {} for the admin API", admin.listen));
    };
    let address = open.local_addr()?;
    if admin.is_open_to_others_on(address.ip()) {
        anyhow::bail!(
            "the admin socket that systemd hands over is open to others: it listens on {address}, and there is no [[admin.token]]"
        );
    }
    TcpListener::from_std(open).with_context(|| format!("cannot listen on the admin socket {address} that systemd hands over"))
}
