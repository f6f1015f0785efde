//! What serves, and what is counted of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Checked, must};
use crate::core::ratchet::Input;
use crate::core::{Track, Weight};
use crate::sim::faults::happened::{Decided, Restarted};
use crate::sim::faults::live::{Epoch, WORKERS};
use crate::sim::faults::shell::Shell;
use crate::sim::faults::world::WORKSPACES;

#[derive(Default)]
pub struct Serve {
    published: Option<Arc<Epoch>>,
    /// The revision that each worker serves.
    workers: [u64; WORKERS],
    /// By split: stable's and the canary's requests that were routed and answered, in this process.
    routed: BTreeMap<u64, [u32; 2]>,
    answered: BTreeMap<u64, [u32; 2]>,
    /// The evidence that is read back begins with these.
    restored: Option<(u64, [u32; 2])>,
    /// Its split.
    window: Option<(u64, u64)>,
    flow: [u64; 4],
}

const EVERYBODY: u64 = u64::MAX >> (u64::BITS as usize - WORKSPACES);

impl Serve {
    /// 12: exact at 0 and 100 %, pins apart; whoever is canary stays so while the weight rises. 11: of one revision.
    pub fn published(&mut self, epoch: &Arc<Epoch>) -> Checked {
        let Epoch { weight, labels, on_canary, pinned: [to_stable, to_canary], .. } = &**epoch;
        must(*weight > Weight::ZERO || on_canary & !to_canary == 0, 12, || format!("0 % and {on_canary:b} on the canary"))?;
        must(!epoch.closed || *on_canary == 0, 12, || "there is no canary, and somebody is sent to it".to_owned())?;
        let all = EVERYBODY & !to_stable & !epoch.set_aside;
        must(*weight < Weight::FULL || epoch.closed || on_canary & all == all, 12, || "100 % and somebody is on stable".to_owned())?;
        if let Some(old) = &self.published {
            let same = old.attempt == epoch.attempt && old.canary == epoch.canary;
            let lost = if epoch.weight >= old.weight { old.labels & !labels } else { labels & !old.labels };
            must(!same || lost == 0, 12, || format!("{} → {} moves {lost:b} the other way", old.weight, epoch.weight))?;
            let revision = (old.revision, old.weight, old.split_id, &old.canary, &old.stable);
            let same_revision = revision == (epoch.revision, epoch.weight, epoch.split_id, &epoch.canary, &epoch.stable);
            must(epoch.revision > old.revision || same_revision, 11, || format!("two kinds of revision {}", epoch.revision))?;
        }
        self.published = Some(epoch.clone());
        Ok(())
    }

    /// 11: a worker never goes back, and serves nothing that was not published.
    pub fn workers_go_forward(&mut self, worker: usize, epoch: &Epoch) -> Checked {
        let old = std::mem::replace(&mut self.workers[worker], epoch.revision);
        must(epoch.revision >= old, 11, || format!("worker {worker} went from {old} back to {}", epoch.revision))
    }

    /// 11: nobody is ahead of the controller.
    pub fn nobody_serves_the_future(&self, shell: &Shell<'_>) -> Checked {
        let committed = shell.controller.state.revision;
        let all = shell.live.workers.iter().all(|worker| worker.revision <= committed);
        must(all, 11, || format!("a worker is ahead of revision {committed}"))
    }

    /// 12: whoever is not canary is answered by stable.
    pub fn routed(&mut self, split_id: u64, label: Track, to: Track) -> Checked {
        self.routed.entry(split_id).or_default()[label as usize] += 1;
        self.flow[to as usize] += 1;
        must(label == Track::Canary || to == Track::Stable, 12, || "a request of stable went to the canary".to_owned())
    }

    pub fn answered(&mut self, split_id: u64, label: Track) {
        self.answered.entry(split_id).or_default()[label as usize] += 1;
        self.flow[2] += 1;
    }

    pub fn refused(&mut self) {
        self.flow[3] += 1;
    }

    pub fn opened(&mut self, window: u64, split_id: u64) {
        self.window = Some((window, split_id));
        self.restored = None;
        self.answered.retain(|split, _| *split >= split_id);
        self.routed.retain(|split, _| *split >= split_id);
    }

    /// 13: the evidence counts what this split routed and what was answered, each request once and under its label.
    pub fn what_is_counted_was_routed(&mut self, decided: &Decided) -> Checked {
        let Input::Tick(facts) = &decided.input else { return Ok(()) };
        let (Some(judgement), Some((window, split_id))) = (&facts.judgement, self.window) else { return Ok(()) };
        if decided.window != Some(window) {
            return Ok(());
        }
        let counted = [judgement.stable, judgement.canary].map(|exposure| exposure.tally.requests);
        let answered = self.answered_of(split_id);
        must(counted == answered, 13, || format!("{counted:?} requests of split {split_id} are counted, {answered:?} were answered"))?;
        let of = |books: &BTreeMap<u64, [u32; 2]>, track: usize| books.get(&split_id).map_or(0, |sums| sums[track]);
        let routed = (0..2).all(|track| of(&self.answered, track) <= of(&self.routed, track));
        must(routed, 13, || "more answers than requests".to_owned())?;
        must(self.flow[2] + self.flow[3] <= self.flow[0] + self.flow[1], 13, || format!("{:?} do not add up", self.flow))?;
        Ok(())
    }

    /// What the evidence of a split has to count.
    fn answered_of(&self, split_id: u64) -> [u32; 2] {
        let before = self.restored.map_or([0, 0], |(_, requests)| requests);
        let since = self.answered.get(&split_id).copied().unwrap_or_default();
        [0, 1].map(|track| before[track] + since[track])
    }

    /// 13: nobody is kept from the canary but by the evidence that is told of it.
    pub fn who_is_set_aside_is_examined(&self, decided: &Decided) -> Checked {
        let Some([examined, set_aside]) = decided.set_aside else { return Ok(()) };
        must(set_aside & !examined == 0, 13, || format!("{set_aside:b} are set aside, {examined:b} are examined"))
    }

    /// A new process counts from nothing; what it reads back is no more than there was.
    pub fn restarted(&mut self, restarted: &Restarted) -> Checked {
        if let (Some((window, requests)), Some((known, split_id))) = (restarted.window, self.window)
            && window == known
        {
            let answered = self.answered_of(split_id);
            let more = (0..2).any(|track| requests[track] > answered[track]);
            must(!more, 13, || format!("{requests:?} came back of {answered:?} in window {window}"))?;
        }
        let split_id = restarted.after.0.split_id;
        self.published = None;
        self.workers = [0; WORKERS];
        self.answered.clear();
        self.routed.clear();
        self.flow = [0; 4];
        self.restored = restarted.window;
        self.window = restarted.window.map(|(window, _)| (window, split_id));
        Ok(())
    }
}
