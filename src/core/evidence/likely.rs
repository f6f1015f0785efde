//! How much likelier the outcomes of some rows are if the canary adds some harm: the formulas of `likelihood`, for many rows at
//! once. Parts that do not depend on the harm are computed once for all alternatives of a metric.

use super::columns::{Column, LANES, LENGTH, exp_all, least, ln};
use super::likelihood::{RATIO_MOST, log_latency_variance, raised_most};
use super::metric::{Alternative, Metric};
use super::rows::{BucketRow, Shocks};

/// The outcomes of some rows in one metric, and the likelihood ratios for each harm that was requested so far. The columns are
/// reused for each metric and the next rows, without a new allocation.
pub(super) struct Outcomes {
    rows: usize,
    metric: Option<Metric>,
    counted: Counted,
    shift: Shift,
    likely: Vec<Likely>,
    /// The number of entries of `likely` that belong to this metric.
    known: usize,
}

/// The likelihood ratios of some rows for one added harm.
pub(super) struct Likely {
    added: f64,
    pub log_ratios: Column,
    pub ratios: Column,
}

/// Counts, prepared for any added rate: as `likelihood::added_rate`, with the parts that do not depend on δ. With θ the raised
/// rate's factor, `L = x ln θ − (a + x) ln(1 + (θ − 1)·w/(1 + w))` and `w = s·n/c`.
struct Counted {
    x: Column,
    /// a + x.
    weight: Column,
    /// 1/(s·p̂).
    per_expected: Column,
    /// The greatest θ − 1.
    most: Column,
    /// w/(1 + w).
    part: Column,
    /// The rows with x > 0; the first `hits` entries are valid.
    hit: [usize; LENGTH],
    hits: usize,
    /// p̂, used by `fill`.
    mean: Column,
    /// θ − 1, for the last requested δ.
    raise: Column,
    /// ln θ of the hits; 1 elsewhere.
    won: Column,
}

/// Mean log-latencies, `L = δd/v − δ²/2v`; all 0 for a row without latencies.
struct Shift {
    /// d/v.
    deviation: Column,
    /// 1/v.
    precision: Column,
}

impl Outcomes {
    pub fn none() -> Box<Outcomes> {
        let empty = [0.0; LENGTH];
        let counted = Counted {
            x: empty,
            weight: empty,
            per_expected: empty,
            most: empty,
            part: empty,
            hit: [0; LENGTH],
            hits: 0,
            mean: empty,
            raise: empty,
            won: [1.0; LENGTH],
        };
        let shift = Shift { deviation: empty, precision: empty };
        Box::new(Outcomes { rows: 0, metric: None, counted, shift, likely: Vec::new(), known: 0 })
    }

    /// Called before `likely` receives other rows.
    pub fn forget(&mut self) {
        self.metric = None;
    }

    /// The ratios for this alternative. Callers pass alternatives of one metric one after the other; those that differ only in share
    /// and cap have the same ratios, which are computed once.
    #[inline(always)]
    pub fn likely(&mut self, rows: &[BucketRow<'_>], alternative: &Alternative, shocks: &Shocks) -> &Likely {
        let Alternative { metric, added, .. } = *alternative;
        if self.metric != Some(metric) {
            (self.rows, self.metric, self.known) = (rows.len().next_multiple_of(LANES), Some(metric), 0);
            match metric {
                Metric::LogLatency => self.shift.fill(rows, shocks.latency),
                Metric::Errors | Metric::Slow | Metric::Late | Metric::Rejected | Metric::VerySlow => {
                    self.counted.fill(rows, metric, shocks.rates[metric as usize]);
                }
            }
        }
        if let Some(at) = self.likely[..self.known].iter().position(|likely| likely.added == added) {
            return &self.likely[at];
        }
        if self.known == self.likely.len() {
            self.likely.push(Likely { added, log_ratios: [0.0; LENGTH], ratios: [0.0; LENGTH] });
        }
        let likely = &mut self.likely[self.known];
        self.known += 1;
        likely.added = added;
        let log_ratios = &mut likely.log_ratios[..self.rows];
        if metric == Metric::LogLatency {
            self.shift.log_ratios(added, log_ratios);
        } else {
            self.counted.log_ratios(added, log_ratios);
        }
        log_ratios.iter_mut().for_each(|ratio| *ratio = least(*ratio, RATIO_MOST));
        exp_all(log_ratios, &mut likely.ratios[..self.rows]);
        likely
    }
}

impl Counted {
    #[inline(always)]
    fn fill(&mut self, rows: &[BucketRow<'_>], metric: Metric, shock: f64) {
        self.hits = 0;
        for (i, row) in rows.iter().enumerate() {
            let (x, rate) = (row.count(metric), row.rate(metric));
            self.x[i] = x;
            self.weight[i] = rate.a + x;
            self.mean[i] = rate.mean();
            self.part[i] = row.exposed(metric) / rate.c;
            if x > 0.0 {
                self.hit[self.hits] = i;
                self.hits += 1;
            }
        }
        let ours = self.per_expected.iter_mut().zip(&mut self.most).zip(&mut self.part);
        for (((per_expected, most), part), mean) in ours.zip(&self.mean).take(rows.len()) {
            let (expected, weight) = (shock * mean, shock * *part);
            *per_expected = 1.0 / expected;
            *most = raised_most(expected) - 1.0;
            *part = weight / (1.0 + weight);
        }
    }

    #[inline(always)]
    fn log_ratios(&mut self, added: f64, ratios: &mut [f64]) {
        let rows = ratios.len();
        for (raise, (per_expected, most)) in self.raise[..rows].iter_mut().zip(self.per_expected.iter().zip(&self.most)) {
            *raise = least(added * per_expected, *most);
        }
        for (ratio, (weight, (raise, part))) in ratios.iter_mut().zip(self.weight.iter().zip(self.raise.iter().zip(&self.part))) {
            *ratio = -(weight * ln(1.0 + raise * part));
        }
        let (hit, won) = (&self.hit[..self.hits], &mut self.won[..self.hits.next_multiple_of(LANES)]);
        hit.iter().zip(&mut *won).for_each(|(row, won)| *won = 1.0 + self.raise[*row]);
        won.iter_mut().for_each(|won| *won = ln(*won));
        hit.iter().zip(&*won).for_each(|(row, won)| ratios[*row] += self.x[*row] * won);
        // For the next call: the entries behind the hits must be numbers that have a logarithm.
        won.iter_mut().for_each(|won| *won = 1.0);
    }
}

impl Shift {
    #[inline(always)]
    fn fill(&mut self, rows: &[BucketRow<'_>], shock: f64) {
        for (i, row) in rows.iter().enumerate() {
            let precision = if row.timed > 0.0 { 1.0 / log_latency_variance(row.timed, row.baseline.log_variance) } else { 0.0 };
            let deviation = if row.timed > 0.0 { row.log_latency / row.timed - row.baseline.log_mean - shock } else { 0.0 };
            (self.deviation[i], self.precision[i]) = (deviation * precision, precision);
        }
    }

    #[inline(always)]
    fn log_ratios(&self, added: f64, ratios: &mut [f64]) {
        for (ratio, (deviation, precision)) in ratios.iter_mut().zip(self.deviation.iter().zip(&self.precision)) {
            *ratio = added * deviation - 0.5 * added * added * precision;
        }
    }
}
