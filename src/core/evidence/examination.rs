//! Cross-examination. If one workspace looks broken on the canary, a coin sends that workspace alone to the canary or to stable,
//! again and again. Trouble of the workspace's own does not depend on the coin; trouble of the canary does. The coin is fair
//! whatever the customer does, so the wealth of an examination is evidence.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::metric::Metric;
use super::question::Question;
use crate::core::split::{Apart, Track, Turn};
use crate::core::tally::Tally;

/// The probability that a block goes to the canary: less than a half, to spare a customer that may be suffering.
pub(super) const COIN: f64 = 1.0 / 3.0;
/// A block takes at least this long and has at least one request.
const BLOCK_LEAST: Duration = Duration::from_secs(5);
/// The longest wait for a block's last answers after its end: the longest usual timeout is a minute.
const LATE_MOST: Duration = Duration::from_secs(75);
/// Below this wealth the examination ends: the canary is acquitted.
const GIVE_UP: f64 = 0.05;
/// After this many blocks the examination ends, unless its wealth is at least `GO_ON`. Then the canary is still suspected, and the
/// examination goes on to spare the customer.
const BLOCKS_MOST: u32 = 80;
const GO_ON: f64 = 2.0;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Finding {
    /// Coins are being tossed.
    Open,
    /// The workspace fails on stable too: the trouble is its own. It stays on stable for the rest of the rollout.
    Refuted,
    /// The workspace does not fail any more: it goes back to the canary.
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
    pub finding: Finding,
    question: Question,
    /// ρ: the part of the wealth that is bet on this examination.
    stake: f64,
    pub log_wealth: f64,
    /// The number of blocks that have ended and are counted.
    pub blocks: u32,
    /// The block that takes the bucket's requests now.
    running: Block,
    /// The block before, while some of its requests are under way.
    closing: Option<Block>,
    on_stable: Tally,
}

/// A request counts in the block that *routed* it, whenever it ends. So the count of a block does not depend on where its coin sent it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Block {
    number: u32,
    /// The block's coin: `true` for the canary.
    on_canary: bool,
    since: Duration,
    tally: Tally,
    under_way: u32,
}

/// The facts that make a bucket suspect.
pub(super) struct Suspicion {
    pub bucket: usize,
    pub question: Question,
    /// How many suspects the canary would have by now if it were as good as stable.
    pub expected_suspects: f64,
}

impl Examination {
    pub(super) fn open(suspicion: &Suspicion, on_canary: bool, now: Duration) -> Examination {
        Examination {
            bucket: suspicion.bucket,
            finding: Finding::Open,
            question: suspicion.question,
            stake: stake(suspicion.expected_suspects),
            log_wealth: 0.0,
            blocks: 0,
            running: Block::new(0, on_canary, now),
            closing: None,
            on_stable: Tally::default(),
        }
    }

    /// The metric in which the bucket became suspect.
    pub fn metric(&self) -> Metric {
        self.question.metric()
    }

    /// Counts requests of the block of this turn: `tally` has those that ended since the last call, `under_way` those that did not.
    pub(super) fn count(&mut self, turn: Turn, tally: Tally, under_way: u32) {
        let closing = self.closing.as_mut().filter(|block| Turn::of(block.number) == turn);
        let running = Some(&mut self.running).filter(|block| Turn::of(block.number) == turn);
        if let Some(block) = closing.or(running) {
            block.tally += tally;
            block.under_way += under_way;
        }
    }

    /// Sets the requests under way to 0, before they are counted anew.
    pub(super) fn forget_under_way(&mut self) {
        self.running.under_way = 0;
        self.closing.iter_mut().for_each(|block| block.under_way = 0);
    }

    /// Ends the running block, if it may end; `toss` returns the next block's coin. Returns `true` if the block ended. At most two
    /// blocks have requests under way.
    pub(super) fn end_block(&mut self, now: Duration, toss: impl FnOnce(u32) -> bool) -> bool {
        if self.finding != Finding::Open {
            return false;
        }
        self.settle(now);
        let begun = self.running.tally.requests > 0 || self.running.under_way > 0;
        if self.closing.is_some() || !begun || now < self.running.since + BLOCK_LEAST {
            return false;
        }
        let next = self.running.number + 1;
        self.closing = Some(std::mem::replace(&mut self.running, Block::new(next, toss(next), now)));
        self.settle(now);
        true
    }

    /// Counts the block that is over, once none of its requests is under way. It is counted once, at a moment that does not depend
    /// on any coin.
    fn settle(&mut self, now: Duration) {
        let is_complete = |block: &mut Block| block.under_way == 0 || now >= self.running.since + LATE_MOST;
        let Some(over) = self.closing.take_if(is_complete) else { return };
        self.log_wealth += bet(self.question.log_ratio(&over.tally), COIN, over.on_canary);
        if !over.on_canary {
            self.on_stable += over.tally;
            self.question.learn(&over.tally);
        }
        self.blocks += 1;
    }

    /// Where the bucket's requests go now. `None` if they go by rank.
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

    /// Closes an examination that has reached its end.
    pub(super) fn conclude(&mut self) {
        let go_on = self.log_wealth >= GIVE_UP.ln() && (self.blocks < BLOCKS_MOST || self.log_wealth >= GO_ON.ln());
        if self.finding == Finding::Open && !go_on {
            self.finding = if self.question.is_own_trouble(&self.on_stable) { Finding::Refuted } else { Finding::WentAway };
        }
    }

