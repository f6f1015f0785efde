//! One webhook from its arrival to its record. It is recorded once, into the epoch that routed it, when its answer
//! ends, fails or is dropped.

use std::rc::Rc;
use std::time::{Duration, Instant};

use super::access_log::{Finished, Noted};
use super::client::{Session, Upload};
use super::listen::Slot;
use super::problem::Problem;
use super::view::BotView;
use crate::core::{Assignment, Bucket, Ended, Outcome, Said, Sample, Turn, classify};
use crate::telemetry::{CodeClass, RescueReason};

pub struct Exchange {
    bot: Rc<BotView>,
    session: Rc<Session>,
    /// One of the worker's requests in flight, for as long as this one is.
    slot: Slot,
    started: Instant,
    assignment: Assignment,
    /// Sent again by the platform: counted, but no evidence.
    retried: bool,
    /// For the breaker.
    broken: bool,
    state: State,
    wanted: Option<Box<Wanted>>,
}

/// What is wanted of some requests alone. One pointer, so that all others are not moved about with room for it.
pub struct Wanted {
    /// For the access log.
    pub line: Option<Noted>,
    /// For the bot's [`Names`](crate::live::Names): the workspace that this is evidence about.
    pub name: Option<Box<str>>,
}

/// What was found out before the exchange began.
pub struct Assigned {
    pub assignment: Assignment,
    /// Sent again by the platform.
    pub retried: bool,
    pub wanted: Option<Box<Wanted>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Stable answers for the canary, which is what is recorded.
    Rescued,
    Answered {
        status: u16,
        first_byte: Duration,
        said: Option<Said>,
    },
    Recorded,
}

impl Exchange {
    pub fn begin(bot: Rc<BotView>, session: Rc<Session>, slot: Slot, started: Instant, assigned: Assigned) -> Exchange {
        let Assigned { assignment, retried, wanted } = assigned;
        bot.meters().inflight[assignment.track as usize].add(1);
        let exchange = Exchange { bot, session, slot, started, assignment, retried, broken: false, state: State::Waiting, wanted };
        if let Some((bucket, turn)) = exchange.examined() {
            exchange.bot.shard().set_out(bucket, turn);
        }
        exchange
    }

    /// The block of an examination that it was routed in.
    fn examined(&self) -> Option<(Bucket, Turn)> {
        let turn = self.assignment.examined_in().filter(|_| !self.retried)?;
        Some((self.assignment.bucket?, turn))
    }

    pub fn session(&self) -> &Rc<Session> {
        &self.session
    }

    /// The bot's time until `at`. It runs from when the request was whole: what the client took for its upload is not the bot's
    /// fault.
    fn bots_time(&self, at: Instant) -> Duration {
        match self.session.upload() {
            Upload::Done(whole) => at.saturating_duration_since(whole),
            Upload::ForClient | Upload::ForUpstream | Upload::Broken => Duration::ZERO,
        }
    }

    /// About to be sent, `now`: what came before was serin's own time.
    pub fn sending(&self, since: Instant, now: Instant) {
        self.bot.meters().overhead.record(now.saturating_duration_since(since));
    }

    pub fn rescued(&mut self, reason: RescueReason) {
        self.bot.meters().rescues[reason as usize].add(1);
        self.broken = true;
        self.state = State::Rescued;
    }

    /// The answer's head is here.
    pub fn answered(&mut self, status: u16, said: Option<Said>) {
        let first_byte = self.bots_time(Instant::now());
        if let Some(line) = self.line() {
            line.answered(status, first_byte);
        }
        if self.state == State::Waiting {
            self.bot.meters().first_byte[self.assignment.track as usize].record(first_byte);
            self.state = State::Answered { status, first_byte, said };
        }
    }

    pub fn end_of_answer(&mut self) {
        match self.state {
            State::Answered { status, first_byte, said } => self.record(Ended::Answered { status, first_byte, said }),
            State::Waiting | State::Rescued => self.record(Ended::Failed),
            State::Recorded => {}
        }
    }

