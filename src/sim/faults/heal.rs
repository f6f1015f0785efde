//! The faults are over. A friendly operator now does what holds ask for, and nothing else: what is good has to get
//! everywhere, what is bad has to go.

use std::time::Duration;

use super::Judges;
use super::check::{Broken, must};
use super::events::{Event, Sent, other};
use super::plot::Plot;
use super::world::Truth;
use crate::core::ratchet::Command;
use crate::core::{AtDeadline, Guard, Hold, OnTrouble, Phase, Plan, Policy, Release, State, Step, Weight};

/// Two windows of the evidence.
const BAD_FOR_MOST: u64 = 240;
/// Who had fewer requests could not be told from a good one: by a tick's chance, or by the breaker's own bounds.
const REQUESTS_LEAST: u64 = 60;
const REFUSALS_LEAST: u64 = 2 * BAD_FOR_MOST;
/// The real evidence asks for more, the more so where a step was good or shared an outage for long.
const REAL_REQUESTS_LEAST: u64 = 600;
const HALF_BP: u16 = 5_000;
/// A false alarm or two may be; then it is no accident.
const TRIES_MOST: u32 = 4;
/// A hold that nobody acts upon.
const PATIENCE: u64 = 60;
const COMMANDS_FROM: u64 = 1_000_000;

struct Friend {
    canary: Release,
    truth: Truth,
    tries: u32,
    sent: u64,
    /// For how long it holds for the same reason.
    held: (&'static str, u64),
}

pub fn heal(plot: &mut Plot<'_>) -> Result<(), Broken> {
    let outage = plot.shell.world.outage;
    settle(plot)?;
    let mut friend = Friend::new(plot)?;
    let stable = plot.shell.world.truth(&plot.shell.controller.state.stable);
    if stable != Truth::Good && friend.truth != Truth::Good {
        // Neither is worse than the other.
        return Ok(());
    }
    let plan = plot.shell.controller.state.rollout.as_ref().map(|rollout| rollout.plan.clone()).unwrap_or_else(plan);
    let step = |step: &Step| step.bake.as_secs().max(plan.deadline.as_secs()) + 3 * PATIENCE;
    let enough = u64::from(TRIES_MOST) * plan.steps.iter().map(step).sum::<u64>();
    let (mut secs, mut on_canary) = (0, 0);
    while secs < enough {
        on_canary += plot.second()?;
        secs += 1;
        let state = &plot.shell.controller.state;
        if state.stable == friend.canary && outage && secs < BAD_FOR_MOST {
            // The outage that has just ended hid what it does: nothing holds a raise for a shared cause yet.
            return Ok(());
        }
        if state.stable == friend.canary {
            return must(friend.truth == Truth::Good, 15, || format!("{} is {:?} and was promoted", friend.canary, friend.truth));
        }
        if friend.truth != Truth::Good {
            if state.weight == Weight::ZERO {
                return Ok(());
            }
            let least = match (friend.truth, plot.shell.settings.judges) {
                (Truth::Refuses, _) => REFUSALS_LEAST,
                (_, Judges::Made) => REQUESTS_LEAST,
                (_, Judges::Real) => REAL_REQUESTS_LEAST,
            };
            // By hand at 100 % there is nobody left to compare it with, and at 98 % one workspace.
            let compared = match plot.shell.settings.judges {
                Judges::Made => state.weight < Weight::FULL,
                Judges::Real => state.weight.bp() <= HALF_BP,
            };
            let watched = compared && state.under_way().is_some_and(|rollout| rollout.plan.policy != Policy::Manual);
            let overdue = watched && secs >= BAD_FOR_MOST && on_canary >= least;
            must(!overdue, 15, || format!("{:?} for {secs} s and {on_canary} requests, and at {}", friend.truth, state.weight))?;
            if !watched || secs > 2 * BAD_FOR_MOST {
                return Ok(());
            }
            continue;
        }
        if let Some(command) = friend.wants(&plot.shell.controller.state) {
            must(friend.tries <= TRIES_MOST, 15, || format!("a good release was taken back {TRIES_MOST} times"))?;
            friend.send(plot, command)?;
        }
    }
    let hold = plot.shell.controller.state.hold.clone();
    must(friend.truth != Truth::Good, 15, || format!("a good release is not everywhere after {enough} s: {hold:?}"))
}

fn settle(plot: &mut Plot<'_>) -> Result<(), Broken> {
    let mono = plot.shell.clock.mono;
    plot.shell.world.settle(mono);
    plot.shell.world.requests_per_second = 16;
    plot.shell.ghost = None;
    plot.shell.crash = None;
    plot.shell.guard = Guard { tolerated_harm: 0.02, ..Guard::default() };
    plot.shell.prompt = true;
    plot.commands.clear();
    plot.happens(Event::Outage(false))?;
    plot.happens(Event::CanaryRestarts(false))?;
    plot.happens(Event::DiskIsWritable(true))?;
    for worker in 0..plot.shell.live.workers.len() {
        plot.happens(Event::TakeUp(worker))?;
    }
    plot.happens(Event::LateAnswers)
}

impl Friend {
    /// Goes on with the rollout that there is, or begins one.
    fn new(plot: &mut Plot<'_>) -> Result<Friend, Broken> {
        let state = plot.shell.controller.state.clone();
        if let (Some(canary), Some(_)) = (state.canary.clone(), state.under_way()) {
            let truth = plot.shell.world.truth(&canary);
            return Ok(Friend { canary, truth, tries: 0, sent: COMMANDS_FROM, held: ("", 0) });
        }
        let truths = [Truth::Good, Truth::Good, Truth::Errors, Truth::Rejects, Truth::Late, Truth::Refuses];
        let truth = plot.shell.dice.pick(&truths);
        let canary = plot.shell.world.release(other(&state.stable), truth);
        let mut friend = Friend { canary, truth, tries: 0, sent: COMMANDS_FROM, held: ("", 0) };
        if state.phase == Phase::Manual {
            friend.send(plot, Command::Abort)?;
        }
        let start = friend.start();
        friend.send(plot, start)?;
        Ok(friend)
    }

