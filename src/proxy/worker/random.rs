//! Random numbers of one worker: for the ids of new traces, and to select webhooks for the access log. Each worker has its own
//! generator, so that no request waits for another thread. Not fit for secrets: the next number can be computed from earlier ones.

use std::cell::RefCell;

use rand::RngExt;
use rand::rngs::SmallRng;

use crate::http1::TraceParent;

const ALL_BP: u16 = 10_000;

pub struct Random(RefCell<SmallRng>);

impl Random {
    /// The system gives the seed.
    pub fn new() -> Random {
        Random(RefCell::new(rand::make_rng()))
    }

    /// A new trace. The given share of the traces, in hundredths of a percent, has the flag `sampled`.
    pub fn trace_parent(&self, sampled_bp: u16) -> TraceParent {
        let sampled = self.takes(sampled_bp);
        let mut bits = self.0.borrow_mut();
        TraceParent::from_random(bits.random(), bits.random(), sampled)
    }

    /// Returns `true` for this share of the calls, in hundredths of a percent.
    pub fn takes(&self, share_bp: u16) -> bool {
        match share_bp {
            0 => false,
            ALL_BP.. => true,
            some => self.0.borrow_mut().random_range(0..ALL_BP) < some,
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
