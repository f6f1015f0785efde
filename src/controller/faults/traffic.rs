//! Requests: routed by whatever snapshot a worker has taken up, answered at once or later, and counted in the ledger of the
//! split that routed them, as the proxy does it.

use std::sync::Arc;
use std::time::Duration;

use super::Flaw;
use super::machine::{Happened, Machine, WORKERS};
use super::world::{Answer, WORKSPACES, workspace};
use crate::core::{Assignment, Outcome, Release, Sample, Track};
use crate::live::Epoch;

/// A request that is not answered yet.
pub struct InFlight {
    worker: usize,
    bot: String,
    epoch: Arc<Epoch>,
    assignment: Assignment,
    outcome: Outcome,
}

/// Beyond so many requests at a time nothing new is learnt.
const REQUESTS_MOST: u64 = 32;
/// One of so many answers comes later.
const LATER: u64 = 24;
/// Requests beyond these are answered at once.
const IN_FLIGHT_MOST: usize = 40;

impl Machine<'_> {
    /// Time passes, and requests come.
    pub fn pass(&mut self, time: Duration) {
        self.wait(time);
        let requests = (self.world.requests_per_second * time.as_secs()).min(REQUESTS_MOST);
        for _ in 0..requests {
            self.request();
        }
    }

    fn request(&mut self) {
        let (worker, number) = (self.dice.below(WORKERS as u64) as usize, self.dice.below(WORKSPACES as u64) as usize);
        let snapshot = self.workers[worker].clone();
        if snapshot.epochs.is_empty() {
            return;
        }
        let index = self.dice.below(snapshot.epochs.len() as u64) as usize;
        let (bot, epoch) = (snapshot.config.bots[index].name.to_string(), snapshot.epochs[index].clone());
        let assignment = epoch.split.assign(&workspace(&self.world.name(&bot, number)));
        let on_canary = assignment.track == Track::Canary;
        let side = if on_canary { epoch.roles.canary.unwrap_or(epoch.roles.stable) } else { epoch.roles.stable };
        let upstream = snapshot.config.bots[index].upstreams[side].name.clone();
        let state = &epoch.status().state;
        let known = if on_canary { state.canary.clone() } else { Some(state.stable.clone()) };
        let release = known.unwrap_or(Release { upstream, version: None });
        let truth = self.world.truth(&mut self.dice, &release, self.clock.mono);
        let answer = self.world.answer(&mut self.dice, truth, on_canary, number, self.clock.mono);
        self.canary_requests += u64::from(on_canary);
        if !assignment.reason.is_evidence() {
            return;
        }
        let shard = epoch.ledger.shard(worker);
        shard.connection(assignment.track, answer == Answer::Refused);
        let outcome = match answer {
            // Stable answers, and it is no evidence.
            Answer::Refused if on_canary => return shard.rescued(Track::Canary),
            Answer::Refused => Outcome::Error,
            Answer::Answered(outcome) => outcome,
        };
        if let (Some(bucket), Some(turn)) = (assignment.bucket, assignment.examined_in()) {
            shard.set_out(bucket, turn);
        }
        let request = InFlight { worker, bot, epoch, assignment, outcome };
        match self.dice.one_in(LATER) && self.in_flight.len() < IN_FLIGHT_MOST {
            true => self.in_flight.push(request),
            false => self.count(request),
        }
    }

    /// What was under way is answered.
    pub fn answer_late(&mut self) {
        for request in std::mem::take(&mut self.in_flight) {
            self.sometimes.late_answer_of_an_old_split +=
                u64::from(!self.published.epochs.iter().any(|epoch| Arc::ptr_eq(&epoch.ledger, &request.epoch.ledger)));
            self.count(request);
        }
    }

    fn count(&mut self, request: InFlight) {
        let InFlight { worker, bot, epoch, assignment, outcome } = request;
        let Some(bucket) = assignment.bucket else { return };
        let canary = epoch.split.track(bucket) == Track::Canary;
        self.happened.push(Happened::Counted { bot: bot.clone(), split_id: epoch.split_id, canary });
        let ledger = match self.settings.flaw {
            Some(Flaw::CountsLateAnswersForTheNextSplit) => {
                self.published.bot(&bot).map_or(epoch.ledger.clone(), |now| self.published.epochs[now].ledger.clone())
            }
            _ => epoch.ledger.clone(),
        };
        let (shard, sample) = (ledger.shard(worker), Sample { outcome, latency_micros: None });
        let times = if self.settings.flaw == Some(Flaw::CountsTwice) { 2 } else { 1 };
        for _ in 0..times {
            shard.record(bucket, assignment.is_set_aside(), assignment.track, sample);
        }
        if let Some(turn) = assignment.examined_in() {
            shard.examined(bucket, turn, sample);
            shard.came_back(bucket, turn);
        }
    }
}
