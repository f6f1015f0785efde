//! Orders certificates for the webhook listener from an authority that speaks ACME (RFC 8555), keeps them in a folder, and renews
//! them. A task of the control thread does it; what waits for a disk or for the authority's answers has threads of the runtime. The
//! process that has the history orders; another one never does.
//!
//! In reading order: `schedule` decides when, purely; `keeper` does it for all names; `authority` is one order by the library, over
//! `http`; `folder` has the files, `renewal` the name of a certificate at its authority, and `trouble` the kinds of failures.

#![forbid(unsafe_code)]

mod authority;
mod folder;
mod http;
mod keeper;
mod renewal;
mod schedule;
mod trouble;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::authority::Acme;
use self::keeper::{Keeper, Surroundings};
use crate::config::{Acme as Config, ProxyTls};
use crate::meters::Metrics;
use crate::proxy::FrontTls;

/// The name of the folder beside the history.
const FOLDER: &str = "acme";

/// The orders of this process.
pub struct Orders {
    around: Surroundings,
    /// The folder if the config names none; `None` if the history is in memory.
    usual: Option<PathBuf>,
    wanted: watch::Sender<Option<Arc<Config>>>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// There is no folder for the account and the certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no folder for certificates: serin keeps no history in a file. Add `folder = \"…\"` to [proxy.tls.acme]")]
pub struct NoFolder;

impl Orders {
    /// Nothing is ordered before `begin`. `history` is the history's file.
    pub fn new(tls: Option<&ProxyTls>, history: Option<&Path>, front: Arc<FrontTls>, metrics: Arc<Metrics>) -> Result<Orders, NoFolder> {
        let around = Surroundings { front, metrics, clock: unix_now, hurry: Arc::default() };
        let usual = history.map(|history| history.parent().unwrap_or(Path::new("")).join(FOLDER));
        let orders = Orders { around, usual, wanted: watch::Sender::new(None), task: Mutex::default() };
        orders.check(tls)?;
        orders.take(tls);
        Ok(orders)
    }

    /// Whether this config could be taken.
    pub fn check(&self, tls: Option<&ProxyTls>) -> Result<(), NoFolder> {
        let lacks = |config: &Arc<Config>| config.folder.is_none() && self.usual.is_none();
        if tls.and_then(|tls| tls.acme.as_ref()).is_some_and(lacks) { Err(NoFolder) } else { Ok(()) }
    }

    /// Follows a config that is now in force. An unchanged one changes nothing.
    pub fn take(&self, tls: Option<&ProxyTls>) {
        let new = tls.and_then(|tls| tls.acme.clone());
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != new;
            *wanted = new;
            changed
        });
    }

    /// An operator wants what has failed to be tried again at once.
    pub fn try_again(&self) {
        self.around.hurry.notify_one();
    }

    /// Shows the stored certificates, and orders and renews from now on: this process has the history.
    pub fn begin(&self) {
        let mut wanted = self.wanted.subscribe();
        let first = self.keeper(wanted.borrow_and_update().clone());
        let (around, usual) = (self.around.clone(), self.usual.clone());
        let task = tokio::spawn(follow(first, wanted, move |config| keeper(&around, usual.as_deref(), config)));
        if let Some(before) = self.task().replace(task) {
            before.abort();
        }
    }

    fn keeper(&self, config: Option<Arc<Config>>) -> Option<Keeper<Acme>> {
        keeper(&self.around, self.usual.as_deref(), config)
    }

    /// Orders nothing more. What is shown stays. An order under way is given up, and its check is not answered any more.
    pub async fn end(&self) {
        let task = self.task().take();
        if let Some(task) = task {
            task.abort();
            let _ = task.await;
        }
    }

    fn task(&self) -> std::sync::MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps what each config wants, until there are no more.
async fn follow(
    first: Option<Keeper<Acme>>,
    mut wanted: watch::Receiver<Option<Arc<Config>>>,
    keeper: impl Fn(Option<Arc<Config>>) -> Option<Keeper<Acme>>,
) {
    let mut now = first;
    loop {
        let keeps = async {
            match now.take() {
                Some(keeper) => keeper.run().await,
                None => std::future::pending().await,
            }
        };
        let changed = tokio::select! {
            () = keeps => return,
            changed = wanted.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let config = wanted.borrow_and_update().clone();
        now = keeper(config);
    }
}

/// Shows what is stored for this config.
fn keeper(around: &Surroundings, usual: Option<&Path>, config: Option<Arc<Config>>) -> Option<Keeper<Acme>> {
    let folder = config.as_ref().and_then(|config| config.folder.clone().or(usual.map(Path::to_owned)));
    let Some((config, folder)) = config.zip(folder) else {
        around.front.take_ordered(Vec::new());
        return None;
    };
    let (challenges, of) = (around.front.challenges().clone(), config.clone());
    Some(Keeper::begin(config, &folder, around.clone(), |folder| Acme::new(of, folder, challenges)))
}

fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs() as i64)
}
