//! What is kept, and what comes back.

use super::replay::Replay;
use super::{Checked, must};
use crate::core::ratchet::{Decision, Input};
use crate::core::{State, Weight};
use crate::sim::faults::happened::{Decided, Restarted};
use crate::sim::faults::live::Epoch;
use crate::sim::faults::store::{Record, Store};

pub struct History {
    /// What is durable.
    kept: State,
    tokens: u64,
    first: State,
    replay: Replay,
    count: usize,
}

impl History {
    pub fn new(first: &State) -> History {
        History { kept: first.clone(), tokens: 0, first: first.clone(), replay: Replay::new(first), count: 0 }
    }

    /// 6: by one with each change, and not otherwise; the split's number rises with the assignment.
    pub fn revisions_rise_by_one(&self, decided: &Decided) -> Checked {
        let Decided { before, after, decision, .. } = decided;
        let assignment = |state: &State| (state.weight, state.attempt, state.stable.clone(), state.canary.clone());
        let rose = after.revision.wrapping_sub(before.revision);
        must(rose == u64::from(decision.commits()), 6, || format!("revision {} → {} by {decision:?}", before.revision, after.revision))?;
        let moved = assignment(before) != assignment(after) || matches!(decision, Decision::Reassign { .. });
        let rose = after.split_id.wrapping_sub(before.split_id);
        must(rose == u64::from(moved), 6, || format!("split {} → {} by {decision:?}", before.split_id, after.split_id))?;
        must(decision.commits() || !moved, 6, || format!("{decision:?} moves somebody"))
    }

    /// 6: a change is based on what is kept, but for lowerings that serve already.
    pub fn it_is_based_on_what_is_kept(&self, decided: &Decided) -> Checked {
        let (before, kept) = (&decided.before, &self.kept);
        let lowered_since = before.revision > kept.revision && before.weight <= kept.weight;
        must(before.revision == kept.revision || lowered_since, 6, || format!("based on {}, {} is kept", before.revision, kept.revision))?;
        let same = before.weight == kept.weight && before.stable == kept.stable && before.canary == kept.canary;
        must(same || lowered_since, 6, || format!("revision {} is another than the one that is kept", kept.revision))
    }

    /// 6 and 10: one writer each, in order; the record explains the state, and says on what it rests.
    pub fn written(&mut self, record: &Record) -> Checked {
        must(record.token >= self.tokens, 6, || format!("writer {} wrote after {}", record.token, self.tokens))?;
        self.tokens = record.token;
        let follows = record.state.revision == self.kept.revision + 1;
        must(follows, 6, || format!("{} was written after {}", record.state.revision, self.kept.revision))?;
        if let (Decision::Advance { .. } | Decision::Promote { .. }, Input::Tick(facts)) = (&record.decision, &record.input) {
            must(facts.judgement.is_some(), 10, || "a raise rests on nothing".to_owned())?;
        }
        self.replay.follow(record);
        self.replay.is_at(&record.state)?;
        self.kept = record.state.clone();
        self.count += 1;
        Ok(())
    }

    /// 6: nothing else writes.
    pub fn matches(&self, store: &Store) -> Checked {
        must(store.records.len() == self.count, 6, || format!("{} records, {} were written", store.records.len(), self.count))
    }

    /// 8: whatever puts more on the canary, or makes it stable, was durable first.
    pub fn a_raise_is_durable_before_it_serves(&self, epoch: &Epoch) -> Checked {
        let kept = &self.kept;
        let lowers = epoch.weight <= kept.weight && epoch.stable == kept.stable;
        must(epoch.revision <= kept.revision || lowers, 8, || {
            format!("revision {} serves {}, {} with {} is durable", epoch.revision, epoch.weight, kept.revision, kept.weight)
        })
    }

    /// 8: what comes back is the last durable state, whole.
    pub fn what_comes_back_is_durable(&self, restarted: &Restarted) -> Checked {
        let (after, kept) = (&restarted.after.0, &self.kept);
        must(after.revision == kept.revision, 8, || format!("{} came back, {} is durable", after.revision, kept.revision))?;
        let same = (after.weight, after.split_id, after.attempt) == (kept.weight, kept.split_id, kept.attempt);
        must(same && after.stable == kept.stable && after.canary == kept.canary, 8, || "something else came back".to_owned())?;
        must(after.weight == Weight::ZERO || after.canary.is_some(), 8, || "a weight without a canary came back".to_owned())
    }

    /// 9: step, quarantine and attempts are as before; what was left of the bake is not less. 10: and it can be replayed.
    pub fn nothing_is_forgotten(&mut self, restarted: &Restarted) -> Checked {
        let ((before, then), (after, now)) = (&restarted.before, &restarted.after);
        let kept = &self.kept;
        must(after.quarantine == kept.quarantine && after.attempts == kept.attempts, 9, || "quarantine was forgotten".to_owned())?;
        self.replay.is_at(after)?;
        let step = |state: &State| state.rollout.as_ref().map(|rollout| (rollout.step, rollout.release.clone()));
        must(step(after) == step(kept), 9, || "the step was forgotten".to_owned())?;
        if let (Some(old), Some(new)) = (before.under_way(), after.under_way())
            && before.revision == after.revision
        {
            let (was, is) = (old.baked_at().saturating_sub(*then), new.baked_at().saturating_sub(*now));
            must(is >= was, 9, || format!("{was:?} of the bake was left, {is:?} is"))?;
        }
        must(self.first.revision <= after.revision, 8, || "it came back from before the beginning".to_owned())
    }
}
