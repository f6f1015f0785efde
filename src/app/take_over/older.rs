//! The side of the running serin. It serves webhooks all the time. Whatever happens to the newer one before the end, this one opens the
//! history again and decides on.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::Signal;

use super::line::{DESCRIPTORS_MOST, Line, Lost};
use super::message::{Blobs, Message, PROTOCOL, Passed};
use super::place;
use super::upgrade::Upgrade;
use crate::app::listeners::Name;
use crate::app::parts::App;
use crate::app::systemd::News;
use crate::proxy::Queue;
use crate::store::OpenError;

/// A newer serin greets as soon as it has connected.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// The newer serin binds addresses that are new in its config. This one serves and decides meanwhile, so there is no hurry.
const PREPARED_WITHIN: Duration = Duration::from_secs(30);
/// The newer serin opens the history and starts its workers: some milliseconds, and some seconds for a large history on a slow disk.
/// Neither process decides about rollouts in that time.
const READY_WITHIN: Duration = Duration::from_secs(20);
/// For a newer serin that has failed and still has the history: after this time it is ended.
const ENDS_WITHIN: Duration = Duration::from_secs(2);
const REOPEN_EVERY: Duration = Duration::from_millis(100);
const REOPEN_LOG_EVERY: Duration = Duration::from_secs(5);
/// The pause after a failed accept, so that the loop does not use a whole core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Waits for a newer serin.
pub struct Older {
    /// Why nobody can take over, if so.
    listener: Result<UnixListener, String>,
    path: PathBuf,
    history: PathBuf,
    news: News,
    /// SIGUSR2.
    upgrades: Signal,
    upgrade: Option<Upgrade>,
    /// The connection to the newer serin, if there is one.
    line: Option<Line>,
    /// The newer serin that has failed and has not returned the history yet.
    holder: Option<Holder>,
}

/// A newer serin that serves now.
#[derive(Debug)]
pub struct Successor {
    /// The process that accepts the connections in the kernel's queues: the newer serin, or this one.
    pub queue: Queue,
}

/// A failed serin that may still have the history.
struct Holder {
    line: Line,
    since: Instant,
    killed: bool,
    logged: Option<Instant>,
}

enum Event {
    Connected(io::Result<UnixStream>),
    Upgrade,
    UpgradeEnded(io::Result<std::process::ExitStatus>),
    TryAgain,
}

