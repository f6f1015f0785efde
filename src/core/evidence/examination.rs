//! Cross-examination. Where one workspace looks broken on the canary, a coin sends that workspace alone to the canary or
//! to stable, again and again. Its own trouble follows no coin; the canary's does. The coin is fair whatever the
//! customer does, so the wealth of an examination is evidence.

use std::time::Duration;

use super::metric::Metric;

/// The probability that a block is sent to the canary: less than a half, to spare a customer who is suffering.
pub(super) const COIN: f64 = 1.0 / 3.0;
/// One block says no more than a factor of 50, e^3.9.
const BLOCK_MOST: f64 = 3.912_023_005_428_146;
/// A block takes at least this long and holds at least one request.
const BLOCK_LEAST: Duration = Duration::from_secs(5);
/// Below this wealth the canary is acquitted.
const GIVE_UP: f64 = 0.05;
const BLOCKS_MOST: u32 = 80;
/// It fails on stable at this part of the suspected rate or more: the trouble is its own.
const OWN_TROUBLE: f64 = 0.3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// Coins are being tossed.
    Open,
    /// It fails on stable too: its own trouble. It stays on stable for the rest of the rollout.
    Refuted,
    /// It stopped failing: back to the canary.
    WentAway,
}

impl Finding {
    pub const ALL: [Finding; 3] = [Finding::Open, Finding::Refuted, Finding::WentAway];

