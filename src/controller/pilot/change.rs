//! What a change of the state does to what is known about it. Evidence about a split begins only once the split serves on
//! every core: until then the ledger of the one before is read on, and nothing is concluded from it.

use std::sync::Arc;

use super::super::recent::Recent;
use super::super::time::Now;
use super::Pilot;
use crate::config::{Bot, Config};
use crate::core::evidence::Evidence;
use crate::core::ratchet::Decision;
use crate::core::{Guard, State, Track, Weight};
use crate::live::Reading;

/// What becomes of the evidence once the split serves. Of several changes that serve together the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Opening {
    /// It goes on, in a new step.
    Step,
    /// It begins with nothing: what was learnt of another canary says nothing about this one.
    Fresh,
}

impl Pilot {
    /// Takes up a decided state. It serves once its epoch is published, see [`Pilot::opens`].
    pub fn change(&mut self, decision: &Decision, after: State, now: Now) {
        let before = std::mem::replace(&mut self.state, after);
        if before.split_id != self.state.split_id {
            // The last second of the split that ends.
            self.read(now);
            self.opening = self.opening.max(Some(Opening::Step));
        }
        if before.canary != self.state.canary || matches!(decision, Decision::Trip { .. }) {
            // What it tripped on must not trip it again once it is resumed.
            self.breaker.reset();
        }
        if self.is_about_another_canary(decision) {
            self.opening = Some(Opening::Fresh);
            self.end_evidence();
            let plan = self.state.under_way().map(|rollout| &rollout.plan);
            self.warning = plan.and_then(|plan| plan.thin_start(self.past.history.active()));
            if let (Decision::Start, Some(warning)) = (decision, &self.warning) {
                tracing::warn!("{warning}");
            }
        }
        // What was judged last is still to be seen after an abort or a promotion. Where something else begins, or a rehearsal is
        // over, it is of no use.
        use Decision::{Drill, Drilled, SetWeight, Start, Withdraw};
        if matches!(decision, Start | Drill | Withdraw { .. } | Drilled { .. })
            || matches!(decision, SetWeight { .. } if self.evidence.is_none())
        {
            self.judged = None;
            self.failures.forget();
        }
        self.due = true;
        self.unsaved = true;
    }

    fn is_about_another_canary(&self, decision: &Decision) -> bool {
        match decision {
            Decision::Start
            | Decision::Abort { .. }
            | Decision::Promote { .. }
            | Decision::Adopt
            | Decision::Switch
            | Decision::Undo { .. }
            | Decision::Withdraw { .. }
            | Decision::Drill => true,
            Decision::Drilled { .. } => self.state.weight == Weight::ZERO,
            Decision::SetWeight { .. } => self.state.under_way().is_none(),
            Decision::Resume
            | Decision::Advance { .. }
            | Decision::Retreat { .. }
            | Decision::Trip { .. }
            | Decision::Reassign { .. }
            | Decision::Pause
            | Decision::Desire
            | Decision::Freeze
            | Decision::Thaw
            | Decision::Hold
            | Decision::Nothing
            | Decision::Refuse(_) => false,
        }
    }

    /// A snapshot was made for it, with this number.
    pub fn is_published(&mut self, config: &Config, bot: &Bot, sequence: u64, now: Now) {
        let epoch = self.make_epoch(config, bot);
        // A split that waits to serve everywhere does so as soon as its first snapshot does.
        if self.sequence == 0 || !Arc::ptr_eq(&epoch.ledger, &self.epoch.ledger) {
            self.sequence = sequence;
        }
        if !Arc::ptr_eq(&epoch.ledger, &self.epoch.ledger) {
            self.counted_since = now.unix_secs();
        }
        self.epoch = epoch;
        self.due = false;
    }

    /// What was published last serves on every core: from now on its ledger is the one that is read.
    pub fn opens(&mut self, guard: &Guard, now: Now) {
        let another_ledger = !Arc::ptr_eq(&self.observed.ledger, &self.epoch.ledger);
        self.observed = self.epoch.clone();
        if another_ledger {
            self.reading = Reading::default();
            self.recent = Recent::default();
            self.failures.end_of_split(self.state.weight);
        }
        match self.opening.take() {
            Some(Opening::Fresh) => self.begin_evidence(guard, now),
            // At 0 % there may have been none, after a restart.
            Some(Opening::Step) if self.evidence.is_none() => self.begin_evidence(guard, now),
            Some(Opening::Step) => self.begin_step(now),
            None => {}
        }
    }

    fn begin_step(&mut self, now: Now) {
        let (at, weight, split) = (self.now(now), self.state.weight.ratio(), &self.observed.split);
        self.step_began = Some(at);
        if let Some(evidence) = &mut self.evidence {
            evidence.begin_step(weight, |bucket| split.track(bucket) == Track::Canary, at);
        }
    }

    /// Fresh evidence for what is being tried now, if anything is.
    pub(super) fn begin_evidence(&mut self, guard: &Guard, now: Now) {
        self.end_evidence();
        if self.state.weight == Weight::ZERO {
            return;
        }
        let seed = self.observed.split.coins(self.state.revision);
        self.evidence = Some(Evidence::new(&self.past.history, seed, guard.examine, self.now(now)));
        self.begin_step(now);
    }

    /// What it has said last is still to be seen.
    fn end_evidence(&mut self) {
        self.evidence = None;
        self.step_began = None;
    }
}
