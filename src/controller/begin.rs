//! The first moment: what is kept, what the config says, and what becomes of both.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use tokio::sync::{Mutex, broadcast};

use super::pilot::{Pilot, index, release, rule};
use super::{Actor, CHANGES_KEPT, Controller, Pilots, Sides, keep};
use crate::config::{Bot, Config};
use crate::core::ratchet::{self, Command, Input};
use crate::core::{HeldBy, Phase, Seen, State, Weight};
use crate::live::Live;
use crate::store::{Entry, Found, Kept, Reasons, Store, Unwritten, Who};
use crate::telemetry::Metrics;

impl Controller {
    /// The controller, and what serves at first: what is kept, and for a bot without a history what the config says.
    pub async fn begin(
        config: Config,
        metrics: Arc<Metrics>,
        store: Store,
        found: Found,
        sides: Arc<dyn Sides>,
    ) -> (Controller, Arc<Live>) {
        found.alarms.iter().for_each(|alarm| tracing::error!("{alarm}"));
        let Found { mut bots, stable, .. } = found;
        let config = Arc::new(config);
        let (mut pilots, mut epochs) = (Pilots::new(), Vec::new());
        for bot in &config.bots {
            // Somebody may have been promoted before the history was lost.
            let known = stable.get(bot.name.as_str()).and_then(|known| index(bot, known));
            let pilot = came(&store, &config, bot, bots.remove(bot.name.as_str()), known.unwrap_or(bot.stable)).await;
            epochs.push(pilot.epoch(&config, bot, None));
            pilots.insert(bot.name.clone(), pilot);
        }
        for gone in bots.keys() {
            tracing::warn!(bot = gone, "the history knows a bot that the config does not; a renamed bot is a new bot");
        }
        let live = Arc::new(Live::new(config.clone(), epochs, config.proxy.workers));
        let (changes, _) = broadcast::channel(CHANGES_KEPT);
        let controller = Controller {
            live: live.clone(),
            metrics,
            store,
            sides,
            changes,
            pilots: Mutex::new(pilots),
            absent: std::sync::Mutex::new(bots),
            ticks: AtomicU64::new(0),
        };
        (controller, live)
    }
}

impl Controller {
    /// A history that was lost may have been of a promotion: where stable takes no connections and the config's release is
    /// fit, that is who serves.
    pub(super) async fn look_who_is_there(&self) {
        let snapshot = self.live.current();
        for (number, bot) in snapshot.config.bots.iter().enumerate() {
            let state = snapshot.epochs[number].status().state.clone();
            let Some(wanted) = state.seen.release.clone().filter(|_| state.held_by == Some(HeldBy::NoHistory)) else { continue };
            let Some(upstream) = index(bot, &wanted) else { continue };
            if self.sides.connects(bot, snapshot.epochs[number].roles.stable, LOOK).await.is_ok() {
                continue;
            }
            if self.sides.preflight(bot, upstream).await.is_ok() {
                tracing::error!(bot = %bot.name, stable = %state.stable, serves = %wanted, "stable takes no connections and nothing is known of before: the config's release serves");
                self.config_says(&snapshot, number, Command::Adopt { stable: wanted }).await;
            }
        }
    }
}

/// A side that is there takes a connection in this time.
const LOOK: Duration = Duration::from_secs(1);

/// A bot that the config names now, and did not before.
pub(super) async fn came(store: &Store, config: &Config, bot: &Bot, kept: Option<Kept>, stable: usize) -> Pilot {
    match kept {
        Some(kept) => recover(store, config, bot, kept).await,
        None => first(store, config, bot, stable).await,
    }
}

