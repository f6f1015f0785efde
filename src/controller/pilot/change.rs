//! What a change of the state does to the evidence. Evidence about a split begins only when every worker serves the split. Until then
//! the ledger of the split before is read further, and nothing is concluded from it.

use std::sync::Arc;

use super::{Opening, Pilot};
use crate::config::{Bot, Config};
use crate::controller::recent_answers::RecentAnswers;
use crate::controller::time::Now;
use crate::core::evidence::Evidence;
use crate::core::ratchet::Decision;
use crate::core::{Guard, State, Track, Weight};
use crate::live::LedgerReading;

impl Pilot {
    /// Puts a decided state in force. Its evidence begins when every worker serves it: see [`Pilot::opens`].
    pub fn change(&mut self, decision: &Decision, after: State, now: Now) {
        let before = std::mem::replace(&mut self.state, after);
        if before.split_id != self.state.split_id {
            // Reads the last second of the split that ends.
            self.read(now);
            self.opening = self.opening.max(Some(Opening::Step));
        }
        if before.canary != self.state.canary || matches!(decision, Decision::Trip { .. }) {
            // The connections that caused the trip must not cause another one after a resume.
            self.breaker.reset();
        }
        if self.is_about_another_canary(decision) {
            self.opening = Some(Opening::Fresh);
            self.end_evidence();
            let plan = self.state.under_way().map(|rollout| &rollout.plan);
            self.warning = plan.and_then(|plan| plan.thin_start(self.learned.usual.active()));
            if let (Decision::Start, Some(warning)) = (decision, &self.warning) {
                tracing::warn!("{warning}");
            }
        }
        // The last judgement stays visible after an abort or a promotion. It is removed when something else begins or a drill ends.
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

    /// Makes the epoch that is published in the snapshot with this sequence.
    pub fn is_published(&mut self, config: &Config, bot: &Bot, sequence: u64, now: Now) {
        let epoch = self.make_epoch(config, bot);
        // A change that leaves the ledger as it is must not delay the split that waits to serve everywhere.
        if self.sequence == 0 || !Arc::ptr_eq(&epoch.ledger, &self.epoch.ledger) {
            self.sequence = sequence;
        }
        if !Arc::ptr_eq(&epoch.ledger, &self.epoch.ledger) {
            self.counted_since = now.unix_secs();
        }
        self.epoch = epoch;
        self.due = false;
    }

    /// Every worker serves the epoch that was published last: from now on its ledger is read.
    pub fn opens(&mut self, guard: &Guard, now: Now) {
        let another_ledger = !Arc::ptr_eq(&self.observed.ledger, &self.epoch.ledger);
        self.observed = self.epoch.clone();
        if another_ledger {
            self.reading = LedgerReading::default();
            self.recent = RecentAnswers::default();
            self.failures.end_of_split(self.state.weight);
        }
        match self.opening.take() {
            Some(Opening::Fresh) => self.begin_evidence(guard, now),
            // After a restart at 0 % there may be no evidence.
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

    /// Begins fresh evidence about the current canary, unless the weight is 0 %.
    pub(super) fn begin_evidence(&mut self, guard: &Guard, now: Now) {
        self.end_evidence();
        if self.state.weight == Weight::ZERO {
            return;
        }
        let seed = self.observed.split.coins(self.state.revision);
        self.evidence = Some(Evidence::new(&self.learned.usual, seed, guard.examine, self.now(now)));
        self.begin_step(now);
    }

    /// The last judgement stays visible.
    fn end_evidence(&mut self) {
        self.evidence = None;
        self.step_began = None;
    }
}
