//! The shell as it is meant: one controller decides, what it decides is written before it serves (a lowering may serve
//! first), workers take it up one by one, and evidence about it begins when all have.

mod recover;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use super::happened::{Arrived, Decided, Happened};
use super::judge::{Judge, Made, Window};
use super::live::{Epoch, Live, Pinned};
use super::sometimes::Sometimes;
use super::store::{Record, Store};
use super::traffic::{InFlight, Ledger};
use super::world::World;
use super::{Flaw, Judges, Settings};
use crate::core::evidence::{Evidence, History};
use crate::core::ratchet::{Command, Decision, Input};
use crate::core::{Breaker, Connections, Guard, Phase, State, Track, Weight};
use crate::sim::dice::Dice;

pub use recover::{CrashAt, Restart};
pub use watch::Spoilt;

pub struct Shell<'a> {
    pub settings: &'a Settings,
    pub dice: Dice,
    pub world: World,
    pub clock: Clock,
    pub store: Store,
    pub live: Live,
    pub controller: Controller,
    /// A controller that was replaced and does not know it.
    pub ghost: Option<Controller>,
    pub guard: Guard,
    pub pinned: Pinned,
    pub ledgers: Vec<Ledger>,
    pub in_flight: Vec<InFlight>,
    /// The next write ends the process.
    pub crash: Option<CrashAt>,
    /// Requests of canary workspaces so far.
    pub canary_requests: u64,
    /// Workers take up at once what is published.
    pub prompt: bool,
    pub happened: Vec<Happened>,
    pub sometimes: Sometimes,
    history: Option<History>,
    windows: u64,
}

/// The machine's clocks. Suspended, the first one stands still.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    pub mono: Duration,
    /// In seconds, and set by whoever likes to.
    pub wall: i64,
}

#[derive(Clone)]
pub struct Controller {
    pub token: u64,
    pub state: State,
    /// What its own clock said at that moment of the machine's. It goes on where the last process wrote it down.
    began: (Duration, Clock),
    /// The split that it reads.
    pub observed: u64,
    pub window: Option<Window>,
    opening: Option<Opening>,
    breaker: Breaker,
    /// Since the step began: the canary's, and stable's.
    connections: [Connections; 2],
    /// Served already, and not durable yet.
    pub unwritten: Vec<Record>,
}

/// What becomes of the evidence once a change serves everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opening {
    Fresh,
    Step,
    End,
}

