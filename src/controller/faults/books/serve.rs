//! What serves, and what is counted of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::machine::Machine;
use super::super::recorder::Decided;
use super::super::world::WORKSPACES;
use super::keep::Kept;
use super::{Checked, bot_of, must};
use crate::config::Bot;
use crate::core::ratchet::Input;
use crate::core::{Release, Salt, Split, State, Track, Weight};
use crate::live::Epoch;

#[derive(Default)]
pub struct Serve {
    published: Option<Arc<Epoch>>,
    /// By split: stable's and the canary's requests that were counted, in this process.
    counted: BTreeMap<u64, [u32; 2]>,
    /// The evidence may know only some of them: it was begun anew for a split that had some, or is an earlier process's.
    some_only: Option<u64>,
}

const EVERYBODY: u64 = u64::MAX >> (u64::BITS as usize - WORKSPACES);

/// Who may reach the canary: by rank, set aside or not, or by a pin.
struct Reach {
    canary: Option<Release>,
    on_canary: u64,
    stable: Vec<Arc<str>>,
}

impl Reach {
    fn of(machine: &Machine<'_>, name: &str, split: &Split, state: &State, set_aside: bool) -> Reach {
        let by_rank = if set_aside { machine.world.set(name, |bucket| split.track(bucket) == Track::Canary) } else { 0 };
        let former = state.previous.as_ref().map(|former| former.release.upstream.clone());
        let stable = [Some(state.stable.upstream.clone()), former].into_iter().flatten().collect();
        Reach { canary: state.canary.clone(), on_canary: by_rank | machine.world.on_canary(name, split), stable }
    }

    /// Without pins.
    fn of_state(machine: &Machine<'_>, name: &str, state: &State) -> Reach {
        let split = Split::new(Salt::new("serin"), name, state.attempt, state.weight, Default::default());
        let split = if state.canary_is_closed() { split.closed() } else { split };
        Reach::of(machine, name, &split, state, true)
    }

    /// The workspaces that may reach something by `after` that they could not reach before.
    fn grows_to(&self, after: &Reach) -> u64 {
        let knows = |upstream: &Arc<str>| self.stable.contains(upstream);
        let on_it =
            |upstream: &Arc<str>| if self.canary.as_ref().is_some_and(|canary| canary.upstream == *upstream) { self.on_canary } else { 0 };
        let by_stable = after.stable.first().map_or(0, |now| if knows(now) { 0 } else { EVERYBODY & !on_it(now) });
        // Where no release is named, a pin leads to the other one of two upstreams, whatever is on it.
        let same = self.canary.as_ref().zip(after.canary.as_ref()).is_none_or(|(before, after)| before == after);
        let by_canary = after.on_canary & if same { !self.on_canary } else { u64::MAX };
        by_stable | by_canary
    }
}

