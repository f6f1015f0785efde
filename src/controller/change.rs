//! The stages of a change: decided, stored, served, answered. A change that exposes somebody is stored before it serves; if the disk
//! does not store it, it is dropped and nothing has happened. Any other change is in force at once, and is stored afterwards, as soon
//! as the disk takes it.

use std::sync::Arc;
use std::time::Duration;

use super::ReloadRefused;
use super::drill::{Rehearsal, Stage};
use super::keep;
use super::owner::{DISK_PATIENCE, Effect, Owner, Reply, Told};
use super::reload::{Reload, TakeUp};
use super::wish::{Actor, ChangeError, Waiting};
use crate::config::BotName;
use crate::core::ratchet::{Decision, Input, Refusal};
use crate::core::{Guard, State};
use crate::live::{APPLY_TIMEOUT, NotApplied, Snapshot};
use crate::store::{Append, Claim, Entry, Health, NotDurable, Ticket, Unwritten, Written};

/// One decision of the ratchet, before it is in force. `entry.state` is the state that it leads to.
#[derive(Debug)]
pub(super) struct Step {
    pub bot: BotName,
    pub decision: Decision,
    pub entry: Entry,
    pub actor: Actor,
    /// Whether the step may let a workspace reach a release that it could not reach before.
    pub exposes: bool,
}

/// Steps that are made all together or not at all.
#[derive(Debug)]
pub(super) struct Change {
    pub steps: Vec<Step>,
    /// The new config that the steps belong to, if a reload causes the change.
    pub take_up: Option<Box<TakeUp>>,
    pub answer: Answer,
}

/// The caller to answer once the change is done.
#[derive(Debug)]
pub(super) enum Answer {
    Nobody,
    Change { bot: BotName, reply: Reply<Arc<Snapshot>, ChangeError> },
    Reload { reload: Reload, changed: bool },
    Drill(Box<Rehearsal>, Stage),
}

/// A change that must be stored before it may serve.
#[derive(Debug)]
pub(super) struct Keeping {
    change: Change,
    claim: Claim,
    since: Duration,
}

/// A change that is in force and whose caller is not answered yet.
#[derive(Debug)]
pub(super) struct Serving {
    /// The first snapshot that contains the change; `None` until it is published.
    pub snapshot: Option<Arc<Snapshot>>,
    steps: Vec<Step>,
    since: Duration,
    /// When every worker served the change; `None` until then.
    served: Option<Duration>,
    /// The order for the change's rows, until they are on the disk.
    unwritten: Option<Ticket>,
    answer: Answer,
}

/// An order of rows to the history: bots and revisions.
#[derive(Debug)]
pub(super) struct Order {
    pub since: Duration,
    rows: Vec<(String, u64)>,
}

/// The steps of one request for one bot, each decided from the state that the step before leads to. Planning changes nothing.
pub(super) struct Plan {
    /// The state after the last step.
    pub state: State,
    pub steps: Vec<Step>,
}

/// The answer of the ratchet to one input.
pub(super) enum Decided {
    /// Nothing is committed: the weight stays, and the state may differ only in what it says, such as its hold.
    Stays(Box<State>),
    Refused(Refusal),
    Change(Box<Step>),
}

/// The answer to a change that exposes nobody waits at most this long for the disk, counted from when the change serves. After that,
/// the answer says that the change is not durable yet.
const GRACE: Duration = Duration::from_millis(500);

impl Step {
    pub fn after(&self) -> &State {
        &self.entry.state
    }
}

impl Plan {
    pub fn from(state: &State) -> Plan {
        Plan { state: state.clone(), steps: Vec::new() }
    }

    /// Appends what was decided from the plan's current state. Returns the refusal if the ratchet refused.
    pub fn add(&mut self, decided: Decided) -> Result<(), Refusal> {
        match decided {
            Decided::Refused(refusal) => return Err(refusal),
            Decided::Stays(_) => {}
            Decided::Change(step) => {
                self.state = step.after().clone();
                self.steps.push(*step);
            }
        }
        Ok(())
    }
}

impl Change {
    pub fn of(steps: Vec<Step>, answer: Answer) -> Change {
        Change { steps, take_up: None, answer }
    }

    pub fn exposes(&self) -> bool {
        self.steps.iter().any(|step| step.exposes) || self.take_up.as_ref().is_some_and(|take_up| take_up.exposes)
    }

    /// The first history rows of the bots that a new config adds.
    fn beginnings(&self) -> impl Iterator<Item = Entry> {
        self.take_up.iter().flat_map(|take_up| take_up.beginnings.iter().cloned())
    }
}

