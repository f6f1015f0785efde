//! One look: every alternative bets on every bucket's label, twice: among all buckets, and among those that this step could have
//! put on the canary for the first time. This is the hot loop of the evidence.

use super::columns::{Column, LANES, LENGTH, least};
use super::likely::{Likely, Outcomes};
use super::metric::Alternative;
use super::rows::{BucketRow, BucketRows};

/// The probability that a label is canary: among all buckets, and among the fresh ones (0 if this step adds no bucket).
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Odds {
    pub all: f64,
    pub fresh: f64,
}

/// The wealth of each alternative, as logarithms.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Wealths {
    pub all: Vec<f64>,
    pub fresh: Vec<f64>,
}

/// The lowest threshold of an urn: an urn draws only buckets with a greater log-ratio. See [`bet`].
pub(super) const SEEN_FROM: f64 = 1.5;

/// Places the bets of one look. Calls `seen` for each fresh bucket whose log-ratio under an alternative is above [`SEEN_FROM`], with
/// the alternative's number, the row's number and the log-ratio.
pub(super) fn bet(rows: &BucketRows<'_>, odds: Odds, alternatives: &[Alternative], seen: impl FnMut(usize, usize, f64)) -> Wealths {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "a function with `target_feature` is called from one without")]
        // SAFETY: the machine has these instructions.
        return unsafe { bet_by_fours(rows, odds, alternatives, seen) };
    }
    bet_anywhere(rows, odds, alternatives, seen)
}

/// The same, compiled for machines that compute with four numbers at once instead of two. The operations are the same, so the
/// result is too.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn bet_by_fours(rows: &BucketRows<'_>, odds: Odds, alternatives: &[Alternative], seen: impl FnMut(usize, usize, f64)) -> Wealths {
    bet_anywhere(rows, odds, alternatives, seen)
}

/// Inlined, with everything that computes columns, so that it is compiled for the caller's instructions.
#[inline(always)]
fn bet_anywhere(
    BucketRows { rows, shocks }: &BucketRows<'_>,
    odds: Odds,
    alternatives: &[Alternative],
    mut seen: impl FnMut(usize, usize, f64),
) -> Wealths {
    // In a rollout's first step both bets are the same.
    let all_are_new = odds.fresh == odds.all && rows.iter().all(|row| row.fresh);
    let mut products = vec![(Product::default(), Product::default()); alternatives.len()];
    let (mut labels, mut outcomes) = (LabelColumns::none(), Outcomes::none());
    for (number, chunk) in rows.chunks(LENGTH).enumerate() {
        labels.fill(chunk);
        outcomes.forget();
        for (i, (alternative, (all, fresh))) in alternatives.iter().zip(&mut products).enumerate() {
            let Likely { log_ratios, ratios, .. } = outcomes.likely(chunk, alternative, shocks);
            labels.pay(ratios, alternative, odds.all, Among::All, all);
            if odds.fresh > 0.0 {
                if !all_are_new {
                    labels.pay(ratios, alternative, odds.fresh, Among::Fresh, fresh);
                }
                // Counts first, several at once, because mostly there is none.
                if log_ratios[..chunk.len()].iter().filter(|log_ratio| **log_ratio > SEEN_FROM).count() == 0 {
                    continue;
                }
                for (row, log_ratio) in log_ratios[..chunk.len()].iter().enumerate() {
                    if *log_ratio > SEEN_FROM && chunk[row].fresh {
                        seen(i, number * LENGTH + row, *log_ratio);
                    }
                }
            }
        }
    }
    let fresh = |(all, fresh): &(Product, Product)| if all_are_new { all.log() } else { fresh.log() };
    let (all, fresh) = products.iter().map(|both| (both.0.log(), fresh(both))).unzip();
    Wealths { all, fresh }
}

/// The labels of some rows, as numbers to compute with.
struct LabelColumns {
    rows: usize,
    /// 1 for rows that bet as canary, which includes the refuted ones.
    canary: Column,
    fresh: Column,
    /// The refuted rows: they can only lose.
    refuted: Vec<usize>,
    /// In the current bet, what each row's label pays, and the mean of that over both labels.
    owns: Column,
    means: Column,
}

/// The buckets among which a bet is placed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Among {
    All,
    Fresh,
}

impl LabelColumns {
    fn none() -> LabelColumns {
        let ones = [1.0; LENGTH];
        LabelColumns { rows: 0, canary: ones, fresh: ones, refuted: Vec::new(), owns: ones, means: ones }
    }

