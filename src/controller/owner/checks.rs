//! Begins checks of upstreams, and passes each answer on to what the check was for.

use super::Owner;
use crate::controller::check::{Check, How, Purpose};
use crate::controller::event::Effect;
use crate::store::Ticket;

impl Owner {
    /// Begins a check of a bot's upstream. Returns the ticket under which its answer comes.
    pub(super) fn begin_check(&mut self, number: usize, upstream: usize, how: How, purpose: Purpose) -> Ticket {
        let ticket = self.ticket();
        self.checks.insert(ticket, purpose);
        self.effects.push(Effect::Check { ticket, check: Check { config: self.config.clone(), bot: number, upstream, how } });
        ticket
    }

    pub(super) fn checked(&mut self, ticket: Ticket, answer: Result<(), String>) {
        self.pilots.iter_mut().filter(|pilot| pilot.following == Some(ticket)).for_each(|pilot| pilot.following = None);
        let Some(purpose) = self.checks.remove(&ticket) else { return };
        match purpose {
            Purpose::Change { waiting, side, config } => self.checked_for_a_change(waiting, &side, &config, answer),
            Purpose::Drill(rehearsal) => self.checked_for_a_drill(rehearsal, answer),
            Purpose::Undo { bot, facts } => self.checked_for_an_undo(&bot, facts, answer.is_ok()),
            Purpose::WayBack { bot } => self.checked_for_the_way_back(&bot, answer.is_ok()),
            Purpose::Follow { bot, wanted } => self.checked_for_the_config(&bot, &wanted, answer),
            Purpose::IsStableThere { bot } => self.checked_for_stable(&bot, answer.is_ok()),
            Purpose::StandIn { bot, wanted } => self.checked_for_a_stand_in(&bot, wanted, answer.is_ok()),
        }
    }
}
