//! Runs serin from its start to its end. Only this module uses all others.

mod listeners;
mod parts;
mod reload;
mod upstream_checks;
pub mod signals;
pub mod systemd;
pub mod take_over;

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::proxy::memory;
use crate::store;
use listeners::Open;
use parts::{Basis, Built};
use reload::Reloader;
use systemd::{News, Systemd};
use take_over::{Newer, Older, Successor};

pub use parts::App;

/// How serin starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Alone. It ends if another serin uses the same history.
    Alone,
    /// It takes over from the serin that uses the same history, if one is running.
    TakeOver,
}

/// Serves until a signal ends serin, or a newer serin takes over.
pub fn run(config: Config, path: &Path, systemd: Systemd, start: Start) -> anyhow::Result<()> {
    raise_file_limit();
    signals::survive_full_files();
    memory::keep_freed();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start the control runtime")?;
    let result = runtime.block_on(serve(config, path, systemd, start));
    // Dropping the runtime would wait for the workers that the drain's limit, or a second signal, has just cut off.
    runtime.shutdown_background();
    result
}

/// Why serin stops serving.
enum Stop {
    Signal,
    TakenOver(Successor),
}

async fn serve(config: Config, path: &Path, systemd: Systemd, start: Start) -> anyhow::Result<()> {
    let mut ends = Ends::new().context("cannot listen for signals")?;
    let hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    let upgrades = signal(SignalKind::user_defined2()).context("cannot listen for signals")?;
    let served = config.hash;
    let Systemd { sockets, news } = systemd;
    let built = tokio::select! {
        built = build(config, path, sockets, start) => built?,
        // A newer serin that is told to end before it has taken over leaves the older one as it is.
        () = ends.next() => return Ok(()),
    };
    let mut app = built.serve()?;
    let mut reloader = Reloader::new(path, &app, news.clone(), served, hangup);
    let mut older = Older::new(&app, news.clone(), upgrades);
    let tls = app.proxy.addresses.get(1).map(tracing::field::display);
    tracing::info!(proxy = %app.proxy.address(), tls, admin = %app.admin, version = env!("CARGO_PKG_VERSION"), "serin serves");
    news.ready();
    let controller = app.controller.clone();
    let stop = tokio::select! {
        () = ends.next() => Stop::Signal,
        () = reloader.run() => Stop::Signal,
        () = show_life(&news, || controller.ticks()) => Stop::Signal,
        successor = older.run(&mut app) => Stop::TakenOver(successor),
    };
    let cut_off = app.proxy.cut_off();
    if let Stop::TakenOver(successor) = stop {
        // The supervisor hears the newer serin now, and must not be told that the service stops.
        let (hurries, hurry) = oneshot::channel();
        let signals = async {
            ends.next().await;
            let _ = hurries.send(());
            ends.next().await;
        };
        let hurry = async {
            let _ = hurry.await;
        };
        tokio::select! {
            () = app.retire(successor.queue, hurry) => tracing::info!("serin has ended; the newer one serves"),
            () = signals => {
                tracing::warn!("a second signal: serin ends at once");
                cut_off.now().await;
            }
        }
        return Ok(());
    }
    older.end().await;
    news.stopping();
    // The drain has a limit of its own, so the watchdog is told that serin lives in any case.
    let mut looks = 0;
    let draining = show_life(&news, move || {
        looks += 1;
        looks
    });
    tokio::select! {
        () = draining => {}
        () = app.stop() => tracing::info!("serin has ended"),
        () = ends.next() => {
            tracing::warn!("a second signal: serin ends at once");
            cut_off.now().await;
        }
    }
    Ok(())
}

/// Builds all parts, with all that a running serin hands over.
async fn build(config: Config, path: &Path, sockets: systemd::Sockets, start: Start) -> anyhow::Result<Built> {
    let history = store::place(config.history.path.as_deref(), path);
    let own = Open::from(sockets.assign(config.proxy.listen, config.admin.listen)?);
    let basis = Basis::new(config, &history)?;
    let older = match start {
        Start::Alone => None,
        Start::TakeOver => Newer::greet(&history).await?,
    };
    match older {
        None => App::build(basis, history, own).await,
        Some((mut newer, open)) => newer.take_over(basis, history, open.or(own)).await,
    }
}

/// The ratchet ticks once a second. If it does not tick for this long, its loop hangs.
const LOOK_MISSED: Duration = Duration::from_secs(5);

/// Tells the watchdog twice per interval that serin lives, as long as `looks` grows. Without a watchdog it never returns.
async fn show_life(news: &News, mut looks: impl FnMut() -> u64) {
    let Some(watchdog) = news.watchdog else { return std::future::pending().await };
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let now = looks();
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() < LOOK_MISSED {
            news.alive();
        }
        tokio::time::sleep(watchdog / 2).await;
    }
}

/// The signals that end serin.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    fn new() -> io::Result<Ends> {
        Ok(Ends { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Raises the soft limit of open files to the hard limit, which the administrator has set. Each connection is a file descriptor, and
/// with the usual soft limit of 1,024 serin could not serve more than 512 webhooks at once.
fn raise_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    // `None` is no limit.
    let below = limit.current.is_some_and(|current| limit.maximum.is_none_or(|maximum| current < maximum));
    if below && setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).is_err() {
        tracing::warn!("cannot raise the limit of open files");
    }
}