impl Serve {
    /// 8: nobody reaches what is not durable. 11: what serves of a bot is that bot's, and of one revision. 12: exact at 0 and 100 %, pins
    /// apart; whoever is canary stays so while the weight rises.
    pub fn published(&mut self, machine: &Machine<'_>, bot: &Bot, epoch: &Arc<Epoch>, kept: &Kept) -> Checked {
        let name = bot.name.as_str();
        let status = epoch.status();
        let (state, split) = (&status.state, &epoch.split);
        must(bot_of(state) == name, 11, || format!("{name} serves what is {}'s", bot_of(state)))?;
        must(split.weight() == state.weight && epoch.revision == state.revision && epoch.split_id == state.split_id, 11, || {
            format!("revision {} serves {}, and is {}", state.revision, split.weight(), state.weight)
        })?;
        let labels = machine.world.set(name, |bucket| split.track(bucket) == Track::Canary);
        let on_canary = machine.world.on_canary(name, split);
        let pinned = |number: usize| bot.pins.names().iter().any(|(pin, _)| *pin == machine.world.name(name, number));
        let pins = (0..WORKSPACES).filter(|number| pinned(*number)).fold(0_u64, |set, number| set | 1 << number);
        must(state.weight > Weight::ZERO || on_canary & !pins == 0, 12, || format!("0 % and {on_canary:b} on the canary"))?;
        must(!state.canary_is_closed() || on_canary == 0, 12, || "the canary is closed, and somebody is sent to it".to_owned())?;
        must(state.weight < Weight::FULL || on_canary | pins == EVERYBODY, 12, || format!("100 % and {on_canary:b} on the canary"))?;
        if let Some(old) = &self.published {
            let before = old.status();
            let before = &before.state;
            let old_labels = machine.world.set(name, |bucket| old.split.track(bucket) == Track::Canary);
            let same = before.attempt == state.attempt && before.canary == state.canary && state.canary.is_some();
            let lost = if state.weight >= before.weight { old_labels & !labels } else { labels & !old_labels };
            must(!same || lost == 0, 12, || format!("{} → {} moves {lost:b} the other way", before.weight, state.weight))?;
            let same_revision = (before.weight, before.split_id, &before.canary, &before.stable)
                == (state.weight, state.split_id, &state.canary, &state.stable);
            must(epoch.revision > old.revision || (epoch.revision == old.revision && same_revision), 11, || {
                format!("two kinds of revision {}", epoch.revision)
            })?;
            let (was, is) = (Reach::of(machine, name, &old.split, before, true), Reach::of(machine, name, split, state, false));
            // What is durable may have been overtaken before it served.
            let durable = kept.state().map(|durable| Reach::of_state(machine, name, durable).grows_to(&is));
            let exposed = was.grows_to(&is) & durable.unwrap_or(EVERYBODY) & !if same_revision { pins } else { 0 };
            // The same split as a durable one is the same assignment, pins included.
            let same_split = kept.state().is_some_and(|durable| durable.split_id == state.split_id);
            must(exposed == 0 || same_split || kept.is_durable(state.revision), 8, || {
                format!("{exposed:b} of {name} reach more by revision {}, which is not durable", state.revision)
            })?;
            if old.split_id == epoch.split_id && epoch.revision > old.revision {
                self.some_only = Some(epoch.split_id);
            }
        }
        if self.published.is_none() {
            // Its evidence may be an earlier one's.
            self.some_only = Some(epoch.split_id);
        }
        self.published = Some(epoch.clone());
        Ok(())
    }

    /// 18: nobody reaches more by a decision that is made in a freeze, or while the history cannot be written.
    pub fn nobody_is_exposed_in_a_freeze(&self, machine: &Machine<'_>, name: &str, decided: &Decided) -> Checked {
        let Decided { before, after, guard, decision, .. } = decided;
        if guard.frozen.is_none() || !decision.commits() {
            return Ok(());
        }
        let exposed = Reach::of_state(machine, name, before).grows_to(&Reach::of_state(machine, name, after));
        must(exposed == 0, 18, || format!("{decision:?} exposes {exposed:b} in a freeze"))
    }

    pub fn counted(&mut self, split_id: u64, canary: bool) {
        self.counted.entry(split_id).or_default()[usize::from(canary)] += 1;
    }

    /// 13: the evidence counts what this split routed and what was answered, each request once and under its label.
    pub fn what_is_counted_was_routed(&self, decided: &Decided) -> Checked {
        let Input::Tick(facts) = &decided.input else { return Ok(()) };
        let Some(judgement) = &facts.judgement else { return Ok(()) };
        let counts = [judgement.stable, judgement.canary].map(|exposure| exposure.tally.requests);
        let counted = self.counted.get(&facts.split_id).copied().unwrap_or_default();
        let whole = self.some_only != Some(facts.split_id);
        must(!whole || counts == counted, 13, || {
            format!("{counts:?} requests of split {} are judged, {counted:?} were answered", facts.split_id)
        })
    }
}
