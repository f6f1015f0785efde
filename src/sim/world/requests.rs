//! One workspace's requests of one tick, answered by both tracks with the same random numbers: a request that fails on a track with
//! 2 % errors also fails on one with 7 %, and its latency differs only by what the release adds.

use super::counts::TrackCounts;
use super::latency::{Latency, SlowMarks, UNIT_MICROS};
use crate::sim::dice::Dice;
use crate::sim::scenario::SlowFrom;

/// The probabilities of a request's outcomes on each track: stable first, then the canary.
#[derive(Clone, Copy, Debug)]
pub struct Chances {
    pub error: [f64; 2],
    /// Of requests that are no error.
    pub rejected: [f64; 2],
    /// Of requests that are neither an error nor rejected.
    pub late: [f64; 2],
    /// The part of the latency that both tracks share, in z.
    pub shift: f64,
}

/// How a scenario changes a track's latencies at this moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slower {
    /// In z.
    pub shift: f64,
    pub added_micros: f64,
    /// Only requests whose own z is above this are changed.
    pub from: f64,
    pub events: f64,
}

/// Both tracks' answers to a workspace's requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct PairedAnswers {
    pub stable: TrackCounts,
    pub canary: TrackCounts,
    /// How many requests the canary made bad, minus those that only stable answered badly.
    pub made_bad: i32,
    /// ln of the likelihood ratio of the canary's answers: with the canary's probabilities against stable's.
    pub log_ratio: f64,
}

/// How requests are answered in this world.
pub struct Law<'a> {
    pub latency: &'a Latency,
    pub slow_from: Option<SlowFrom>,
    /// For stable, and for the canary.
    pub slower: [&'a [Slower]; 2],
}

/// The greatest probability for the oracle. With 1 it would be certain after one request.
const NEARLY_ONE: f64 = 0.999_999;

impl Law<'_> {
    /// Answers `requests` on each track. As far as both numbers go, they are the same requests.
    pub fn answer(&self, dice: &mut Dice, requests: [u32; 2], chances: &Chances) -> PairedAnswers {
        let common = requests[0].min(requests[1]);
        let mut answers = PairedAnswers::default();
        let [stable, canary] = outcomes(dice, common, chances);
        (answers.stable, answers.canary) = (stable, canary);
        answers.made_bad = canary.bad() as i32 - stable.bad() as i32;
        self.time(dice, common, chances.shift, &mut answers);
        // A request that only one track gets has no counterpart, so it counts neither as made bad nor as mended.
        for (track, more) in requests.map(|requests| requests - common).into_iter().enumerate().filter(|(_, more)| *more > 0) {
            let alone = [chances.error, chances.rejected, chances.late].map(|both| [both[track]; 2]);
            let alone = Chances { error: alone[0], rejected: alone[1], late: alone[2], shift: chances.shift };
            let mut extra = PairedAnswers::default();
            [extra.stable, extra.canary] = outcomes(dice, more, &alone);
            self.time(dice, more, chances.shift, &mut extra);
            if track == 0 {
                answers.stable += extra.stable;
            } else {
                answers.canary += extra.canary;
                answers.log_ratio += extra.log_ratio;
            }
        }
        answers.log_ratio += of_outcomes(&answers.canary, chances);
        answers
    }

    /// Gives every request of new answers a latency on both tracks.
    fn time(&self, dice: &mut Dice, requests: u32, shift: f64, answers: &mut PairedAnswers) {
        let marks = self.latency.marks;
        let differ = self.slower[0] != self.slower[1];
        let mut canary = TrackCounts::default();
        for _ in 0..requests {
            let own = self.latency.draw(dice.bits());
            let stable = slowed(dice, own, own + shift, self.slower[0]);
            count(&mut answers.stable, stable, &marks);
            if differ {
                let slowed = slowed(dice, own, own + shift, self.slower[1]);
                count(&mut canary, slowed, &marks);
                answers.log_ratio += self.of_latency(own, slowed - shift, stable - shift);
            }
        }
        if !differ {
            canary = TrackCounts { requests: 0, errors: 0, late: 0, rejected: 0, ..answers.stable };
        }
        answers.canary += canary;
        let stable = &answers.stable;
        answers.made_bad += match self.slow_from {
            None => 0,
            Some(SlowFrom::P90) => canary.above_p90 as i32 - stable.above_p90 as i32,
            Some(SlowFrom::P99) => canary.above_p99 as i32 - stable.above_p99 as i32,
        };
    }

    /// The oracle's log-ratio: it knows which requests were slowed, and by how much.
    fn of_latency(&self, own: f64, on_canary: f64, on_stable: f64) -> f64 {
        if on_canary == on_stable {
            return 0.0;
        }
        self.latency.log_density(own) - self.latency.log_density(own + on_canary - on_stable)
    }
}