    /// Closes the examination without a finding: another one replaces it, or examinations are switched off.
    pub(super) fn give_way(&mut self) {
        self.finding = Finding::WentAway;
    }

    /// The factor of this examination in X, as a logarithm: `ln(1 − ρ + ρM)`.
    pub(super) fn log_factor(&self) -> f64 {
        (1.0 - self.stake + self.stake * self.log_wealth.min(50.0).exp()).ln()
    }
}

impl Block {
    fn new(number: u32, on_canary: bool, since: Duration) -> Block {
        Block { number, on_canary, since, tally: Tally::default(), under_way: 0 }
    }
}

/// ρ = 1/(2 + 2e): the more suspects stable itself has, the less each one means.
fn stake(expected_suspects: f64) -> f64 {
    1.0 / (2.0 + 2.0 * expected_suspects)
}

/// What a block adds to the log-wealth, if the coin falls on the canary with probability `coin`.
fn bet(log_ratio: f64, coin: f64, on_canary: bool) -> f64 {
    (if on_canary { log_ratio } else { 0.0 }) - (1.0 - coin + coin * log_ratio.exp()).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::evidence::golden::{self, close};
    use crate::core::evidence::question::BLOCK_MOST;
    use crate::core::evidence::suspects::coin;
    use proptest::prelude::*;

    fn bad(bad: f64, requests: f64) -> Tally {
        Tally { requests: requests as u32, errors: bad as u32, ..Tally::default() }
    }

    #[test]
    fn blocks_are_the_golden_ones() {
        for v in golden::list("v2_exam_block") {
            let of = |name: &str| golden::number(&v[name]);
            close(of("clip"), BLOCK_MOST, &v);
            let question = Question::Bad { metric: Metric::Errors, suspected: of("p1"), usual: of("p0") };
            close(bet(question.log_ratio(&bad(of("x"), of("k"))), of("pc"), v["canary"] == 1), of("loge"), &v);
        }
    }

    #[test]
    fn a_whole_examination_is_the_golden_one() {
        let v = golden::value("v2_exam_trace");
        let suspicion = Suspicion { bucket: 0, question: Question::bad(Metric::Errors, 1.0, 0.001), expected_suspects: 0.02 };
        let blocks: Vec<Vec<f64>> = v["blocks"].as_array().unwrap().iter().map(golden::numbers).collect();
        let mut exam = Examination::open(&suspicion, blocks[0][0] == 1.0, Duration::ZERO);
        assert_eq!(exam.question, Question::Bad { metric: Metric::Errors, suspected: 0.95, usual: 0.01 });
        for (i, log) in golden::numbers(&v["log_wealth"]).into_iter().enumerate() {
            exam.count(Turn::of(i as u32), bad(blocks[i][1], blocks[i][2]), 0);
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
        let suspicion = Suspicion { bucket: 3, question: Question::bad(Metric::Errors, 0.9, 0.01), expected_suspects: 0.1 };
        let run = |bad_on: fn(bool, u32) -> f64| {
            let mut exam = Examination::open(&suspicion, true, Duration::ZERO);
            for i in 1..=BLOCKS_MOST {
                exam.count(Turn::of(i - 1), bad(bad_on(exam.running.on_canary, i), 1.0), 0);
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

    /// Simulates one request per second. A request for which `fails` (by the second and the coin) is true fails after `late_secs`;
    /// the others are answered at once. Returns the examination at its end, and the most that it had won.
    fn of_timeouts(late_secs: u64, fails: impl Fn(u64, bool) -> bool, toss: impl Fn(u32) -> bool) -> (Examination, f64) {
        let suspicion = Suspicion { bucket: 0, question: Question::bad(Metric::Errors, 1.0, 0.005), expected_suspects: 0.0 };
        let mut exam = Examination::open(&suspicion, toss(0), Duration::ZERO);
        let (mut under_way, mut most): (Vec<(u64, Turn)>, f64) = (Vec::new(), 0.0);
        for second in 0..300 {
            exam.forget_under_way();
            let turn = Turn::of(exam.running.number);
            match fails(second, exam.running.on_canary) {
                true => under_way.push((second + late_secs, turn)),
                false => exam.count(turn, bad(0.0, 1.0), 0),
            }
            for (ends, turn) in &under_way {
                let ended = f64::from(u8::from(*ends == second));
                exam.count(*turn, bad(ended, ended), u32::from(*ends > second));
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

    /// If a request counted in the block in which it ends, and only if that block's coin is for the track that answered, a customer
    /// that recovers while its timeouts of a minute arrive would win 150 in 99 % of its examinations.
    #[test]
    fn a_customers_own_timeouts_win_no_more_than_a_fair_bet() {
        const EXAMS: u64 = 5_000;
        // Plus three standard errors.
        let most = (EXAMS as f64 / 150.0) + 3.0 * (EXAMS as f64 / 150.0).sqrt();
        for (late_secs, recovers) in [(10, 0), (10, 60), (60, 0), (60, 60), (60, 200), (100, 100)] {
            let exam = |seed: &u64| of_timeouts(late_secs, |second, _| second < recovers, |block| coin(*seed, 0, 0, block));
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
        fn a_block_is_fair(log_ratio in -BLOCK_MOST..BLOCK_MOST) {
            let of = |on_canary| bet(log_ratio, COIN, on_canary).exp();
            prop_assert!((COIN * of(true) + (1.0 - COIN) * of(false) - 1.0).abs() < 1e-9);
        }
    }
}
