//! Drills: the idle side is checked by a preflight, then the way back to stable is made on the live system and measured. If the
//! operator gives a share, customers take part.

use std::time::Duration;

use serde::Serialize;

use super::change::{Answer, Change, Plan, Step};
use super::looks::{How, Purpose};
use super::owner::{Owner, Reply};
use super::pilot::index;
use super::wish::{Actor, ChangeError, named, the_other};
use crate::config::BotName;
use crate::core::ratchet::{Command, Input, Refusal};
use crate::core::{Release, Weight};
use crate::summary::{Action, Preview};

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct Drill {
    /// The share of the buckets to move to the idle side and back; `None` moves nobody.
    pub share: Option<Weight>,
    /// How long the share stays on the idle side.
    pub lasts: Duration,
    pub upstream: Option<String>,
}

/// The measurements of a drill.
#[derive(Clone, Debug, Serialize)]
pub struct Drilled {
    pub bot: String,
    pub side: String,
    /// From the first request of the preflight to its last right answer.
    pub preflight_ms: f64,
    /// From the decision to go back until every worker served it.
    pub back_ms: f64,
    /// From the decision to go back until it was stored; `None` if that took longer than half a second after it served.
    pub durable_ms: Option<f64>,
    pub moved_percent: f64,
    pub revision: u64,
}

/// A drill in progress.
#[derive(Debug)]
pub(super) struct Rehearsal {
    pub bot: BotName,
    drill: Drill,
    actor: Actor,
    reply: Reply<Drilled, ChangeError>,
    idle: Release,
    /// When the preflight began, and how long it took.
    asked: Duration,
    preflight: Duration,
    /// When the decision to go back was made, and how long it took until every worker served it.
    word: Duration,
    back: Duration,
}

/// The part of a drill that has taken effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Customers are on the idle side.
    There,
    /// They are back on stable.
    Back,
    /// The drill is recorded as done.
    Noted,
}

/// Added to the end time of a drill in the ratchet's state. The owner ends a drill in time; the ratchet ends one that a restart
/// interrupted.
const SPARE: Duration = Duration::from_secs(5);

impl Rehearsal {
    pub fn fails(self, error: ChangeError) {
        let _ = self.reply.send(Err(error));
    }
}

impl Owner {
    pub(super) fn asked_for_a_drill(&mut self, bot: &str, drill: Drill, actor: Actor, reply: Reply<Drilled, ChangeError>) {
        match self.may_drill(bot, &drill) {
            Err(error) => drop(reply.send(Err(error))),
            Ok((number, idle, upstream)) => {
                let (bot, asked, zero) = (self.pilots[number].name.clone(), self.now.running, Duration::ZERO);
                let rehearsal = Rehearsal { bot, drill, actor, reply, idle, asked, preflight: zero, word: zero, back: zero };
                self.begin_look(number, upstream, How::Preflight, Purpose::Drill(Box::new(rehearsal)));
            }
        }
    }

    /// Returns the bot's index, the idle side and its index, if a drill is possible now; otherwise the error.
    fn may_drill(&self, name: &str, drill: &Drill) -> Result<(usize, Release, usize), ChangeError> {
        let number = self.known(name)?;
        let (bot, state) = (&self.config.bots[number], &self.pilots[number].state);
        if drill.share.is_some() && self.config.admin.read_only {
            return Err(ChangeError::ReadOnly);
        }
        // By default the drill rehearses the side that `undo` would go back to.
        let idle = match (&drill.upstream, &state.previous) {
            (None, Some(former)) if index(bot, &former.release).is_some() => former.release.clone(),
            (None, _) => the_other(bot, state)?,
            (Some(name), _) => named(bot, name)?,
        };
        if state.is_live() {
            let refusal = match (state.under_way(), &state.canary) {
                (Some(_), Some(canary)) => Refusal::UnderWay(canary.clone()),
                _ => Refusal::LiveSplit { weight: state.weight },
            };
            return Err(ChangeError::Refused { bot: name.to_owned(), refusal });
        }
        let upstream = index(bot, &idle).unwrap_or(bot.stable);
        Ok((number, idle, upstream))
    }

    pub(super) fn preview_drill(&self, name: &str, drill: &Drill) -> Result<Preview, ChangeError> {
        let (number, idle, _) = self.may_drill(name, drill)?;
        let steps = match drill.share {
            None => Vec::new(),
            Some(weight) => {
                let command = Command::Drill { weight, canary: idle.clone(), lasts: drill.lasts };
                let refused = |refusal| ChangeError::Refused { bot: name.to_owned(), refusal };
                self.drill_step(number, command, &Actor::Config).map_err(refused)?
            }
        };
        let rehearsed = Some((idle, drill.share.map(|_| drill.lasts)));
        Ok(Preview { rehearsed, ..self.foretell(number, Action::Drill, &steps) })
    }

