//! A rehearsed rollback on the live system: the idle side is looked at, and the whole way from a word to all cores is gone
//! and measured; with customers, if somebody asks for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::pilot::{Pilot, index};
use super::wish::{the_other, unknown_bot};
use super::{Actor, ChangeError, Controller, Seat, guard};
use crate::core::ratchet::{Command, Decision, Input, Refusal};
use crate::core::{Release, Weight};
use crate::live::Snapshot;

/// What to rehearse.
#[derive(Clone, Debug)]
pub struct Drill {
    /// Whom to move to the idle side and back: nobody, if none is given.
    pub share: Option<Weight>,
    /// How long they stay there.
    pub lasts: Duration,
    pub upstream: Option<String>,
}

/// How it went.
#[derive(Clone, Debug, Serialize)]
pub struct Drilled {
    pub bot: String,
    pub side: String,
    /// From asking the idle side to its last right answer.
    pub preflight_ms: f64,
    /// From the word to go back until all cores served it.
    pub back_ms: f64,
    /// The same until it was kept, too.
    pub durable_ms: f64,
    pub moved_percent: f64,
    pub revision: u64,
}

impl Controller {
    pub async fn drill(&self, name: &str, drill: &Drill, actor: Actor<'_>) -> Result<Drilled, ChangeError> {
        let snapshot = self.live.current();
        let number = snapshot.bot(name).ok_or_else(|| unknown_bot(&snapshot, name))?;
        let bot = &snapshot.config.bots[number];
        let state = snapshot.epochs[number].status().state.clone();
        let idle = self.idle_side(&snapshot, number, drill.upstream.as_deref())?;
        if state.is_live() {
            let refusal = match (state.under_way(), &state.canary) {
                (Some(_), Some(canary)) => Refusal::UnderWay(canary.clone()),
                _ => Refusal::LiveSplit { weight: state.weight },
            };
            return Err(ChangeError::Refused { bot: bot.name.to_string(), refusal });
        }
        if drill.share.is_some() && snapshot.config.admin.read_only {
            return Err(ChangeError::ReadOnly);
        }
        let started = Instant::now();
        let upstream = index(bot, &idle).unwrap_or(bot.stable);
        let unfit = |why| ChangeError::Preflight { bot: bot.name.to_string(), side: idle.to_string(), why };
        self.sides.preflight(bot, upstream).await.map_err(unfit)?;
        let preflight = started.elapsed();
        if let Some(weight) = drill.share {
            // A little longer than it is to last: it ends by itself if this process does.
            let lasts = drill.lasts + Duration::from_secs(5);
            self.order(&snapshot, number, Command::Drill { weight, canary: idle.clone(), lasts }, actor).await?;
            tokio::time::sleep(drill.lasts).await;
        }
        let word = Instant::now();
        let back = self.publish_again(&snapshot, number, drill.share.is_some(), actor).await?;
        self.order(&snapshot, number, Command::Drilled { took: back }, actor).await?;
        let durable = word.elapsed();
        let mut pilots = self.pilots.lock().await;
        if let Some(pilot) = pilots.get_mut(&bot.name) {
            pilot.was_drilled(jiff::Timestamp::now().as_millisecond() as f64 / 1000.0);
        }
        self.shows(pilots.get(&bot.name), bot, number);
        let millis = |took: Duration| took.as_secs_f64() * 1000.0;
        Ok(Drilled {
            bot: bot.name.to_string(),
            side: idle.to_string(),
            preflight_ms: millis(preflight),
            back_ms: millis(back),
            durable_ms: millis(durable),
            moved_percent: drill.share.unwrap_or_default().percent(),
            revision: pilots.get(&bot.name).map_or(0, |pilot| pilot.state.revision),
        })
    }

    fn idle_side(&self, snapshot: &Snapshot, number: usize, upstream: Option<&str>) -> Result<Release, ChangeError> {
        let (bot, state) = (&snapshot.config.bots[number], snapshot.epochs[number].status().state.clone());
        // Who would be gone back to is who is to be rehearsed.
        match (upstream, &state.previous) {
            (None, Some(former)) if index(bot, &former.release).is_some() => Ok(former.release.clone()),
            (None, _) => the_other(bot, &state),
            (Some(name), _) => super::wish::named(bot, name),
        }
    }

    /// The way back, from the word to all cores: whoever took part goes back; without anybody, the same is published again.
    async fn publish_again(&self, snapshot: &Arc<Snapshot>, number: usize, moved: bool, actor: Actor<'_>) -> Result<Duration, ChangeError> {
        let word = Instant::now();
        if moved {
            self.order(snapshot, number, Command::Withdraw, actor).await?;
            return Ok(word.elapsed());
        }
        let mut pilots = self.pilots.lock().await;
        let current = self.live.current();
        let bot = &snapshot.config.bots[number];
        if let Some(pilot) = pilots.get_mut(&bot.name) {
            self.serve(Seat { pilot, snapshot: current, number }, &Decision::Hold, None).await?;
        }
        Ok(word.elapsed())
    }

    async fn order(&self, snapshot: &Arc<Snapshot>, number: usize, command: Command, actor: Actor<'_>) -> Result<Decision, ChangeError> {
        let mut pilots = self.pilots.lock().await;
        let bot = &snapshot.config.bots[number];
        let current = self.live.current();
        let pilot: &mut Pilot = pilots.get_mut(&bot.name).ok_or_else(|| unknown_bot(&current, bot.name.as_str()))?;
        pilot.read(&current.epochs[number]);
        let guard = guard(bot, &pilot.state, &self.store.health(), false);
        let seat = Seat { pilot, snapshot: current, number };
        self.done(bot, self.decide(seat, Input::Command { command, based_on: None }, &guard, actor, None).await)
    }
}
