//! Keeps a certificate for each name of the config: shows what the folder has, orders what is missing, and renews in time. One order
//! at a time.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use super::authority::Authority;
use super::folder::Folder;
use super::schedule::{Attempts, Failure, Validity, ask_again, choose, order_at};
use super::trouble::{Kind, Trouble};
use crate::config::Acme as Config;
use crate::config::tls::Pair;
use crate::meters::{Metrics, Ordered};
use crate::outbound::chance;
use crate::proxy::{FrontTls, OrderedCertificate};

/// The longest sleep, because the system's clock can be set meanwhile.
const SLEEP_MOST: Duration = Duration::from_secs(3600);
/// The shortest sleep. A moment is in whole seconds.
const SLEEP_LEAST: Duration = Duration::from_millis(200);
/// The limit of one order from its begin to its certificate. Each part has a limit of its own.
const ORDER_WITHIN: Duration = Duration::from_secs(600);

/// The clock: Unix seconds.
pub type Clock = fn() -> i64;

/// The parts of serin that the keeper uses.
#[derive(Clone)]
pub struct Surroundings {
    pub front: Arc<FrontTls>,
    pub metrics: Arc<Metrics>,
    pub clock: Clock,
    /// Notified when an operator wants what has failed to be tried again at once.
    pub hurry: Arc<Notify>,
}

pub struct Keeper<A> {
    around: Surroundings,
    config: Arc<Config>,
    folder: Folder,
    authority: A,
    names: Vec<Name>,
    /// Failures that all names share.
    common: Attempts,
    /// The failures that were logged since the last success: the kind, and the name unless it concerns all names.
    said: HashSet<(Kind, Option<String>)>,
}

struct Name {
    name: String,
    shown: Option<Arc<Pair>>,
    own: Attempts,
    /// The moment for a renewal that was chosen in the authority's window.
    suggested: Option<i64>,
    /// When the authority is asked for that window.
    ask_at: i64,
}

/// The next thing to do, and when. The index is the name's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Order(usize, i64),
    Ask(usize, i64),
}

impl<A: Authority> Keeper<A> {
    /// Shows what the folder has. It reads the files at once, which are few and small.
    pub fn begin(config: Arc<Config>, folder: &Path, around: Surroundings, authority: impl FnOnce(Folder) -> A) -> Keeper<A> {
        let folder = Folder::of(folder, &config.directory);
        let now = (around.clock)();
        let name = |name: &String| {
            around.metrics.ordered(name, None);
            let shown = stored(&folder, name, now);
            Name { name: name.clone(), shown, own: Attempts::default(), suggested: None, ask_at: now }
        };
        let names = config.domains.iter().map(name).collect();
        let authority = authority(folder.clone());
        let keeper = Keeper { around, config, folder, authority, names, common: Attempts::default(), said: HashSet::new() };
        keeper.show();
        keeper
    }

    /// Orders and renews until it is dropped. An order that is dropped is begun anew by the next keeper.
    pub async fn run(mut self) {
        loop {
            let now = (self.around.clock)();
            match self.next() {
                Some(Due::Order(index, at)) if at <= now => self.order(index).await,
                Some(Due::Ask(index, at)) if at <= now => self.ask(index).await,
                due => self.wait(due, now).await,
            }
        }
    }

    /// The next thing to do. An order goes before a question of the same moment.
    fn next(&self) -> Option<Due> {
        let orders = self.names.iter().enumerate().map(|(index, name)| Due::Order(index, name.order_at(self.common)));
        let asks = self.names.iter().enumerate().filter(|(_, name)| name.shown.is_some()).map(|(index, name)| Due::Ask(index, name.ask_at));
        orders.chain(asks).min_by_key(|due| due.at())
    }

    async fn wait(&mut self, due: Option<Due>, now: i64) {
        let left = due.map_or(SLEEP_MOST, |due| Duration::from_secs(due.at().saturating_sub(now).max(0) as u64));
        tokio::select! {
            () = tokio::time::sleep(left.clamp(SLEEP_LEAST, SLEEP_MOST)) => {}
            () = self.around.hurry.notified() => {
                self.common = self.common.hurried();
                self.names.iter_mut().for_each(|name| name.own = name.own.hurried());
            }
        }
    }

