//! One webhook from its assignment to its record. It is recorded once, into the epoch that routed it, when its answer ends, fails
//! or is dropped.

use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::core::{Assignment, Bucket, Ended, Outcome, Said, Sample, Turn, classify};
use crate::meters::{CodeClass, RescueReason};
use crate::proxy::client::{Session, Upload};
use crate::proxy::problem::Problem;
use crate::proxy::worker::{BotView, Finished, Noted, PlaceAtUpstream, PlaceInFlight};

pub struct Exchange {
    bot: Rc<BotView>,
    session: Rc<Session>,
    places: Places,
    started: Instant,
    assignment: Assignment,
    /// The platform sent this webhook before: it is counted, but is no evidence.
    retried: bool,
    /// The upstream refused or broke the connection. For the breaker.
    broken: bool,
    state: State,
    wanted: Option<Box<Wanted>>,
}

/// Places that the exchange holds until it ends.
pub struct Places {
    /// Among the worker's requests in flight.
    pub worker: PlaceInFlight,
    /// Among the requests that the upstream has to answer. It is free again when the answer's head has arrived.
    pub upstream: PlaceAtUpstream,
}

/// Facts that only some requests need. They are behind one pointer, so that the other requests stay small.
pub struct Wanted {
    /// For the access log.
    pub line: Option<Noted>,
    /// For the bot's [`Names`](crate::live::Names): the workspace of this webhook, if the webhook is evidence.
    pub name: Option<Box<str>>,
}

/// What is known of a webhook when its exchange begins.
pub struct Assigned {
    pub assignment: Assignment,
    /// The platform sent this webhook before.
    pub retried: bool,
    pub wanted: Option<Box<Wanted>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    /// Stable answers for the canary. What is recorded is the canary's failure.
    Rescued,
    Answered {
        status: u16,
        first_byte: Duration,
        said: Option<Said>,
    },
    Recorded,
}

impl Exchange {
    pub fn begin(bot: Rc<BotView>, session: Rc<Session>, places: Places, started: Instant, assigned: Assigned) -> Exchange {
        let Assigned { assignment, retried, wanted } = assigned;
        bot.meters().inflight[assignment.track as usize].add(1);
        let exchange = Exchange { bot, session, places, started, assignment, retried, broken: false, state: State::Waiting, wanted };
        if let Some((bucket, turn)) = exchange.examined() {
            exchange.bot.shard().set_out(bucket, turn);
        }
        exchange
    }

    /// The bucket and the block of the examination in which this webhook was routed. `None` if there is no examination.
    fn examined(&self) -> Option<(Bucket, Turn)> {
        let turn = self.assignment.examined_in().filter(|_| !self.retried)?;
        Some((self.assignment.bucket?, turn))
    }

    pub fn session(&self) -> &Rc<Session> {
        &self.session
    }

    /// The time that the bot has had until `at`. It begins when the whole request has arrived, because the bot is not to blame for
    /// the client's upload.
    fn bots_time(&self, at: Instant) -> Duration {
        match self.session.upload() {
            Upload::Done(whole) => at.saturating_duration_since(whole),
            Upload::ForClient | Upload::ForUpstream | Upload::Broken => Duration::ZERO,
        }
    }

    /// Called just before the request is sent. The time from `since` to `now` is recorded as serin's own.
    pub fn sending(&self, since: Instant, now: Instant) {
        self.bot.meters().overhead.record(now.saturating_duration_since(since));
    }

    pub fn rescued(&mut self, reason: RescueReason) {
        self.bot.meters().rescues[reason as usize].add(1);
        self.broken = true;
        self.state = State::Rescued;
    }

    /// Called when the answer's head has arrived.
    pub fn answered(&mut self, status: u16, said: Option<Said>) {
        let first_byte = self.bots_time(Instant::now());
        if let Some(line) = self.line() {
            line.answered(status, first_byte);
        }
        if self.state == State::Waiting {
            self.bot.meters().first_byte[self.assignment.track as usize].record(first_byte);
            self.places.upstream.answered(first_byte);
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

    /// The answer broke off. The upstream is to blame, unless the client broke off its request.
    pub fn broke_off(&mut self) {
        match self.session.upload() {
            Upload::Broken => self.record(Ended::ClientGone { answered: true, after: Duration::ZERO }),
            Upload::ForClient | Upload::ForUpstream | Upload::Done(_) => self.record(Ended::Failed),
        }
    }

    /// There is no answer, and the upstream is to blame. The client gets `problem` instead.
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

    /// The upstream is not to blame: the client's body broke off or did not arrive, or serin had no connection. This is no evidence.
    pub fn excused(&mut self, problem: Problem) {
        self.note(problem);
        self.record(Ended::ClientGone { answered: true, after: self.bots_time(Instant::now()) });
    }

    fn record(&mut self, ended: Ended) {
        if self.state == State::Recorded {
            return;
        }
        let rescued = self.state == State::Rescued;
        let ended = match (self.state, self.session.gone_since()) {
            // A rescued request is recorded as failed, whatever happened to stable's answer.
            (State::Rescued, _) => Ended::Failed,
            // Half an answer is the upstream's failure, also if the client had left.
            (State::Answered { .. }, _) if ended == Ended::Failed => ended,
            // The request went on for the bot's sake; the client saw no answer.
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
            self.places.worker.worker().access_log.write(&line, &ended);
        }
    }

    /// Counts the webhook as evidence, if chance assigned it. Pins, testers, handshakes and a platform's retries do not count. A
    /// rescued webhook counts only for the breaker: it harmed nobody, and a canary that restarts is not a bad release.
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
