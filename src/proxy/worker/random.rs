//! Random numbers of one worker: for the ids of new traces, and to select webhooks for the access log. Each worker has its own
//! generator, so that no request waits for another thread. Not fit for secrets: the next number can be computed from earlier ones.

use std::cell::RefCell;
use std::hash::{BuildHasher, RandomState};

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::http1::TraceParent;

const ALL_BP: u16 = 10_000;

pub struct Random(RefCell<Xoshiro256PlusPlus>);

impl Random {
    /// Seeds the generator with the random keys that the standard library gets from the system.
    pub fn new() -> Random {
        let keys = RandomState::new();
        let mut seed = [0; 32];
        for (part, bytes) in seed.chunks_exact_mut(8).enumerate() {
            bytes.copy_from_slice(&keys.hash_one(part).to_le_bytes());
        }
        Random(RefCell::new(Xoshiro256PlusPlus::from_seed(seed)))
    }

    /// A new trace. The given share of the traces, in hundredths of a percent, has the flag `sampled`.
    pub fn trace_parent(&self, sampled_bp: u16) -> TraceParent {
        let sampled = self.takes(sampled_bp);
        let mut bits = self.0.borrow_mut();
        let (high, low) = (bits.next_u64(), bits.next_u64());
        TraceParent::from_random(u128::from(high) << 64 | u128::from(low), bits.next_u64(), sampled)
    }

    /// Returns `true` for this share of the calls, in hundredths of a percent.
    pub fn takes(&self, share_bp: u16) -> bool {
        match share_bp {
            0 => false,
            ALL_BP.. => true,
            some => self.0.borrow_mut().next_u64() % u64::from(ALL_BP) < u64::from(some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_taken_and_its_ends_are_exact() {
        let random = Random::new();
        let taken = |share_bp: u16| (0..100_000).filter(|_| random.takes(share_bp)).count();
        assert_eq!((taken(0), taken(10_000)), (0, 100_000));
        // 12 standard deviations.
        let some = taken(1_000);
        assert!((8_860..=11_140).contains(&some), "{some}");
    }

    #[test]
    fn two_workers_make_different_traces() {
        let made = [Random::new(), Random::new()].map(|random| [(); 2].map(|()| random.trace_parent(0)));
        let mut texts: Vec<String> = made.iter().flatten().map(ToString::to_string).collect();
        texts.dedup();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), 4);
    }
}
