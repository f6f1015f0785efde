//! Faults of the control loop: clients that hang up at every moment, disks that hang, fill up and lie, workers that are slow to
//! apply, reloads that add, drop and reorder bots, clocks that jump, restarts at every step, outages behind both tracks. A seed
//! makes a story of some hundred events; after each of them a checker with books of its own looks whether the invariants hold.
//!
//! What is driven is the real controller: its [`Owner`](super::owner::Owner) with its pilots, the real evidence, the real ledgers and
//! the real reader of the config. Simulated are the clocks, the disk, the workers, the sides, the clients and their traffic: 48
//! workspaces of up to three bots. What the task around the owner and the real thread of the history do is shown by
//! `tests/it/history.rs` and `tests/it/owner.rs`, with processes.
//!
//! The invariants, by the numbers that the checker names:
//!
//! | | Held |
//! |---|---|
//! | 1 | A weight is a step or was set by hand, within `max`; one step at most; the bake has passed |
//! | 2 | A raise rests on evidence of the split that serves everywhere: fresh, enough on both tracks, good |
//! | 3 | A fail lowers within a tick; a split that serves has evidence |
//! | 4 | What was taken back is not started again unless somebody insists |
//! | 5 | Nothing falls without bad news |
//! | 6 | Revisions rise by one; a change is based on the one before; what serves was ordered from the history |
//! | 7 | A stale command is refused; after an abort nothing rises until somebody asks; who asks is answered |
//! | 8 | Nobody reaches a release that is not durable; what comes back is what is on the disk |
//! | 9 | A restart forgets neither step nor quarantine, and shortens no bake |
//! | 10 | The history, read by an interpreter of its own, gives the state |
//! | 11 | A worker never goes back, nor ahead; what serves of a bot is that bot's |
//! | 12 | 0 % is nobody, 100 % is all, a raise takes nobody off the canary |
//! | 13 | What the evidence counts is what was routed, under the label that it had, each request once |
//! | 14 | Without the wall clock's jumps, and without clients that hang up, the same story has the same decisions |
//! | 15 | Once faults end a good canary is promoted and a bad one goes to zero; who holds says why |
//! | 16 | What lowers is in force at once, whatever the disk does; a bad row of one bot holds up no other |
//! | 17 | `durable` is true only of what is on the disk |
//! | 18 | In a freeze, and while the history cannot be written, nobody is exposed |

mod books;
mod disk;
mod events;
mod heal;
mod machine;
mod recorder;
mod setting;
mod sometimes;
mod tests;
mod traffic;
mod world;

use std::fmt;
use std::time::Duration;

use crate::core::ratchet::{self, Decision, Input};
use crate::core::{Guard, State};
use crate::sim::dice::Dice;

use books::{Books, Broken};
use events::{Kinds, Turn};
use machine::Machine;
use recorder::Spoilt;
use sometimes::Sometimes;

/// How a story is told.
#[derive(Clone)]
pub struct Settings {
    /// What decides: `ratchet::step`, but for tests of the checker; and who is exposed by it.
    pub step: fn(State, &Input, &Guard, Duration) -> (State, Decision),
    pub exposes: fn(&State, &State, &Decision) -> bool,
    /// What the shell does wrong, to see whether the checker notices.
    pub flaw: Option<Flaw>,
    /// Do clocks jump, do clients hang up? If not, all else is the same.
    pub wall_jumps: bool,
    /// The facts of every tick are spoilt in this way.
    pub spoilt: Option<Spoilt>,
    pub hang_ups: bool,
    /// Before the faults end.
    pub events: usize,
}

/// Mistakes that a shell could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    ServesWithoutARowIfItsClientHangsUp,
    DropsARequestWithItsClient,
    NeverOpensSomeWindows,
    ADiskThatHangsDelaysServing,
    SaysItIsDurable,
    SaysALoweringIsDurable,
    OneBadRowFreezesAll,
    TakesOneBotForAnother,
    CountsTwice,
    ForgetsTheLastRecord,
    ReadsTheWallClock,
    BakesWhileItIsDown,
    CountsLateAnswersForTheNextSplit,
    OpensTheWindowTooEarly,
    ForgetsQuarantine,
    LetsWorkersGoBack,
    RanksByAnotherAttempt,
}

/// A story that held.
#[derive(Clone, Debug)]
pub struct Announcement {
    pub events: usize,
    pub sometimes: Sometimes,
    /// What was ordered from the history: bot, revision, decision.
    pub decisions: Vec<(String, u64, &'static str)>,
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
        Settings { step: ratchet::step, exposes: ratchet::exposes, flaw: None, wall_jumps: true, spoilt: None, hang_ups: true, events: 500 }
    }
}

/// Tells the story of a seed. One that fails is told a second time, to write it down.
pub fn tell(seed: u64, settings: &Settings) -> Result<Announcement, Box<Failure>> {
    let told = Plot::new(seed, settings, false).tell();
    told.map_err(|_| {
        let mut plot = Plot::new(seed, settings, true);
        let broken = plot
            .go_to_its_end()
            .err()
            .unwrap_or(Broken { invariant: 14, what: "the story is another one when it is told again".to_owned() });
        Box::new(Failure { seed, broken, story: plot.story.unwrap_or_default() })
    })
}

/// One story: events one after the other, the checker after each; then the faults end, and it has to come to a good end.
pub struct Plot<'a> {
    pub machine: Machine<'a>,
    books: Books,
    events: usize,
    decisions: Vec<(String, u64, &'static str)>,
    story: Option<Vec<String>>,
}

impl<'a> Plot<'a> {
    fn new(seed: u64, settings: &'a Settings, is_written_down: bool) -> Plot<'a> {
        let machine = Machine::new(settings, Dice::new(seed, "faults"));
        Plot { machine, books: Books::default(), events: 0, decisions: Vec::new(), story: is_written_down.then(Vec::new) }
    }

    fn tell(mut self) -> Result<Announcement, Broken> {
        self.go_to_its_end()?;
        Ok(Announcement { events: self.events, sometimes: self.machine.sometimes, decisions: self.decisions })
    }

    fn go_to_its_end(&mut self) -> Result<(), Broken> {
        let mut kinds = Kinds::new(&mut self.machine.dice);
        self.machine.prompt = !kinds.applies_late();
        for _ in 0..self.machine.settings.events {
            let turn = kinds.next(&mut self.machine);
            self.happens(turn)?;
        }
        heal::heal(self)
    }

    pub fn happens(&mut self, turn: Turn) -> Result<(), Broken> {
        let line = self.story.is_some().then(|| format!("{turn:?}"));
        self.machine.take(turn);
        self.events += 1;
        let happened = std::mem::take(&mut self.machine.happened);
        let checked = self.books.after(&mut self.machine, &happened);
        self.decisions.extend(Books::orders(&happened));
        if let (Some(story), Some(line)) = (&mut self.story, line) {
            story.push(self.books.line(&self.machine, &happened, self.events, &line));
        }
        checked
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
