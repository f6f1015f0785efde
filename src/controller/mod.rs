//! The one writer. Every change of what serves goes through here, one after the other: the ratchet's own decisions, an
//! operator's wish, a new config. Each is a step of `core::ratchet`; what it commits is published, and counts as done
//! once it serves on every core.

mod past;
mod pilot;
mod recent;
mod reload;
mod reports;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use crate::config::{Bot, BotName, Config};
use crate::core::ratchet::{Command, Decision, Input, Refusal};
use crate::core::{Release, State, Weight};
use crate::live::{Live, NotApplied, Snapshot};
use crate::telemetry::Metrics;

use pilot::{Pilot, candidate, index, release};

pub use reload::ReloadRefused;
pub use reports::{Report, ReportKind, Reported};

#[derive(Debug)]
pub struct Controller {
    live: Arc<Live>,
    metrics: Arc<Metrics>,
    /// All times of decisions are since then. Monotonic: a clock that is set changes no decision.
    origin: Instant,
    /// Held for the whole of a change: changes are made one at a time, in order.
    pilots: Mutex<Pilots>,
}

type Pilots = HashMap<BotName, Pilot>;

/// Who wants a change.
#[derive(Clone, Copy, Debug)]
pub enum Actor<'a> {
    /// By name.
    Operator(&'a str),
    Config,
    /// serin itself.
    Ratchet,
}

impl Actor<'_> {
    pub fn kind(&self) -> &'static str {
        match self {
            Actor::Operator(_) => "operator",
            Actor::Config => "config",
            Actor::Ratchet => "ratchet",
        }
    }

    fn name(&self) -> &str {
        match self {
            Actor::Operator(name) => name,
            Actor::Config | Actor::Ratchet => self.kind(),
        }
    }
}

/// What an operator may ask for.
#[derive(Clone, Debug)]
pub enum Wish {
    SetWeight(Weight),
    /// To the only other upstream, if none is named.
    Start {
        upstream: Option<String>,
        version: Option<String>,
        retry: bool,
    },
    Pause,
    Resume,
    Advance {
        force: bool,
    },
    Promote {
        force: bool,
    },
    Abort,
}

/// Why a change was not made. Nothing has changed then, except after `NotApplied`: some workers serve it already.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    #[error("there is no bot {name:?}; there are {}", list(.known))]
    UnknownBot { name: String, known: Vec<String> },
    #[error("bot {bot:?} has only one upstream: there is nothing to send a share to; add a second one to its upstreams")]
    OneUpstream { bot: String },
    #[error("bot {bot:?} has several upstreams besides stable: say which is meant, with canary = one of {}", list(.choices))]
    WhichCanary { bot: String, choices: Vec<String> },
    #[error("bot {bot:?} has no upstream {name:?}; it has {}", list(.known))]
    UnknownUpstream { bot: String, name: String, known: Vec<String> },
    #[error("bot {bot:?}: {refusal}")]
    Refused { bot: String, refusal: Refusal },
    #[error(transparent)]
    NotApplied(#[from] NotApplied),
}

/// How often everything is looked at.
const TICK: Duration = Duration::from_secs(1);

impl Controller {
    /// The controller, and what serves at first.
    pub fn new(config: Config, metrics: Arc<Metrics>) -> (Controller, Arc<Live>) {
        let (config, now) = (Arc::new(config), Duration::ZERO);
        let mut pilots = Pilots::new();
        let mut epochs = Vec::new();
        for bot in &config.bots {
            let pilot = Pilot::new(&config, bot, now);
            epochs.push(pilot.epoch(&config, bot, None, now));
            pilots.insert(bot.name.clone(), pilot);
        }
        let live = Arc::new(Live::new(config.clone(), epochs, config.proxy.workers));
        (Controller { live: live.clone(), metrics, origin: Instant::now(), pilots: Mutex::new(pilots) }, live)
    }

