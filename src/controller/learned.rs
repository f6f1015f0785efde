//! What serin has learned of one bot: its buckets' rates on stable, and the latencies from which an answer is slow.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::core::evidence::Usual;
use crate::core::{Latencies, LatencyMarks, UNNOTICED_MICROS};
use crate::live::Ledger;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Learned {
    #[serde(rename = "history")]
    pub usual: Usual,
    /// Stable's latencies, to set the marks by.
    latencies: Latencies,
    faded: Duration,
    halved: Duration,
    marked: Duration,
}

const FADE_EVERY: Duration = Duration::from_secs(60);
const HALVE_EVERY: Duration = Duration::from_secs(24 * 3600);
/// The least number of latencies from which the p99.5 is computed.
const LATENCIES_LEAST: u64 = 1_000;
/// The marks change at most this often, and only if the p90 has moved by a tenth, because a change discards what was counted by the old
/// marks.
const REMARK_EVERY: Duration = Duration::from_secs(3600);
const MOVED: f64 = 0.1;

impl Learned {
    /// Serialises it for the history.
    pub fn pack(&self) -> Option<Vec<u8>> {
        rmp_serde::to_vec_named(self).ok()
    }

    pub fn unpack(bytes: &[u8]) -> Option<Learned> {
        rmp_serde::from_slice(bytes).inspect_err(|error| tracing::warn!(%error, "cannot read the stored baseline: relearning it")).ok()
    }

    /// Continues at `now` on the bot's clock, as if no time had passed since it was stored.
    pub fn begins(&mut self, now: Duration) {
        (self.faded, self.halved, self.marked) = (self.faded.min(now), self.halved.min(now), self.marked.min(now));
    }

    /// Lets old counts fade, up to `now`.
    pub fn pass(&mut self, now: Duration) {
        if now >= self.faded + FADE_EVERY {
            self.usual.fade((now - self.faded).as_secs_f64());
            self.faded = now;
        }
        if now >= self.halved + HALVE_EVERY {
            self.latencies.halve();
            self.halved = now;
        }
    }

    pub fn learn_latencies(&mut self, latencies: &Latencies) {
        self.latencies.merge(latencies);
    }

    /// Sets the marks anew if the latencies have moved. Call it only while no canary is compared with stable.
    pub fn mark(&mut self, ledger: &Ledger, now: Duration) {
        if self.usual.marks().is_some() && now < self.marked + REMARK_EVERY || self.latencies.count() < LATENCIES_LEAST {
            return;
        }
        let (Some(slow_micros), Some(very_slow_micros)) = (self.latencies.quantile_micros(0.9), self.latencies.quantile_micros(0.995))
        else {
            return;
        };
        let moved = |old: LatencyMarks| ((slow_micros + UNNOTICED_MICROS) as f64 / old.slow_micros as f64 - 1.0).abs() > MOVED;
        if self.usual.marks().is_none_or(moved) {
            // A latency that nobody could notice is not slow.
            let marks = LatencyMarks { slow_micros: slow_micros + UNNOTICED_MICROS, very_slow_micros: very_slow_micros + UNNOTICED_MICROS };
            self.usual.set_marks(marks);
            ledger.set_marks(marks);
        }
        self.marked = now;
    }

    pub fn marks(&self) -> LatencyMarks {
        self.usual.marks().unwrap_or(LatencyMarks::NONE)
    }
}