fn slowed(dice: &mut Dice, own: f64, mut z: f64, slower: &[Slower]) -> f64 {
    for one in slower {
        if own < one.from || (one.events < 1.0 && !dice.chance(one.events)) {
            continue;
        }
        z += one.shift;
        if one.added_micros > 0.0 {
            z = (z.exp() + one.added_micros / UNIT_MICROS).ln();
        }
    }
    z
}

fn count(counts: &mut TrackCounts, z: f64, marks: &SlowMarks) {
    counts.log_latency += z;
    counts.above_p90 += u32::from(z > marks.p90);
    counts.above_p99 += u32::from(z > marks.p99);
    counts.above_p99_5 += u32::from(z > marks.p99_5);
    counts.above_half_second += u32::from(z > marks.half_second);
}

/// Errors, rejections and late answers of the same requests on both tracks. A request has one outcome.
fn outcomes(dice: &mut Dice, requests: u32, chances: &Chances) -> [TrackCounts; 2] {
    let mut left = [requests; 2];
    let [errors, rejected, late] = [chances.error, chances.rejected, chances.late].map(|both| {
        let happened = nested(dice, left, both);
        left = [left[0] - happened[0], left[1] - happened[1]];
        happened
    });
    [0, 1].map(|track| TrackCounts {
        requests,
        errors: errors[track],
        rejected: rejected[track],
        late: late[track],
        ..TrackCounts::default()
    })
}

/// Like `Dice::pair`, if one track has more requests left than the other.
fn nested(dice: &mut Dice, left: [u32; 2], chances: [f64; 2]) -> [u32; 2] {
    let common = left[0].min(left[1]);
    let [stable, canary] = dice.pair(common, chances);
    [stable + dice.of(left[0] - common, chances[0]), canary + dice.of(left[1] - common, chances[1])]
}

