//! Counts of latencies by size: sixteen bins for each doubling, so that a quantile is wrong by at most 4.5 %.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The bins for each doubling of the latency.
const FINENESS: usize = 16;
/// The first bin ends at 2^6 = 64 µs, the last one begins at 2^27 µs, 134 s.
const FIRST_OCTAVE: usize = 6;
const OCTAVES: usize = 21;

/// The number of bins.
pub const LATENCY_BINS: usize = FINENESS * OCTAVES + 1;

/// The number of requests in each bin. Can be added over cores and over time. Without a request there are no bins.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(into = "Vec<u32>", try_from = "Vec<u32>")]
pub struct Latencies(Option<Box<[u32; LATENCY_BINS]>>);

impl From<Latencies> for Vec<u32> {
    fn from(latencies: Latencies) -> Vec<u32> {
        latencies.0.map_or_else(|| vec![0; LATENCY_BINS], |bins| bins.to_vec())
    }
}

impl TryFrom<Vec<u32>> for Latencies {
    type Error = &'static str;

    fn try_from(bins: Vec<u32>) -> Result<Latencies, &'static str> {
        let bins: Box<[u32; LATENCY_BINS]> = bins.try_into().map_err(|_| "another number of bins")?;
        Ok(Latencies(Some(bins).filter(|bins| bins.iter().any(|count| *count > 0))))
    }
}

/// Bins without a request are equal to no bins.
impl PartialEq for Latencies {
    fn eq(&self, other: &Latencies) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => self.is_empty() && other.is_empty(),
        }
    }
}

impl Eq for Latencies {}

/// The bin of a latency. Within an octave the bins are equally wide, so it takes one shift and one mask.
pub fn latency_bin(micros: u64) -> usize {
    let micros = micros.max(1 << FIRST_OCTAVE);
    let octave = micros.ilog2() as usize;
    let within = (micros >> (octave - 4)) as usize & (FINENESS - 1);
    ((octave - FIRST_OCTAVE) * FINENESS + within).min(LATENCY_BINS - 1)
}

/// Where a bin begins, in microseconds.
fn begins(bin: usize) -> u64 {
    let (octave, within) = (bin / FINENESS + FIRST_OCTAVE, (bin % FINENESS) as u64);
    (1 << octave) + (within << (octave - 4))
}

impl Latencies {
    pub fn add(&mut self, bin: usize, count: u32) {
        if count > 0 {
            let bins = self.0.get_or_insert_with(|| Box::new([0; LATENCY_BINS]));
            bins[bin] = bins[bin].saturating_add(count);
        }
    }

    pub fn merge(&mut self, other: &Latencies) {
        match (&mut self.0, &other.0) {
            (_, None) => {}
            (None, Some(_)) => self.0 = other.0.clone(),
            (Some(bins), Some(others)) => bins.iter_mut().zip(others.iter()).for_each(|(sum, count)| *sum = sum.saturating_add(*count)),
        }
    }

    /// Subtracts what was merged before.
    pub fn take_out(&mut self, other: &Latencies) {
        if let (Some(bins), Some(others)) = (&mut self.0, &other.0) {
            bins.iter_mut().zip(others.iter()).for_each(|(sum, count)| *sum = sum.saturating_sub(*count));
            self.0.take_if(|bins| bins.iter().all(|count| *count == 0));
        }
    }

    pub fn halve(&mut self) {
        self.0.iter_mut().flat_map(|bins| bins.iter_mut()).for_each(|count| *count /= 2);
    }

    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    pub fn count(&self) -> u64 {
        self.0.iter().flat_map(|bins| bins.iter()).map(|count| u64::from(*count)).sum()
    }

    /// The latency that a `share` of the requests do not exceed, in microseconds. Within a bin the requests count as evenly spread.
    pub fn quantile_micros(&self, share: f64) -> Option<u64> {
        let (bins, total) = (self.0.as_ref()?, self.count());
        if total == 0 {
            return None;
        }
        let rank = share * total as f64;
        let mut below = 0.0;
        for (bin, count) in bins.iter().enumerate().filter(|(_, count)| **count > 0) {
            let count = f64::from(*count);
            if below + count >= rank {
                let width = (begins(bin + 1) - begins(bin)) as f64;
                return Some(begins(bin) + ((rank - below).max(0.0) / count * width) as u64);
            }
            below += count;
        }
        Some(begins(LATENCY_BINS))
    }

    pub fn quantile(&self, share: f64) -> Option<Duration> {
        self.quantile_micros(share).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_of_a_hundred_latencies() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile(0.5), None);
        for millis in 1..=100u64 {
            latencies.add(latency_bin(millis * 1_000), 1);
        }
        for (share, millis) in [(0.5, 50.0), (0.9, 90.0), (0.99, 99.0)] {
            let got = latencies.quantile(share).unwrap().as_secs_f64() * 1_000.0;
            assert!((got / millis - 1.0).abs() < 0.07, "{share}: {got}");
        }
    }

    proptest! {
        #[test]
        fn a_latency_lies_in_its_bin(micros in 64u64..(1 << 27)) {
            let bin = latency_bin(micros);
            prop_assert!(begins(bin) <= micros && micros < begins(bin + 1), "{bin}: {}..{}", begins(bin), begins(bin + 1));
        }

        #[test]
        fn a_bin_is_no_wider_than_a_sixteenth(bin in 0usize..LATENCY_BINS) {
            prop_assert!((begins(bin + 1) - begins(bin)) * 16 <= begins(bin));
        }

        #[test]
        fn any_latency_has_a_bin(micros: u64) {
            prop_assert!(latency_bin(micros) < LATENCY_BINS);
        }

        #[test]
        fn what_was_merged_can_be_taken_out(a in proptest::collection::vec(0usize..LATENCY_BINS, 0..40), b in proptest::collection::vec(0usize..LATENCY_BINS, 0..40)) {
            let of = |bins: &[usize]| {
                let mut latencies = Latencies::default();
                bins.iter().for_each(|bin| latencies.add(*bin, 1));
                latencies
            };
            let mut both = of(&a);
            both.merge(&of(&b));
            both.take_out(&of(&b));
            prop_assert_eq!(&both, &of(&a));
            let kept: Latencies = rmp_serde::from_slice(&rmp_serde::to_vec(&both).unwrap()).unwrap();
            prop_assert!(kept == both && Vec::from(kept).len() == LATENCY_BINS);
            both.take_out(&of(&a));
            prop_assert!(both == Latencies::default() && both.quantile(0.5).is_none());
        }
    }
}
