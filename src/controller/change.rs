//! A change on its way: decided, stored, served, answered. Only data; `owner/carry_out.rs` moves it from stage to stage.

use std::sync::Arc;
use std::time::Duration;

use super::new_config::{Reload, ReloadRefused, TakeUp};
use super::rehearsal::{DrillStage, Rehearsal};
use super::wish::{Actor, ChangeError, ReplySender};
use crate::config::BotName;
use crate::core::State;
use crate::core::ratchet::{Decision, Refusal};
use crate::live::Snapshot;
use crate::store::{Claim, Entry, Health, Ticket};

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
    pub caller: Caller,
}

/// The caller to answer once the change is done.
#[derive(Debug)]
pub(super) enum Caller {
    Nobody,
    Change { bot: BotName, reply: ReplySender<Arc<Snapshot>, ChangeError> },
    Reload { reload: Reload, changed: bool },
    Drill(Box<Rehearsal>, DrillStage),
}

/// A change that must be stored before it may serve.
#[derive(Debug)]
pub(super) struct Storing {
    pub change: Change,
    pub claim: Claim,
    pub since: Duration,
}

/// A change that is in force and whose caller is not answered yet.
#[derive(Debug)]
pub(super) struct Serving {
    /// The first snapshot that contains the change; `None` until it is published.
    pub snapshot: Option<Arc<Snapshot>>,
    pub steps: Vec<Step>,
    pub since: Duration,
    /// When every worker served the change; `None` until then.
    pub served: Option<Duration>,
    /// The order for the change's rows, until they are on the disk.
    pub unwritten: Option<Ticket>,
    pub caller: Caller,
}

/// An order of rows to the history: bots and revisions.
#[derive(Debug)]
pub(super) struct Order {
    pub since: Duration,
    pub rows: Vec<(String, u64)>,
}

/// The steps of one request for one bot, each decided from the state that the step before leads to. Planning changes nothing.
pub(super) struct Planned {
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

impl Step {
    pub fn after(&self) -> &State {
        &self.entry.state
    }
}

impl Planned {
    pub fn from(state: &State) -> Planned {
        Planned { state: state.clone(), steps: Vec::new() }
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
    pub fn of(steps: Vec<Step>, caller: Caller) -> Change {
        Change { steps, take_up: None, caller }
    }

    pub fn exposes(&self) -> bool {
        self.steps.iter().any(|step| step.exposes) || self.take_up.as_ref().is_some_and(|take_up| take_up.exposes)
    }

    /// The first history rows of the bots that a new config adds.
    pub fn beginnings(&self) -> impl Iterator<Item = Entry> {
        self.take_up.iter().flat_map(|take_up| take_up.beginnings.iter().cloned())
    }
}

impl Caller {
    /// Tells the caller that the change was not done.
    pub fn fails<E>(self, error: E)
    where
        ChangeError: From<E>,
        ReloadRefused: From<E>,
    {
        match self {
            Caller::Nobody => {}
            Caller::Change { reply, .. } => drop(reply.send(Err(error.into()))),
            Caller::Reload { reload, .. } => drop(reload.reply.send(Err(error.into()))),
            Caller::Drill(rehearsal, _) => rehearsal.fails(error.into()),
        }
    }
}

impl Storing {
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