fn of_outcomes(canary: &TrackCounts, chances: &Chances) -> f64 {
    let mut left = canary.requests;
    let mut sum = 0.0;
    for (happened, [usual, now]) in [(canary.errors, chances.error), (canary.rejected, chances.rejected), (canary.late, chances.late)] {
        if usual != now {
            let (usual, now) = (usual.clamp(1.0 - NEARLY_ONE, NEARLY_ONE), now.clamp(1.0 - NEARLY_ONE, NEARLY_ONE));
            sum += f64::from(happened) * (now / usual).ln() + f64::from(left - happened) * ((1.0 - now) / (1.0 - usual)).ln();
        }
        left -= happened;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAIR: Chances = Chances { error: [0.02; 2], rejected: [0.05; 2], late: [0.01; 2], shift: 0.0 };

    fn law<'a>(latency: &'a Latency, slower: &'a [Slower], slow_from: Option<SlowFrom>) -> Law<'a> {
        Law { latency, slow_from, slower: [&[], slower] }
    }

    #[test]
    fn a_fair_release_answers_as_stable_does() {
        let (latency, mut dice) = (Latency::default(), Dice::new(1, "requests"));
        let answers = law(&latency, &[], None).answer(&mut dice, [5_000; 2], &FAIR);
        assert_eq!((answers.stable, answers.made_bad, answers.log_ratio), (answers.canary, 0, 0.0));
        assert_eq!(answers.stable.requests, 5_000);
        // The bounds are five standard errors.
        assert!(answers.stable.errors.abs_diff(100) < 50 && answers.stable.rejected.abs_diff(245) < 77, "{answers:?}");
        assert!(answers.stable.above_p90.abs_diff(465) < 110, "{answers:?}");
    }

    #[test]
    fn what_is_made_bad_is_what_stable_would_have_answered_well() {
        let (latency, mut dice) = (Latency::default(), Dice::new(2, "requests"));
        let worse = Chances { error: [0.02, 1.0], ..FAIR };
        let answers = law(&latency, &[], None).answer(&mut dice, [1_000; 2], &worse);
        assert_eq!((answers.canary.errors, answers.canary.rejected, answers.canary.late), (1_000, 0, 0));
        assert_eq!(answers.made_bad, 1_000 - answers.stable.bad() as i32);
        // Each request adds about ln(1/.02).
        assert!((answers.log_ratio / 1_000.0 - 50.0_f64.ln()).abs() < 1e-3, "{}", answers.log_ratio);
    }

    #[test]
    fn a_slower_canary_has_the_shift_that_was_asked_for() {
        let (latency, mut dice) = (Latency::default(), Dice::new(3, "requests"));
        let slower = [Slower { shift: 1.2_f64.ln(), added_micros: 0.0, from: f64::NEG_INFINITY, events: 1.0 }];
        let answers = law(&latency, &slower, Some(SlowFrom::P90)).answer(&mut dice, [2_000; 2], &FAIR);
        assert!((answers.canary.log_latency - answers.stable.log_latency - 2_000.0 * 1.2_f64.ln()).abs() < 1e-6);
        assert_eq!(answers.made_bad, answers.canary.above_p90 as i32 - answers.stable.above_p90 as i32);
        assert!(answers.made_bad > 0 && answers.log_ratio > 0.0, "{answers:?}");
        let added = [Slower { shift: 0.0, added_micros: 1e6, from: latency.slowest(0.1), events: 0.5 }];
        let answers = law(&latency, &added, Some(SlowFrom::P99)).answer(&mut dice, [10_000; 2], &FAIR);
        let slow = answers.canary.above_half_second - answers.stable.above_half_second;
        assert!(slow.abs_diff(480) < 110, "a twentieth, less those that were so slow before: {slow}");
    }

    #[test]
    fn a_request_that_only_one_track_has_is_no_harm() {
        let (latency, mut dice) = (Latency::default(), Dice::new(4, "requests"));
        let answers = law(&latency, &[], None).answer(&mut dice, [100, 900], &Chances { error: [0.5; 2], ..FAIR });
        assert_eq!((answers.stable.requests, answers.canary.requests, answers.made_bad), (100, 900, 0));
        assert!(answers.canary.errors > 300);
    }

    /// The mean of the ratio is 1 under stable's probabilities, which makes it a likelihood ratio.
    #[test]
    fn the_oracles_ratio_is_one_on_average_where_the_canary_is_fair() {
        let (latency, mut dice) = (Latency::default(), Dice::new(5, "requests"));
        let chances = Chances { error: [0.1, 0.15], ..FAIR };
        let mut sum = 0.0;
        for _ in 0..20_000 {
            // Stable's answers, judged as if they were the canary's.
            let answers = law(&latency, &[], None).answer(&mut dice, [4; 2], &chances);
            sum += of_outcomes(&answers.stable, &chances).exp();
        }
        assert!((sum / 20_000.0 - 1.0).abs() < 0.02, "{}", sum / 20_000.0);
    }
}
