//! What may happen next, drawn from the seed. Each seed has its own selection of faults: some only show where others are
//! absent.

use std::time::Duration;

use super::shell::{CrashAt, Restart, Shell, Spoilt};
use super::world::{Truth, WORKSPACES};
use crate::core::ratchet::Command;
use crate::core::{AtDeadline, Guard, Limit, Limits, Most, OnTrouble, Plan, Policy, Release, Step, Weight};
use crate::sim::dice::Dice;

#[derive(Clone, Debug)]
pub enum Event {
    /// A second passes, and everything is looked at.
    Tick(Option<Spoilt>),
    /// Time passes, and nothing is looked at.
    Stall(Duration),
    /// The machine sleeps: its monotonic clock stands still.
    Suspend(Duration),
    /// In seconds.
    WallJump(i64),
    TakeUp(usize),
    LateAnswers,
    /// An operator sends a command; it arrives later.
    Send(Sent),
    /// The next command arrives.
    Deliver,
    Reload(Reload),
    Restart(Restart),
    /// The next write ends the process.
    CrashAtWrite(CrashAt),
    /// A controller that was replaced acts.
    Ghost,
    DiskIsWritable(bool),
    Outage(bool),
    CanaryRestarts(bool),
}

#[derive(Clone, Debug)]
pub struct Sent {
    pub number: u64,
    pub command: Command,
    pub based_on: Option<u64>,
    /// It arrives a second time, later.
    pub twice: bool,
    pub again: bool,
}

#[derive(Clone, Debug)]
pub enum Reload {
    Guard(Box<Guard>),
    Pins { stable: usize, canary: usize },
    Adopt(Release),
}

/// Which kinds of faults a seed has.
pub struct Kinds {
    selected: u64,
    commands: u64,
    /// For some ticks the facts are spoilt in the same way.
    spoilt: Option<Spoilt>,
}

/// Ticks, on average.
const SPOILT_FOR: u64 = 10;

impl Kinds {
    pub fn new(dice: &mut Dice) -> Kinds {
        // One in eight has all of them, one in sixteen none.
        let selected = match dice.below(16) {
            0 | 1 => u64::MAX,
            2 => 0,
            _ => dice.bits(),
        };
        Kinds { selected, commands: 0, spoilt: None }
    }

    fn has(&self, kind: u32) -> bool {
        self.selected >> kind & 1 == 1
    }

    pub fn applies_late(&self) -> bool {
        self.has(0)
    }

    pub fn next(&mut self, shell: &mut Shell<'_>) -> Event {
        self.spoilt = self.spoilt.filter(|_| !shell.dice.one_in(SPOILT_FOR));
        let usual = Event::Tick(self.spoilt);
        match shell.dice.below(200) {
            0..=7 => self.send(shell),
            8..=15 => Event::Deliver,
            16..=27 => Event::TakeUp(shell.dice.below(shell.live.workers.len() as u64) as usize),
            28..=31 => Event::LateAnswers,
            32..=34 if self.has(1) => {
                let spoilt = [Spoilt::NoNumber, Spoilt::Missing, Spoilt::OldLook, Spoilt::Suspicious];
                self.spoilt = Some(shell.dice.pick(&spoilt));
                Event::Tick(self.spoilt)
            }
            35..=36 if self.has(2) => Event::Stall(Duration::from_secs(shell.dice.pick(&[2, 10, 59, 61, 300, 5_000]))),
            37 if self.has(3) => Event::Suspend(Duration::from_secs(shell.dice.pick(&[30, 3_600, 100_000]))),
            38..=39 if self.has(4) => Event::WallJump(shell.dice.pick(&[-100_000, -3_600, -1, 60, 3_600, 900_000])),
            40 if self.has(5) => Event::Reload(reload(shell)),
            41 if self.has(6) => {
                let dice = &mut shell.dice;
                let down = Duration::from_secs(dice.pick(&[1, 30, 600]));
                Event::Restart(Restart { loses_snapshot: dice.one_in(3), lives_on: dice.one_in(2), down })
            }
            42 if self.has(7) => Event::CrashAtWrite(shell.dice.pick(&[CrashAt::Before, CrashAt::Midway, CrashAt::After])),
            43..=44 if shell.ghost.is_some() => Event::Ghost,
            45 if self.has(8) || !shell.store.writable => Event::DiskIsWritable(!shell.store.writable),
            46 if self.has(9) || shell.world.outage => Event::Outage(!shell.world.outage),
            47..=48 if self.has(10) || shell.world.restarting => Event::CanaryRestarts(!shell.world.restarting),
            _ => usual,
        }
    }

