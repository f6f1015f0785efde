//! The stages of a change: decided, stored, served, answered. A change that exposes somebody is stored before it serves; if the disk
//! does not store it, it is dropped and nothing has happened. Any other change is in force at once, and is stored afterwards, as soon
//! as the disk takes it.

use std::sync::Arc;
use std::time::Duration;

use super::{DISK_PATIENCE, Owner};
use crate::config::BotName;
use crate::controller::change::{Caller, Change, Decided, Order, Planned, Serving, Step, Storing};
use crate::controller::entry;
use crate::controller::event::{Announcement, Effect};
use crate::controller::rehearsal::DrillStage;
use crate::controller::wish::{Actor, ChangeError, Waiting};
use crate::core::ratchet::{Command, Decision, Input, Refusal};
use crate::core::{Guard, State};
use crate::live::{APPLY_TIMEOUT, NotApplied, Snapshot};
use crate::store::{Append, Claim, Entry, NotDurable, Ticket, Unwritten, Written};

/// The answer to a change that exposes nobody waits at most this long for the disk, counted from when the change serves. After that,
/// the answer says that the change is not durable yet.
const GRACE: Duration = Duration::from_millis(500);

impl Owner {
    /// Asks the ratchet for its decision on `input` in `state`. Changes nothing.
    pub(super) fn decide(&self, number: usize, state: &State, input: Input, guard: &Guard, actor: &Actor, said: Option<String>) -> Decided {
        let (bot, pilot) = (&self.config.bots[number], &self.pilots[number]);
        let at = pilot.now(self.now);
        let (after, decision) = (self.rules.step)(state.clone(), &input, guard, at);
        match decision {
            Decision::Refuse(refusal) => Decided::Refused(refusal),
            decision if !decision.commits() => Decided::Stays(Box::new(after)),
            decision => {
                let exposes = (self.rules.exposes)(state, &after, &decision);
                let entry = entry::entry(bot, pilot, actor, &decision, (state, after), input, guard, self.now, said);
                let (bot, actor) = (bot.name.clone(), actor.clone());
                Decided::Change(Box::new(Step { bot, decision, entry, actor, exposes }))
            }
        }
    }

    /// The steps of these commands for one bot, each decided from the state that the one before leads to; the refusal of the first that
    /// is refused. A freeze holds.
    pub(super) fn plan_commands(&self, number: usize, commands: Vec<Command>, actor: &Actor) -> Result<Vec<Step>, Refusal> {
        let state = &self.pilots[number].state;
        let guard = self.guard(&self.config.bots[number], state, false);
        let mut plan = Planned::from(state);
        for command in commands {
            plan.add(self.decide(number, &plan.state, Input::Command { command, based_on: None }, &guard, actor, None))?;
        }
        Ok(plan.steps)
    }

    /// Carries a change out. The caller has checked [`Owner::must_wait`], or has called [`Owner::give_up_raises`].
    pub(super) fn carry_out(&mut self, change: Change) {
        let entries: Vec<Entry> = change.steps.iter().map(|step| step.entry.clone()).chain(change.beginnings()).collect();
        if !change.exposes() {
            let ticket = self.order(entries, Unwritten::Keep);
            return self.take_effect(change, ticket);
        }
        let claim = Claim::default();
        let Some(ticket) = self.order(entries, Unwritten::Drop(claim.clone())) else { return self.take_effect(change, None) };
        for step in &change.steps {
            if let Some(number) = self.number(step.bot.as_str()) {
                self.pilots[number].storing = Some(ticket);
            }
        }
        self.storing.insert(ticket, Storing { change, claim, since: self.now.running });
    }

    pub(super) fn order(&mut self, entries: Vec<Entry>, unwritten: Unwritten) -> Option<Ticket> {
        if entries.is_empty() {
            return None;
        }
        let ticket = self.ticket();
        let rows = entries.iter().map(|entry| (entry.bot.clone(), entry.state.revision)).collect();
        self.orders.insert(ticket, Order { since: self.now.running, rows });
        self.effects.push(Effect::Append(Append { ticket, entries, unwritten }));
        Some(ticket)
    }

