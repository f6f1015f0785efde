//! How much likelier the outcomes of some rows are if the canary adds some harm: the formulas of `likelihood`, for many
//! rows at once. What does not depend on the harm is computed once for all alternatives of a metric.

use super::bets::{Row, Shocks};
use super::columns::{Column, LANES, LENGTH, exp_all, least, ln};
use super::likelihood::{RATIO_MOST, log_latency_variance, raised_most};
use super::metric::Metric;

/// The outcomes of some rows in one metric, as far as they do not depend on what a canary may add.
pub(super) struct Outcomes {
    pub metric: Metric,
    kind: Kind,
}

enum Kind {
    Counted(Box<Counted>),
    Latency(Box<Shift>),
}

/// Counts, ready for any added rate: as `likelihood::added_rate`, with what does not depend on δ at hand. With θ the raised
/// rate's factor, `L = x ln θ − (a + x) ln(1 + (θ − 1)·w/(1 + w))` and `w = s·n/c`.
struct Counted {
    rows: usize,
    x: Column,
    /// a + x.
    weight: Column,
    /// 1/(s·p̂).
    per_expected: Column,
    /// θ − 1 at most.
    most: Column,
    /// w/(1 + w).
    part: Column,
    /// The rows with x > 0; as many as `hits`.
    hit: [usize; LENGTH],
    hits: usize,
}

/// Mean log-latencies, `L = δd/v − δ²/2v`; all 0 where a row has none.
struct Shift {
    rows: usize,
    /// d/v.
    deviation: Column,
    /// 1/v.
    precision: Column,
}

impl Outcomes {
    #[inline(always)]
    pub fn of(rows: &[Row<'_>], metric: Metric, shocks: &Shocks) -> Outcomes {
        let kind = match metric {
            Metric::LogLatency => Kind::Latency(Box::new(Shift::of(rows, shocks.latency))),
            Metric::Errors | Metric::Slow | Metric::Late | Metric::Rejected | Metric::VerySlow => {
                Kind::Counted(Box::new(Counted::of(rows, metric, shocks.rates[metric as usize])))
            }
        };
        Outcomes { metric, kind }
    }
}

impl Counted {
    #[inline(always)]
    fn of(rows: &[Row<'_>], metric: Metric, shock: f64) -> Counted {
        let empty = [0.0; LENGTH];
        let mut of =
            Counted { rows: rows.len(), x: empty, weight: empty, per_expected: empty, most: empty, part: empty, hit: [0; LENGTH], hits: 0 };
        let (mut mean, mut weight) = ([1.0; LENGTH], [0.0; LENGTH]);
        for (i, row) in rows.iter().enumerate() {
            let (x, rate) = (row.count(metric), row.rate(metric));
            of.x[i] = x;
            of.weight[i] = rate.a + x;
            mean[i] = rate.mean();
            weight[i] = row.exposed(metric) / rate.c;
            if x > 0.0 {
                of.hit[of.hits] = i;
                of.hits += 1;
            }
        }
        let ours = of.per_expected.iter_mut().zip(&mut of.most).zip(&mut of.part);
        for (((per_expected, most), part), (mean, weight)) in ours.zip(mean.iter().zip(&weight)) {
            let (expected, weight) = (shock * mean, shock * weight);
            *per_expected = 1.0 / expected;
            *most = raised_most(expected) - 1.0;
            *part = weight / (1.0 + weight);
        }
        of
    }

    #[inline(always)]
    fn log_ratios(&self, added: f64) -> Column {
        let (mut raise, mut ratios, mut won) = ([0.0; LENGTH], [0.0; LENGTH], [1.0; LENGTH]);
        let rows = self.rows.next_multiple_of(LANES);
        for (raise, (per_expected, most)) in raise.iter_mut().zip(self.per_expected.iter().zip(&self.most)).take(rows) {
            *raise = least(added * per_expected, *most);
        }
        for (ratio, (weight, (raise, part))) in ratios.iter_mut().zip(self.weight.iter().zip(raise.iter().zip(&self.part))).take(rows) {
            *ratio = -(weight * ln(1.0 + raise * part));
        }
        let hit = &self.hit[..self.hits];
        hit.iter().zip(&mut won).for_each(|(row, won)| *won = 1.0 + raise[*row]);
        won[..self.hits.next_multiple_of(LANES)].iter_mut().for_each(|won| *won = ln(*won));
        hit.iter().zip(&won).for_each(|(row, won)| ratios[*row] += self.x[*row] * won);
        ratios
    }
}

impl Shift {
    #[inline(always)]
    fn of(rows: &[Row<'_>], shock: f64) -> Shift {
        let mut of = Shift { rows: rows.len(), deviation: [0.0; LENGTH], precision: [0.0; LENGTH] };
        for (i, row) in rows.iter().enumerate().filter(|(_, row)| row.timed > 0.0) {
            let deviation = row.log_latency / row.timed - row.baseline.log_mean - shock;
            of.precision[i] = 1.0 / log_latency_variance(row.timed, row.baseline.log_variance);
            of.deviation[i] = deviation * of.precision[i];
        }
        of
    }

    #[inline(always)]
    fn log_ratios(&self, added: f64) -> Column {
        std::array::from_fn(|i| added * self.deviation[i] - 0.5 * added * added * self.precision[i])
    }
}

/// How much likelier some rows are if this is added.
pub(super) struct Likely {
    pub added: f64,
    pub log_ratios: Column,
    pub ratios: Column,
}

impl Likely {
    #[inline(always)]
    pub fn of(outcomes: &Outcomes, added: f64) -> Likely {
        let (mut log_ratios, rows) = match &outcomes.kind {
            Kind::Counted(counted) => (counted.log_ratios(added), counted.rows.next_multiple_of(LANES)),
            Kind::Latency(shift) => (shift.log_ratios(added), shift.rows.next_multiple_of(LANES)),
        };
        log_ratios[..rows].iter_mut().for_each(|ratio| *ratio = least(*ratio, RATIO_MOST));
        let mut ratios = [0.0; LENGTH];
        exp_all(&log_ratios[..rows], &mut ratios[..rows]);
        Likely { added, log_ratios, ratios }
    }
}
