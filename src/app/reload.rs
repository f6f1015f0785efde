//! When to read the config again: on SIGHUP, when something in its directory changes, and, should the watch have died
//! unnoticed, every half minute by its hash. The directory is watched, not the file: editors replace files, and
//! Kubernetes swaps a symbolic link two levels up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;

use crate::config::{self, Config};
use crate::controller::Controller;
use crate::proxy::Shared;

/// Writing a file is several events; the last one counts.
const SETTLE: Duration = Duration::from_millis(100);
const POLL: Duration = Duration::from_secs(30);

pub struct Reloader {
    path: PathBuf,
    controller: Arc<Controller>,
    shared: Shared,
    hangup: Signal,
    events: mpsc::Receiver<()>,
    /// Watches for as long as it lives.
    _watcher: Option<RecommendedWatcher>,
    /// The hash of the text that was last taken or refused, so that a refusal is said once.
    seen: Option<u64>,
}

/// What woke us.
enum Cause {
    Signal,
    Change,
}

impl Reloader {
    pub fn new(path: &Path, controller: Arc<Controller>, shared: Shared) -> std::io::Result<Reloader> {
        // One place is enough: an event that finds it taken will be seen by whoever empties it.
        let (sender, events) = mpsc::channel(1);
        let watcher = watch(path, sender)
            .map_err(|error| tracing::warn!(%error, "cannot watch the config's directory; it is read every {POLL:?}"))
            .ok();
        let seen = hash(path);
        Ok(Reloader { path: path.to_owned(), controller, shared, hangup: signal(SignalKind::hangup())?, events, _watcher: watcher, seen })
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
                    self.seen = hash;
                    self.reload().await;
                }
            }
        }
    }

    async fn next(&mut self) -> Cause {
        tokio::select! {
            _ = self.hangup.recv() => Cause::Signal,
            Some(()) = self.events.recv() => {
                tokio::time::sleep(SETTLE).await;
                while self.events.try_recv().is_ok() {}
                Cause::Change
            }
            () = tokio::time::sleep(POLL) => Cause::Change,
        }
    }

    /// Takes the file up whole, or says why not and leaves everything as it is.
    async fn reload(&self) {
        let taken = self.try_reload().await;
        self.shared.metrics.reloaded(taken.as_ref().ok().map(|(hash, _)| *hash));
        match taken {
            Ok((_, true)) => tracing::info!(path = %self.path.display(), "config reloaded"),
            Ok((_, false)) => tracing::info!(path = %self.path.display(), "config read again: no change in it"),
            Err(error) => tracing::error!(path = %self.path.display(), "config refused, the old one serves on: {error:#}"),
        }
    }

    /// The hash of what serves now, and whether that is another config than before.
    async fn try_reload(&self) -> anyhow::Result<(u64, bool)> {
        let config: Config = config::load(&self.path)?;
        let hash = config.hash;
        self.shared.tls.check(&config)?;
        config.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        Ok((hash, self.controller.reload(config).await?))
    }
}

fn hash(path: &Path) -> Option<u64> {
    std::fs::read(path).ok().map(|text| xxhash_rust::xxh3::xxh3_64(&text))
}

fn watch(path: &Path, sender: mpsc::Sender<()>) -> notify::Result<RecommendedWatcher> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // Being read, by us for one, is no change.
        if !matches!(event, Ok(notify::Event { kind: notify::EventKind::Access(_), .. })) {
            let _ = sender.try_send(());
        }
    })?;
    watcher.watch(directory, RecursiveMode::NonRecursive)?;
    Ok(watcher)
}