    /// Puts the change in force. `unwritten`: the order for its rows, if they are not stored yet.
    fn take_effect(&mut self, change: Change, unwritten: Option<Ticket>) {
        let Change { steps, take_up, caller } = change;
        for step in &steps {
            if let Some(number) = self.number(step.bot.as_str()) {
                let pilot = &mut self.pilots[number];
                pilot.change(&step.decision, step.after().clone(), self.now);
                pilot.note(&step.entry);
            }
        }
        if let Some(take_up) = take_up {
            self.take_up(*take_up);
        }
        self.serving.push(Serving { snapshot: None, steps, since: self.now.running, served: None, unwritten, caller });
    }

    /// Publishes the bot unchanged, and answers once every worker serves that snapshot.
    pub(super) fn publish_again(&mut self, number: usize, caller: Caller) {
        self.pilots[number].due = true;
        self.take_effect(Change::of(Vec::new(), caller), None);
    }

    /// Handles the history's answer to an order.
    pub(super) fn written(&mut self, Written { ticket, result }: Written) {
        let order = self.orders.remove(&ticket);
        if result.is_ok() {
            for (bot, revision) in order.into_iter().flat_map(|order| order.rows) {
                if let Some(number) = self.number(&bot) {
                    let pilot = &mut self.pilots[number];
                    (pilot.kept, pilot.news) = (pilot.kept.max(revision), true);
                }
            }
        }
        self.serving.iter_mut().for_each(|serving| serving.unwritten = serving.unwritten.filter(|waits| *waits != ticket));
        if let Some(storing) = self.remove_storing(ticket) {
            match result {
                Ok(()) => self.take_effect(storing.change, None),
                Err(error) => storing.change.caller.fails(error),
            }
        }
    }

    fn remove_storing(&mut self, ticket: Ticket) -> Option<Storing> {
        let storing = self.storing.remove(&ticket)?;
        self.pilots.iter_mut().filter(|pilot| pilot.storing == Some(ticket)).for_each(|pilot| pilot.storing = None);
        Some(storing)
    }

    /// For a change that lowers the weight: gives up the raise of this bot, and the reload, that wait for the disk. The caller decides
    /// again afterwards, because a raise that was stored in the meantime is in force then.
    pub(super) fn give_up_raises(&mut self, number: usize, by: &Actor) {
        let of_this_bot = self.pilots[number].storing;
        let in_the_way: Vec<Ticket> = self
            .storing
            .iter()
            .filter(|(ticket, storing)| Some(**ticket) == of_this_bot || storing.is_a_reload())
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in in_the_way {
            if let Some(change) = self.give_up(ticket) {
                self.answer_overtaken(change, by);
            }
        }
    }

    /// Stops waiting for the disk. Returns the change if it was not stored, so that the caller can answer it. If the disk has stored it
    /// already, the change takes effect and the result is `None`.
    fn give_up(&mut self, ticket: Ticket) -> Option<Change> {
        let Storing { change, claim, .. } = self.remove_storing(ticket)?;
        if claim.give_up() {
            return Some(change);
        }
        self.take_effect(change, None);
        None
    }

    fn answer_overtaken(&mut self, change: Change, by: &Actor) {
        let error = |bot: &BotName| ChangeError::Overtaken { bot: bot.to_string(), by: by.name().to_owned() };
        match change.caller {
            Caller::Nobody => {}
            Caller::Change { bot, reply } => drop(reply.send(Err(error(&bot)))),
            // The reload is planned again, from the state after the other change.
            Caller::Reload { reload, .. } => self.reloads.push_front(reload),
            Caller::Drill(rehearsal, _) => {
                let error = error(&rehearsal.bot);
                rehearsal.fails(error);
            }
        }
    }