    fn fill(&mut self, rows: &[BucketRow<'_>]) {
        self.rows = rows.len();
        self.refuted.clear();
        for (i, row) in rows.iter().enumerate() {
            self.canary[i] = f64::from(u8::from(row.canary || row.refuted));
            self.fresh[i] = f64::from(u8::from(row.fresh));
            if row.refuted {
                self.refuted.push(i);
            }
        }
    }

    /// Computes `likelihood::{plain_bet, bounded, label_bet, refuted_bet}` as fractions, and divides only the products.
    #[inline(always)]
    fn pay(&mut self, ratios: &Column, alternative: &Alternative, f: f64, among: Among, product: &mut Product) {
        let (share, per_cap) = (alternative.share, 1.0 / least(alternative.cap, 2.0 / f));
        let LabelColumns { owns, means, .. } = self;
        let out = owns.iter_mut().zip(&mut *means);
        for ((own, mean), (ratio, canary)) in out.zip(ratios.iter().zip(&self.canary)).take(self.rows.next_multiple_of(LANES)) {
            let plain = 1.0 - share + share * ratio;
            let (won, kept) = (plain * (1.0 + per_cap), 1.0 + plain * per_cap);
            *own = if *canary != 0.0 { won } else { kept };
            *mean = (1.0 - f) * kept + f * won;
        }
        for row in &self.refuted {
            owns[*row] = least(owns[*row], means[*row]);
        }
        if among == Among::Fresh {
            for ((own, mean), fresh) in owns.iter_mut().zip(&mut *means).zip(&self.fresh) {
                *own = if *fresh != 0.0 { *own } else { 1.0 };
                *mean = if *fresh != 0.0 { *mean } else { 1.0 };
            }
        }
        product.times_all(&owns[..self.rows], &means[..self.rows]);
    }
}

/// A product of many factors. Its logarithm is taken only when it comes near the ends of a double's range.
#[derive(Clone, Copy)]
struct Product {
    product: f64,
    log: f64,
}

impl Default for Product {
    fn default() -> Product {
        Product { product: 1.0, log: 0.0 }
    }
}

impl Product {
    fn times(&mut self, factor: f64) {
        self.product *= factor;
        if !(1e-150..=1e150).contains(&self.product) {
            self.log += self.product.ln();
            self.product = 1.0;
        }
    }

    /// Multiplies by `owns / means`, eight at a time: such a product seldom leaves the range of a double.
    #[inline(always)]
    fn times_all(&mut self, owns: &[f64], means: &[f64]) {
        let ((owns, own), (means, mean)) = (owns.as_chunks::<8>(), means.as_chunks::<8>());
        for (owns, means) in owns.iter().zip(means) {
            let (over, under) = (multiplied(owns), multiplied(means));
            let fit = (1e-140..=1e140).contains(&over) && (1e-140..=1e140).contains(&under);
            if fit && (1e-140..=1e140).contains(&(over / under)) {
                self.times(over / under);
            } else {
                owns.iter().zip(means).for_each(|(own, mean)| self.times(own / mean));
            }
        }
        own.iter().zip(mean).for_each(|(own, mean)| self.times(own / mean));
    }