    pub(super) fn looked_for_a_drill(&mut self, mut rehearsal: Box<Rehearsal>, answer: Result<(), String>) {
        if let Err(why) = answer {
            let (bot, side) = (rehearsal.bot.to_string(), rehearsal.idle.to_string());
            return rehearsal.fails(ChangeError::Preflight { bot, side, why });
        }
        rehearsal.preflight = self.now.running.saturating_sub(rehearsal.asked);
        match rehearsal.drill.share {
            None => self.ends_a_drill(rehearsal),
            Some(weight) => {
                let command = Command::Drill { weight, canary: rehearsal.idle.clone(), lasts: rehearsal.drill.lasts + SPARE };
                self.rehearse(rehearsal, command, Stage::There);
            }
        }
    }

    /// Goes back to stable. If nobody took part, the current split is published again and that is measured.
    pub(super) fn ends_a_drill(&mut self, mut rehearsal: Box<Rehearsal>) {
        rehearsal.word = self.now.running;
        if rehearsal.drill.share.is_some() {
            return self.rehearse(rehearsal, Command::Withdraw, Stage::Back);
        }
        match self.number(rehearsal.bot.as_str()) {
            Some(number) => self.publish_again(number, Answer::Drill(rehearsal, Stage::Back)),
            None => self.is_gone(*rehearsal),
        }
    }

    /// Continues a drill whose stage every worker serves. Returns `true` if it began another change, which must be published in the
    /// same event.
    pub(super) fn goes_on_with(&mut self, mut rehearsal: Box<Rehearsal>, stage: Stage, durable: bool) -> bool {
        match stage {
            Stage::There => {
                self.drills.push((self.now.running + rehearsal.drill.lasts, rehearsal));
                false
            }
            Stage::Back => {
                rehearsal.back = self.now.running.saturating_sub(rehearsal.word);
                let command = Command::Drilled { took: rehearsal.back };
                self.rehearse(rehearsal, command, Stage::Noted);
                true
            }
            Stage::Noted => {
                self.answer_a_drill(*rehearsal, durable);
                false
            }
        }
    }

    fn answer_a_drill(&mut self, rehearsal: Rehearsal, durable: bool) {
        let Rehearsal { bot, drill, reply, idle, preflight, word, back, .. } = rehearsal;
        let millis = |took: Duration| took.as_secs_f64() * 1000.0;
        let since_word = millis(self.now.running.saturating_sub(word));
        let number = self.number(bot.as_str());
        self.show();
        let _ = reply.send(Ok(Drilled {
            bot: bot.to_string(),
            side: idle.to_string(),
            preflight_ms: millis(preflight),
            back_ms: millis(back),
            durable_ms: durable.then_some(since_word),
            moved_percent: drill.share.unwrap_or_default().percent(),
            revision: number.map_or(0, |number| self.pilots[number].state.revision),
        }));
    }

    /// Decides and carries out one step of a drill.
    fn rehearse(&mut self, rehearsal: Box<Rehearsal>, command: Command, stage: Stage) {
        let Some(number) = self.number(rehearsal.bot.as_str()) else { return self.is_gone(*rehearsal) };
        if self.must_wait(number) {
            if stage == Stage::There {
                let bot = rehearsal.bot.to_string();
                return rehearsal.fails(ChangeError::Busy { bot, waiting: 1 });
            }
            self.make_way(number, &rehearsal.actor);
        }
        match self.drill_step(number, command, &rehearsal.actor) {
            Ok(steps) => self.carry_out(Change::of(steps, Answer::Drill(rehearsal, stage))),
            Err(refusal) => {
                let bot = rehearsal.bot.to_string();
                rehearsal.fails(ChangeError::Refused { bot, refusal });
            }
        }
    }

    fn drill_step(&self, number: usize, command: Command, actor: &Actor) -> Result<Vec<Step>, Refusal> {
        let (bot, state) = (&self.config.bots[number], &self.pilots[number].state);
        let guard = self.guard(bot, state, false);
        let mut plan = Plan::from(state);
        plan.add(self.decide(number, state, Input::Command { command, based_on: None }, &guard, actor, None))?;
        Ok(plan.steps)
    }

    fn is_gone(&self, rehearsal: Rehearsal) {
        if let Err(error) = self.known(rehearsal.bot.as_str()) {
            rehearsal.fails(error);
        }
    }
}