    /// Looks at everything each second, for ever.
    pub async fn run(&self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.tick().await;
        }
    }

    async fn tick(&self) {
        let mut pilots = self.pilots.lock().await;
        let now = self.origin.elapsed();
        for number in 0..self.live.current().config.bots.len() {
            let snapshot = self.live.current();
            let (bot, epoch) = (&snapshot.config.bots[number], &snapshot.epochs[number]);
            let Some(pilot) = pilots.get_mut(&bot.name) else { continue };
            let (facts, moved) = pilot.gather(epoch, &bot.guard, now);
            let before = pilot.state.clone();
            let decision = pilot.step(&Input::Tick(facts), &bot.guard, now);
            let served = match decision.commits() || moved {
                true => self.serve(pilot, &snapshot, number, &decision, &before, now).await,
                false => Ok(Duration::ZERO),
            };
            self.live.current().epochs[number].report(pilot.status(&bot.guard, now));
            self.tell(bot, &decision, &before, pilot, Actor::Ratchet, served);
        }
    }

    /// Does what an operator asks for; answers once it serves on every core.
    pub async fn change(&self, name: &str, wish: Wish, based_on: Option<u64>, actor: Actor<'_>) -> Result<Arc<Snapshot>, ChangeError> {
        let mut pilots = self.pilots.lock().await;
        let now = self.origin.elapsed();
        let snapshot = self.live.current();
        let number = snapshot.bot(name).ok_or_else(|| unknown_bot(&snapshot, name))?;
        let bot = &snapshot.config.bots[number];
        let pilot = pilots.get_mut(&bot.name).ok_or_else(|| unknown_bot(&snapshot, name))?;
        let command = command(bot, &pilot.state, wish)?;
        pilot.read(&snapshot.epochs[number], now);
        let before = pilot.state.clone();
        let decision = pilot.step(&Input::Command { command, based_on }, &bot.guard, now);
        if let Decision::Refuse(refusal) = decision {
            return Err(ChangeError::Refused { bot: bot.name.to_string(), refusal });
        }
        if decision.commits() {
            let served = self.serve(pilot, &snapshot, number, &decision, &before, now).await;
            let failed = served.as_ref().err().is_some();
            self.tell(bot, &decision, &before, pilot, actor, served);
            if failed {
                self.live.applied_everywhere(self.live.current().sequence).await?;
            }
        }
        let current = self.live.current();
        current.epochs[number].report(pilot.status(&bot.guard, now));
        Ok(current)
    }

    /// Publishes what a bot's state now means, and opens its evidence anew if the split has changed.
    async fn serve(
        &self,
        pilot: &mut Pilot,
        snapshot: &Snapshot,
        number: usize,
        decision: &Decision,
        before: &State,
        now: Duration,
    ) -> Result<Duration, NotApplied> {
        let bot = &snapshot.config.bots[number];
        let mut epochs = snapshot.epochs.clone();
        pilot.is_about_to_change(decision);
        epochs[number] = pilot.epoch(&snapshot.config, bot, Some(&snapshot.epochs[number]), now);
        let epoch = epochs[number].clone();
        let served = self.live.publish(snapshot.config.clone(), epochs).await;
        // The window opens only now: what it counts was routed by the new split.
        pilot.has_changed(decision, bot, &epoch, before, self.origin.elapsed());
        served
    }

    /// The one place where decisions are logged, with what they rest on.
    fn tell(&self, bot: &Bot, decision: &Decision, before: &State, pilot: &Pilot, actor: Actor<'_>, served: Result<Duration, NotApplied>) {
        if let Err(error) = &served {
            tracing::error!(bot = %bot.name, %error, "a change does not serve everywhere");
        }
        if !decision.commits() {
            return;
        }
        self.metrics.decision(bot.name.as_str(), decision.name(), actor.kind());
        let after = &pilot.state;
        let why = match decision {
            Decision::Abort { why, .. } | Decision::Undo { why } => Some(why.to_string()),
            Decision::Drilled { took } => Some(format!("{} µs from the word to all cores", took.as_micros())),
            Decision::Trip { trip, .. } => Some(trip.to_string()),
            Decision::Advance { because, .. } | Decision::Promote { because } => Some(format!("{because:?}").to_lowercase()),
            Decision::Start
            | Decision::SetWeight { .. }
            | Decision::Pause
            | Decision::Resume
            | Decision::Retreat { .. }
            | Decision::Adopt
            | Decision::Reassign
            | Decision::Switch
            | Decision::Withdraw { .. }
            | Decision::Desire
            | Decision::Freeze
            | Decision::Thaw
            | Decision::Drill
            | Decision::Hold
            | Decision::Nothing
            | Decision::Refuse(_) => None,
        };
        if let (Decision::Start, Some(warning)) = (decision, pilot.warning()) {
            tracing::warn!(bot = %bot.name, "{warning}");
        }
        let e = pilot.log_e().map(|log_e| format!("{:.3}", log_e.exp()));
        tracing::info!(
            bot = %bot.name, actor = actor.name(), decision = decision.name(), revision = after.revision, phase = after.phase.name(),
            from = %before.weight, to = %after.weight, stable = %after.stable, why, e,
            took_micros = served.map_or(0, |took| took.as_micros() as u64), "rollout changed"
        );
    }
}

/// An operator's wish as the ratchet takes it.
fn command(bot: &Bot, state: &State, wish: Wish) -> Result<Command, ChangeError> {
    Ok(match wish {
        Wish::SetWeight(weight) => match (&state.canary, state.under_way()) {
            (Some(canary), Some(_)) => Command::SetWeight { weight, canary: canary.clone() },
            _ => Command::SetWeight { weight, canary: the_other(bot, state)? },
        },
        Wish::Start { upstream, version, retry } => {
            let mut release = match upstream {
                Some(name) => named(bot, &name)?,
                None => the_other(bot, state)?,
            };
            release.version = version.map(Arc::from).or(release.version);
            Command::Start { release, plan: bot.rollout.clone(), retry }
        }
        Wish::Pause => Command::Pause,
        Wish::Resume => Command::Resume,
        Wish::Advance { force } => Command::Advance { force },
        Wish::Promote { force } => Command::Promote { force },
        Wish::Abort => Command::Abort,
    })
}

/// Who is meant where no name is given.
fn the_other(bot: &Bot, state: &State) -> Result<Release, ChangeError> {
    let stable = index(bot, &state.stable).unwrap_or(bot.stable);
    if let Some(canary) = candidate(bot, stable) {
        return Ok(release(&bot.upstreams[canary]));
    }
    let others = bot.upstreams.iter().enumerate().filter(|(i, _)| *i != stable);
    let choices: Vec<String> = others.map(|(_, upstream)| upstream.name.to_string()).collect();
    Err(match choices.is_empty() {
        true => ChangeError::OneUpstream { bot: bot.name.to_string() },
        false => ChangeError::WhichCanary { bot: bot.name.to_string(), choices },
    })
}

fn named(bot: &Bot, name: &str) -> Result<Release, ChangeError> {
    let found = bot.upstreams.iter().find(|upstream| &*upstream.name == name).map(release);
    found.ok_or_else(|| ChangeError::UnknownUpstream {
        bot: bot.name.to_string(),
        name: name.to_owned(),
        known: bot.upstreams.iter().map(|upstream| upstream.name.to_string()).collect(),
    })
}

fn unknown_bot(snapshot: &Snapshot, name: &str) -> ChangeError {
    let known = snapshot.config.bots.iter().map(|bot| bot.name.to_string()).collect();
    ChangeError::UnknownBot { name: name.to_owned(), known }
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}