    async fn order(&mut self, index: usize) {
        let (name, shown) = (self.names[index].name.clone(), self.names[index].shown.clone());
        let issued = self.try_order(&name, shown.as_deref()).await;
        let now = (self.around.clock)();
        match issued {
            Ok(pair) => {
                tracing::info!(name, not_after = pair.not_after, "a certificate was issued; the webhook listener shows it");
                self.around.metrics.ordered(&name, Some(Ordered::Issued));
                self.said.retain(|(_, of)| of.as_ref().is_some_and(|of| *of != name));
                self.common = Attempts::default();
                let own = Attempts::succeeded(now, validity(&pair));
                self.names[index] = Name { name, shown: Some(pair), own, suggested: None, ask_at: now };
                self.show();
            }
            Err(trouble) => self.failed(index, trouble, now),
        }
    }

    async fn try_order(&mut self, name: &str, shown: Option<&Pair>) -> Result<Arc<Pair>, Trouble> {
        // Certificates that cannot be kept would use up what the authority issues in a week.
        self.folder.on_disk(Folder::check).await?;
        let pem = match tokio::time::timeout(ORDER_WITHIN, self.authority.order(name, shown)).await {
            Ok(ordered) => ordered?,
            Err(_) => return Err(Trouble::new(Kind::Unreachable, format!("the order has not ended within {ORDER_WITHIN:?}"))),
        };
        let name = name.to_owned();
        self.folder.on_disk(move |folder| folder.keep_certificate(&name, &pem)).await
    }

    fn failed(&mut self, index: usize, trouble: Trouble, now: i64) {
        let Trouble { kind, text, asked, stale: _ } = trouble;
        let name = self.names[index].name.clone();
        self.around.metrics.ordered(&name, Some(Ordered::NotIssued(kind)));
        let failure = Failure { limited: kind == Kind::RateLimited, asked };
        let attempts = if kind.is_common() { &mut self.common } else { &mut self.names[index].own };
        *attempts = attempts.failed(now, failure, chance());
        let again_in = attempts.not_before - now;
        let directory = &self.config.directory;
        if self.said.insert((kind, (!kind.is_common()).then(|| name.clone()))) {
            let advice = kind.advice(self.config.challenge);
            tracing::error!(name, directory, again_in_secs = again_in, "no certificate was issued: {text}; {advice}");
        } else {
            tracing::debug!(name, directory, again_in_secs = again_in, "no certificate was issued, again: {text}");
        }
    }

    /// Asks the authority when it wants the renewal.
    async fn ask(&mut self, index: usize) {
        let Some(shown) = self.names[index].shown.clone() else { return };
        let said = self.authority.suggested(&shown).await;
        let name = &mut self.names[index];
        name.ask_at = (self.around.clock)() + ask_again(said.map(|(_, again)| again)).as_secs() as i64;
        // The moment stays as it was chosen while it is in the window, and while the authority does not answer.
        if let Some((window, _)) = said
            && !name.suggested.is_some_and(|at| (window.from..=window.to).contains(&at))
        {
            name.suggested = Some(choose(window, chance()));
        }
    }

    fn show(&self) {
        let ordered = self.names.iter().map(|name| OrderedCertificate { name: name.name.clone(), pair: name.shown.clone() });
        self.around.front.take_ordered(ordered.collect());
    }
}

impl Name {
    fn order_at(&self, common: Attempts) -> i64 {
        order_at(self.shown.as_deref().map(validity), self.suggested, self.own, common)
    }
}

impl Due {
    fn at(self) -> i64 {
        match self {
            Due::Order(_, at) | Due::Ask(_, at) => at,
        }
    }
}

fn validity(pair: &Pair) -> Validity {
    Validity { from: pair.not_before, to: pair.not_after }
}

/// The certificate of the folder, if it can be shown.
fn stored(folder: &Folder, name: &str, now: i64) -> Option<Arc<Pair>> {
    match folder.certificate(name) {
        Ok(Some(pair)) if pair.not_after >= now => {
            tracing::info!(name, not_after = pair.not_after, "the stored certificate is shown");
            Some(pair)
        }
        Ok(Some(pair)) => {
            tracing::warn!(
                name,
                not_after = pair.not_after,
                "the stored certificate has expired: clients of this name are refused until another is issued"
            );
            None
        }
        Ok(None) => {
            tracing::warn!(name, "there is no certificate yet: clients of this name are refused until it is issued");
            None
        }
        Err(trouble) => {
            tracing::error!(name, "the stored certificate cannot be used: {}; another one is ordered", trouble.text);
            None
        }
    }
}

#[cfg(test)]
mod tests;