    fn send(&mut self, shell: &mut Shell<'_>) -> Event {
        self.commands += 1;
        let state = shell.controller.state.clone();
        let under_way = state.under_way().is_some();
        let dice = &mut shell.dice;
        let command = match dice.below(if under_way { 16 } else { 6 }) {
            0..=3 if !under_way => start(shell),
            6 | 7 => Command::Pause,
            8..=10 => Command::Resume,
            11..=12 => Command::Advance { force: dice.one_in(4) },
            13 => Command::Promote { force: dice.one_in(4) },
            14 => Command::Abort,
            4 => Command::SetWeight {
                weight: Weight::from_bp(dice.pick(&[0, 100, 1_700, 5_000, 10_000])).unwrap_or(Weight::ZERO),
                canary: state.canary.clone().unwrap_or_else(|| some_release(shell)),
            },
            5 => Command::Abort,
            15 => start(shell),
            _ => Command::Resume,
        };
        let dice = &mut shell.dice;
        let based_on = match dice.below(4) {
            0 => None,
            1 => Some(state.revision.saturating_sub(dice.below(3))),
            _ => Some(state.revision),
        };
        let twice = dice.one_in(6);
        Event::Send(Sent { number: self.commands, command, based_on, twice, again: false })
    }
}

fn start(shell: &mut Shell<'_>) -> Command {
    let release = some_release(shell);
    let dice = &mut shell.dice;
    Command::Start { release, plan: plan(dice), retry: dice.one_in(3) }
}

/// A new version, or one of old.
fn some_release(shell: &mut Shell<'_>) -> Release {
    let stable = shell.controller.state.stable.clone();
    let old = shell.world.old_release(&mut shell.dice, &stable);
    if let Some(old) = old.filter(|_| shell.dice.one_in(3)) {
        return old;
    }
    let turns = shell.clock.mono + Duration::from_secs(shell.dice.below(400));
    let bad = [Truth::Errors, Truth::Rejects, Truth::Late, Truth::Refuses, Truth::BadFrom(turns)];
    let truth = if shell.dice.one_in(2) { Truth::Good } else { shell.dice.pick(&bad) };
    shell.world.release(other(&stable), truth)
}

/// The upstream that is not this release's.
pub fn other(stable: &Release) -> &'static str {
    if &*stable.upstream == "blue" { "green" } else { "blue" }
}

fn plan(dice: &mut Dice) -> Plan {
    let weights: &[u16] = dice.pick(&[
        &[100_u16, 500, 1_000, 2_500, 5_000, 9_800, 10_000][..],
        &[1_000, 3_000, 6_000, 9_800, 10_000],
        &[2_500, 5_000, 10_000],
        &[2_000, 9_800, 10_000],
        &[5_000, 10_000],
    ]);
    let bake = Duration::from_secs(dice.pick(&[5, 20, 40, 90]));
    let step = |bp: &u16| Step { weight: Weight::from_bp(*bp).unwrap_or(Weight::FULL), bake };
    Plan {
        steps: weights.iter().map(step).collect(),
        policy: dice.pick(&[Policy::Automatic, Policy::Automatic, Policy::Automatic, Policy::Guarded, Policy::Manual]),
        deadline: Duration::from_secs(dice.pick(&[60, 120, 300])),
        at_deadline: dice.pick(&[AtDeadline::Proceed, AtDeadline::ByTraffic, AtDeadline::Ask, AtDeadline::Wait]),
        on_marginal: dice.pick(&[OnTrouble::Usual, OnTrouble::Retreat]),
        on_limit: dice.pick(&[OnTrouble::Usual, OnTrouble::Retreat]),
    }
}

fn reload(shell: &mut Shell<'_>) -> Reload {
    let stable = shell.controller.state.stable.clone();
    let dice = &mut shell.dice;
    match dice.below(4) {
        0 => Reload::Pins {
            stable: dice.below(WORKSPACES as u64 / 2) as usize,
            canary: WORKSPACES / 2 + dice.below(WORKSPACES as u64 / 2) as usize,
        },
        1 => Reload::Adopt(shell.world.release(&stable.upstream, Truth::Good)),
        _ => Reload::Guard(Box::new(guard(dice))),
    }
}

fn guard(dice: &mut Dice) -> Guard {
    let errors = Limit { most: Most::ErrorRate(0.15), least_requests: 15 };
    let late = Limit { most: Most::Late(0.3), least_requests: 20 };
    Guard {
        abort_at: dice.pick(&[50.0, 150.0, 1e9]),
        tolerated_harm: dice.pick(&[0.005, 0.05]),
        limits: Limits(if dice.one_in(2) { vec![errors, late] } else { Vec::new() }),
        examine: true,
        brake: !dice.one_in(6),
        max: Weight::from_bp(dice.pick(&[10_000, 10_000, 9_800, 5_000, 1_000])).unwrap_or(Weight::FULL),
        by_hand: dice.pick(&[Policy::Automatic, Policy::Manual]),
        frozen: None,
    }
}
