//! Which upstream plays which role, by a bot's state and config.

use std::sync::Arc;

use xxhash_rust::xxh3::xxh3_64;

use crate::config::{Bot, Config, Upstream};
use crate::core::{Release, Salt, Split, State};
use crate::live::Roles;

/// The split of a state, without the buckets that the evidence has set aside.
pub(super) fn split(state: &State, salt: &Salt, bot: &Bot) -> Split {
    let split = Split::new(salt.clone(), bot.name.as_str(), state.attempt, state.weight, bot.pins.clone());
    if roles(state, bot).canary.is_none() { split.closed() } else { split }
}

pub(super) fn roles(state: &State, bot: &Bot) -> Roles {
    let stable = index(bot, &state.stable).unwrap_or(bot.stable);
    // After an abort or a promotion there is no canary, neither for pins nor for testers.
    let open = !state.canary_is_closed();
    let canary = state.canary.as_ref().and_then(|canary| index(bot, canary)).or_else(|| candidate(bot, stable)).filter(|_| open);
    Roles { stable, canary }
}

/// The upstream that a weight refers to when no rollout runs: the config's `canary` unless it is stable now, else the only other
/// upstream. `None` if there are several.
pub(super) fn candidate(bot: &Bot, stable: usize) -> Option<usize> {
    let others: Vec<usize> = (0..bot.upstreams.len()).filter(|index| *index != stable).collect();
    bot.canary.filter(|canary| *canary != stable).or(match others.as_slice() {
        [only] => Some(*only),
        _ => None,
    })
}

/// A hash of everything that decides how workspaces are assigned: see [`LastConfig`](crate::core::LastConfig).
pub(super) fn rule(config: &Config, bot: &Bot) -> u64 {
    xxh3_64(format!("{:?} {} {:?}", config.proxy.salt, bot.extractor.rule(), bot.pins.names()).as_bytes())
}

pub(super) fn index(bot: &Bot, release: &Release) -> Option<usize> {
    bot.upstreams.iter().position(|upstream| upstream.name == release.upstream)
}

/// The release on an upstream, with the version that the config states.
pub(super) fn release(upstream: &Upstream) -> Release {
    Release { upstream: upstream.name.clone(), version: upstream.version.as_deref().map(Arc::from) }
}
