//! Reads the config again on SIGHUP, when something in its directory changes, and every half minute by its hash, in case the watch
//! has failed silently. At the same times it reads the files of tokens and certificates again, whose directories it watches too. It
//! watches directories and not files: editors replace files, and Kubernetes replaces a symbolic link two levels up.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::Signal;
use tokio::sync::mpsc;

use super::parts::App;
use super::systemd::News;
use crate::acme::Orders;
use crate::admin::Keys;
use crate::config::{self, Config};
use crate::controller::{Controller, ReloadRefused};
use crate::logs;
use crate::proxy::Shared;

/// Writing a file causes several events. The reloader waits this long after the first one, and handles all of them together.
const SETTLE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_secs(30);
/// The pause before a config is read again that was not taken because a newer serin was taking over. If that fails, this serin reads it.
const AGAIN: Duration = Duration::from_secs(1);

pub struct Reloader {
    path: PathBuf,
    controller: Arc<Controller>,
    shared: Shared,
    orders: Arc<Orders>,
    keys: Arc<Keys>,
    /// The real address of the admin listener: a socket from systemd may differ from the config.
    admin: SocketAddr,
    probes: Option<SocketAddr>,
    news: News,
    hangup: Signal,
    events: mpsc::Receiver<()>,
    watch: Watch,
    /// The hash of the text that was last accepted or refused, so that a refusal is logged once.
    seen: Option<u64>,
    /// The config is to be read again soon.
    again: bool,
}

/// Why the reloader woke up.
enum Cause {
    Signal,
    Change,
}

impl Reloader {
    /// `served` is the hash of the text that was read at the start, and `hangup` has listened since then. Changes since then are
    /// found as soon as `run` is called.
    pub fn new(path: &Path, app: &App, news: News, served: u64, hangup: Signal) -> Reloader {
        let (controller, shared) = (app.controller.clone(), app.shared.clone());
        let (orders, keys) = (app.orders.clone(), app.keys.clone());
        // One place is enough: if it is taken, the reloader has yet to read the files, and will see this change too.
        let (sender, events) = mpsc::channel(1);
        let _ = sender.try_send(());
        let (path, watch, seen) = (path.to_owned(), Watch::new(sender), Some(served));
        let (admin, probes) = (app.admin, app.probes);
        let mut reloader =
            Reloader { path, controller, shared, orders, keys, admin, probes, news, hangup, events, watch, seen, again: false };
        reloader.follow_files();
        reloader
    }

    /// Reloads until it is dropped.
    pub async fn run(&mut self) {
        loop {
            let cause = self.next().await;
            let hash = hash(&self.path);
            let same = hash.is_none() || hash == self.seen;
            match cause {
                Cause::Change if same => {}
                Cause::Change | Cause::Signal => {
                    self.again = !self.reload().await;
                    self.seen = hash.filter(|_| !self.again);
                }
            }
            if matches!(cause, Cause::Signal) {
                self.orders.try_again();
            }
            self.keys.refresh();
            self.shared.front.refresh();
            self.follow_files();
        }
    }

    fn follow_files(&mut self) {
        let mut files = self.keys.files();
        files.extend(self.shared.front.files());
        let directory = |file: &Path| file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        self.watch.only(files.iter().chain([&self.path]).map(|file| directory(file)).collect());
    }

    async fn next(&mut self) -> Cause {
        let pause = if self.again { AGAIN } else { POLL };
        tokio::select! {
            _ = self.hangup.recv() => Cause::Signal,
            Some(()) = self.events.recv() => {
                tokio::time::sleep(SETTLE).await;
                while self.events.try_recv().is_ok() {}
                Cause::Change
            }
            () = tokio::time::sleep(pause) => Cause::Change,
        }
    }

    /// Puts the whole file in force, or logs why not and changes nothing. Returns `false` if that is to be tried again soon.
    async fn reload(&self) -> bool {
        self.news.reloading();
        let taken = self.try_reload().await;
        if let Err(error) = &taken
            && matches!(error.downcast_ref(), Some(ReloadRefused::TakesOver))
        {
            self.news.ready();
            tracing::info!(path = %self.path.display(), "{error}");
            return false;
        }
        // Also after a refusal: serin serves, and the reload is over.
        self.news.ready();
        self.shared.metrics.reloaded(taken.as_ref().ok().map(|(hash, _)| *hash));
        match taken {
            Ok((_, true)) => tracing::info!(path = %self.path.display(), "config reloaded"),
            Ok((_, false)) => tracing::info!(path = %self.path.display(), "config read again: no change in it"),
            Err(error) => tracing::error!(path = %self.path.display(), "config refused, the old one serves on: {error:#}"),
        }
        true
    }

    /// Returns the hash of the config in force, and whether it differs from the one before.
    async fn try_reload(&self) -> anyhow::Result<(u64, bool)> {
        let config: Config = config::load(&self.path)?;
        let hash = config.hash;
        self.shared.tls.check(&config)?;
        self.orders.check(config.proxy.tls.as_ref())?;
        self.check_listeners(&config.admin)?;
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        let (admin, level, tls) = (config.admin.clone(), config.log.level, config.proxy.tls.clone());
        let changed = self.controller.reload(config).await?;
        self.keys.take(&admin);
        self.shared.front.take(tls.as_ref());
        self.orders.take(tls.as_ref());
        logs::set_level(level);
        Ok((hash, changed))
    }

    /// Checks what depends on the real listeners and not only on the file.
    fn check_listeners(&self, admin: &config::Admin) -> anyhow::Result<()> {
        if admin.is_open_to_others_on(self.admin.ip()) {
            bail!(
                "[admin] would be open to others: its socket is on {}, and the config has neither an [[admin.token]] nor a `client_ca_file` in [admin.tls]",
                self.admin
            );
        }
        if admin.probes != self.probes {
            let shown = |probes: Option<SocketAddr>| probes.map_or("none".to_owned(), |address| address.to_string());
            bail!("[admin] probes changed from {} to {}: that needs a restart", shown(self.probes), shown(admin.probes));
        }
        Ok(())
    }
}

fn hash(path: &Path) -> Option<u64> {
    std::fs::read(path).ok().map(|text| xxhash_rust::xxh3::xxh3_64(&text))
}

/// The directories that are watched.
struct Watch {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

impl Watch {
    fn new(sender: mpsc::Sender<()>) -> Watch {
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // Reading a file, as serin does, is not a change.
            if !matches!(event, Ok(notify::Event { kind: notify::EventKind::Access(_), .. })) {
                let _ = sender.try_send(());
            }
        });
        let watcher = watcher.map_err(|error| tracing::warn!(%error, "cannot watch any directory; files are read every {POLL:?}")).ok();
        Watch { watcher, directories: BTreeSet::new() }
    }

    /// Watches these directories, and no others.
    fn only(&mut self, directories: BTreeSet<PathBuf>) {
        let Some(watcher) = &mut self.watcher else { return };
        for directory in self.directories.difference(&directories) {
            // Fails for a directory that no longer exists, which is not watched anyway.
            let _ = watcher.unwatch(directory);
        }
        for directory in directories.difference(&self.directories) {
            if let Err(error) = watcher.watch(directory, RecursiveMode::NonRecursive) {
                tracing::warn!(%error, directory = %directory.display(), "cannot watch a directory; its files are read every {POLL:?}");
            }
        }
        self.directories = directories;
    }
}