impl<'a> Shell<'a> {
    pub fn new(settings: &'a Settings, mut dice: Dice) -> Shell<'a> {
        let world = World::new(&mut dice);
        let state = State::new(world.first_stable());
        let clock = Clock { mono: Duration::from_secs(1_000), wall: 1_700_000_000 };
        let live = Live::new(Epoch::new(&world, &state, Pinned::default(), []));
        let store = Store::new(state.clone());
        let history = (settings.judges == Judges::Real).then(|| world.history(&mut dice));
        Shell {
            settings,
            live,
            controller: Controller::new(store.token, state, Duration::ZERO, clock),
            ghost: None,
            guard: Guard::default(),
            pinned: Pinned::default(),
            ledgers: vec![Ledger { split_id: 1, ..Ledger::default() }],
            in_flight: Vec::new(),
            crash: None,
            canary_requests: 0,
            prompt: false,
            happened: Vec::new(),
            sometimes: Sometimes::default(),
            dice,
            world,
            clock,
            store,
            history,
            windows: 0,
        }
    }

    /// The controller's clock.
    pub fn now(&self) -> Duration {
        self.controller.now(self.clock, self.settings.flaw)
    }

    /// Does what somebody asks for: an operator, or else the config.
    pub fn obey(&mut self, command: Command, arrived: Option<Arrived>) {
        let based_on = arrived.and_then(|arrived| arrived.based_on).filter(|_| self.settings.flaw != Some(Flaw::IgnoresIfMatch));
        self.decide(Input::Command { command, based_on }, arrived, None, [Connections::default(); 2]);
    }

    fn decide(&mut self, input: Input, command: Option<Arrived>, set_aside: Option<[u64; 2]>, news: [Connections; 2]) {
        let now = self.now();
        let before = self.controller.state.clone();
        let (after, decision) = (self.settings.step)(before.clone(), &input, &self.guard, now);
        self.happened.push(Happened::Decided(Box::new(Decided {
            before: before.clone(),
            input: input.clone(),
            guard: self.guard.clone(),
            now,
            after: after.clone(),
            decision: decision.clone(),
            window: self.controller.window.as_ref().map(|window| window.number),
            news,
            set_aside,
            command,
        })));
        if !decision.commits() {
            self.controller.state = after;
            return;
        }
        let token = self.controller.token;
        let record = Record { token, input, decision, based_on: before.revision, state: after, at: now };
        if lowers(&before, &record.state) || self.settings.flaw == Some(Flaw::ServesBeforeItIsDurable) {
            self.controller.state = record.state.clone();
            self.publish(Some((&before, &record.decision)));
            self.controller.unwritten.push(record);
            self.flush();
        } else if self.flush() && self.write(&record) {
            self.controller.state = record.state.clone();
            self.publish(Some((&before, &record.decision)));
        } else if let (Some(rollout), Input::Tick(_)) = (&mut self.controller.state.rollout, &record.input) {
            // It was looked at all the same.
            rollout.looked = record.at;
        }
    }

    /// Writes what waits for it; is all of it durable now?
    pub fn flush(&mut self) -> bool {
        while let Some(record) = self.controller.unwritten.first().cloned() {
            if !self.write(&record) {
                return false;
            }
            self.controller.unwritten.remove(0);
        }
        true
    }

    fn write(&mut self, record: &Record) -> bool {
        if let Some(crash) = self.crash.take_if(|_| self.store.writable) {
            self.crash(crash, record);
            return false;
        }
        match self.store.write(record, self.settings.flaw != Some(Flaw::LetsAnyoneWrite)) {
            Ok(()) => {
                self.happened.push(Happened::Written(Box::new(record.clone())));
                true
            }
            Err(why) => {
                self.happened.push(Happened::NotWritten { token: record.token, why });
                false
            }
        }
    }

    /// Puts the state where workers find it. `change`: what it was before, and what changed it.
    pub fn publish(&mut self, change: Option<(&State, &Decision)>) {
        if let Some((before, decision)) = change {
            self.controller.will_open(before, decision);
        }
        let forgets = self.controller.opening.is_some_and(|opening| opening != Opening::Step);
        let apart: Vec<_> = match self.controller.window.as_ref().filter(|_| !forgets).map(|window| &window.judge) {
            Some(Judge::Real(evidence)) => evidence.apart().collect(),
            Some(Judge::Made(_)) | None => Vec::new(),
        };
        let mut state = self.controller.state.clone();
        if self.settings.flaw == Some(Flaw::RanksByAnotherAttempt) {
            state.attempt += u64::from(state.phase == Phase::Paused);
        }
        let mut epoch = Epoch::new(&self.world, &state, self.pinned, apart);
        if let Some(epoch) = Arc::get_mut(&mut epoch) {
            epoch.attempt = self.controller.state.attempt;
        }
        if !self.ledgers.iter().any(|ledger| ledger.split_id == epoch.split_id) {
            self.ledgers.push(Ledger { split_id: epoch.split_id, ..Ledger::default() });
        }
        self.happened.push(Happened::Published(epoch.clone()));
        self.live.replaced = std::mem::replace(&mut self.live.published, epoch);
        if self.settings.flaw == Some(Flaw::OpensTheWindowTooEarly) {
            self.open();
        }
        for worker in 0..self.live.workers.len() {
            if self.prompt {
                self.take_up(worker);
            }
        }
    }

    pub fn take_up(&mut self, worker: usize) {
        if Arc::ptr_eq(&self.live.workers[worker], &self.live.published) {
            if self.settings.flaw == Some(Flaw::LetsWorkersGoBack) {
                self.serve(worker, self.live.replaced.clone());
            }
            return;
        }
        self.serve(worker, self.live.published.clone());
        if self.live.is_applied_everywhere() {
            self.open();
        }
    }

    fn serve(&mut self, worker: usize, epoch: Arc<Epoch>) {
        self.happened.push(Happened::TookUp { worker, epoch: epoch.clone() });
        self.live.workers[worker] = epoch;
    }

    /// The split serves: from now on it is the one that is read.
    fn open(&mut self) {
        let (split_id, now) = (self.live.published.split_id, self.now());
        let opening = self.controller.opening.take();
        if self.controller.observed == split_id {
            if opening == Some(Opening::End) {
                self.controller.window = None;
            }
            return;
        }
        self.controller.observed = split_id;
        self.controller.connections = Default::default();
        self.ledgers.retain(|ledger| ledger.split_id >= split_id);
        let kept = self.controller.window.take();
        self.controller.window = match opening {
            None | Some(Opening::End) => None,
            Some(Opening::Step) => self.window(kept, now),
            Some(Opening::Fresh) if self.settings.flaw == Some(Flaw::KeepsTheEvidenceOfTheLastRelease) => self.window(kept, now),
            Some(Opening::Fresh) => self.window(None, now),
        };
    }

    /// Evidence about what serves now: it goes on from `kept`, or begins.
    fn window(&mut self, kept: Option<Window>, now: Duration) -> Option<Window> {
        let epoch = self.live.published.clone();
        if kept.is_none() && epoch.weight == Weight::ZERO {
            return None;
        }
        self.windows += 1;
        let (number, split_id, fresh) = (self.windows, epoch.split_id, kept.is_none());
        self.happened.push(Happened::Opened { window: number, split_id, fresh });
        let judge = match (kept.map(|window| window.judge), &self.history) {
            (Some(Judge::Made(_)), _) | (None, None) => Judge::Made(Box::<Made>::default()),
            (Some(Judge::Real(evidence)), _) => Judge::Real(evidence),
            (None, Some(history)) => {
                let seed = epoch.split.coins(epoch.revision);
                Judge::Real(Box::new(Evidence::new(history, seed, self.guard.examine, now)))
            }
        };
        let mut window = Window { number, split_id, judge };
        if let Judge::Real(evidence) = &mut window.judge {
            evidence.begin_step(epoch.weight.ratio(), |bucket| epoch.split.track(bucket) == Track::Canary, now);
        }
        Some(window)
    }
}

impl Controller {
    fn new(token: u64, state: State, now: Duration, clock: Clock) -> Controller {
        Controller {
            token,
            began: (now, clock),
            observed: state.split_id,
            window: None,
            opening: None,
            breaker: Breaker::default(),
            connections: Default::default(),
            unwritten: Vec::new(),
            state,
        }
    }

    fn now(&self, clock: Clock, flaw: Option<Flaw>) -> Duration {
        let (now, began) = self.began;
        now + match flaw {
            Some(Flaw::ReadsTheWallClock) => Duration::from_secs((clock.wall - began.wall).max(0) as u64),
            _ => clock.mono - began.mono,
        }
    }

    fn will_open(&mut self, before: &State, decision: &Decision) {
        if before.canary != self.state.canary {
            self.breaker.reset();
        }
        self.opening = match decision {
            Decision::Start => Some(Opening::Fresh),
            Decision::SetWeight { .. } if self.state.under_way().is_none() => Some(Opening::Fresh),
            Decision::Abort { .. } | Decision::Promote { .. } | Decision::Adopt => Some(Opening::End),
            Decision::SetWeight { .. }
            | Decision::Resume
            | Decision::Advance { .. }
            | Decision::Retreat { .. }
            | Decision::Trip { .. }
            | Decision::Reassign { .. }
                if before.split_id != self.state.split_id =>
            {
                self.opening.or(Some(Opening::Step))
            }
            _ => self.opening,
        };
    }
}

fn lowers(before: &State, after: &State) -> bool {
    after.weight < before.weight && after.stable == before.stable
}