    fn start(&mut self) -> Command {
        self.tries += 1;
        Command::Start { release: self.canary.clone(), plan: plan(), retry: true }
    }

    /// What a hold asks for.
    fn wants(&mut self, state: &State) -> Option<Command> {
        let code = state.hold.as_ref().map_or("", Hold::code);
        self.held = if self.held.0 == code { (code, self.held.1 + 1) } else { (code, 0) };
        match (state.phase, code) {
            (Phase::Aborted | Phase::Idle | Phase::Manual | Phase::Promoted, _) => Some(self.start()),
            // What evidence has won it keeps: the release is tried anew.
            (Phase::Paused, "retreated") => Some(Command::Abort),
            (Phase::Paused, _) => Some(Command::Resume),
            (_, "deadline" | "awaiting_advance" | "policy_manual") => Some(Command::Advance { force: false }),
            (_, "no_canary_traffic" | "no_stable_traffic" | "harm" | "refusals" | "marginal" | "evidence") if self.held.1 > PATIENCE => {
                Some(Command::Advance { force: false })
            }
            (Phase::Held | Phase::Progressing, _) => None,
        }
    }

    fn send(&mut self, plot: &mut Plot<'_>, command: Command) -> Result<(), Broken> {
        self.sent += 1;
        plot.happens(Event::Send(Sent { number: self.sent, command, based_on: None, twice: false, again: false }))?;
        plot.happens(Event::Deliver)
    }
}

impl Plot<'_> {
    /// A second without faults: how many requests were the canary's?
    fn second(&mut self) -> Result<u64, Broken> {
        let before = self.shell.canary_requests;
        self.happens(Event::LateAnswers)?;
        self.happens(Event::Tick(None))?;
        Ok(self.shell.canary_requests - before)
    }
}

fn plan() -> Plan {
    let step = |bp| Step { weight: Weight::from_bp(bp).unwrap_or(Weight::FULL), bake: Duration::from_secs(20) };
    Plan {
        steps: [2_500, 5_000, 9_800, 10_000].map(step).to_vec(),
        policy: Policy::Automatic,
        deadline: Duration::from_secs(120),
        at_deadline: AtDeadline::Proceed,
        on_marginal: OnTrouble::Usual,
        on_limit: OnTrouble::Usual,
    }
}