    pub fn name(self) -> &'static str {
        match self {
            Finding::Open => "open",
            Finding::Refuted => "refuted",
            Finding::WentAway => "went_away",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Examination {
    pub bucket: usize,
    pub metric: Metric,
    pub finding: Finding,
    /// The rates of bad requests to tell apart: as when it became suspect, and as usual.
    suspected: f64,
    usual: f64,
    /// ρ: what part of the wealth is bet on this one.
    stake: f64,
    pub log_wealth: f64,
    pub blocks: u32,
    /// The coin of the block that runs, true for the canary.
    pub on_canary: bool,
    since: Duration,
    bad: f64,
    requests: f64,
    bad_on_stable: f64,
    requests_on_stable: f64,
}

/// What makes a bucket suspect.
pub(super) struct Suspicion {
    pub bucket: usize,
    pub metric: Metric,
    /// Its rate of bad requests in the last minutes.
    pub rate: f64,
    /// s·p̂.
    pub usual: f64,
    /// How many suspects the canary should have by now if it were as stable is.
    pub expected_suspects: f64,
}

impl Examination {
    pub(super) fn open(suspicion: &Suspicion, on_canary: bool, now: Duration) -> Examination {
        let suspected = suspicion.rate.clamp(0.15, 0.95);
        Examination {
            bucket: suspicion.bucket,
            metric: suspicion.metric,
            finding: Finding::Open,
            suspected,
            usual: suspicion.usual.max(0.01).min(suspected / 3.0),
            stake: stake(suspicion.expected_suspects),
            log_wealth: 0.0,
            blocks: 0,
            on_canary,
            since: now,
            bad: 0.0,
            requests: 0.0,
            bad_on_stable: 0.0,
            requests_on_stable: 0.0,
        }
    }

    /// Requests of the side on which the coin put the block that runs.
    pub(super) fn count(&mut self, bad: f64, requests: f64) {
        self.bad += bad;
        self.requests += requests;
    }

    /// Ends the block if it may end; `toss` gives the next block's coin. Answers whether it ended.
    pub(super) fn end_block(&mut self, now: Duration, toss: impl FnOnce(u32) -> bool) -> bool {
        if self.finding != Finding::Open || self.requests < 1.0 || now < self.since + BLOCK_LEAST {
            return false;
        }
        self.log_wealth += block(self.bad, self.requests, self.suspected, self.usual, COIN, self.on_canary);
        if !self.on_canary {
            self.bad_on_stable += self.bad;
            self.requests_on_stable += self.requests;
        }
        self.blocks += 1;
        self.on_canary = toss(self.blocks);
        (self.since, self.bad, self.requests) = (now, 0.0, 0.0);
        true
    }

    /// Closes an examination that has come to its end.
    pub(super) fn conclude(&mut self) {
        if self.finding != Finding::Open || (self.log_wealth >= GIVE_UP.ln() && self.blocks < BLOCKS_MOST) {
            return;
        }
        let own = self.bad_on_stable >= 1.0 && self.bad_on_stable >= OWN_TROUBLE * self.suspected * self.requests_on_stable;
        self.finding = if own { Finding::Refuted } else { Finding::WentAway };
    }

    /// Its factor in X, as a logarithm: `ln(1 − ρ + ρM)`.
    pub(super) fn log_factor(&self) -> f64 {
        (1.0 - self.stake + self.stake * self.log_wealth.min(50.0).exp()).ln()
    }
}

/// ρ = 1/(2 + 2e): the more suspects stable itself has, the less each one says.
fn stake(expected_suspects: f64) -> f64 {
    1.0 / (2.0 + 2.0 * expected_suspects)
}

/// What a block of `requests` with `bad` among them adds to the log-wealth, when the coin falls on the canary with
/// probability `coin`.
fn block(bad: f64, requests: f64, suspected: f64, usual: f64, coin: f64, on_canary: bool) -> f64 {
    let ratio = bad * (suspected / usual).ln() + (requests - bad) * ((1.0 - suspected) / (1.0 - usual)).ln();
    let ratio = ratio.clamp(-BLOCK_MOST, BLOCK_MOST);
    (if on_canary { ratio } else { 0.0 }) - (1.0 - coin + coin * ratio.exp()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::evidence::golden::{self, close};
    use proptest::prelude::*;

    #[test]
    fn blocks_are_the_golden_ones() {
        for v in golden::list("v2_exam_block") {
            let of = |name: &str| golden::number(&v[name]);
            close(of("clip"), BLOCK_MOST, &v);
            close(block(of("x"), of("k"), of("p1"), of("p0"), of("pc"), v["canary"] == 1), of("loge"), &v);
        }
    }

    #[test]
    fn a_whole_examination_is_the_golden_one() {
        let v = golden::value("v2_exam_trace");
        let suspicion = Suspicion { bucket: 0, metric: Metric::Errors, rate: 1.0, usual: 0.001, expected_suspects: 0.02 };
        let blocks: Vec<Vec<f64>> = v["blocks"].as_array().unwrap().iter().map(golden::numbers).collect();
        let mut exam = Examination::open(&suspicion, blocks[0][0] == 1.0, Duration::ZERO);
        assert_eq!((exam.suspected, exam.usual), (0.95, 0.01));
        for (i, log) in golden::numbers(&v["log_wealth"]).into_iter().enumerate() {
            exam.count(blocks[i][1], blocks[i][2]);
            let next = blocks.get(i + 1).is_some_and(|block| block[0] == 1.0);
            assert!(exam.end_block(Duration::from_secs(5 * (i as u64 + 1)), |_| next));
            close(exam.log_wealth, log, &v);
        }
        let second = Examination { stake: stake(1.5), log_wealth: golden::number(&v["second_exam_log_wealth"]), ..exam.clone() };
        close(exam.log_factor() + second.log_factor(), golden::number(&v["logX"]), &v);
        for (expected, rho) in golden::numbers(&v["expected_false_suspects"]).into_iter().zip(golden::numbers(&v["rho"])) {
            close(stake(expected), rho, &v);
        }
    }

    #[test]
    fn a_customer_that_fails_anywhere_is_refuted_and_one_that_recovers_goes_back() {
        let suspicion = Suspicion { bucket: 3, metric: Metric::Errors, rate: 0.9, usual: 0.01, expected_suspects: 0.1 };
        let run = |bad_on: fn(bool, u32) -> f64| {
            let mut exam = Examination::open(&suspicion, true, Duration::ZERO);
            for i in 1..=BLOCKS_MOST {
                exam.count(bad_on(exam.on_canary, i), 1.0);
                exam.end_block(Duration::from_secs(5 * u64::from(i)), |n| n % 3 == 0);
                exam.conclude();
            }
            exam
        };
        let own = run(|_, _| 1.0);
        assert_eq!(own.finding, Finding::Refuted);
        assert_eq!(run(|_, i| if i < 2 { 1.0 } else { 0.0 }).finding, Finding::WentAway);
        assert!(run(|on_canary, _| f64::from(u8::from(on_canary))).log_wealth > 20.0);
    }

    proptest! {
        #[test]
        fn a_block_is_fair(bad in 0u32..20, more in 0u32..20, suspected in 0.15..0.95_f64, part in 0.01..0.33_f64) {
            let of = |on_canary| block(f64::from(bad), f64::from(bad + more), suspected, suspected * part, COIN, on_canary).exp();
            prop_assert!((COIN * of(true) + (1.0 - COIN) * of(false) - 1.0).abs() < 1e-9);
        }
    }
}
