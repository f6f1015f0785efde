//! Drills: the idle side is checked by a preflight, then the way back to stable is made on the live system and measured. If the
//! operator gives a share, customers take part.

use std::time::Duration;

use super::Owner;
use crate::controller::change::{Caller, Change};
use crate::controller::check::{How, Purpose};
use crate::controller::rehearsal::{Drill, DrillStage, Drilled, Rehearsal};
use crate::controller::roles::index;
use crate::controller::wish::{Actor, ChangeError, ReplySender, named, the_other};
use crate::core::Release;
use crate::core::ratchet::{Command, Refusal};
use crate::summary::{Action, Preview};

/// Added to the end time of a drill in the ratchet's state. The owner ends a drill in time; the ratchet ends one that a restart
/// interrupted.
const SPARE: Duration = Duration::from_secs(5);

impl Owner {
    pub(super) fn handle_drill(&mut self, bot: &str, drill: Drill, actor: Actor, reply: ReplySender<Drilled, ChangeError>) {
        match self.may_drill(bot, &drill) {
            Err(error) => drop(reply.send(Err(error))),
            Ok((number, idle, upstream)) => {
                let (bot, asked, zero) = (self.pilots[number].name.clone(), self.now.running, Duration::ZERO);
                let rehearsal = Rehearsal { bot, drill, actor, reply, idle, asked, preflight: zero, word: zero, back: zero };
                self.begin_check(number, upstream, How::Preflight, Purpose::Drill(Box::new(rehearsal)));
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
                self.plan_commands(number, vec![command], &Actor::Config).map_err(refused)?
            }
        };
        let rehearsed = Some((idle, drill.share.map(|_| drill.lasts)));
        Ok(Preview { rehearsed, ..self.preview_of(number, Action::Drill, &steps) })
    }

    pub(super) fn checked_for_a_drill(&mut self, mut rehearsal: Box<Rehearsal>, answer: Result<(), String>) {
        if let Err(why) = answer {
            let (bot, side) = (rehearsal.bot.to_string(), rehearsal.idle.to_string());
            return rehearsal.fails(ChangeError::Preflight { bot, side, why });
        }
        rehearsal.preflight = self.now.running.saturating_sub(rehearsal.asked);
        match rehearsal.drill.share {
            None => self.end_drill(rehearsal),
            Some(weight) => {
                let command = Command::Drill { weight, canary: rehearsal.idle.clone(), lasts: rehearsal.drill.lasts + SPARE };
                self.carry_out_drill(rehearsal, command, DrillStage::There);
            }
        }
    }

    /// Goes back to stable. If nobody took part, the current split is published again and that is measured.
    pub(super) fn end_drill(&mut self, mut rehearsal: Box<Rehearsal>) {
        rehearsal.word = self.now.running;
        if rehearsal.drill.share.is_some() {
            return self.carry_out_drill(rehearsal, Command::Withdraw, DrillStage::Back);
        }
        match self.number(rehearsal.bot.as_str()) {
            Some(number) => self.publish_again(number, Caller::Drill(rehearsal, DrillStage::Back)),
            None => self.answer_unknown(*rehearsal),
        }
    }

    /// Continues a drill whose stage every worker serves. Returns `true` if it began another change, which must be published in the
    /// same event.
    pub(super) fn continue_drill(&mut self, mut rehearsal: Box<Rehearsal>, stage: DrillStage, durable: bool) -> bool {
        match stage {
            DrillStage::There => {
                let lasts = if self.stopping { Duration::ZERO } else { rehearsal.drill.lasts };
                self.drills.push((self.now.running + lasts, rehearsal));
                false
            }
            DrillStage::Back => {
                rehearsal.back = self.now.running.saturating_sub(rehearsal.word);
                let command = Command::Drilled { took: rehearsal.back };
                self.carry_out_drill(rehearsal, command, DrillStage::Noted);
                true
            }
            DrillStage::Noted => {
                self.answer_drill(*rehearsal, durable);
                false
            }
        }
    }

    fn answer_drill(&mut self, rehearsal: Rehearsal, durable: bool) {
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
    fn carry_out_drill(&mut self, rehearsal: Box<Rehearsal>, command: Command, stage: DrillStage) {
        let Some(number) = self.number(rehearsal.bot.as_str()) else { return self.answer_unknown(*rehearsal) };
        if self.must_wait(number) {
            if stage == DrillStage::There {
                let bot = rehearsal.bot.to_string();
                return rehearsal.fails(ChangeError::Busy { bot, waiting: 1 });
            }
            self.give_up_raises(number, &rehearsal.actor);
        }
        match self.plan_commands(number, vec![command], &rehearsal.actor) {
            Ok(steps) => self.carry_out(Change::of(steps, Caller::Drill(rehearsal, stage))),
            Err(refusal) => {
                let bot = rehearsal.bot.to_string();
                rehearsal.fails(ChangeError::Refused { bot, refusal });
            }
        }
    }

    fn answer_unknown(&self, rehearsal: Rehearsal) {
        if let Err(error) = self.known(rehearsal.bot.as_str()) {
            rehearsal.fails(error);
        }
    }
}