/// A bot without a history. A weight that its config states is a split by hand; a release that it wants waits for somebody
/// who says whether it is new or live already.
async fn first(store: &Store, config: &Config, bot: &Bot, stable: usize) -> Pilot {
    let mut state = State::new(release(&bot.upstreams[stable]));
    if let Some(wanted) = &bot.release {
        match wanted.upstream == state.stable.upstream {
            true => state.stable = wanted.clone(),
            false => state.held_by = Some(HeldBy::NoHistory),
        }
    }
    state.seen = Seen { weight: Weight::ZERO, release: bot.release.clone(), rule: rule(config, bot) };
    let without_a_split = state.clone();
    if let Some(canary) = bot.canary.filter(|canary| bot.weight > Weight::ZERO && *canary != stable) {
        state.canary = Some(release(&bot.upstreams[canary]));
        state.weight = bot.weight;
        state.phase = Phase::Manual;
        state.seen.weight = bot.weight;
    }
    // What cannot be kept must not send anybody to a canary: the weight is set once it can be.
    if store.append(vec![beginning(bot, &state)], Unwritten::Drop).await.is_err() {
        state = without_a_split;
        let _ = store.append(vec![beginning(bot, &state)], Unwritten::Keep).await;
    }
    Pilot::new(config, bot, state, Duration::ZERO)
}

fn beginning(bot: &Bot, state: &State) -> Entry {
    Entry {
        bot: bot.name.to_string(),
        who: Who { kind: Actor::Config.kind(), name: Actor::Config.name().to_owned() },
        reasons: Reasons::default(),
        decision: "begin",
        before: None,
        input: None,
        guard: bot.guard.clone(),
        at: Duration::ZERO,
        state: state.clone(),
    }
}

/// A bot as it was left, made to fit a config that may have changed since.
async fn recover(store: &Store, config: &Config, bot: &Bot, kept: Kept) -> Pilot {
    let at = kept.at;
    let mut state = kept.state.clone();
    let missing = |of: &crate::core::Release| index(bot, of).is_none();
    let mut repairs = Vec::new();
    if state.canary.as_ref().is_some_and(missing) && state.is_live() {
        tracing::error!(bot = %bot.name, "the canary is not in the config any more: everyone is on stable");
        repairs.push(if state.under_way().is_some() { Command::Withdraw } else { Command::Abort });
    }
    if missing(&state.stable) {
        let stable = release(&bot.upstreams[bot.stable]);
        tracing::error!(bot = %bot.name, was = %state.stable, is = %stable, "stable is not in the config any more");
        if state.is_live() && repairs.is_empty() {
            repairs.push(if state.under_way().is_some() { Command::Withdraw } else { Command::Abort });
        }
        repairs.push(Command::Adopt { stable });
    }
    if let Some(canary) = state.canary.clone().filter(|_| repairs.is_empty() && state.weight > bot.max_weight) {
        repairs.push(Command::SetWeight { weight: bot.max_weight, canary });
    }
    let rule = rule(config, bot);
    if state.seen.rule != rule {
        if state.is_live() {
            tracing::error!(bot = %bot.name, "salt, sources or pins have changed while customers are on the canary: others are now");
        }
        repairs.push(Command::Reassign { rule, exposes: false });
    }
    let changed = !repairs.is_empty();
    for command in repairs {
        let before = state.clone();
        let input = Input::Command { command, based_on: None };
        let (after, decision) = ratchet::step(before.clone(), &input, &bot.guard, at);
        if !decision.commits() {
            tracing::error!(bot = %bot.name, ?decision, "the history does not fit the config");
            continue;
        }
        let pilot = Pilot::new(config, bot, before.clone(), at);
        let entry = keep::entry(bot, &pilot, Actor::Config, &decision, (&before, &after), input, &bot.guard, at, None);
        let _ = store.append(vec![entry], Unwritten::Keep).await;
        state = after;
    }
    tracing::info!(bot = %bot.name, revision = state.revision, phase = state.phase.name(), weight = %state.weight, stable = %state.stable, "recovered");
    let mut pilot = Pilot::new(config, bot, state, at);
    pilot.remember(config, bot, kept, changed);
    pilot
}
