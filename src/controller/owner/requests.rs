//! Operators' requests: the side is checked if necessary, then the request is decided and carried out, even if its caller has gone.

use std::sync::Arc;

use super::Owner;
use crate::config::Config;
use crate::controller::change::{Caller, Change, Planned, Step};
use crate::controller::check::{How, Purpose, there};
use crate::controller::freeze::frozen;
use crate::controller::roles::index;
use crate::controller::wish::{ChangeError, ChangeRequest, ReplyTo, Waiting, Wish, command};
use crate::core::Release;
use crate::core::ratchet::{Command, Input};

/// The largest number of orders that may wait for a disk that hangs. With more, every change but those that take back is refused.
const ORDERS_MOST: usize = 1_000;

impl Owner {
    /// Handles an operator's request. A side that workspaces would be sent to is checked first, unless the request is forced.
    pub(super) fn handle_change(&mut self, request: ChangeRequest, reply: ReplyTo) {
        let (number, side) = match self.side_to_check(&request) {
            Err(error) => return reply.refuse(error),
            Ok(None) => return self.consider(request, reply),
            Ok(Some(needed)) => needed,
        };
        let bot = &self.config.bots[number];
        let Some(upstream) = index(bot, &side) else {
            let why = "the config does not name it any more".to_owned();
            return reply.refuse(ChangeError::Preflight { bot: request.bot, side: side.to_string(), why });
        };
        let how = if matches!(request.wish, Wish::Undo) { there(bot, upstream) } else { How::Preflight };
        let purpose = Purpose::Change { waiting: Waiting { request, reply }, side, config: self.config.clone() };
        self.begin_check(number, upstream, how, purpose);
    }

    pub(super) fn checked_for_a_change(&mut self, waiting: Waiting, side: &Release, config: &Arc<Config>, answer: Result<(), String>) {
        let Waiting { request, reply } = waiting;
        if !Arc::ptr_eq(config, &self.config) {
            // The config has changed during the check, so the side may be another one now.
            return self.handle_change(request, reply);
        }
        let Err(why) = answer else { return self.consider(request, reply) };
        reply.refuse(ChangeError::Preflight { bot: request.bot, side: side.to_string(), why });
    }

    /// Returns the bot and the side that must be checked before the request is decided; `None` if none must.
    fn side_to_check(&self, request: &ChangeRequest) -> Result<Option<(usize, Release)>, ChangeError> {
        let number = self.known(&request.bot)?;
        let (bot, state) = (&self.config.bots[number], &self.pilots[number].state);
        let takes_back = request.wish.takes_back();
        if self.config.admin.read_only && !takes_back {
            return Err(ChangeError::ReadOnly);
        }
        if self.orders.len() >= ORDERS_MOST && !takes_back {
            return Err(ChangeError::Busy { bot: request.bot.clone(), waiting: self.orders.len() });
        }
        // A request that a freeze refuses needs no check.
        if request.force || self.guard(bot, state, false).frozen.is_some() && !takes_back {
            return Ok(None);
        }
        let side = match &request.wish {
            Wish::Start { .. } | Wish::Switch { .. } => match command(bot, state, request)? {
                Command::Start { release, .. } | Command::Switch { release, .. } if release.upstream != state.stable.upstream => release,
                _ => return Ok(None),
            },
            Wish::Undo => match state.previous.as_ref().filter(|_| !state.is_live() && state.undone.is_none()) {
                Some(former) => former.release.clone(),
                None => return Ok(None),
            },
            Wish::SetWeight(_)
            | Wish::Pause
            | Wish::Resume
            | Wish::Advance
            | Wish::Promote
            | Wish::Abort
            | Wish::Adopt { .. }
            | Wish::Freeze
            | Wish::Thaw => return Ok(None),
        };
        Ok(Some((number, side)))
    }

    /// Decides a request and carries it out. While a change of the bot waits for the disk, the request is queued, unless it lowers the
    /// weight: then that change is given up.
    pub(super) fn consider(&mut self, request: ChangeRequest, reply: ReplyTo) {
        let number = match self.known(&request.bot) {
            Ok(number) => number,
            Err(error) => return reply.refuse(error),
        };
        let reply = match reply {
            ReplyTo::Change(reply) => reply,
            ReplyTo::Preview(reply) => return drop(reply.send(self.preview(number, &request))),
        };
        if self.must_wait(number) {
            // A request that would be refused now may be possible after that change.
            if !self.plan(number, &request).is_ok_and(|steps| self.lowers(number, &request, &steps)) {
                return self.queue(number, Waiting { request, reply: ReplyTo::Change(reply) });
            }
            self.give_up_raises(number, &request.actor);
        }
        match self.plan(number, &request) {
            Err(error) => drop(reply.send(Err(error))),
            Ok(steps) => {
                let answer = Caller::Change { bot: self.pilots[number].name.clone(), reply };
                self.carry_out(Change::of(steps, answer));
            }
        }
    }

    fn lowers(&self, number: usize, request: &ChangeRequest, steps: &[Step]) -> bool {
        let below = |step: &Step| step.after().weight < self.pilots[number].state.weight;
        !steps.is_empty() && !steps.iter().any(|step| step.exposes) && (request.wish.takes_back() || steps.iter().any(below))
    }

    /// The steps that carry the request out; empty if the state is already as requested.
    pub(super) fn plan(&self, number: usize, request: &ChangeRequest) -> Result<Vec<Step>, ChangeError> {
        self.check_reason(number, request)?;
        let (bot, state) = (&self.config.bots[number], &self.pilots[number].state);
        let guard = self.guard(bot, state, request.force);
        let mut plan = Planned::from(state);
        // `replace`: the current rollout is withdrawn only if the new one may start.
        let replaces = matches!(request.wish, Wish::Start { replace: true, .. }) && state.under_way().is_some();
        let mut based_on = request.based_on;
        for makes_room in [true, false].into_iter().filter(|makes_room| replaces || !makes_room) {
            let command = if makes_room { Command::Withdraw } else { command(bot, &plan.state, request)? };
            let input = Input::Command { command, based_on: based_on.take() };
            let decided = self.decide(number, &plan.state, input, &guard, &request.actor, request.reason.clone());
            plan.add(decided).map_err(|refusal| ChangeError::Refused { bot: bot.name.to_string(), refusal })?;
        }
        Ok(plan.steps)
    }

    fn check_reason(&self, number: usize, request: &ChangeRequest) -> Result<(), ChangeError> {
        let (bot, state) = (&self.config.bots[number], &self.pilots[number].state);
        let without = |what| ChangeError::NoReason { bot: bot.name.to_string(), what };
        if request.reason.is_some() {
            return Ok(());
        }
        if matches!(request.wish, Wish::Start { retry: true, .. }) {
            return Err(without("to start again what was taken back"));
        }
        let forces = request.force && frozen(bot, state, self.now).is_some() && self.failing(&bot.name).is_none();
        if forces && !request.wish.takes_back() {
            return Err(without("to force a change in a freeze"));
        }
        Ok(())
    }
}
