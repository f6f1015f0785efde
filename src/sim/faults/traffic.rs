//! Requests: routed by whatever epoch a worker has taken up, answered at once or later, and kept in the ledger of the
//! split that routed them.

use std::time::Duration;

use super::Flaw;
use super::happened::Happened;
use super::judge::Counted;
use super::shell::Shell;
use super::world::{Answer, WORKSPACES, tally};
use crate::core::evidence::Seen;
use crate::core::{Connections, Outcome, Track};

/// What came in of one split and was not read yet.
#[derive(Default)]
pub struct Ledger {
    pub split_id: u64,
    pub counted: Vec<Counted>,
    /// The canary's, and stable's.
    pub connections: [Connections; 2],
}

/// A request that is not answered yet.
pub struct InFlight {
    pub split_id: u64,
    pub counted: Counted,
}

/// Beyond so many requests at a time nothing new is learnt.
const REQUESTS_MOST: u64 = 32;
/// One of so many answers comes later.
const LATER: u64 = 24;
/// Whoever is on his way beyond these is cut off.
const IN_FLIGHT_MOST: usize = 40;

impl Shell<'_> {
    /// Time passes, and requests come.
    pub fn pass(&mut self, time: Duration) {
        self.clock.mono += time;
        self.clock.wall += time.as_secs() as i64;
        let requests = (self.world.requests_per_second * time.as_secs()).min(REQUESTS_MOST);
        for _ in 0..requests {
            self.request();
        }
    }

    fn request(&mut self) {
        let worker = self.dice.below(self.live.workers.len() as u64) as usize;
        let workspace = self.dice.below(WORKSPACES as u64) as usize;
        let epoch = self.live.workers[worker].clone();
        let is_in = |set: u64| set >> workspace & 1 == 1;
        let track = |set: u64| if is_in(set) { Track::Canary } else { Track::Stable };
        let (label, to) = (track(epoch.labels), track(epoch.on_canary));
        let on_canary = to == Track::Canary;
        let answer = self.world.answer(&mut self.dice, epoch.truths[to as usize], on_canary, workspace, self.clock.mono);
        // Pinned: chance did not assign it.
        if is_in(epoch.pinned[0] | epoch.pinned[1]) {
            return;
        }
        let split_id = epoch.split_id;
        self.canary_requests += u64::from(label == Track::Canary);
        self.happened.push(Happened::Routed { split_id, label, to });
        let ledger = self.ledger(split_id);
        if let Some(ledger) = ledger {
            let connections = &mut ledger.connections[usize::from(!on_canary)];
            connections.wanted += 1;
            connections.broken += u32::from(answer == Answer::Refused);
        }
        let outcome = match answer {
            Answer::Refused if on_canary => return self.happened.push(Happened::Refused),
            Answer::Refused => Outcome::Error,
            Answer::Answered(outcome) => outcome,
        };
        let counted = Counted {
            workspace,
            label,
            examined: epoch.split.examined_in(self.world.bucket(workspace)),
            own_trouble: self.world.broken_customer == Some(workspace),
            seen: Seen { bucket: self.world.bucket(workspace), set_aside: is_in(epoch.labels) && !on_canary, tally: tally(outcome) },
        };
        match self.dice.one_in(LATER) && self.in_flight.len() < IN_FLIGHT_MOST {
            true => self.in_flight.push(InFlight { split_id, counted }),
            false => self.count(split_id, counted),
        }
    }

    /// What was under way is answered.
    pub fn answer_late(&mut self) {
        for InFlight { split_id, counted } in std::mem::take(&mut self.in_flight) {
            self.sometimes.late_answer_of_an_old_split += u64::from(split_id != self.live.published.split_id);
            self.count(split_id, counted);
        }
    }

    fn count(&mut self, split_id: u64, counted: Counted) {
        self.happened.push(Happened::Answered { split_id, label: counted.label });
        let into = match self.settings.flaw {
            Some(Flaw::CountsLateAnswersForTheNextSplit) => self.live.published.split_id,
            _ => split_id,
        };
        if let Some(ledger) = self.ledger(into) {
            ledger.counted.push(counted);
        }
    }

    fn ledger(&mut self, split_id: u64) -> Option<&mut Ledger> {
        self.ledgers.iter_mut().find(|ledger| ledger.split_id == split_id)
    }

    /// Reads a ledger to its end.
    pub fn read(&mut self, split_id: u64) -> Ledger {
        match self.ledger(split_id) {
            Some(ledger) => std::mem::replace(ledger, Ledger { split_id, ..Ledger::default() }),
            None => Ledger::default(),
        }
    }
}