impl Older {
    /// Listens for a newer serin, unless the history is in memory. `upgrades` is SIGUSR2.
    pub fn new(app: &App, news: News, upgrades: Signal) -> Older {
        let history = app.controller.store().path().map(|path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned()));
        let (listener, path) = match &history {
            None => (Err("its history is in memory, so that a newer one would know nothing of it".to_owned()), PathBuf::new()),
            Some(history) => {
                let path = place::path(history);
                let listener = place::listen(&path).map_err(|error| format!("{error:#}"));
                if let Err(why) = &listener {
                    tracing::warn!(why, "a newer serin cannot take over from this one");
                }
                (listener, path)
            }
        };
        let history = history.unwrap_or_default();
        Older { listener, path, history, news, upgrades, upgrade: None, line: None, holder: None }
    }

    /// Returns once a newer serin has taken over. If the caller stops waiting, it must call `end`.
    pub async fn run(&mut self, app: &mut App) -> Successor {
        loop {
            match self.next().await {
                Event::Connected(Ok(stream)) => {
                    if let Some(successor) = self.connected(stream, app).await {
                        return successor;
                    }
                }
                Event::Connected(Err(error)) => {
                    tracing::error!(%error, "cannot take the connection of a newer serin");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                Event::Upgrade => self.start_upgrade(),
                Event::UpgradeEnded(status) => self.upgrade_ended(status),
                Event::TryAgain => self.try_again(app).await,
            }
        }
    }

    async fn next(&mut self) -> Event {
        let waits = self.holder.is_some();
        tokio::select! {
            stream = accept(&self.listener) => Event::Connected(stream),
            _ = self.upgrades.recv() => Event::Upgrade,
            status = ended(&mut self.upgrade, false) => Event::UpgradeEnded(status),
            () = tokio::time::sleep(REOPEN_EVERY), if waits => Event::TryAgain,
        }
    }

    fn start_upgrade(&mut self) {
        if let Err(why) = &self.listener {
            return tracing::error!(why, "SIGUSR2: no newer serin is started");
        }
        if self.upgrade.is_some() {
            return tracing::error!("SIGUSR2: a newer serin is starting already");
        }
        match Upgrade::start(&self.news) {
            Ok(upgrade) => {
                tracing::info!(process = upgrade.id(), "SIGUSR2: a newer serin is started");
                self.upgrade = Some(upgrade);
            }
            Err(error) => tracing::error!(%error, "SIGUSR2: the newer serin cannot be started; this one serves on"),
        }
    }

    fn upgrade_ended(&mut self, status: io::Result<std::process::ExitStatus>) {
        self.upgrade = None;
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        tracing::error!(status, "the newer serin has ended without taking over; this one serves on");
    }

    /// Hands everything over to this peer. While that lasts, others are refused.
    async fn connected(&mut self, stream: UnixStream, app: &mut App) -> Option<Successor> {
        let line = match Line::new(stream) {
            Ok(line) => line,
            Err(error) => {
                tracing::error!(%error, "a process cannot take over");
                return None;
            }
        };
        let process = line.pid;
        self.line = Some(line);
        match self.try_hand_over(app).await {
            Ok(keeps) => {
                tracing::info!(process, "a newer serin serves now; this one ends");
                let queue = if app.listeners.names_for_webhooks().all(|name| keeps.contains(&name)) { Queue::Left } else { Queue::Taken };
                Some(Successor { queue })
            }
            Err(error) => {
                tracing::error!(process, "no take-over, this serin serves on: {error:#}");
                self.take_back(app, &error).await;
                None
            }
        }
    }

    async fn try_hand_over(&mut self, app: &mut App) -> anyhow::Result<Vec<Name>> {
        let Older { listener, history, news, upgrades, upgrade, line, .. } = self;
        let line = line.as_mut().context("there is no connection")?;
        let process = line.pid;
        let steps = async {
            pass_sockets(line, history, app).await?;
            expect(line, PREPARED_WITHIN, |message| matches!(message, Message::Prepared).then_some(())).await?;
            app.hand_over().await.context("the history cannot be handed over")?;
            tracing::info!(process, "the history is handed over: changes are refused until the newer serin answers");
            line.send(&Message::History, &[]).await.context("it is gone")?;
            let keeps = expect(line, READY_WITHIN, |message| match message {
                Message::Ready { keeps } => Some(keeps),
                _ => None,
            });
            let keeps = keeps.await?;
            // The supervisor must know the new process before that one says anything.
            news.main_process(process);
            if let Err(error) = line.send(&Message::Retires, &[]).await {
                news.main_process(std::process::id());
                return Err(error).context("it is gone");
            }
            Ok(keeps)
        };
        tokio::select! {
            keeps = steps => keeps,
            () = refuse_others(listener, upgrades, upgrade, process) => bail!("no connections are taken"),
        }
    }

    /// Tells the newer serin that it has failed, and gets the history back if that was handed over.
    async fn take_back(&mut self, app: &mut App, why: &anyhow::Error) {
        let Some(mut line) = self.line.take() else { return };
        // It may be gone.
        let _ = line.send(&Message::Refused { why: format!("{why:#}") }, &[]).await;
        if !app.has_history() {
            self.holder = Some(Holder { line, since: Instant::now(), killed: false, logged: None });
            self.try_again(app).await;
        }
    }

    async fn try_again(&mut self, app: &mut App) {
        let Some(holder) = &mut self.holder else { return };
        let error = match app.resume().await {
            Ok(()) => {
                tracing::info!("this serin has the history again, and decides on");
                self.holder = None;
                return;
            }
            Err(error) => error,
        };
        if matches!(error, OpenError::InUse(_)) && holder.since.elapsed() > ENDS_WITHIN && !holder.killed {
            tracing::error!(process = holder.line.pid, "the newer serin has failed and keeps the history: it is ended");
            holder.line.kill();
            holder.killed = true;
        }
        if holder.since.elapsed() > ENDS_WITHIN && holder.logged.is_none_or(|at| at.elapsed() > REOPEN_LOG_EVERY) {
            tracing::error!(%error, "the history cannot be opened again: nothing is decided, and changes are refused");
            holder.logged = Some(Instant::now());
        }
    }

    /// This process ends. A newer serin that is taking over is told so, and its socket is removed.
    pub async fn end(&mut self) {
        if let Some(mut line) = self.line.take() {
            let _ = line.send(&Message::Refused { why: "it was told to end".to_owned() }, &[]).await;
        }
        if self.listener.is_ok() && self.holder.is_none() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Never returns if nobody can connect.
async fn accept(listener: &Result<UnixListener, String>) -> io::Result<UnixStream> {
    match listener {
        Ok(listener) => listener.accept().await.map(|(stream, _)| stream),
        Err(_) => std::future::pending().await,
    }
}

/// Never returns if this serin has started none.
async fn ended(upgrade: &mut Option<Upgrade>, connected: bool) -> io::Result<std::process::ExitStatus> {
    match upgrade {
        Some(upgrade) => upgrade.ended(connected).await,
        None => std::future::pending().await,
    }
}

/// During a take-over: refuses further ones. Returns only on an error.
async fn refuse_others(listener: &Result<UnixListener, String>, upgrades: &mut Signal, upgrade: &mut Option<Upgrade>, process: u32) {
    loop {
        let ours = upgrade.as_ref().and_then(Upgrade::id) == Some(process);
        tokio::select! {
            stream = accept(listener) => {
                let Ok(stream) = stream else { return };
                let Ok(mut line) = Line::new(stream) else { continue };
                tracing::error!(process = line.pid, "a second take-over is refused: process {process} is taking over");
                // Unread bytes would reset the connection before the peer has read the answer.
                let _ = line.receive(HELLO_WITHIN).await;
                let _ = line.send(&Message::Refused { why: format!("process {process} is taking over already") }, &[]).await;
            }
            _ = upgrades.recv() => tracing::error!("SIGUSR2: process {process} is taking over already"),
            // The end of the process that takes over is seen on its connection.
            _ = ended(upgrade, ours), if !ours => *upgrade = None,
        }
    }
}

async fn pass_sockets(line: &mut Line, history: &Path, app: &App) -> anyhow::Result<()> {
    let (protocol, version, theirs) = expect(line, HELLO_WITHIN, |message| match message {
        Message::Hello { protocol, version, history } => Some((protocol, version, history)),
        _ => None,
    })
    .await?;
    if protocol != PROTOCOL {
        bail!("it speaks protocol {protocol}, and this one speaks {PROTOCOL}: a restart is needed");
    }
    if !is_same(history, &theirs) {
        bail!("its history is {}, and this one's is {}: that needs a restart", theirs.display(), history.display());
    }
    tracing::info!(process = line.pid, version, "a newer serin takes over");
    let sockets: Vec<_> = app.listeners.all().collect();
    let version = env!("CARGO_PKG_VERSION").to_owned();
    let welcome = Message::Welcome { protocol: PROTOCOL, version, sockets: sockets.len(), blobs: Blobs::new() };
    line.send(&welcome, &[]).await.context("it is gone")?;
    for some in sockets.chunks(DESCRIPTORS_MOST) {
        let passed = some.iter().map(|(name, bound_for, _)| Passed { name: *name, bound_for: *bound_for }).collect();
        let descriptors: Vec<BorrowedFd<'_>> = some.iter().map(|(_, _, socket)| socket.as_fd()).collect();
        line.send(&Message::Sockets(passed), &descriptors).await.context("it is gone")?;
    }
    Ok(())
}

fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}

/// Waits for this message of the newer serin.
async fn expect<T>(line: &mut Line, within: Duration, wanted: impl FnOnce(Message) -> Option<T>) -> anyhow::Result<T> {
    match line.receive(within).await {
        Ok(Message::Failed { why }) => Err(anyhow!("it failed: {why}")),
        Ok(message) => {
            let said = format!("it said {message:?} out of turn");
            wanted(message).ok_or_else(|| anyhow!(said))
        }
        Err(error @ (Lost::Gone | Lost::Silent(_) | Lost::NoMessage(_))) => Err(error.into()),
    }
}
