//! The end of a process and the beginning of the next one, which knows what is durable and perhaps a little more.

use super::{Controller, Shell};
use crate::core::Weight;
use crate::core::ratchet::{Command, Input};
use crate::sim::faults::Flaw;
use crate::sim::faults::happened::{Happened, Restarted};
use crate::sim::faults::judge::{Judge, Window};
use crate::sim::faults::live::{Epoch, Live};
use crate::sim::faults::store::{NotWritten, Record};
use crate::sim::faults::traffic::Ledger;
use std::time::Duration;

/// How a process ends.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    pub loses_snapshot: bool,
    /// The old process was only thought dead.
    pub lives_on: bool,
    pub down: Duration,
}

/// Where it ends while it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashAt {
    Before,
    Midway,
    After,
}

impl Shell<'_> {
    pub(super) fn crash(&mut self, at: CrashAt, record: &Record) {
        match at {
            CrashAt::Before => {}
            CrashAt::Midway => {
                self.store.torn = Some(record.clone());
                self.happened.push(Happened::Torn);
            }
            CrashAt::After => {
                if self.store.write(record, true).is_ok() {
                    self.happened.push(Happened::Written(Box::new(record.clone())));
                }
            }
        }
        self.restart(Restart { loses_snapshot: false, lives_on: false, down: Duration::from_secs(2) });
    }

    pub fn restart(&mut self, how: Restart) {
        let before = (self.controller.state.clone(), self.now());
        let flaw = self.settings.flaw;
        let old = self.controller.clone();
        self.ghost = how.lives_on.then_some(old).or(self.ghost.take());
        self.clock.mono += how.down;
        self.clock.wall += how.down.as_secs() as i64;
        self.in_flight.clear();
        self.sometimes.torn_write_recovered += u64::from(self.store.torn.is_some());
        match flaw {
            Some(Flaw::TakesTornRecords) => self.store.records.extend(self.store.torn.take()),
            Some(Flaw::ForgetsTheLastRecord) => drop(self.store.records.pop()),
            _ => {}
        }
        let (token, durable, at) = self.store.open();
        let snapshot = self.store.snapshot.take().filter(|_| !how.loses_snapshot);
        let snapshot = snapshot.filter(|snapshot| snapshot.state.revision == durable.revision && snapshot.at >= at);
        let (mut state, mut at, kept) = match snapshot {
            Some(snapshot) => (snapshot.state, snapshot.at, snapshot.window),
            None => (durable, at, None),
        };
        match flaw {
            Some(Flaw::ForgetsQuarantine) => state.quarantine.clear(),
            Some(Flaw::BakesWhileItIsDown) => at = before.1 + how.down,
            _ => {}
        }
        self.controller = Controller::new(token, state.clone(), at, self.clock);
        self.crash = None;
        let apart: Vec<_> = match kept.as_ref().map(|window| &window.judge) {
            Some(Judge::Real(evidence)) => evidence.apart().collect(),
            Some(Judge::Made(_)) | None => Vec::new(),
        };
        let epoch = Epoch::new(&self.world, &state, self.pinned, apart);
        self.live = Live::new(epoch.clone());
        self.ledgers = vec![Ledger { split_id: epoch.split_id, ..Ledger::default() }];
        let restored = kept.map(|mut window| (exposures(&mut window, at), window));
        let told = restored.as_ref().map(|(exposures, window)| (window.number, *exposures));
        self.sometimes.evidence_restored += u64::from(restored.is_some());
        self.sometimes.evidence_lost += u64::from(restored.is_none() && state.weight > Weight::ZERO);
        self.happened.push(Happened::Restarted(Box::new(Restarted { before, after: (state, at), window: told })));
        self.happened.push(Happened::Published(epoch.clone()));
        for worker in 0..self.live.workers.len() {
            self.happened.push(Happened::TookUp { worker, epoch: epoch.clone() });
        }
        self.controller.window = match restored {
            Some((_, window)) => Some(window),
            None => self.window(None, at),
        };
    }

    /// The controller that was replaced does what it would have done.
    pub fn haunt(&mut self) {
        let Some(ghost) = self.ghost.take() else { return };
        let now = ghost.now(self.clock, self.settings.flaw);
        let command = if ghost.state.under_way().is_some() { Command::Abort } else { Command::Reassign { rule: 0, exposes: false } };
        let input = Input::Command { command, based_on: None };
        let (state, decision) = (self.settings.step)(ghost.state.clone(), &input, &self.guard, now);
        if !decision.commits() {
            return;
        }
        let based_on = ghost.state.revision;
        let record = Record { token: ghost.token, input, decision, based_on, state, at: now };
        match self.store.write(&record, self.settings.flaw != Some(Flaw::LetsAnyoneWrite)) {
            Ok(()) => self.happened.push(Happened::Written(Box::new(record))),
            Err(why) => {
                self.happened.push(Happened::NotWritten { token: record.token, why });
                self.ghost = (why == NotWritten::Unwritable).then_some(ghost);
            }
        }
    }
}

/// Stable's and the canary's requests so far.
fn exposures(window: &mut Window, at: Duration) -> [u32; 2] {
    let (judgement, _) = window.judge.judge(at, &[], &[]);
    [judgement.stable.tally.requests, judgement.canary.tally.requests]
}
