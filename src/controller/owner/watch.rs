//! One bot's tick: gathers the facts, asks the ratchet, and carries out its decision.

use super::Owner;
use crate::config::BotName;
use crate::controller::change::{Caller, Change, Decided};
use crate::controller::check::{Purpose, there};
use crate::controller::roles::index;
use crate::controller::wish::Actor;
use crate::core::ratchet::{Facts, Input};

impl Owner {
    pub(super) fn tick_bot(&mut self, number: usize) {
        let config = self.config.clone();
        let bot = &config.bots[number];
        let guard = self.guard(bot, &self.pilots[number].state, false);
        let now = self.now;
        let pilot = &mut self.pilots[number];
        let (facts, moved) = pilot.gather(&guard, now);
        pilot.due |= moved;
        pilot.news |= moved;
        if let Some(former) = pilot.side_to_check_for_undo(&facts)
            && let Some(upstream) = index(bot, &former)
        {
            if !std::mem::replace(&mut pilot.checks_former, true) {
                let purpose = Purpose::Undo { bot: bot.name.clone(), facts };
                self.begin_check(number, upstream, there(bot, upstream), purpose);
            }
            return;
        }
        self.decide_by(number, facts);
    }

    pub(super) fn checked_for_an_undo(&mut self, name: &BotName, facts: Facts, answers: bool) {
        let Some(number) = self.number(name.as_str()) else { return };
        self.pilots[number].checks_former = false;
        self.decide_by(number, Facts { previous_answers: answers, ..facts });
    }

    /// Decides on the facts. A decision that exposes somebody is dropped while a change waits for the disk; any other one goes before
    /// that change.
    fn decide_by(&mut self, number: usize, facts: Facts) {
        let pilot = &self.pilots[number];
        let guard = self.guard(&self.config.bots[number], &pilot.state, false);
        match self.decide(number, &pilot.state, Input::Tick(facts), &guard, &Actor::Ratchet, None) {
            Decided::Refused(_) => {}
            Decided::Stays(after) => {
                let pilot = &mut self.pilots[number];
                pilot.news |= pilot.state != *after;
                pilot.state = *after;
            }
            Decided::Change(step) if !self.must_wait(number) => self.carry_out(Change::of(vec![*step], Caller::Nobody)),
            Decided::Change(step) if step.exposes => {}
            Decided::Change(_) => {
                self.give_up_raises(number, &Actor::Ratchet);
                // If the disk had already stored that change, it is in force now, so the facts are judged again.
                let pilot = &self.pilots[number];
                if let Decided::Change(step) = self.decide(number, &pilot.state, Input::Tick(facts), &guard, &Actor::Ratchet, None) {
                    self.carry_out(Change::of(vec![*step], Caller::Nobody));
                }
            }
        }
    }
}
