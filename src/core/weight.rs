//! The canary's share of the buckets, in steps of 0.01 %.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The canary's share of buckets: 0 to 100 %, stored in basis points so that comparing weights is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u16")]
pub struct Weight(u16);

impl TryFrom<u16> for Weight {
    type Error = &'static str;

    fn try_from(bp: u16) -> Result<Weight, &'static str> {
        Weight::from_bp(bp).ok_or("no weight is above 100%")
    }
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WeightError {
    #[error("a weight is a percentage such as \"5%\" or \"12.5%\"")]
    NotAPercentage,
    #[error("a weight is between 0% and 100%")]
    OutOfRange,
    #[error("a weight has at most two decimals (steps of 0.01%)")]
    TooPrecise,
}

impl Weight {
    pub const ZERO: Weight = Weight(0);
    pub const FULL: Weight = Weight(10_000);

    /// From basis points (1 = 0.01 %). `None` above 10,000.
    pub fn from_bp(weight_bp: u16) -> Option<Weight> {
        (weight_bp <= Self::FULL.0).then_some(Weight(weight_bp))
    }

    /// From a number of per cent such as `5` or `12.5`. Errors if it has more than two decimals or is outside 0 to 100.
    pub fn from_percent(percent: f64) -> Result<Weight, WeightError> {
        if !percent.is_finite() || !(0.0..=100.0).contains(&percent) {
            return Err(WeightError::OutOfRange);
        }
        let bp = percent * 100.0;
        // 0.07 * 100.0 is 7.000000000000001: the rounding error of two decimals is far below 1e-6.
        if (bp - bp.round()).abs() > 1e-6 {
            return Err(WeightError::TooPrecise);
        }
        Ok(Weight(bp.round() as u16))
    }

    pub fn bp(self) -> u16 {
        self.0
    }

    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 10_000.0
    }

    /// A bucket is canary iff its rank is below this: `floor(weight · 2^64)`. It has one bit more than a rank, so that 100 % is
    /// above every rank and 0 % above none, without a special case.
    pub fn threshold(self) -> u128 {
        (u128::from(self.0) << 64) / u128::from(Self::FULL.0)
    }

    /// The least weight whose threshold is above this rank.
    pub fn first_above(rank: u64) -> Weight {
        let scaled = u128::from(rank) * u128::from(Self::FULL.0);
        let guess = (scaled >> 64) as u16;
        let candidates = (guess..=Self::FULL.0).map(Weight);
        candidates.into_iter().find(|weight| u128::from(rank) < weight.threshold()).unwrap_or(Self::FULL)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, hundredths) = (self.0 / 100, self.0 % 100);
        match hundredths {
            0 => write!(f, "{whole}%"),
            h if h % 10 == 0 => write!(f, "{whole}.{}%", h / 10),
            h => write!(f, "{whole}.{h:02}%"),
        }
    }
}

impl FromStr for Weight {
    type Err = WeightError;

    /// Reads `"5%"`, `"12.5 %"`, `"0.01%"`; the sign may be missing.
    fn from_str(text: &str) -> Result<Weight, WeightError> {
        let number = text.trim().trim_end_matches('%').trim_end();
        let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(decimals) || (number.contains('.') && decimals.is_empty()) {
            return Err(WeightError::NotAPercentage);
        }
        if decimals.trim_end_matches('0').len() > 2 {
            return Err(WeightError::TooPrecise);
        }
        let whole: u32 = whole.parse().map_err(|_| WeightError::OutOfRange)?;
        let hundredths = format!("{:0<2.2}", decimals).parse::<u32>().map_err(|_| WeightError::NotAPercentage)?;
        let bp = whole.checked_mul(100).and_then(|w| w.checked_add(hundredths)).ok_or(WeightError::OutOfRange)?;
        u16::try_from(bp).ok().and_then(Weight::from_bp).ok_or(WeightError::OutOfRange)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_weight_reads_as_people_write_it() {
        for (text, bp) in [("5%", 500), ("12.5 %", 1250), ("0.01%", 1), ("100%", 10_000), ("0", 0), ("7.10%", 710), ("5.000%", 500)] {
            assert_eq!(text.parse::<Weight>().map(Weight::bp), Ok(bp), "{text}");
        }
    }

    #[test]
    fn what_is_no_weight_is_refused_with_the_reason() {
        for (text, error) in [
            ("", WeightError::NotAPercentage),
            ("%", WeightError::NotAPercentage),
            ("5.%", WeightError::NotAPercentage),
            ("-1%", WeightError::NotAPercentage),
            ("+5%", WeightError::NotAPercentage),
            ("five", WeightError::NotAPercentage),
            ("1e1%", WeightError::NotAPercentage),
            ("100.01%", WeightError::OutOfRange),
            ("99999999999%", WeightError::OutOfRange),
            ("0.001%", WeightError::TooPrecise),
        ] {
            assert_eq!(text.parse::<Weight>(), Err(error), "{text}");
        }
        assert_eq!(Weight::from_percent(f64::NAN), Err(WeightError::OutOfRange));
        assert_eq!(Weight::from_percent(0.001), Err(WeightError::TooPrecise));
        assert_eq!(Weight::from_percent(-0.01), Err(WeightError::OutOfRange));
    }

    #[test]
    fn nothing_is_below_zero_and_everything_below_full() {
        assert_eq!(Weight::ZERO.threshold(), 0);
        assert!(u128::from(u64::MAX) < Weight::FULL.threshold());
    }

    proptest! {
        #[test]
        fn the_first_weight_above_a_rank_is_the_first(rank: u64) {
            let first = Weight::first_above(rank);
            prop_assert!(u128::from(rank) < first.threshold());
            prop_assert!(first == Weight::ZERO || u128::from(rank) >= Weight(first.0 - 1).threshold());
        }

        #[test]
        fn every_weight_reads_back_what_it_prints(bp in 0u16..=10_000) {
            let weight = Weight::from_bp(bp).unwrap();
            prop_assert_eq!(weight.to_string().parse::<Weight>(), Ok(weight));
            prop_assert_eq!(Weight::from_percent(weight.percent()), Ok(weight));
        }

        #[test]
        fn a_greater_weight_has_a_greater_threshold(a in 0u16..10_000) {
            prop_assert!(Weight(a).threshold() < Weight(a + 1).threshold());
        }
    }
}
