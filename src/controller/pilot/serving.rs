//! Derives what serves from a bot's state: its split, its roles, and the epoch that contains both.

use std::sync::Arc;

use super::Pilot;
use crate::config::{Bot, Config};
use crate::controller::reach::Reach;
use crate::controller::roles::{roles, split};
use crate::core::evidence::Evidence;
use crate::core::{Bucket, Salt, Split, State, Track, Weight};
use crate::live::{Epoch, Ledger, Names, Roles, Status};
use crate::summary::Moves;

impl Pilot {
    /// The epoch of the current state. It keeps the ledger, and so the counts, if the split is the same.
    pub(super) fn make_epoch(&self, config: &Config, bot: &Bot) -> Arc<Epoch> {
        let same = self.epoch.split_id == self.state.split_id;
        let ledger = match same {
            true => self.epoch.ledger.clone(),
            false => Arc::new(Ledger::new(config.proxy.workers, self.learned.marks())),
        };
        let names = config.admin.show_workspaces.then(|| {
            let kept = self.epoch.names.clone().filter(|_| same);
            kept.unwrap_or_else(|| Arc::new(Names::new(config.proxy.workers)))
        });
        let status = (*self.epoch.status()).clone();
        let status = Status { state: self.state.clone(), ..status };
        Arc::new(Epoch::new(self.split(&config.proxy.salt, bot), self.roles(bot), ledger, status).with_names(names))
    }

    pub(super) fn split(&self, salt: &Salt, bot: &Bot) -> Split {
        let split = split(&self.state, salt, bot);
        match self.state.weight == Weight::FULL {
            // At 100 % every workspace is on the canary, those under examination too.
            true => split,
            false => split.with_apart(self.evidence.iter().flat_map(Evidence::apart).collect()),
        }
    }

    pub fn roles(&self, bot: &Bot) -> Roles {
        roles(&self.state, bot)
    }

    /// The active buckets, and the share of the usual requests, that would change their upstream in the state `after`; `None` while
    /// nothing is known of what is usual.
    pub fn moves(&self, config: &Config, bot: &Bot, after: &State) -> Option<Moves> {
        let usual = &self.learned.usual;
        let all = usual.requests();
        let [before, after] = [&self.state, after].map(|state| {
            let (split, roles) = (split(state, &config.proxy.salt, bot), roles(state, bot));
            move |bucket| if split.track(bucket) == Track::Canary { roles.canary.unwrap_or(roles.stable) } else { roles.stable }
        });
        let moved = || Bucket::all().filter(|bucket| before(*bucket) != after(*bucket));
        let active_buckets = moved().filter(|bucket| usual.requests_of(*bucket) >= 1.0).count();
        let requests_share = moved().map(|bucket| usual.requests_of(bucket)).sum::<f64>() / all;
        (all >= 1.0).then_some(Moves { active_buckets, requests_share })
    }

    /// The active buckets below this weight, and their share of the usual requests; `None` while nothing is known of what is usual.
    pub fn reach(&self, config: &Config, bot: &Bot, weight: Weight) -> Option<Reach> {
        let split = self.split(&config.proxy.salt, bot);
        let usual = &self.learned.usual;
        let all = usual.requests();
        let below = || Bucket::all().filter(|bucket| u128::from(split.rank(*bucket)) < weight.threshold());
        let share = below().map(|bucket| usual.requests_of(bucket)).sum::<f64>() / all;
        let active = below().filter(|bucket| usual.requests_of(*bucket) >= 1.0).count();
        (all >= 1.0).then_some(Reach { weight, active_buckets: active, requests_share: share })
    }
}
