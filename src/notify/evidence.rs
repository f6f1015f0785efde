//! The evidence against a canary, in words and numbers, for messages and for the page behind a link.

use serde::Serialize;
use serde_json::Value;

use crate::core::Worth;
use crate::core::evidence::Exposure;
use crate::live::Status;
use crate::store::Row;
use crate::summary::words;

/// The evidence at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evidence {
    /// `None` if it is too large for an `f64`.
    pub e_value: Option<f64>,
    pub abort_at: Option<f64>,
    pub verdict: String,
    /// The metric that looks worst.
    pub leading: String,
    /// The harm bound: errors that the canary may still add, in per cent of its requests.
    pub harm_could_be_percent: Option<f64>,
    pub canary: Counts,
    pub stable: Counts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Counts {
    pub requests: u64,
    pub errors: u64,
    pub late: u64,
    pub rejected: u64,
}

impl Evidence {
    /// The evidence that a change rests on; `None` if nothing was judged.
    pub fn of_row(row: &Row) -> Option<Evidence> {
        let evidence = row.evidence.as_ref()?;
        let word = |key: &str| evidence[key].as_str().unwrap_or("").to_owned();
        Some(Evidence {
            e_value: evidence["e_value"].as_f64(),
            abort_at: row.abort_at,
            verdict: word("verdict"),
            leading: word("leading"),
            harm_could_be_percent: evidence["harm_could_be_percent"].as_f64(),
            canary: Counts::read(&evidence["canary"]),
            stable: Counts::read(&evidence["stable"]),
        })
    }

    /// The current evidence; `None` if nothing is judged.
    pub fn of_status(status: &Status) -> Option<Evidence> {
        let judged = status.judged?;
        let judgement = judged.judgement;
        let finite = |number: f64| Some(number).filter(|number| number.is_finite());
        Some(Evidence {
            e_value: finite(judgement.wealth.log_e().exp()),
            abort_at: Some(status.guard.abort_at),
            verdict: judged.verdict.name().to_owned(),
            leading: judgement.leading.name().to_owned(),
            harm_could_be_percent: finite(judgement.harm.0 * 100.0),
            canary: Counts::of(judgement.canary),
            stable: Counts::of(judgement.stable),
        })
    }

    /// The metric that looks worst, or errors: `3.1 % errors against 0.11 % (37 of 1,204, 12 of 10,803), E = 153 of 150`.
    pub fn text(&self) -> String {
        let (canary, stable) = (&self.canary, &self.stable);
        let (what, x, y) = match self.leading.as_str() {
            "late answers" => ("late answers", canary.late, stable.late),
            "rejected requests" => ("rejected requests", canary.rejected, stable.rejected),
            _ => ("errors", canary.errors, stable.errors),
        };
        let (n, m) = (canary.requests, stable.requests);
        let shares = [(x, n), (y, m)].map(|(part, all)| words::share(part as f64, all as f64));
        let [x, n, y, m] = [x, n, y, m].map(words::count);
        let e = words::evidence(self.e_value.unwrap_or(f64::INFINITY));
        let abort_at = self.abort_at.map_or(String::new(), |abort_at| format!(" of {}", Worth(abort_at)));
        format!("{} {what} against {} ({x} of {n}, {y} of {m}), {e}{abort_at}", shares[0], shares[1])
    }
}

impl Counts {
    fn of(exposure: Exposure) -> Counts {
        let tally = exposure.tally;
        let [requests, errors, late, rejected] = [tally.requests, tally.errors, tally.late, tally.rejected].map(u64::from);
        Counts { requests, errors, late, rejected }
    }

    fn read(value: &Value) -> Counts {
        let count = |key: &str| value[key].as_u64().unwrap_or(0);
        Counts { requests: count("requests"), errors: count("errors"), late: count("late"), rejected: count("rejected") }
    }
}
