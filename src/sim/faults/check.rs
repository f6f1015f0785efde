//! The invariants, looked at after every event by code that has nothing in common with the ratchet's. It is told what
//! happened, keeps books of its own, and says which invariant was broken, by its number.

mod history;
mod lower;
mod raise;
mod replay;
mod serve;

use std::fmt;

use super::happened::{Decided, Happened};
use super::shell::Shell;
use crate::core::State;
use history::History;
use lower::Lower;
use raise::Raise;
use serve::Serve;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub invariant: u8,
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {} is broken: {}", self.invariant, self.what)
    }
}

pub type Checked = Result<(), Broken>;

/// `what` says what is the case instead.
pub fn must(holds: bool, invariant: u8, what: impl FnOnce() -> String) -> Checked {
    if holds { Ok(()) } else { Err(Broken { invariant, what: what() }) }
}

pub struct Checker {
    raise: Raise,
    lower: Lower,
    history: History,
    serve: Serve,
}

impl Checker {
    pub fn new(first: &State) -> Checker {
        Checker { raise: Raise::default(), lower: Lower::default(), history: History::new(first), serve: Serve::default() }
    }

    pub fn after(&mut self, shell: &Shell<'_>) -> Checked {
        for (number, one) in shell.happened.iter().enumerate() {
            match one {
                Happened::Decided(decided) => {
                    let stood = stood(decided, &shell.happened[number..]);
                    self.history.revisions_rise_by_one(decided)?;
                    self.history.it_is_based_on_what_is_kept(decided)?;
                    self.raise.steps_are_taken_one_by_one(decided)?;
                    self.raise.it_has_baked(decided, stood)?;
                    self.raise.it_rests_on_good_evidence(decided, stood)?;
                    self.lower.a_fail_lowers(decided)?;
                    self.lower.a_start_begins_at_the_first_step(decided, stood)?;
                    self.lower.quarantine_holds(decided, stood)?;
                    self.lower.nobody_is_blamed_for_a_shared_cause(decided, stood)?;
                    self.lower.an_abort_stays(decided, stood)?;
                    self.lower.commands_count_once(decided, stood)?;
                    self.lower.whoever_holds_says_why(decided)?;
                    self.serve.what_is_counted_was_routed(decided)?;
                    self.serve.who_is_set_aside_is_examined(decided)?;
                }
                Happened::Written(record) => self.history.written(record)?,
                Happened::NotWritten { .. } | Happened::Torn => {}
                Happened::Published(epoch) => {
                    self.history.a_raise_is_durable_before_it_serves(epoch)?;
                    self.serve.published(epoch)?;
                }
                Happened::TookUp { worker, epoch } => {
                    self.serve.workers_go_forward(*worker, epoch)?;
                    self.raise.took_up(*worker, epoch.split_id);
                }
                Happened::Opened { window, split_id, fresh } => {
                    self.raise.a_window_opens_once_the_split_serves(*window, *split_id)?;
                    self.lower.opened(*fresh)?;
                    self.serve.opened(*window, *split_id);
                }
                Happened::Routed { split_id, label, to } => self.serve.routed(*split_id, *label, *to)?,
                Happened::Answered { split_id, label } => self.serve.answered(*split_id, *label),
                Happened::Refused => self.serve.refused(),
                Happened::Restarted(restarted) => {
                    self.history.what_comes_back_is_durable(restarted)?;
                    self.history.nothing_is_forgotten(restarted)?;
                    self.raise.restarted(restarted);
                    self.lower.restarted(restarted);
                    self.serve.restarted(restarted)?;
                }
            }
        }
        self.history.matches(&shell.store)?;
        self.serve.nobody_serves_the_future(shell)
    }
}

/// Did it come about? What could not be written did not.
fn stood(decided: &Decided, then: &[Happened]) -> bool {
    let revision = decided.after.revision;
    decided.decision.commits()
        && then.iter().any(|one| match one {
            Happened::Written(record) => record.state.revision == revision,
            Happened::Published(epoch) => epoch.revision == revision,
            _ => false,
        })
}
