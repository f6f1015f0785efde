//! What may happen next, drawn from the seed. Each seed has its own selection of faults: some only show where others are
//! absent.

use std::time::Duration;

use super::disk::Mode;
use super::machine::{Machine, WORKERS};
use super::recorder::{self, Spoilt};
use super::setting::COLOURS;
use super::world::WORKSPACES;
use crate::controller::event::Event;
use crate::controller::rehearsal::Drill;
use crate::controller::wish::{Actor, ChangeRequest, Wish};
use crate::core::Weight;
use crate::sim::dice::Dice;

#[derive(Clone, Debug)]
pub enum Turn {
    /// A second passes, and everything is looked at; perhaps the facts are spoilt.
    Tick(Option<Spoilt>),
    /// Time passes, and nothing is looked at.
    Stall(Duration),
    /// The machine sleeps: its monotonic clock stands still.
    Suspend(Duration),
    /// In seconds.
    WallJump(i64),
    TakeUp(usize),
    LateAnswers,
    DiskWorks,
    LookIsDone,
    Ask {
        request: Box<ChangeRequest>,
        hangs_up: bool,
        twice: bool,
    },
    /// Whoever waits longest hangs up.
    HangUp,
    Drill {
        bot: String,
        share: Option<Weight>,
        hangs_up: bool,
    },
    /// The config is edited, and read again.
    Reload,
    /// It is read again as it was edited.
    Settled,
    Restart {
        down: Duration,
        loses_snapshots: bool,
        power_fails: bool,
    },
    DiskIs(Mode),
    BadRows(Option<&'static str>),
    Outage(bool),
    CanaryRestarts(bool),
}

/// Which kinds of faults a seed has.
pub struct Kinds {
    selected: u64,
    /// For some ticks the facts are spoilt in the same way.
    spoilt: Option<Spoilt>,
}

/// Ticks, on average.
const SPOILT_FOR: u64 = 30;

impl Kinds {
    pub fn new(dice: &mut Dice) -> Kinds {
        // One in eight has all of them, one in sixteen none.
        let selected = match dice.below(16) {
            0 | 1 => u64::MAX,
            2 => 0,
            _ => dice.bits(),
        };
        Kinds { selected, spoilt: None }
    }

    fn has(&self, kind: u32) -> bool {
        self.selected >> kind & 1 == 1
    }

    pub fn applies_late(&self) -> bool {
        self.has(0)
    }

    pub fn next(&mut self, machine: &mut Machine<'_>) -> Turn {
        self.spoilt = self.spoilt.filter(|_| !machine.dice.one_in(SPOILT_FOR));
        match machine.dice.below(220) {
            0..=7 => self.ask(machine),
            8..=27 if self.applies_late() => Turn::TakeUp(machine.dice.below(WORKERS as u64) as usize),
            28..=47 if self.applies_late() || machine.disk.is_behind() => Turn::DiskWorks,
            48..=55 => Turn::LookIsDone,
            56..=59 => Turn::LateAnswers,
            60..=61 if self.has(1) => Turn::HangUp,
            62..=63 if self.has(2) => Turn::Stall(Duration::from_secs(machine.dice.pick(&[2, 10, 59, 61, 300, 5_000]))),
            64 if self.has(3) => Turn::Suspend(Duration::from_secs(machine.dice.pick(&[30, 3_600, 100_000]))),
            65..=66 if self.has(4) => Turn::WallJump(machine.dice.pick(&[-100_000, -3_600, -1, 60, 3_600, 900_000])),
            67..=68 if self.has(5) => Turn::Reload,
            69 if self.has(6) => {
                let dice = &mut machine.dice;
                let down = Duration::from_secs(dice.pick(&[1, 30, 600]));
                Turn::Restart { down, loses_snapshots: dice.one_in(3), power_fails: dice.one_in(3) }
            }
            70 if self.has(7) || machine.disk.mode != Mode::Works => {
                let mode = machine.dice.pick(&[Mode::Hangs, Mode::Full, Mode::Lies]);
                Turn::DiskIs(if machine.disk.mode == Mode::Works { mode } else { Mode::Works })
            }
            71 if self.has(8) || machine.disk.bad.is_some() => {
                Turn::BadRows(machine.disk.bad.is_none().then(|| machine.dice.pick(&["a", "b", "c"])))
            }
            72 if self.has(9) || machine.world.outage => Turn::Outage(!machine.world.outage),
            73..=74 if self.has(10) || machine.world.restarting => Turn::CanaryRestarts(!machine.world.restarting),
            75 if self.has(11) => {
                let share = machine.dice.one_in(2).then(|| Weight::from_bp(machine.dice.pick(&[100, 2_500, 10_000])).unwrap_or_default());
                Turn::Drill { bot: some_bot(machine), share, hangs_up: self.hangs_up(machine) }
            }
            76..=82 if self.has(12) => {
                self.spoilt =
                    Some(machine.dice.pick(&[Spoilt::NoNumber, Spoilt::Missing, Spoilt::OldLook, Spoilt::OldLook, Spoilt::Suspicious]));
                Turn::Tick(self.spoilt)
            }
            _ => Turn::Tick(self.spoilt),
        }
    }

