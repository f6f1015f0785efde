//! What is kept, and what comes back.

use super::super::disk::Mode;
use super::super::machine::{CameBack, Machine};
use super::super::recorder::Decided;
use super::replay::Replay;
use super::{Checked, must};
use crate::core::ratchet::{Decision, Input, Refusal};
use crate::core::{Frozen, State};
use crate::store::Entry;

#[derive(Default)]
pub struct Kept {
    /// The last revision that was ordered from the history.
    ordered: u64,
    /// What is durable.
    durable: Option<State>,
    replay: Option<Replay>,
}

impl Kept {
    /// 6: by one with each change, and not otherwise; the split's number rises with the assignment.
    pub fn revisions_rise_by_one(&self, decided: &Decided) -> Checked {
        let Decided { before, after, decision, .. } = decided;
        let assignment = |state: &State| (state.weight, state.attempt, state.stable.clone(), state.canary.clone());
        let rose = after.revision.wrapping_sub(before.revision);
        must(rose == u64::from(decision.commits()), 6, || format!("revision {} → {} by {decision:?}", before.revision, after.revision))?;
        let moved = assignment(before) != assignment(after) || matches!(decision, Decision::Reassign { .. });
        let rose = after.split_id.wrapping_sub(before.split_id);
        must(rose == u64::from(moved), 6, || format!("split {} → {} by {decision:?}", before.split_id, after.split_id))
    }

    /// 7: who looked at another revision changes nothing.
    pub fn what_is_stale_is_refused(&self, decided: &Decided) -> Checked {
        let Input::Command { based_on: Some(based_on), .. } = &decided.input else { return Ok(()) };
        let stale = *based_on != decided.before.revision;
        must(matches!(decided.decision, Decision::Refuse(Refusal::Stale { .. })) == stale, 7, || {
            format!("based on {based_on}: {:?}", decided.decision)
        })
    }

    /// 6: each change is based on the one before, and none is ordered twice, but in place of one that was given up.
    pub fn ordered(&mut self, entry: &Entry) -> Checked {
        let (revision, before) = (entry.state.revision, entry.before.as_ref().map_or(0, |before| before.revision));
        must(entry.before.is_none() || revision == before + 1, 6, || format!("{revision} is ordered after {before}"))?;
        must(before <= self.ordered.max(before.min(self.ordered)), 6, || format!("{before} was never ordered"))?;
        self.ordered = revision;
        Ok(())
    }

    /// 6 and 10: rows come in order; each explains the state.
    pub fn durable(&mut self, entry: &Entry) -> Checked {
        let revision = entry.state.revision;
        if let Some(last) = &self.durable {
            must(revision == last.revision + 1, 6, || format!("{revision} was written after {}", last.revision))?;
        }
        let replay = self.replay.get_or_insert_with(|| Replay::new(&entry.state));
        if entry.before.is_some() {
            replay.follow(entry);
        }
        replay.is_at(&entry.state)?;
        self.durable = Some(entry.state.clone());
        Ok(())
    }

    /// What is durable.
    pub fn state(&self) -> Option<&State> {
        self.durable.as_ref()
    }

    pub fn is_durable(&self, revision: u64) -> bool {
        self.durable.as_ref().is_some_and(|durable| durable.revision >= revision)
    }

    /// 6: what is in force was ordered.
    pub fn stands(&self, name: &str, state: &State) -> Checked {
        must(state.revision <= self.ordered, 6, || {
            format!("revision {} of {name} is in force, and the history knows {}", state.revision, self.ordered)
        })
    }

    /// 8: what comes back is what is on the disk, all of it. 9: step, quarantine and attempts are as before; what was left of the
    /// bake is not less. 10: and it can be replayed.
    pub fn comes_back(&mut self, bot: &CameBack, lied: bool) -> Checked {
        let (after, at) = &bot.after;
        let Some(last) = &bot.on_disk else {
            must(lied || self.durable.is_none(), 8, || format!("nothing of {} is left", bot.name))?;
            *self = Kept { ordered: after.revision, ..Kept::default() };
            return Ok(());
        };
        let durable = self.durable.as_ref().map_or(0, |durable| durable.revision);
        must(last.revision >= durable || lied, 8, || format!("{} is left of {durable}", last.revision))?;
        must(after.revision >= last.revision, 8, || format!("{} came back of {}", after.revision, last.revision))?;
        if after.revision == last.revision {
            let same = (after.weight, after.split_id, after.attempt) == (last.weight, last.split_id, last.attempt);
            must(same && after.stable == last.stable && after.canary == last.canary, 8, || "something else came back".to_owned())?;
            must(after.quarantine == last.quarantine && after.attempts == last.attempts, 9, || "quarantine was forgotten".to_owned())?;
            let step = |state: &State| state.rollout.as_ref().map(|rollout| (rollout.step, rollout.release.clone()));
            must(step(after) == step(last), 9, || "the step was forgotten".to_owned())?;
            if let Some((before, then)) = bot.before.as_ref().filter(|(before, _)| before.revision == after.revision)
                && let (Some(old), Some(new)) = (before.under_way(), after.under_way())
            {
                let (was, is) = (old.baked_at().saturating_sub(*then), new.baked_at().saturating_sub(*at));
                must(is >= was, 9, || format!("{was:?} of the bake was left, {is:?} is"))?;
            }
        }
        self.ordered = after.revision;
        self.durable = Some(last.clone());
        self.replay = Some(Replay::new(last));
        Ok(())
    }
}

/// 16: the rows of one bot that cannot be written hold up no other bot.
pub fn no_other_bot_holds_it_up(machine: &Machine<'_>, name: &str, decided: &Decided) -> Checked {
    let held_up = matches!(decided.guard.frozen, Some(Frozen::Unwritable(_)));
    let disk = &machine.disk;
    let well = disk.mode == Mode::Works && disk.queue.is_empty() && disk.health.failing.is_none() && !disk.health.bots.contains_key(name);
    must(!held_up || !well, 16, || format!("{name} is held up by another bot's row: {:?}", decided.guard.frozen))
}
