//! Cross-examination. Where one workspace looks broken on the canary, a coin sends that workspace alone to the canary or
//! to stable, again and again. Its own trouble follows no coin; the canary's does. The coin is fair whatever the
//! customer does, so the wealth of an examination is evidence.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use crate::core::split::{Apart, Track, Turn};

/// The probability that a block is sent to the canary: less than a half, to spare a customer who is suffering.
pub(super) const COIN: f64 = 1.0 / 3.0;
/// One block says no more than a factor of 50, e^3.9.
const BLOCK_MOST: f64 = 3.912_023_005_428_146;
/// A block takes at least this long and holds at least one request.
const BLOCK_LEAST: Duration = Duration::from_secs(5);
/// A block that is over waits for its last answers, but no longer than this: a minute is the longest usual timeout.
const LATE_MOST: Duration = Duration::from_secs(75);
/// Below this wealth the canary is acquitted.
const GIVE_UP: f64 = 0.05;
const BLOCKS_MOST: u32 = 80;
/// It fails on stable at this part of the suspected rate or more: the trouble is its own.
const OWN_TROUBLE: f64 = 0.3;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
    /// Those that are over, and counted.
    pub blocks: u32,
    /// To which its requests go.
    running: Block,
    /// The one before, as long as requests of it are under way.
    closing: Option<Block>,
    bad_on_stable: f64,
    requests_on_stable: f64,
}