    /// Gives up the changes that have waited for the disk for `DISK_PATIENCE`, and ends the drills whose time is over.
    pub(super) fn enforce_time_limits(&mut self) {
        let now = self.now.running;
        let late: Vec<Ticket> =
            self.storing.iter().filter(|(_, storing)| now >= storing.since + DISK_PATIENCE).map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            if let Some(change) = self.give_up(ticket) {
                change.caller.fails(NotDurable(format!("no answer from the disk within {DISK_PATIENCE:?}")));
            }
        }
        while let Some(at) = self.drills.iter().position(|(until, _)| now >= *until) {
            let (_, rehearsal) = self.drills.remove(at);
            self.end_drill(rehearsal);
        }
    }

    /// The time at which the owner needs an [`Event::Alarm`](crate::controller::event::Event::Alarm), if no other event comes before.
    pub fn alarm(&self) -> Option<Duration> {
        let storing = self.storing.values().map(|storing| storing.since + DISK_PATIENCE);
        let serving = self.serving.iter().map(|serving| serving.served.map_or(serving.since + APPLY_TIMEOUT, |served| served + GRACE));
        let drills = self.drills.iter().map(|(until, _)| *until);
        storing.chain(serving).chain(drills).min()
    }

    /// Reports the changes that every worker serves and answers their callers. Returns `true` if that began another change, which must
    /// be published in the same event.
    pub(super) fn answer(&mut self) -> bool {
        let (applied, now) = (self.applied, self.now.running);
        let mut goes_on = false;
        for mut serving in std::mem::take(&mut self.serving) {
            if serving.served.is_none() && serving.snapshot.as_ref().is_some_and(|snapshot| snapshot.sequence <= applied) {
                serving.served = Some(now);
                self.announce(&serving.steps, Some(now.saturating_sub(serving.since)));
            }
            // For a drill, the time until every worker served the way back is measured, not the time until it was stored.
            let measures = matches!(serving.caller, Caller::Drill(_, DrillStage::Back));
            match serving.served {
                Some(served) if serving.unwritten.is_none() || measures || now >= served + GRACE || self.cannot_be_written(&serving) => {
                    goes_on |= self.answer_done(serving.caller, serving.snapshot, serving.unwritten.is_none());
                }
                None if now >= serving.since + APPLY_TIMEOUT => {
                    self.announce(&serving.steps, None);
                    serving.caller.fails(NotApplied { workers: self.config.proxy.workers });
                }
                Some(_) | None => self.serving.push(serving),
            }
        }
        goes_on
    }

    fn cannot_be_written(&self, serving: &Serving) -> bool {
        serving.steps.iter().any(|step| self.failing(&step.bot).is_some())
    }

    fn announce(&mut self, steps: &[Step], took: Option<Duration>) {
        if took.is_none() {
            steps.iter().for_each(|step| tracing::error!(bot = %step.bot, "not every worker serves the change"));
        }
        let announcements = steps
            .iter()
            .map(|step| Effect::Announce(Box::new(Announcement { entry: step.entry.clone(), actor: step.actor.clone(), took })));
        self.effects.extend(announcements);
    }

    fn answer_done(&mut self, caller: Caller, snapshot: Option<Arc<Snapshot>>, durable: bool) -> bool {
        match caller {
            Caller::Nobody => false,
            Caller::Change { bot, reply } => {
                self.show();
                // The newest snapshot may contain changes that not every worker serves yet: then the caller gets the snapshot of its
                // own change.
                let newest = self.snapshot.clone();
                let own = snapshot.filter(|_| newest.sequence > self.applied).inspect(|own| self.show_in(own, &bot));
                let _ = reply.send(Ok(own.unwrap_or(newest)));
                false
            }
            Caller::Reload { reload, changed } => {
                let _ = reload.reply.send(Ok(changed));
                false
            }
            Caller::Drill(rehearsal, stage) => self.continue_drill(rehearsal, stage, durable),
        }
    }

    /// Queues a request until the change that the disk has not stored yet is decided. Refuses it if the queue is full.
    pub(super) fn queue(&mut self, number: usize, waiting: Waiting) {
        let line = &mut self.pilots[number].waiting;
        match line.len() < WAITING_MOST {
            true => line.push_back(waiting),
            false => waiting.reply.refuse(ChangeError::Busy { bot: waiting.request.bot, waiting: WAITING_MOST }),
        }
    }
}

/// The length of a bot's queue of requests that wait for a change of that bot to be stored.
const WAITING_MOST: usize = 32;
