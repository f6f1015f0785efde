//! The faults are over. A friendly operator now does what holds ask for, and nothing else: what is good has to get
//! everywhere, what is bad has to go. This is tried with one bot; the others have to stand still.

use super::Plot;
use super::books::{Broken, must};
use super::disk::Mode;
use super::events::Turn;
use super::setting::COLOURS;
use super::world::Truth;
use crate::controller::wish::{Actor, ChangeRequest, Wish};
use crate::core::{Hold, Phase, Release, State, Weight};

/// Two windows of the evidence.
const BAD_FOR_MOST: u64 = 240;
/// With fewer requests it could not be told from a good one.
const REQUESTS_LEAST: u64 = 600;
/// Above this, too few are left to compare with.
const HALF_BP: u16 = 5_000;
/// A false alarm or two may be; then it is no accident.
const TRIES_MOST: u32 = 4;
/// A hold that nobody acts upon.
const PATIENCE: u64 = 60;
/// Four steps with their deadlines and holds, some of them tried again.
const ENOUGH: u64 = TRIES_MOST as u64 * 4 * (120 + 3 * PATIENCE);

struct Friend {
    bot: String,
    canary: Release,
    tries: u32,
    /// For how long it holds for the same reason.
    held: (&'static str, u64),
}

pub fn heal(plot: &mut Plot<'_>) -> Result<(), Broken> {
    settle(plot)?;
    let mut friend = Friend::new(plot);
    let (stable, truth) = {
        let machine = &mut plot.machine;
        let now = machine.clock.mono;
        let stable = friend.state(machine).stable.clone();
        (machine.world.truth(&mut machine.dice, &stable, now), machine.world.truth(&mut machine.dice, &friend.canary, now))
    };
    if stable != Truth::Good && truth != Truth::Good {
        // Neither is worse than the other.
        return Ok(());
    }
    // A past that was learnt in an outage hides what a bad release does: see docs/statistics.md.
    let hidden = plot.machine.world.had_outage;
    let mut on_canary = 0;
    for secs in 0..ENOUGH {
        let before = plot.machine.canary_requests;
        plot.happens(Turn::LateAnswers)?;
        plot.happens(Turn::LookIsDone)?;
        plot.happens(Turn::Tick(None))?;
        on_canary += plot.machine.canary_requests - before;
        let state = friend.state(&plot.machine).clone();
        if state.stable == friend.canary {
            return must(truth == Truth::Good || hidden, 15, || format!("{} is {truth:?} and was promoted", friend.canary));
        }
        if truth != Truth::Good {
            if friend.tries > 0 && state.weight == Weight::ZERO && state.phase != Phase::Idle {
                return Ok(());
            }
            let compared = state.under_way().is_some() && state.weight.bp() <= HALF_BP;
            let overdue = compared && secs >= BAD_FOR_MOST && on_canary >= REQUESTS_LEAST;
            must(!overdue || hidden, 15, || format!("{truth:?} for {secs} s and {on_canary} requests, and at {}", state.weight))?;
            if secs > 2 * BAD_FOR_MOST {
                return Ok(());
            }
        }
        // A bad release is started, and then left to itself.
        if (truth == Truth::Good || friend.tries == 0)
            && let Some(wish) = friend.wants(&state)
        {
            must(friend.tries <= TRIES_MOST, 15, || format!("a good release was taken back {TRIES_MOST} times"))?;
            friend.ask(plot, wish)?;
        }
    }
    let hold = friend.state(&plot.machine).hold.clone();
    must(truth != Truth::Good, 15, || format!("a good release is not everywhere after {ENOUGH} s: {hold:?}"))
}

/// No more faults: everybody is on stable, nothing is frozen, and the config leaves nothing in the way.
fn settle(plot: &mut Plot<'_>) -> Result<(), Broken> {
    plot.machine.prompt = true;
    plot.machine.world.requests_per_second = 32;
    let now = plot.machine.clock.mono;
    plot.machine.world.settle(now);
    for turn in [Turn::DiskIs(Mode::Works), Turn::BadRows(None), Turn::Outage(false), Turn::CanaryRestarts(false), Turn::LateAnswers] {
        plot.happens(turn)?;
    }
    while plot.machine.disk.is_behind() {
        plot.happens(Turn::DiskWorks)?;
    }
    // What was asked for is answered, drills end, and what the config wants is looked at.
    for _ in 0..12 {
        (0..super::machine::WORKERS).try_for_each(|worker| plot.happens(Turn::TakeUp(worker)))?;
        plot.happens(Turn::LookIsDone)?;
        plot.happens(Turn::Tick(None))?;
    }
    // Those of the config in force: a reload may have been refused.
    let bots: Vec<String> = plot.machine.owner.pilots.iter().map(|pilot| pilot.name.to_string()).collect();
    for bot in &bots {
        for wish in [Wish::Thaw, Wish::Abort] {
            ask(plot, bot, wish)?;
        }
    }
    plot.machine.setting.settle();
    for bot in &mut plot.machine.setting.bots {
        (bot.weight, bot.release, bot.pinned) = (0, None, None);
    }
    plot.happens(Turn::Settled)?;
    (0..3).try_for_each(|_| plot.happens(Turn::Tick(None)))
}

fn ask(plot: &mut Plot<'_>, bot: &str, wish: Wish) -> Result<(), Broken> {
    let actor = Actor::Operator("a friend".into());
    let request = ChangeRequest { bot: bot.to_owned(), wish, based_on: None, actor, force: true, reason: Some("it is well".to_owned()) };
    plot.happens(Turn::Ask { request: Box::new(request), hangs_up: false, twice: false })
}

impl Friend {
    fn new(plot: &mut Plot<'_>) -> Friend {
        let machine = &mut plot.machine;
        let bot = machine.setting.bots[0].name.to_owned();
        let stable =
            machine.owner.number(&bot).map_or(String::new(), |number| machine.owner.pilots[number].state.stable.upstream.to_string());
        let colour = COLOURS.iter().find(|colour| !stable.ends_with(**colour)).unwrap_or(&COLOURS[0]);
        let truth = machine.dice.pick(&[Truth::Good, Truth::Good, Truth::Errors, Truth::Rejects, Truth::Late, Truth::Refuses]);
        let version = machine.world.version();
        let canary = Release { upstream: format!("{bot}-{colour}").as_str().into(), version: Some(version.as_str().into()) };
        machine.world.is(canary.clone(), truth);
        Friend { bot, canary, tries: 0, held: ("", 0) }
    }