impl Keeping {
    pub fn is_a_reload(&self) -> bool {
        self.change.take_up.is_some()
    }
}

impl Order {
    /// Such an order waits for the failing bot's row. It does not show that the disk hangs.
    pub fn is_of_a_failing_bot(&self, health: &Health) -> bool {
        self.rows.iter().any(|(bot, _)| health.bots.contains_key(bot))
    }
}

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
                let entry = keep::entry(bot, pilot, actor, &decision, (state, after), input, guard, self.now, said);
                let (bot, actor) = (bot.name.clone(), actor.clone());
                Decided::Change(Box::new(Step { bot, decision, entry, actor, exposes }))
            }
        }
    }

    /// Carries a change out. The caller has checked [`Owner::must_wait`], or has called [`Owner::make_way`].
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
                self.pilots[number].keeping = Some(ticket);
            }
        }
        self.keeping.insert(ticket, Keeping { change, claim, since: self.now.running });
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
        let Change { steps, take_up, answer } = change;
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
        self.serving.push(Serving { snapshot: None, steps, since: self.now.running, served: None, unwritten, answer });
    }

    /// Publishes the bot unchanged, and answers once every worker serves that snapshot.
    pub(super) fn publish_again(&mut self, number: usize, answer: Answer) {
        self.pilots[number].due = true;
        self.take_effect(Change::of(Vec::new(), answer), None);
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
        if let Some(keeping) = self.is_kept_no_more(ticket) {
            match result {
                Ok(()) => self.take_effect(keeping.change, None),
                Err(error) => self.was_not_kept(keeping.change, error),
            }
        }
    }

    fn is_kept_no_more(&mut self, ticket: Ticket) -> Option<Keeping> {
        let keeping = self.keeping.remove(&ticket)?;
        self.pilots.iter_mut().filter(|pilot| pilot.keeping == Some(ticket)).for_each(|pilot| pilot.keeping = None);
        Some(keeping)
    }

    fn was_not_kept(&mut self, change: Change, error: NotDurable) {
        match change.answer {
            Answer::Nobody => {}
            Answer::Change { reply, .. } => drop(reply.send(Err(error.into()))),
            Answer::Reload { reload, .. } => drop(reload.reply.send(Err(ReloadRefused::NotDurable(error)))),
            Answer::Drill(rehearsal, _) => rehearsal.fails(error.into()),
        }
    }

    /// For a change that lowers the weight: gives up the raise of this bot, and the reload, that wait for the disk. The caller decides
    /// again afterwards, because a raise that was stored in the meantime is in force then.
    pub(super) fn make_way(&mut self, number: usize, by: &Actor) {
        let of_this_bot = self.pilots[number].keeping;
        let in_the_way: Vec<Ticket> = self
            .keeping
            .iter()
            .filter(|(ticket, keeping)| Some(**ticket) == of_this_bot || keeping.is_a_reload())
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in in_the_way {
            if let Some(change) = self.give_up(ticket) {
                self.is_overtaken(change, by);
            }
        }
    }

    /// Stops waiting for the disk. Returns the change if it was not stored, so that the caller can answer it. If the disk has stored it
    /// already, the change takes effect and the result is `None`.
    fn give_up(&mut self, ticket: Ticket) -> Option<Change> {
        let Keeping { change, claim, .. } = self.is_kept_no_more(ticket)?;
        if claim.give_up() {
            return Some(change);
        }
        self.take_effect(change, None);
        None
    }

    fn is_overtaken(&mut self, change: Change, by: &Actor) {
        let error = |bot: &BotName| ChangeError::Overtaken { bot: bot.to_string(), by: by.name().to_owned() };
        match change.answer {
            Answer::Nobody => {}
            Answer::Change { bot, reply } => drop(reply.send(Err(error(&bot)))),
            // The reload is planned again, from the state after the other change.
            Answer::Reload { reload, .. } => self.reloads.push_front(reload),
            Answer::Drill(rehearsal, _) => {
                let error = error(&rehearsal.bot);
                rehearsal.fails(error);
            }
        }
    }

    /// Gives up the changes that have waited for the disk for `DISK_PATIENCE`, and ends the drills whose time is over.
    pub(super) fn keep_time_limits(&mut self) {
        let now = self.now.running;
        let late: Vec<Ticket> =
            self.keeping.iter().filter(|(_, keeping)| now >= keeping.since + DISK_PATIENCE).map(|(ticket, _)| *ticket).collect();
        for ticket in late {
            if let Some(change) = self.give_up(ticket) {
                self.was_not_kept(change, NotDurable(format!("no answer from the disk within {DISK_PATIENCE:?}")));
            }
        }
        while let Some(at) = self.drills.iter().position(|(until, _)| now >= *until) {
            let (_, rehearsal) = self.drills.remove(at);
            self.ends_a_drill(rehearsal);
        }
    }

    /// The time at which the owner needs an [`Event::Alarm`](super::owner::Event::Alarm), if no other event comes before.
    pub fn alarm(&self) -> Option<Duration> {
        let keeping = self.keeping.values().map(|keeping| keeping.since + DISK_PATIENCE);
        let serving = self.serving.iter().map(|serving| serving.served.map_or(serving.since + APPLY_TIMEOUT, |served| served + GRACE));
        let drills = self.drills.iter().map(|(until, _)| *until);
        keeping.chain(serving).chain(drills).min()
    }

    /// Reports the changes that every worker serves and answers their callers. Returns `true` if that began another change, which must
    /// be published in the same event.
    pub(super) fn answer(&mut self) -> bool {
        let (applied, now) = (self.applied, self.now.running);
        let mut goes_on = false;
        for mut serving in std::mem::take(&mut self.serving) {
            if serving.served.is_none() && serving.snapshot.as_ref().is_some_and(|snapshot| snapshot.sequence <= applied) {
                serving.served = Some(now);
                self.tell(&serving.steps, Some(now.saturating_sub(serving.since)));
            }
            // For a drill, the time until every worker served the way back is measured, not the time until it was stored.
            let measures = matches!(serving.answer, Answer::Drill(_, Stage::Back));
            match serving.served {
                Some(served) if serving.unwritten.is_none() || measures || now >= served + GRACE || self.cannot_be_written(&serving) => {
                    goes_on |= self.is_done(serving.answer, serving.snapshot, serving.unwritten.is_none());
                }
                None if now >= serving.since + APPLY_TIMEOUT => {
                    self.tell(&serving.steps, None);
                    self.does_not_serve(serving.answer);
                }
                Some(_) | None => self.serving.push(serving),
            }
        }
        goes_on
    }

    fn cannot_be_written(&self, serving: &Serving) -> bool {
        serving.steps.iter().any(|step| self.failing(&step.bot).is_some())
    }

    fn tell(&mut self, steps: &[Step], took: Option<Duration>) {
        if took.is_none() {
            steps.iter().for_each(|step| tracing::error!(bot = %step.bot, "not every worker serves the change"));
        }
        let told = steps.iter().map(|step| Effect::Tell(Box::new(Told { entry: step.entry.clone(), actor: step.actor.clone(), took })));
        self.effects.extend(told);
    }

    fn is_done(&mut self, answer: Answer, snapshot: Option<Arc<Snapshot>>, durable: bool) -> bool {
        match answer {
            Answer::Nobody => false,
            Answer::Change { bot, reply } => {
                self.show();
                // The newest snapshot may contain changes that not every worker serves yet: then the caller gets the snapshot of its
                // own change.
                let newest = self.snapshot.clone();
                let own = snapshot.filter(|_| newest.sequence > self.applied).inspect(|own| self.show_in(own, &bot));
                let _ = reply.send(Ok(own.unwrap_or(newest)));
                false
            }
            Answer::Reload { reload, changed } => {
                let _ = reload.reply.send(Ok(changed));
                false
            }
            Answer::Drill(rehearsal, stage) => self.goes_on_with(rehearsal, stage, durable),
        }
    }

    fn does_not_serve(&mut self, answer: Answer) {
        let error = NotApplied { workers: self.config.proxy.workers };
        match answer {
            Answer::Nobody => {}
            Answer::Change { reply, .. } => drop(reply.send(Err(error.into()))),
            Answer::Reload { reload, .. } => drop(reload.reply.send(Err(error.into()))),
            Answer::Drill(rehearsal, _) => rehearsal.fails(error.into()),
        }
    }

    /// Queues a request until the change that the disk has not stored yet is decided. Refuses it if the queue is full.
    pub(super) fn put_off(&mut self, number: usize, waiting: Waiting) {
        let line = &mut self.pilots[number].waiting;
        match line.len() < WAITING_MOST {
            true => line.push_back(waiting),
            false => waiting.reply.refuse(ChangeError::Busy { bot: waiting.request.bot, waiting: WAITING_MOST }),
        }
    }
}

/// The length of a bot's queue of requests that wait for a change of that bot to be stored.
const WAITING_MOST: usize = 32;
