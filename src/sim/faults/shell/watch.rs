//! A tick: what is known is gathered, and the ratchet is asked.

use super::Shell;
use crate::core::evidence::Judgement;
use crate::core::ratchet::{Facts, Input};
use crate::core::{Connections, Track};
use crate::sim::faults::Flaw;
use crate::sim::faults::judge::Judge;
use crate::sim::faults::store::Snapshot;
use std::time::Duration;

/// What may be wrong with a tick's facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoilt {
    NoNumber,
    Missing,
    /// It was looked at long ago.
    OldLook,
    /// By chance it looks bad.
    Suspicious,
}

/// The snapshot is written each so many ticks.
const SNAPSHOT_EVERY: u64 = 8;
const OLD: Duration = Duration::from_secs(61);

impl Shell<'_> {
    pub fn tick(&mut self, spoilt: Option<Spoilt>) {
        let (facts, moved, news) = self.gather(spoilt);
        let set_aside = self.set_aside();
        self.flush();
        let revision = self.controller.state.revision;
        self.decide(Input::Tick(facts), None, set_aside, news);
        if moved && self.controller.state.revision == revision {
            self.publish(None);
        }
        if self.dice.one_in(SNAPSHOT_EVERY * self.slowness()) {
            self.store.snapshot = Some(Snapshot {
                state: self.controller.state.clone(),
                at: self.now(),
                window: self.controller.window.clone().filter(|window| window.split_id == self.controller.state.split_id),
            });
        }
    }

    /// The real evidence is copied more seldom: it is large.
    fn slowness(&self) -> u64 {
        if self.history.is_some() { 4 } else { 1 }
    }

    fn gather(&mut self, spoilt: Option<Spoilt>) -> (Facts, bool, [Connections; 2]) {
        let now = self.now();
        let split_id = self.controller.observed;
        let ledger = self.read(split_id);
        let [canary, stable] = ledger.connections;
        self.controller.connections[0] += canary;
        self.controller.connections[1] += stable;
        let of_stable = if self.settings.flaw == Some(Flaw::BlamesTheCanaryForEverything) { Connections::default() } else { stable };
        let trip = self.controller.breaker.observe(now, canary, of_stable);
        let mut facts =
            Facts { split_id, judgement: None, crossed: None, trip, connections: self.controller.connections, previous_answers: true };
        let under_way: Vec<_> = self.in_flight.iter().filter(|one| one.split_id == split_id).map(|one| one.counted).collect();
        let Some(window) = &mut self.controller.window else { return (facts, false, [canary, stable]) };
        let (mut judgement, moved) = window.judge.judge(now, &ledger.counted, &under_way);
        let [of_stable, of_canary] = window.judge.recently();
        facts.crossed = self.guard.limits.crossed(&of_canary, &of_stable);
        spoil(&mut judgement, spoilt, now);
        facts.judgement = Some(judgement).filter(|_| spoilt != Some(Spoilt::Missing));
        (facts, moved, [canary, stable])
    }

    /// Whom the evidence has set aside, and who is set aside where requests go, once both speak of the same split.
    fn set_aside(&self) -> Option<[u64; 2]> {
        let window = self.controller.window.as_ref().filter(|window| window.split_id == self.live.published.split_id)?;
        let Judge::Real(evidence) = &window.judge else { return None };
        let examined = |bucket: crate::core::Bucket| evidence.examinations().iter().any(|exam| exam.bucket == bucket.index());
        let published = &self.live.published;
        let of_canary = |_: &crate::core::Workspace<'_>, bucket| published.split.track(bucket) == Track::Canary;
        let examined = self.world.set(|_, bucket| examined(bucket));
        Some([examined, published.set_aside & self.world.set(of_canary)])
    }
}

fn spoil(judgement: &mut Judgement, spoilt: Option<Spoilt>, now: Duration) {
    match spoilt {
        Some(Spoilt::NoNumber) => judgement.wealth.all = f64::NAN,
        Some(Spoilt::OldLook) => judgement.looked = now.saturating_sub(OLD),
        Some(Spoilt::Suspicious) => {
            let log = 40.0_f64.ln();
            judgement.wealth.all = judgement.wealth.all.max(log + 1.1);
        }
        Some(Spoilt::Missing) | None => {}
    }
}