    fn state<'a>(&self, machine: &'a super::Machine<'_>) -> &'a State {
        let number = machine.owner.number(&self.bot).unwrap_or(0);
        &machine.owner.pilots[number].state
    }

    fn start(&mut self) -> Wish {
        self.tries += 1;
        let (upstream, version) = (Some(self.canary.upstream.to_string()), self.canary.version.as_deref().map(str::to_owned));
        Wish::Start { upstream, version, retry: true, replace: true }
    }

    /// What a hold asks for.
    fn wants(&mut self, state: &State) -> Option<Wish> {
        let code = state.hold.as_ref().map_or("", Hold::code);
        self.held = if self.held.0 == code { (code, self.held.1 + 1) } else { (code, 0) };
        match (state.phase, code) {
            (Phase::Aborted | Phase::Idle | Phase::Manual | Phase::Promoted, _) => Some(self.start()),
            // What evidence has won it keeps: the release is tried anew.
            (Phase::Paused, "retreated") => Some(Wish::Abort),
            (Phase::Paused, _) => Some(Wish::Resume),
            (_, "deadline" | "awaiting_advance" | "policy_manual") => Some(Wish::Advance),
            (_, "no_canary_traffic" | "no_stable_traffic" | "harm" | "refusals" | "marginal" | "evidence" | "shared_cause")
                if self.held.1 > PATIENCE =>
            {
                Some(Wish::Advance)
            }
            (Phase::Held | Phase::Progressing, _) => None,
        }
    }

    fn ask(&mut self, plot: &mut Plot<'_>, wish: Wish) -> Result<(), Broken> {
        // To advance against the evidence is not a friend's.
        let force = !matches!(wish, Wish::Advance | Wish::Resume);
        let actor = Actor::Operator("a friend".into());
        let request = ChangeRequest { bot: self.bot.clone(), wish, based_on: None, actor, force, reason: Some("it is well".to_owned()) };
        plot.happens(Turn::Ask { request: Box::new(request), hangs_up: false, twice: false })
    }
}
