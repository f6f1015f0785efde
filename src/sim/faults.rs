//! Faults of the control loop: restarts, clocks that jump, ticks that do not come, evidence that is lost, answers that are
//! late, operators who act in the middle of a step, outages behind both tracks. A seed makes a story of some hundred
//! events; after each of them a checker of its own looks whether the loop's invariants still hold.
//!
//! What decides is the real thing: `ratchet::step`, `Breaker`, `Limits`, `Split`, and for some seeds `Evidence` on a world
//! of 48 workspaces. The shell around it is a model: a history with one writer, a snapshot that may be lost, epochs
//! that workers take up one after the other. It is the shell as `controller` and `store` are; that these are so is shown by
//! `tests/it/history.rs`, with processes that are killed.
//!
//! The invariants, by the numbers that the checker names:
//!
//! | | Held | By |
//! |---|---|---|
//! | 1 | A weight is a step or was set by hand, within `max`; one step at most; the bake has passed | `raise` |
//! | 2 | A raise rests on a window of the split that serves everywhere: fresh, enough on both tracks, good, used once | `raise` |
//! | 3 | A fail lowers within a tick; a start begins at the first step, without evidence | `lower` |
//! | 4 | What was taken back is not started again unless somebody insists | `lower` |
//! | 5 | Where stable breaks as well the canary is not blamed | `lower` |
//! | 6 | Revisions rise by one; a stale writer changes nothing; a change is based on what is kept | `history` |
//! | 7 | After an abort nothing rises until somebody asks; a command counts once or is refused as stale | `lower` |
//! | 8 | No raise serves that is not durable; what comes back is the last durable state | `history` |
//! | 9 | A restart forgets neither step nor quarantine, and shortens no bake | `history` |
//! | 10 | The history, read by an interpreter of its own, gives the state; each change says on what it rests | `replay` |
//! | 11 | A worker never goes back, nor ahead of what was committed; what it serves is of one revision | `serve` |
//! | 12 | 0 % is nobody, 100 % is all, a raise takes nobody off the canary | `serve` |
//! | 13 | What the evidence counts is what was routed, under the label that it had | `serve` |
//! | 14 | Without the wall clock's jumps the same story has the same decisions | the tests |
//! | 15 | Once faults end a good canary is promoted and a bad one goes to zero; who holds says why | `heal` |
//!
//! Not held, for there is nothing yet to hold it against: replicas (in 2, 11 and 13; workers stand in for them), a
//! history in a file with its fsync (see there), and a *hold* for a shared cause (in 5: only that nobody is blamed for it; in 15 a bad
//! release that an outage hid may have been promoted). That nobody is set aside without an examination is looked at, but no
//! mutant shows that it would be noticed.

mod check;
mod events;
mod happened;
mod heal;
mod judge;
mod live;
mod plot;
mod shell;
mod sometimes;
mod store;
mod traffic;
mod world;

use std::fmt;
use std::time::Duration;

use crate::core::ratchet::{self, Decision, Input};
use crate::core::{Guard, State};

pub use check::Broken;
pub use sometimes::Sometimes;

/// How a story is told.
#[derive(Clone)]
pub struct Settings {
    /// What decides: `ratchet::step`, but for tests of the checker.
    pub step: fn(State, &Input, &Guard, Duration) -> (State, Decision),
    /// What the shell does wrong, to see whether the checker notices.
    pub flaw: Option<Flaw>,
    pub judges: Judges,
    /// Does the wall clock jump? If not, all else is the same.
    pub wall_jumps: bool,
    /// Before the faults end.
    pub events: usize,
}

/// Who judges the canary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judges {
    /// The real evidence: some hundred times slower.
    Real,
    /// A stand-in that follows the same outcomes.
    Made,
}

/// Mistakes that a shell could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    ServesBeforeItIsDurable,
    LetsAnyoneWrite,
    TakesTornRecords,
    ForgetsTheLastRecord,
    ReadsTheWallClock,
    BakesWhileItIsDown,
    CountsLateAnswersForTheNextSplit,
    OpensTheWindowTooEarly,
    KeepsTheEvidenceOfTheLastRelease,
    ForgetsQuarantine,
    LetsWorkersGoBack,
    RanksByAnotherAttempt,
    BlamesTheCanaryForEverything,
    IgnoresIfMatch,
}

/// A story that held.
#[derive(Clone, Debug)]
pub struct Told {
    pub events: usize,
    pub sometimes: Sometimes,
    /// What was committed, with the revision.
    pub decisions: Vec<(u64, Decision)>,
}

/// A story that did not, up to the event that broke something.
#[derive(Clone, Debug)]
pub struct Failure {
    pub seed: u64,
    pub broken: Broken,
    /// One line for each event.
    pub story: Vec<String>,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { step: ratchet::step, flaw: None, judges: Judges::Made, wall_jumps: true, events: 600 }
    }
}

/// Tells the story of a seed. One that fails is told a second time, to write it down.
pub fn tell(seed: u64, settings: &Settings) -> Result<Told, Box<Failure>> {
    match plot::tell(seed, settings, None) {
        Ok(told) => Ok(told),
        Err(_) => {
            let mut story = Vec::new();
            match plot::tell(seed, settings, Some(&mut story)) {
                Ok(told) => Ok(told),
                Err(broken) => Err(Box::new(Failure { seed, broken, story })),
            }
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.story {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {}, event {}: {}", self.seed, self.story.len(), self.broken)
    }
}

#[cfg(test)]
mod tests;