    /// An answer that broke off: the upstream's fault, unless it had to do with half a request.
    pub fn broke_off(&mut self) {
        match self.session.upload() {
            Upload::Broken => self.record(Ended::ClientGone { answered: true, after: Duration::ZERO }),
            Upload::ForClient | Upload::ForUpstream | Upload::Done(_) => self.record(Ended::Failed),
        }
    }

    /// No answer: the upstream's fault. The client gets `problem` instead.
    pub fn failed(&mut self, problem: Problem) {
        self.note(problem);
        self.record(Ended::Failed);
    }

    /// The upstream refused the connection, or broke it off.
    pub fn broken(&mut self, problem: Problem) {
        self.broken = true;
        self.failed(problem);
    }

    fn note(&mut self, problem: Problem) {
        if let Some(line) = self.line() {
            line.failed(problem);
        }
    }

    fn line(&mut self) -> Option<&mut Noted> {
        self.wanted.as_mut()?.line.as_mut()
    }

    /// The client's own fault (a body that broke off or never came): no evidence.
    pub fn client_failed(&mut self, problem: Problem) {
        self.note(problem);
        self.record(Ended::ClientGone { answered: true, after: self.bots_time(Instant::now()) });
    }

    fn record(&mut self, ended: Ended) {
        if self.state == State::Recorded {
            return;
        }
        let rescued = self.state == State::Rescued;
        let ended = match (self.state, self.session.gone_since()) {
            // A rescued request has its record whatever became of stable's answer.
            (State::Rescued, _) => Ended::Failed,
            // Half an answer is the upstream's fault, whether its client still waited for it or not.
            (State::Answered { .. }, _) if ended == Ended::Failed => ended,
            // The request ran on for the bot's sake: what its client saw is that it got no answer.
            (_, Some(gone)) => Ended::ClientGone { answered: false, after: self.bots_time(gone) },
            (_, None) => ended,
        };
        self.state = State::Recorded;
        let outcome = classify(ended, &self.bot.bot().rules);
        let (status, first_byte) = match ended {
            Ended::Answered { status, first_byte, .. } => (Some(status), Some(first_byte)),
            Ended::Failed | Ended::ClientGone { .. } => (None, None),
        };
        let track = self.assignment.track;
        let meters = self.bot.meters();
        meters.request(track, outcome, CodeClass::of(status)).add(1);
        let took = self.started.elapsed();
        meters.duration[track as usize].record(took);
        meters.inflight[track as usize].add(-1);
        self.bot.shard().connection(track, self.broken);
        self.count_as_evidence(rescued, outcome, first_byte);
        if let Some((bucket, turn)) = self.examined() {
            self.bot.shard().came_back(bucket, turn);
        }
        if let Some(Wanted { line: Some(line), .. }) = self.wanted.take().map(|wanted| *wanted) {
            let ended = Finished { bot: &self.bot, assignment: self.assignment, retried: self.retried, rescued, outcome, took };
            self.slot.worker().access_log.write(&line, &ended);
        }
    }

    /// Only what chance assigned says anything about the canary: no pins, testers, handshakes, platform's retries. What was
    /// rescued is for the breaker: nobody was harmed, and a canary that restarts is no bad release.
    fn count_as_evidence(&self, rescued: bool, outcome: Outcome, first_byte: Option<Duration>) {
        let Assignment { track, reason, bucket } = self.assignment;
        let (true, Some(bucket), false) = (reason.is_evidence(), bucket, self.retried) else { return };
        if rescued {
            return self.bot.shard().rescued(track);
        }
        if let Some(Wanted { name: Some(name), .. }) = self.wanted.as_deref()
            && let Some(names) = &self.bot.epoch.names
        {
            names.note(self.bot.worker, bucket, name, outcome);
        }
        let sample = Sample { outcome, latency_micros: first_byte.map(|d| d.as_micros() as u64) };
        self.bot.shard().record(bucket, self.assignment.is_set_aside(), track, sample);
        if let Some((bucket, turn)) = self.examined() {
            self.bot.shard().examined(bucket, turn, sample);
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let answered = match self.state {
            State::Recorded => return,
            State::Answered { .. } => true,
            State::Waiting | State::Rescued => false,
        };
        self.record(Ended::ClientGone { answered, after: self.bots_time(Instant::now()) });
    }
}