    fn hangs_up(&self, machine: &mut Machine<'_>) -> bool {
        let hangs_up = machine.dice.one_in(2) && self.has(1);
        hangs_up && machine.settings.hang_ups
    }

    fn ask(&self, machine: &mut Machine<'_>) -> Turn {
        let bot = some_bot(machine);
        let state = machine.owner.number(&bot).map(|number| machine.owner.pilots[number].state.clone());
        let under_way = state.as_ref().is_some_and(|state| state.under_way().is_some());
        let revision = state.as_ref().map_or(0, |state| state.revision);
        let wish = match machine.dice.below(if under_way { 20 } else { 13 }) {
            0..=4 if !under_way => start(machine, &bot, state.as_ref()),
            0 | 5 => Wish::Abort,
            1 | 6 => Wish::SetWeight(Weight::from_bp(machine.dice.pick(&[0, 100, 1_700, 5_000, 10_000])).unwrap_or_default()),
            2 | 7 => Wish::Undo,
            3 | 8 => Wish::Freeze,
            4 | 9 => Wish::Thaw,
            10 => Wish::Switch { upstream: None, version: Some(version(machine)) },
            11 => Wish::Adopt { upstream: None, version: Some(version(machine)) },
            12 => start(machine, &bot, state.as_ref()),
            13 => Wish::Pause,
            14 | 15 => Wish::Resume,
            16 | 17 => Wish::Advance,
            18 => Wish::Promote,
            _ => Wish::Abort,
        };
        let dice = &mut machine.dice;
        let based_on = match dice.below(4) {
            0 => None,
            1 => Some(revision.saturating_sub(dice.below(3))),
            _ => Some(revision),
        };
        let (force, twice) = (dice.one_in(3), dice.one_in(6));
        let request = ChangeRequest { bot, wish, based_on, actor: Actor::Operator("ana".into()), force, reason: Some("a test".to_owned()) };
        Turn::Ask { request: Box::new(request), hangs_up: self.hangs_up(machine), twice }
    }
}

fn some_bot(machine: &mut Machine<'_>) -> String {
    let bots = &machine.setting.bots;
    bots[machine.dice.below(bots.len() as u64) as usize].name.to_owned()
}

fn version(machine: &mut Machine<'_>) -> String {
    match machine.dice.one_in(3) {
        true => machine.world.versions[machine.dice.below(machine.world.versions.len() as u64) as usize].clone(),
        false => machine.world.version(),
    }
}

fn start(machine: &mut Machine<'_>, bot: &str, state: Option<&crate::core::State>) -> Wish {
    let version = Some(version(machine));
    let stable = state.map_or("", |state| &state.stable.upstream);
    let colour = COLOURS.iter().find(|colour| !stable.ends_with(**colour)).unwrap_or(&COLOURS[0]);
    let upstream = machine.dice.one_in(2).then(|| format!("{bot}-{colour}"));
    Wish::Start { upstream, version, retry: machine.dice.one_in(3), replace: machine.dice.one_in(4) }
}

impl Machine<'_> {
    pub fn take(&mut self, turn: Turn) {
        match turn {
            Turn::Tick(spoilt) => {
                self.pass(Duration::from_secs(1));
                recorder::spoil(self.settings.spoilt.or(spoilt));
                self.happens(Event::Tick);
                recorder::spoil(None);
            }
            Turn::Stall(time) => self.pass(time),
            Turn::Suspend(time) => self.clock.wall += time.as_secs() as i64,
            Turn::WallJump(secs) => self.clock.wall += if self.settings.wall_jumps { secs } else { 0 },
            Turn::TakeUp(worker) => self.take_up(worker),
            Turn::LateAnswers => self.answer_late(),
            Turn::DiskWorks => self.disk_works(),
            Turn::LookIsDone => self.look_is_done(),
            Turn::Ask { request, hangs_up, twice } => {
                self.sometimes.hung_up += u64::from(hangs_up);
                self.ask((*request).clone(), hangs_up);
                if twice {
                    self.ask(*request, hangs_up);
                }
            }
            Turn::HangUp if !self.clients.is_empty() && self.settings.hang_ups => {
                self.sometimes.hung_up += 1;
                self.clients.remove(0);
            }
            Turn::HangUp => {}
            Turn::Drill { bot, share, hangs_up } => {
                self.drill(&bot, Drill { share, lasts: Duration::from_secs(5), upstream: None }, hangs_up)
            }
            Turn::Reload => {
                let mut setting = self.setting.clone();
                setting.edit(&mut self.dice, &self.world.versions, WORKSPACES);
                self.setting = setting;
                self.reload();
            }
            Turn::Settled => self.reload(),
            Turn::Restart { down, loses_snapshots, power_fails } => {
                self.sometimes.restarted += 1;
                self.restart(down, loses_snapshots, power_fails);
            }
            Turn::DiskIs(mode) => {
                self.disk.mode = mode;
                self.disk_works();
            }
            Turn::BadRows(bad) => {
                self.disk.bad = bad;
                self.disk_works();
            }
            Turn::Outage(outage) => {
                self.world.outage = outage;
                self.world.had_outage |= outage;
            }
            Turn::CanaryRestarts(restarting) => self.world.restarting = restarting,
        }
    }
}