    fn log(&self) -> f64 {
        self.log + self.product.ln()
    }
}

#[inline(always)]
fn multiplied([a, b, c, d, e, f, g, h]: &[f64; 8]) -> f64 {
    ((a * b) * (c * d)) * ((e * f) * (g * h))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::evidence::baseline::{Baseline, Rate};
    use crate::core::evidence::golden::{self, close};
    use crate::core::evidence::likelihood::{added_rate, bounded, label_bet, plain_bet};
    use crate::core::evidence::metric::{ALTERNATIVES, log_sum, mix};
    use crate::core::evidence::metric::{COUNTED, Metric};
    use crate::core::evidence::rows::rate_shock;
    use crate::core::evidence::urn::Urn;
    use proptest::prelude::*;
    use serde_json::Value;

    fn baselines(v: &Value, place: &[usize]) -> Vec<Baseline> {
        let n = golden::numbers(&v["N"]).len();
        (0..n)
            .map(|i| {
                let mut rates = [Rate { a: 1.0, c: 1.0 }; COUNTED];
                for (metric, j) in place.iter().enumerate() {
                    rates[metric] = Rate { a: golden::number(&v["a"][*j][i]), c: golden::number(&v["b"][*j][i]) };
                }
                Baseline { rates, log_mean: 0.0, log_variance: golden::number(&v["bv"]) }
            })
            .collect()
    }

    /// `place` gives the index in the vector for each of serin's metrics.
    fn rows<'a>(v: &Value, place: &[usize], baselines: &'a [Baseline], refuted: bool) -> Vec<BucketRow<'a>> {
        let n = golden::numbers(&v["N"]);
        let (m0, m) = (golden::number(&v["m0"]) as usize, golden::number(&v["m"]) as usize);
        (0..n.len())
            .filter(|i| n[*i] > 0.0)
            .map(|i| {
                let mut counts = [0.0; COUNTED];
                for (metric, j) in place.iter().enumerate() {
                    counts[metric] = golden::number(&v["X"][*j][i]);
                }
                BucketRow {
                    bucket: i,
                    canary: i < m,
                    fresh: i >= m0,
                    refuted: refuted && i == 0,
                    requests: n[i],
                    timed: n[i],
                    marked: n[i],
                    counts,
                    log_latency: golden::number(&v["Lsum"][i]),
                    baseline: &baselines[i],
                }
            })
            .collect()
    }

    /// Bets and draws the urns as a step does, and compares the results with everything in the vector.
    fn check(key: &str, place: &[usize], alternatives: &[Alternative], refuted: bool) -> Wealths {
        let v = golden::value(key);
        let baselines = baselines(&v, place);
        let rows = rows(&v, place, &baselines, refuted);
        let odds = Odds { all: golden::number(&v["f"]), fresh: golden::number(&v["fc"]) };
        let mut urns = vec![[Urn::<2>::new(1, 7), Urn::<2>::new(1, 7)]; alternatives.len()];
        let wealth = bet(&rows, odds, alternatives, |number, row, log_ratio| {
            for (urn, threshold) in urns[number].iter_mut().zip([1.5, 4.0]) {
                if log_ratio > threshold {
                    urn.draw(rows[row].canary, &[3.0, 20.0]);
                }
            }
        });
        for (number, (all, fresh)) in wealth.all.iter().zip(&wealth.fresh).enumerate() {
            close(*all, golden::number(&v["logE_all"][number]), &v["logE_all"]);
            close(*fresh, golden::number(&v["logE_cohort"][number]), &v["logE_cohort"]);
            for (h, urn) in urns[number].iter().enumerate() {
                for (r, log) in urn.logs.iter().enumerate() {
                    close(*log, golden::number(&v["urn_log"][h][number][r]), &v["urn_log"]);
                }
            }
        }
        wealth
    }

    fn bet(rows: &[BucketRow<'_>], odds: Odds, alternatives: &[Alternative], seen: impl FnMut(usize, usize, f64)) -> Wealths {
        super::bet(&BucketRows::of(rows.to_vec()), odds, alternatives, seen)
    }

    /// The indices of the vectors' metrics: errors, slow, late, rejected, very slow.
    const PLACE: [usize; COUNTED] = [0, 1, 3, 4, 5];

    fn array(wealth: &[f64]) -> [f64; ALTERNATIVES.len()] {
        wealth.try_into().unwrap()
    }

    #[test]
    fn the_alternatives_are_the_golden_ones() {
        let v = golden::value("v2_alternatives");
        let order = [Metric::Errors, Metric::Slow, Metric::Errors, Metric::Late, Metric::Rejected, Metric::VerySlow, Metric::LogLatency];
        let total: f64 = ALTERNATIVES.iter().map(|a| a.prior).sum();
        for (i, a) in ALTERNATIVES.iter().enumerate() {
            let row = golden::numbers(&v["rows"][i]);
            assert_eq!((order[row[0] as usize], row[1], row[2], row[3]), (a.metric, a.added, a.share, a.cap));
            close(a.prior / total, golden::number(&v["prior"][i]), &v["prior"][i]);
        }
    }

    #[test]
    fn a_whole_look_is_the_golden_one() {
        let v = golden::value("v2_eval");
        let wealth = check("v2_eval", &PLACE, &ALTERNATIVES, false);
        close(mix(&array(&wealth.all)), golden::number(&v["mix_all"]), &v["mix_all"]);
        close(mix(&array(&wealth.fresh)), golden::number(&v["mix_cohort"]), &v["mix_cohort"]);
    }

    #[test]
    fn a_look_with_a_refuted_bucket_is_the_golden_one() {
        let v = golden::value("v2_eval_bucket0_refuted");
        let wealth = check("v2_eval_bucket0_refuted", &PLACE, &ALTERNATIVES, true);
        close(mix(&array(&wealth.all)), golden::number(&v["mix_all"]), &v["mix_all"]);
    }

    /// An older set of alternatives has a metric that is no longer used; here it takes the place of `Late`.
    #[test]
    fn an_older_look_is_the_golden_one_too() {
        let a = |metric, added, share, cap| Alternative { metric, added, share, cap, prior: 1.0 };
        let alternatives = [
            a(Metric::Errors, 0.005, 1.0, 5.0),
            a(Metric::Errors, 0.02, 1.0, 10.0),
            a(Metric::Errors, 0.1, 1.0, 10.0),
            a(Metric::Errors, 0.5, 1.0, 100.0),
            a(Metric::Errors, 0.5, 0.05, 100.0),
            a(Metric::Errors, 0.1, 0.3, 30.0),
            a(Metric::Slow, 0.03, 1.0, 10.0),
            a(Metric::Slow, 0.15, 1.0, 30.0),
            a(Metric::Late, 0.01, 1.0, 10.0),
            a(Metric::Late, 0.05, 0.5, 30.0),
            a(Metric::LogLatency, 0.08, 1.0, 10.0),
            a(Metric::LogLatency, 0.2, 1.0, 10.0),
            a(Metric::LogLatency, 0.6, 1.0, 30.0),
        ];
        let wealth = check("eval", &[0, 1, 2, 2, 2], &alternatives, false);
        let v = golden::value("eval");
        let mixed =
            |logs: &[f64]| log_sum(logs.iter().enumerate().map(|(i, log)| log + if i < 6 { 0.1_f64.ln() } else { (0.4_f64 / 7.0).ln() }));
        close(mixed(&wealth.all), golden::number(&v["mix_all"]), &v["mix_all"]);
        close(mixed(&wealth.fresh), golden::number(&v["mix_cohort"]), &v["mix_cohort"]);
    }

    fn any_row() -> impl Strategy<Value = (bool, bool, bool, f64, [f64; COUNTED], f64)> {
        let count = || 0u32..40;
        (any::<bool>(), any::<bool>(), any::<bool>(), 1u32..60, [count(), count(), count(), count(), count()], -3.0..3.0_f64).prop_map(
            |(canary, fresh, refuted, n, counts, mean)| {
                (canary, fresh, refuted && canary, f64::from(n), counts.map(|x| f64::from(x.min(n))), mean)
            },
        )
    }

    proptest! {
        /// Compares the fast loop with the formulas.
        #[test]
        fn the_loop_pays_what_the_formulas_say(cells in proptest::collection::vec(any_row(), 1..20), f in 0.001..0.9_f64) {
            let baseline = Baseline { rates: [Rate { a: 0.7, c: 55.0 }; COUNTED], log_mean: 0.2, log_variance: 0.01 };
            let rows: Vec<BucketRow<'_>> = cells.iter().enumerate().map(|(bucket, (canary, fresh, refuted, n, counts, mean))| BucketRow {
                bucket, canary: *canary, fresh: *fresh, refuted: *refuted, requests: *n, timed: *n, marked: *n, counts: *counts, log_latency: n * mean, baseline: &baseline,
            }).collect();
            let odds = Odds { all: f, fresh: f / 2.0 };
            let anywhere = bet_anywhere(&BucketRows::of(rows.clone()), odds, &ALTERNATIVES, |_, _, _| {});
            let wealth = bet(&rows, odds, &ALTERNATIVES, |_, _, _| {});
            prop_assert_eq!(&wealth, &anywhere, "the machine's instructions make no difference");
            for (number, alternative) in ALTERNATIVES.iter().enumerate().filter(|(_, a)| a.metric != Metric::LogLatency) {
                let shock = rate_shock(&rows, alternative.metric);
                let of = |f: f64, rows: &mut dyn Iterator<Item = &BucketRow<'_>>| rows.map(|row| {
                    let ratio = added_rate(row.count(alternative.metric), row.requests, row.rate(alternative.metric), shock, alternative.added);
                    let g = bounded(plain_bet(ratio, alternative.share), alternative.cap.min(2.0 / f));
                    let paid = label_bet(g, f, row.canary);
                    if row.refuted { paid.min(1.0).ln() } else { paid.ln() }
                }).sum::<f64>();
                let all = of(odds.all, &mut rows.iter());
                let fresh = of(odds.fresh, &mut rows.iter().filter(|row| row.fresh));
                prop_assert!((wealth.all[number] - all).abs() < 1e-8, "{} {}", wealth.all[number], all);
                prop_assert!((wealth.fresh[number] - fresh).abs() < 1e-8);
            }
        }
    }
}
