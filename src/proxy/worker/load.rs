//! A bot's upstream under this worker's load: gives each request a place, or refuses it while the upstream answers too late.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use crate::config::Bot;
use crate::core::{Admission, AdmissionEvent, Admitted, Track};
use crate::meters::{BotMeters, Level};
use crate::proxy::wire::clock::{Clock, TICK};

/// It stays when the view changes: a change of weight must not make the worker forget that an upstream is overloaded.
#[derive(Debug)]
pub struct Load {
    bot: String,
    upstream: String,
    deadline: Duration,
    /// Of the last `goes_on`.
    tick: Cell<u32>,
    admission: RefCell<Admission>,
}

/// A place among the requests that an upstream has to answer.
#[derive(Debug)]
pub struct PlaceAtUpstream {
    load: Rc<Load>,
    /// Taken when the upstream has answered.
    admitted: Option<Admitted>,
}

/// Where the workers tell each other how many requests a track's upstream has answered within the last deadline.
#[derive(Clone, Copy)]
pub struct Answers<'a> {
    pub meters: &'a BotMeters,
    pub worker: usize,
    pub track: Track,
}

impl Answers<'_> {
    fn own(&self) -> &Level {
        &self.meters.shard(self.worker).answered_lately[self.track as usize]
    }

    fn of_others(&self) -> u32 {
        let others = self.meters.shards().iter().enumerate().filter(|(worker, _)| *worker != self.worker);
        others.map(|(_, shard)| shard.answered_lately[self.track as usize].load() as u32).sum()
    }
}

impl Load {
    pub fn new(bot: &Bot, upstream: usize) -> Load {
        let deadline = deadline(bot);
        let admission = RefCell::new(Admission::new(deadline, TICK));
        Load { bot: bot.name.to_string(), upstream: bot.upstreams[upstream].name.to_string(), deadline, tick: Cell::new(0), admission }
    }

    /// Whether it is the load of this bot and upstream, with the deadline that the bot has now.
    pub fn is_of(&self, bot: &Bot, upstream: usize) -> bool {
        self.bot == bot.name.as_str() && *self.upstream == *bot.upstreams[upstream].name && self.deadline == deadline(bot)
    }

    /// Called before `place`, and at an interval, to notice the end of an overload without requests. `answers` has the workers' answers
    /// within the last deadline: this worker's are written, the others' are read.
    pub fn goes_on(&self, clock: &Clock, answers: Answers<'_>) {
        if self.tick.replace(clock.now()) == clock.now() {
            return;
        }
        let mut admission = self.admission.borrow_mut();
        if let Some(event) = admission.at(clock.now(), || answers.of_others()) {
            self.say(event);
        }
        answers.own().set(i64::from(admission.answered()));
    }

    /// A place for one more request. `None`: it could not be answered in time.
    pub fn place(self: &Rc<Load>) -> Option<PlaceAtUpstream> {
        let admitted = self.admission.borrow_mut().admit()?;
        Some(PlaceAtUpstream { load: self.clone(), admitted: Some(admitted) })
    }

    #[cold]
    fn say(&self, event: AdmissionEvent) {
        let Load { bot, upstream, deadline, .. } = self;
        match event {
            AdmissionEvent::Limits { most } => {
                tracing::warn!(
                    bot,
                    upstream,
                    ?deadline,
                    most,
                    "answers are late: requests above so many in flight are refused on this worker"
                );
            }
            AdmissionEvent::Ends => tracing::info!(bot, upstream, "the upstream keeps up again: no request is refused"),
            AdmissionEvent::GivesUp => {
                tracing::warn!(bot, upstream, "the upstream is slow, and fewer requests do not make it faster: all are sent again");
            }
        }
    }
}

/// After this time an answer is worth nothing: to the platform, or else to serin itself.
fn deadline(bot: &Bot) -> Duration {
    bot.rules.deadline.unwrap_or(bot.timeout)
}

impl PlaceAtUpstream {
    /// Frees the place: the upstream has answered after this time.
    pub fn answered(&mut self, took: Duration) {
        if let Some(admitted) = self.admitted.take() {
            self.load.admission.borrow_mut().left(admitted, Some(took));
        }
    }
}

impl Drop for PlaceAtUpstream {
    fn drop(&mut self) {
        if let Some(admitted) = self.admitted.take() {
            self.load.admission.borrow_mut().left(admitted, None);
        }
    }
}
