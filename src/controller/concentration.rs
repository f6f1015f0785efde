//! Pure functions over the tallies of the current split: whether most of the canary's failures come from one bucket, and whether that
//! bucket also fails on stable.

use crate::core::{Bucket, Tally};
use crate::live::Failing;

/// Fewer failures than this say nothing about where failures come from.
const FAILURES_LEAST: u64 = 5;
/// With fewer active buckets on the canary, one of them has most of everything.
const BUCKETS_LEAST: usize = 3;
/// The least number of failures to expect on stable if the bucket failed there as often as on the canary. With 3 expected, the chance
/// of none at all is e⁻³ = 5 %, and more than half as many are likely. With fewer expected nothing is concluded.
const EXPECTED_LEAST: f64 = 3.0;
/// A bucket fails on stable, too, if its failure rate there is at least this part of its rate on the canary.
const AS_OFTEN: f64 = 0.5;

/// One bucket has at least half of the canary's failures of one kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Concentrated {
    pub failing: Failing,
    pub bucket: Bucket,
    /// The bucket's tally on the canary.
    pub tally: Tally,
    /// All failures of this kind on the canary.
    pub of: u64,
}

/// What is known of one bucket on stable. The pairs are failures and requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OnStable {
    /// Whether an examination found that the workspace fails on stable as well.
    pub refuted: bool,
    /// Stable's answers to the bucket in this split, while the bucket was set aside.
    pub set_aside: (f64, f64),
    /// The bucket's past on stable; old counts weigh less.
    pub past: (f64, f64),
}

/// Returns the bucket with the most failures of the first kind of which the canary has enough, if it has at least half of them; `None`
/// otherwise. `rescued`: the canary's errors that are counted for no bucket.
pub(super) fn concentrated(canary: &[(Bucket, Tally)], rescued: u32) -> Option<Concentrated> {
    if canary.len() < BUCKETS_LEAST {
        return None;
    }
    let all = |failing: Failing| {
        let without = if failing == Failing::Errors { u64::from(rescued) } else { 0 };
        canary.iter().fold(without, |sum, (_, tally)| sum + u64::from(failing.of(tally)))
    };
    let (failing, of) = Failing::ALL.into_iter().map(|failing| (failing, all(failing))).find(|(_, of)| *of >= FAILURES_LEAST)?;
    let (bucket, tally) = *canary.iter().max_by_key(|(bucket, tally)| (failing.of(tally), std::cmp::Reverse(*bucket)))?;
    let in_bucket = u64::from(failing.of(&tally));
    (in_bucket >= FAILURES_LEAST && in_bucket * 2 >= of).then_some(Concentrated { failing, bucket, tally, of })
}

impl OnStable {
    /// Whether the bucket fails on stable; `None` if too little is known. `rate`: the share of its requests on the canary that fail.
    pub fn fails(&self, rate: f64) -> Option<bool> {
        if self.refuted {
            return Some(true);
        }
        // What is counted now says more than the past.
        let (failed, requests) = [self.set_aside, self.past].into_iter().find(|(_, requests)| requests * rate >= EXPECTED_LEAST)?;
        Some(failed >= AS_OFTEN * rate * requests)
    }
}

/// The share of a bucket's requests that fail in this way.
pub(super) fn rate(failing: Failing, tally: &Tally) -> f64 {
    f64::from(failing.of(tally)) / f64::from(tally.requests.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bucket(number: u16) -> Bucket {
        Bucket::try_from(number).unwrap()
    }

    fn errors(counts: &[u32]) -> Vec<(Bucket, Tally)> {
        let tally = |errors: &u32| Tally { requests: 100, errors: *errors, ..Tally::default() };
        counts.iter().enumerate().map(|(number, errors)| (bucket(number as u16), tally(errors))).collect()
    }

    fn found(counts: &[u32], rescued: u32) -> Option<(usize, u32, u64)> {
        concentrated(&errors(counts), rescued).map(|found| (found.bucket.index(), found.failing.of(&found.tally), found.of))
    }

    #[test]
    fn one_bucket_must_have_five_failures_and_half_of_all_among_three_that_are_active() {
        assert_eq!(found(&[0, 9, 1], 0), Some((1, 9, 10)));
        assert_eq!(found(&[0, 9], 0), None, "of two buckets one always has half");
        assert_eq!(found(&[0, 4, 0], 0), None, "four are chance");
        assert_eq!(found(&[5, 0, 0], 0), Some((0, 5, 5)));
        assert_eq!(found(&[5, 3, 2], 0), Some((0, 5, 10)), "half is enough");
        assert_eq!(found(&[5, 3, 3], 0), None);
        assert_eq!(found(&[5, 5, 0], 0), Some((0, 5, 10)), "of two that are alike the first");
        assert_eq!((found(&[], 9), found(&[9, 0, 0], 10)), (None, None), "what was rescued is of no bucket");
    }

    #[test]
    fn errors_go_before_late_answers_and_these_before_rejected_requests() {
        let of = |errors, late, rejected| Tally { requests: 100, errors, late, rejected, ..Tally::default() };
        let found = |first: Tally| concentrated(&[(bucket(0), first), (bucket(1), of(4, 0, 0)), (bucket(2), of(0, 0, 6))], 0);
        let failing = |found: Option<Concentrated>| found.map(|found| found.failing);
        assert_eq!(failing(found(of(9, 9, 99))), Some(Failing::Errors));
        assert_eq!(failing(found(of(0, 9, 99))), Some(Failing::Late));
        assert_eq!(failing(found(of(0, 0, 99))), Some(Failing::Rejected));
        assert_eq!(failing(found(of(3, 9, 99))), None, "there are seven errors, and they are spread");
    }

    #[test]
    fn a_bucket_fails_on_stable_too_if_it_does_so_half_as_often() {
        let past = |failed: f64, requests: f64| OnStable { past: (failed, requests), ..OnStable::default() };
        assert_eq!(past(450.0, 1_000.0).fails(0.9), Some(true));
        assert_eq!(past(440.0, 1_000.0).fails(0.9), Some(false), "it fails more often than it ever did");
        assert_eq!(past(0.0, 4.0).fails(0.9), Some(false));
        assert_eq!(past(0.0, 3.0).fails(0.9), None, "too little is known");
        assert_eq!(past(0.0, 50.0).fails(0.05), None);
        assert_eq!(OnStable::default().fails(1.0), None);
    }

    #[test]
    fn what_stable_answers_now_goes_before_the_past_and_a_finding_before_both() {
        let known = OnStable { refuted: false, set_aside: (8.0, 10.0), past: (0.0, 1_000.0) };
        assert_eq!(known.fails(0.9), Some(true), "it broke today");
        assert_eq!(OnStable { set_aside: (2.0, 2.0), ..known }.fails(0.9), Some(false), "two requests say less than its past");
        assert_eq!(OnStable { refuted: true, set_aside: (0.0, 10.0), ..known }.fails(0.9), Some(true));
    }

    proptest! {
        #[test]
        fn a_concentration_has_at_least_half_of_all_failures(counts in proptest::collection::vec(0_u32..20, 0..8), rescued in 0_u32..10) {
            if let Some((at, in_bucket, of)) = found(&counts, rescued) {
                prop_assert_eq!((in_bucket, of), (counts[at], u64::from(counts.iter().sum::<u32>() + rescued)));
                prop_assert!(in_bucket >= 5 && u64::from(in_bucket) * 2 >= of && counts.iter().all(|count| *count <= in_bucket));
            }
        }
    }
}
