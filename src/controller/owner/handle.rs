//! The owner's one entry: takes one event and returns the effects. In the order of `handle`: the event itself, what was due, what had
//! waited, the next snapshot, the answers, the statuses.

use std::sync::Arc;

use super::{CHECKPOINT_EVERY, DISK_PATIENCE, Owner};
use crate::controller::change::Order;
use crate::controller::event::{Effect, Event, Request};
use crate::controller::new_config::Reload;
use crate::controller::pilot::Pilot;
use crate::controller::time::Now;
use crate::live::Snapshot;
use crate::store::Health;

impl Owner {
    /// Handles one event and returns the effects to execute. `health` is the current health of the history.
    pub fn handle(&mut self, event: Event, health: Health, now: Now) -> Vec<Effect> {
        self.now = now;
        self.note_health(health);
        match event {
            Event::Tick => self.tick(),
            Event::Alarm => {}
            Event::Request(asked) => self.handle_request(asked),
            Event::Written(written) => self.written(written),
            Event::Checked { ticket, answer } => self.checked(ticket, answer),
            Event::Serves { sequence } => self.serves(sequence),
            Event::Stop => self.stop(),
            Event::HandOver => self.hand_over(),
            Event::Resume(found) => self.resume(found),
        }
        self.enforce_time_limits();
        loop {
            self.take_up_waiting();
            self.publish();
            if !self.answer() {
                break;
            }
        }
        self.show();
        std::mem::take(&mut self.effects)
    }

    fn note_health(&mut self, health: Health) {
        let late = |order: &Order| self.now.running > order.since + DISK_PATIENCE && !order.is_of_a_failing_bot(&health);
        let hangs = self.orders.values().any(late);
        if self.health != health || self.hangs != hangs {
            (self.health, self.hangs) = (health, hangs);
            self.pilots.iter_mut().for_each(|pilot| pilot.news = true);
        }
    }

    fn handle_request(&mut self, asked: Request) {
        if self.hands_over {
            return self.refuse_request(asked);
        }
        match asked {
            Request::Change { request, reply } => self.handle_change(request, reply),
            Request::Drill { bot, drill, actor, reply } => self.handle_drill(&bot, drill, actor, reply),
            Request::PreviewDrill { bot, drill, reply } => drop(reply.send(self.preview_drill(&bot, &drill))),
            Request::Reload { config, reply } => self.reloads.push_back(Reload { config: Arc::new(*config), reply }),
            Request::Report { bot, reports, reply } => drop(reply.send(self.report(&bot, &reports))),
            Request::Traffic { bot, reply } => drop(reply.send(self.traffic(&bot))),
        }
    }

    /// One second has passed: the ratchet looks at every bot, and then the config is followed.
    fn tick(&mut self) {
        if self.stopping {
            return;
        }
        for number in 0..self.pilots.len() {
            self.tick_bot(number);
        }
        self.follow_the_config();
        if self.outlives && self.now.running >= self.checkpoint_due {
            self.checkpoint_due = self.now.running + CHECKPOINT_EVERY;
            let now = self.now;
            let checkpoints = self.pilots.iter_mut().filter_map(|pilot| pilot.checkpoint(now)).collect();
            self.effects.push(Effect::Checkpoint(checkpoints));
        }
    }

    /// Takes up the reload and the requests that have waited and need to wait no more.
    fn take_up_waiting(&mut self) {
        if self.storing.is_empty()
            && let Some(reload) = self.reloads.pop_front()
        {
            self.reload(reload);
        }
        if std::mem::take(&mut self.config_changed) && !self.stopping {
            self.follow_the_config();
        }
        for number in 0..self.pilots.len() {
            while !self.must_wait(number)
                && let Some(waiting) = self.pilots[number].waiting.pop_front()
            {
                self.consider(waiting.request, waiting.reply);
            }
        }
    }

    fn publish(&mut self) {
        if !self.pilots.iter().any(|pilot| pilot.due) && Arc::ptr_eq(&self.config, &self.snapshot.config) && self.snapshot.sequence > 0 {
            self.is_published();
            return;
        }
        let (config, sequence, now) = (self.config.clone(), self.snapshot.sequence + 1, self.now);
        for (pilot, bot) in self.pilots.iter_mut().zip(&config.bots).filter(|(pilot, _)| pilot.due) {
            pilot.is_published(&config, bot, sequence, now);
            pilot.news = true;
        }
        let epochs = self.pilots.iter().map(|pilot| pilot.epoch.clone()).collect();
        self.snapshot = Arc::new(Snapshot { sequence, config, epochs });
        // After the snapshots that were published before, so that they stay in order, and before the rows about this one.
        let first = self.effects.iter().take_while(|effect| matches!(effect, Effect::Publish(_))).count();
        self.effects.insert(first, Effect::Publish(self.snapshot.clone()));
        self.is_published();
    }

    /// Gives the current snapshot to the changes that were decided since the last publication.
    fn is_published(&mut self) {
        for serving in self.serving.iter_mut().filter(|serving| serving.snapshot.is_none()) {
            serving.snapshot = Some(self.snapshot.clone());
        }
    }

    fn serves(&mut self, sequence: u64) {
        self.applied = self.applied.max(sequence);
        let (config, now, applied) = (self.config.clone(), self.now, self.applied);
        let waits = |pilot: &Pilot| pilot.sequence > 0 && pilot.sequence <= applied;
        for (pilot, bot) in self.pilots.iter_mut().zip(&config.bots).filter(|(pilot, _)| waits(pilot)) {
            pilot.sequence = 0;
            pilot.opens(&bot.guard, now);
        }
    }

    pub(super) fn stop(&mut self) {
        self.stopping = true;
        // Drills end now: customers on the idle side go back to stable.
        self.drills.iter_mut().for_each(|(until, _)| *until = self.now.running);
    }
}
