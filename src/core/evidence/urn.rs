//! Urns. Buckets that begin to look bad are drawn in an order that does not depend on labels; each label is seen only when its
//! bucket is drawn. If the canary harms nobody, the drawn labels are like balls from an urn, and betting on 'canary' at the urn's
//! own odds is a martingale: P(the wealth ever reaches 1/α) ≤ α, however often one looks.

use serde::{Deserialize, Serialize};

use super::metric::log_sum;

/// What is left in the urn, and the wealth (a logarithm) of one bettor for each stake θ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Urn<const STAKES: usize> {
    canary: f64,
    #[serde(rename = "pool")]
    fresh: f64,
    #[serde(with = "logs")]
    pub logs: [f64; STAKES],
}

/// serde does not support arrays of generic length.
mod logs {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer, const N: usize>(logs: &[f64; N], serializer: S) -> Result<S::Ok, S::Error> {
        logs.as_slice().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[f64; N], D::Error> {
        let logs: Vec<f64> = Deserialize::deserialize(deserializer)?;
        logs.try_into().map_err(|_| D::Error::custom("another number of stakes"))
    }
}

/// A label that was drawn, stored while its win may have to be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Drawn {
    /// The canary's share of the urn just before the draw.
    share: f64,
}

impl<const STAKES: usize> Urn<STAKES> {
    pub fn new(canary: usize, fresh: usize) -> Urn<STAKES> {
        Urn { canary: canary as f64, fresh: fresh as f64, logs: [0.0; STAKES] }
    }

    /// Refills the urn for the next step; the wealth stays.
    pub fn refill(&mut self, canary: usize, fresh: usize) {
        (self.canary, self.fresh) = (canary as f64, fresh as f64);
    }

    pub fn draw(&mut self, canary: bool, stakes: &[f64; STAKES]) -> Drawn {
        let share = self.canary / self.fresh;
        for (log, stake) in self.logs.iter_mut().zip(stakes) {
            *log += payoff(canary, *stake, share);
        }
        self.canary -= f64::from(u8::from(canary));
        self.fresh -= 1.0;
        Drawn { share }
    }

    /// Takes back what a canary bucket won, because it has been refuted. What it lost stays lost.
    pub fn take_back(&mut self, drawn: Drawn, stakes: &[f64; STAKES]) {
        for (log, stake) in self.logs.iter_mut().zip(stakes) {
            *log -= payoff(true, *stake, drawn.share).max(0.0);
        }
    }

    /// The mean of the bettors' wealths, as a logarithm.
    pub fn log_mean(&self) -> f64 {
        log_sum(self.logs.iter().copied()) - (STAKES as f64).ln()
    }
}

fn payoff(canary: bool, stake: f64, share: f64) -> f64 {
    f64::from(u8::from(canary)) * stake.ln() - (1.0 - share + stake * share).ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::evidence::golden::{self, close};

    #[test]
    fn urns_are_the_golden_ones() {
        for (key, stake) in [("urn_theta3", 3.0), ("urn_theta20", 20.0)] {
            let v = golden::value(key);
            let mut urn = Urn::<1>::new(10, 100);
            for (label, log) in golden::numbers(&v["labels"]).into_iter().zip(golden::numbers(&v["loge"])) {
                urn.draw(label == 1.0, &[stake]);
                close(urn.logs[0], log, &v);
            }
        }
    }

    #[test]
    fn an_urn_of_the_newly_broken_and_its_refutation_are_the_golden_ones() {
        let v = golden::value("v2_newly_broken_urn");
        for theta in v["thetas"].as_array().unwrap() {
            let stake = [golden::number(&theta["theta"])];
            let mut urn = Urn::<1>::new(24, 600);
            let mut last = None;
            for (label, log) in golden::numbers(&v["labels"]).into_iter().zip(golden::numbers(&theta["loge"])) {
                last = Some(urn.draw(label == 1.0, &stake));
                close(urn.logs[0], log, &v);
            }
            urn.take_back(last.unwrap(), &stake);
            close(urn.logs[0], golden::number(&theta["after_refuting_last"]), &v);
        }
    }

    #[test]
    fn the_next_label_pays_one_on_average() {
        let urn = Urn::<2>::new(7, 50);
        let after = |canary| {
            let mut urn = urn.clone();
            urn.draw(canary, &[3.0, 20.0]);
            urn.log_mean().exp()
        };
        assert!((7.0 / 50.0 * after(true) + 43.0 / 50.0 * after(false) - 1.0).abs() < 1e-12);
    }
}
