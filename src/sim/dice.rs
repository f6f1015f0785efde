//! Random numbers from seeds alone: the same seed gives the same world on every machine and with any number of threads. The
//! generator is one that rand promises to keep; a test holds what is drawn with it.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rand_distr::{Binomial, Exp1, LogNormal, Poisson, StandardNormal};
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub struct Dice(Xoshiro256PlusPlus);

/// For the fault simulator.
#[cfg(test)]
impl Dice {
    /// A whole number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.random_range(0..n)
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

impl Dice {
    /// A generator. Different texts give independent numbers for the same seed.
    pub fn new(seed: u64, of: &str) -> Dice {
        Dice(Xoshiro256PlusPlus::seed_from_u64(xxh3_64_with_seed(of.as_bytes(), seed)))
    }

    pub fn bits(&mut self) -> u64 {
        self.0.random()
    }

    /// In [0, 1).
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    pub fn normal(&mut self, sigma: f64) -> f64 {
        sigma * self.0.sample::<f64, _>(StandardNormal)
    }

    /// The median is e^`mu`.
    pub fn log_normal(&mut self, mu: f64, sigma: f64) -> f64 {
        LogNormal::new(mu, sigma).map_or(mu.exp(), |law| self.0.sample(law))
    }

    pub fn exponential(&mut self, mean: f64) -> f64 {
        mean * self.0.sample::<f64, _>(Exp1)
    }

    pub fn poisson(&mut self, mean: f64) -> u32 {
        Poisson::new(mean).map_or(0, |law| self.0.sample(law) as u32)
    }

    /// How many of `n` events happen, each with this probability.
    pub fn of(&mut self, n: u32, probability: f64) -> u32 {
        /// Up to this number, single draws are faster than setting up the distribution.
        const FEW: u32 = 12;
        if n == 0 || probability <= 0.0 {
            return 0;
        }
        if probability >= 1.0 {
            return n;
        }
        if n <= FEW {
            return (0..n).map(|_| u32::from(self.chance(probability))).sum();
        }
        Binomial::new(u64::from(n), probability).map_or(0, |law| self.0.sample(law) as u32)
    }

    /// Draws the same `n` events with two probabilities: an event that happens with the smaller one also happens with the greater one.
    pub fn pair(&mut self, n: u32, [first, second]: [f64; 2]) -> [u32; 2] {
        if first == second {
            return [self.of(n, first); 2];
        }
        let (less, more) = (first.min(second), first.max(second));
        let of_less = self.of(n, less);
        let of_more = of_less + self.of(n - of_less, (more - less) / (1.0 - less));
        if first < second { [of_less, of_more] } else { [of_more, of_less] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(draws: u32, mut draw: impl FnMut() -> f64) -> f64 {
        (0..draws).map(|_| draw()).sum::<f64>() / f64::from(draws)
    }

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = |seed, of| (0..8).map(|_| Dice::new(seed, of).bits()).collect::<Vec<_>>();
        assert_eq!(draw(1, "a"), draw(1, "a"));
        assert_ne!(draw(1, "a"), draw(2, "a"));
        assert_ne!(draw(1, "a"), draw(1, "b"));
    }

    #[test]
    fn a_new_version_of_the_crates_draws_the_same() {
        let mut dice = Dice::new(1, "pinned");
        let whole = (dice.bits(), dice.below(1_000), dice.poisson(3.0), dice.poisson(300.0), dice.of(500, 0.2));
        assert_eq!(whole, (5_961_444_595_922_998_381, 591, 6, 291, 91));
        let parts = [dice.unit(), dice.normal(1.0), dice.log_normal(0.0, 1.0), dice.exponential(1.0)];
        let wanted = [0.210_560_074_154_291, -0.158_949_173_568_644, 1.200_867_384_525_399_9, 0.120_077_266_581_076_43];
        // The last bits are the machine's, because `exp` and `ln` are.
        assert!(parts.iter().zip(wanted).all(|(part, wanted)| (part - wanted).abs() < 1e-14), "{parts:?}");
    }

    /// The bounds are five standard errors.
    #[test]
    fn means_are_those_of_the_laws() {
        let mut dice = Dice::new(7, "means");
        let near = |got: f64, want: f64, sigma: f64| assert!((got - want).abs() < 5.0 * sigma / 200.0, "{got} is not {want}");
        near(mean(40_000, || f64::from(dice.poisson(0.05))), 0.05, 0.05_f64.sqrt());
        near(mean(40_000, || f64::from(dice.poisson(300.0))), 300.0, 300.0_f64.sqrt());
        near(mean(40_000, || f64::from(dice.of(3, 0.2))), 0.6, 0.48_f64.sqrt());
        near(mean(40_000, || f64::from(dice.of(500, 0.2))), 100.0, 80.0_f64.sqrt());
        near(mean(40_000, || dice.exponential(600.0)), 600.0, 600.0);
        near(mean(40_000, || dice.normal(0.3)), 0.0, 0.3);
    }

    #[test]
    fn a_pair_keeps_both_laws_and_nests() {
        let mut dice = Dice::new(8, "pair");
        let (mut few, mut many) = (0, 0);
        for _ in 0..20_000 {
            let [a, b] = dice.pair(20, [0.1, 0.15]);
            let [c, d] = dice.pair(20, [0.15, 0.1]);
            assert!(a <= b && c >= d);
            (few, many) = (few + a + d, many + b + c);
        }
        let rate = |count: u32| f64::from(count) / 800_000.0;
        assert!((rate(few) - 0.1).abs() < 0.002 && (rate(many) - 0.15).abs() < 0.002, "{few} {many}");
    }

    #[test]
    fn nothing_is_drawn_from_the_impossible() {
        let mut dice = Dice::new(9, "edges");
        assert_eq!((dice.of(0, 0.5), dice.of(5, 0.0), dice.of(5, 1.0), dice.of(50, 1.5)), (0, 0, 5, 50));
        assert_eq!((dice.poisson(0.0), dice.pair(9, [0.0, 1.0])), (0, [0, 9]));
    }
}