/// A request counts in the block that it was *routed* in, whenever it ends: so what a block counts has nothing to do with
/// where its coin sent it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Block {
    number: u32,
    /// Its coin, true for the canary.
    on_canary: bool,
    since: Duration,
    bad: f64,
    requests: f64,
    under_way: u32,
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
            running: Block::new(0, on_canary, now),
            closing: None,
            bad_on_stable: 0.0,
            requests_on_stable: 0.0,
        }
    }

    /// What was routed in the block of this turn: what has ended since the last time, and how many are under way.
    pub(super) fn count(&mut self, turn: Turn, bad: f64, requests: f64, under_way: u32) {
        let closing = self.closing.as_mut().filter(|block| Turn::of(block.number) == turn);
        let running = Some(&mut self.running).filter(|block| Turn::of(block.number) == turn);
        if let Some(block) = closing.or(running) {
            block.bad += bad;
            block.requests += requests;
            block.under_way += under_way;
        }
    }

    /// Nothing is under way, as far as is known.
    pub(super) fn forget_under_way(&mut self) {
        self.running.under_way = 0;
        self.closing.iter_mut().for_each(|block| block.under_way = 0);
    }

    /// Ends the block that runs if it may end; `toss` gives the next block's coin. Answers whether it ended. No more than
    /// two blocks have requests under way.
    pub(super) fn end_block(&mut self, now: Duration, toss: impl FnOnce(u32) -> bool) -> bool {
        if self.finding != Finding::Open {
            return false;
        }
        self.settle(now);
        let begun = self.running.requests >= 1.0 || self.running.under_way > 0;
        if self.closing.is_some() || !begun || now < self.running.since + BLOCK_LEAST {
            return false;
        }
        let next = self.running.number + 1;
        self.closing = Some(std::mem::replace(&mut self.running, Block::new(next, toss(next), now)));
        self.settle(now);
        true
    }

    /// Counts the block that is over once nothing of it is under way any more. It is counted once, when nobody's coin
    /// has a say in it.
    fn settle(&mut self, now: Duration) {
        let is_complete = |block: &mut Block| block.under_way == 0 || now >= self.running.since + LATE_MOST;
        let Some(over) = self.closing.take_if(is_complete) else { return };
        self.log_wealth += block(over.bad, over.requests, self.suspected, self.usual, COIN, over.on_canary);
        if !over.on_canary {
            self.bad_on_stable += over.bad;
            self.requests_on_stable += over.requests;
        }
        self.blocks += 1;
    }

    /// Where its bucket's requests go now, if not by rank.
    pub(super) fn apart(&self) -> Option<Apart> {
        let Block { number, on_canary, .. } = self.running;
        match self.finding {
            Finding::Open => {
                let track = if on_canary { Track::Canary } else { Track::Stable };
                Some(Apart::Examined { track, turn: Turn::of(number) })
            }
            Finding::Refuted => Some(Apart::Refuted),
            Finding::WentAway => None,
        }
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

impl Block {
    fn new(number: u32, on_canary: bool, since: Duration) -> Block {
        Block { number, on_canary, since, bad: 0.0, requests: 0.0, under_way: 0 }
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
    use crate::core::evidence::suspects::coin;
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
            exam.count(Turn::of(i as u32), blocks[i][1], blocks[i][2], 0);
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
                exam.count(Turn::of(i - 1), bad_on(exam.running.on_canary, i), 1.0, 0);
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

    /// A request a second. Whoever `fails`, by the second and the coin, does so after `late_secs`, everybody else answers at
    /// once. The examination as it ends, and the most that it had won.
    fn of_timeouts(late_secs: u64, fails: impl Fn(u64, bool) -> bool, toss: impl Fn(u32) -> bool) -> (Examination, f64) {
        let suspicion = Suspicion { bucket: 0, metric: Metric::Errors, rate: 1.0, usual: 0.005, expected_suspects: 0.0 };
        let mut exam = Examination::open(&suspicion, toss(0), Duration::ZERO);
        let (mut under_way, mut most): (Vec<(u64, Turn)>, f64) = (Vec::new(), 0.0);
        for second in 0..300 {
            exam.forget_under_way();
            let turn = Turn::of(exam.running.number);
            match fails(second, exam.running.on_canary) {
                true => under_way.push((second + late_secs, turn)),
                false => exam.count(turn, 0.0, 1.0, 0),
            }
            for (ends, turn) in &under_way {
                exam.count(*turn, f64::from(u8::from(*ends == second)), f64::from(u8::from(*ends == second)), u32::from(*ends > second));
            }
            under_way.retain(|(ends, _)| *ends > second);
            exam.end_block(Duration::from_secs(second + 1), &toss);
            exam.conclude();
            most = most.max(exam.log_wealth);
            if exam.finding != Finding::Open {
                break;
            }
        }
        (exam, most)
    }

    /// Were it counted in the block that it ends in, if that block's coin is for the side that answered, a customer that
    /// recovers as its timeouts of a minute come in would win 150 in 99 % of its examinations.
    #[test]
    fn a_customers_own_timeouts_win_no_more_than_a_fair_bet() {
        const EXAMS: u64 = 5_000;
        // Three standard errors more.
        let most = (EXAMS as f64 / 150.0) + 3.0 * (EXAMS as f64 / 150.0).sqrt();
        for (late_secs, recovers) in [(10, 0), (10, 60), (60, 0), (60, 60), (60, 200), (100, 100)] {
            let exam = |seed: &u64| of_timeouts(late_secs, |second, _| second < recovers, |block| coin(*seed, 0, block));
            let won = (0..EXAMS).filter(|seed| exam(seed).1 >= 150.0_f64.ln()).count();
            assert!(won as f64 <= most, "{late_secs} s late, until {recovers} s: {won}");
        }
    }

    #[test]
    fn a_canary_that_hangs_is_found_although_its_failures_come_late() {
        for late_secs in [10, 60] {
            let (exam, most) = of_timeouts(late_secs, |_, on_canary| on_canary, |block| block % 3 != 2);
            assert!(exam.finding == Finding::Open && most > 10.0_f64.ln(), "{late_secs} {exam:?}");
        }
    }

    proptest! {
        #[test]
        fn a_block_is_fair(bad in 0u32..20, more in 0u32..20, suspected in 0.15..0.95_f64, part in 0.01..0.33_f64) {
            let of = |on_canary| block(f64::from(bad), f64::from(bad + more), suspected, suspected * part, COIN, on_canary).exp();
            prop_assert!((COIN * of(true) + (1.0 - COIN) * of(false) - 1.0).abs() < 1e-9);
        }
    }
}
