//! A newer serin takes the history over: from one moment on this process decides nothing. It finishes the changes that are decided,
//! refuses all others, and reports what is to be stored last. If the newer serin fails, it decides again.

use super::Owner;
use crate::controller::check::Purpose;
use crate::controller::event::Request;
use crate::controller::new_config::ReloadRefused;
use crate::controller::time::Now;
use crate::controller::wish::ChangeError;
use crate::store::{Checkpoint, Found, Unwritten};

impl Owner {
    /// Decides nothing from now on. `is_idle` says when the changes under way are finished.
    pub(super) fn hand_over(&mut self) {
        self.hands_over = true;
        self.stop();
        for reload in std::mem::take(&mut self.reloads) {
            let _ = reload.reply.send(Err(ReloadRefused::TakesOver));
        }
        for purpose in std::mem::take(&mut self.checks).into_values() {
            match purpose {
                Purpose::Change { waiting, .. } => waiting.reply.refuse(ChangeError::TakesOver),
                Purpose::Drill(rehearsal) => rehearsal.fails(ChangeError::TakesOver),
                // The newer serin checks by itself what it needs.
                Purpose::Undo { .. }
                | Purpose::WayBack { .. }
                | Purpose::Follow { .. }
                | Purpose::IsStableThere { .. }
                | Purpose::StandIn { .. } => {}
            }
        }
        for pilot in &mut self.pilots {
            (pilot.following, pilot.checks_former) = (None, false);
            for waiting in std::mem::take(&mut pilot.waiting) {
                waiting.reply.refuse(ChangeError::TakesOver);
            }
        }
    }

    /// Refuses a request that came too late. Questions about what serves are answered.
    pub(super) fn refuse_request(&self, asked: Request) {
        match asked {
            Request::Change { reply, .. } => reply.refuse(ChangeError::TakesOver),
            Request::Drill { reply, .. } => drop(reply.send(Err(ChangeError::TakesOver))),
            Request::PreviewDrill { reply, .. } => drop(reply.send(Err(ChangeError::TakesOver))),
            Request::Reload { reply, .. } => drop(reply.send(Err(ReloadRefused::TakesOver))),
            Request::Report { reply, .. } => drop(reply.send(Err(ChangeError::TakesOver))),
            Request::Traffic { bot, reply } => drop(reply.send(self.traffic(&bot))),
        }
    }

    /// All that is known now of all bots, with what was counted until now.
    pub fn last_checkpoints(&mut self, now: Now) -> Vec<Checkpoint> {
        self.pilots.iter_mut().map(|pilot| pilot.last_checkpoint(now)).collect()
    }

    /// Decides again. `found` is the history if it was closed meanwhile. A bot that the newer serin has changed goes on from its last
    /// row, as after a restart; any other goes on as if nothing had happened.
    pub(super) fn resume(&mut self, found: Option<Found>) {
        (self.hands_over, self.stopping, self.config_changed) = (false, false, true);
        let Found { bots, alarms, .. } = found.unwrap_or_default();
        alarms.iter().for_each(|alarm| tracing::error!("{alarm}"));
        for (name, kept) in bots {
            let Some(number) = self.number(&name) else {
                self.absent.insert(name, kept);
                continue;
            };
            if kept.state.revision <= self.pilots[number].state.revision {
                continue;
            }
            let config = self.config.clone();
            let (pilot, rows) = self.new_pilot(&config, &config.bots[number], Some(kept));
            self.pilots[number] = pilot;
            self.order(rows, Unwritten::Keep);
        }
        self.check_stable_sides();
    }
}
